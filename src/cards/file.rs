//! The TOML file of a rate card: read as a whole, with everything that is wrong reported at once, by key and line.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::ledger::Credits;
use crate::ledger::card::{
    CardFault, ClassRule, EmergencyRule, Factor, FlatTier, LineRule, RateCard, TimeBasis, check,
};
use crate::ledger::credits::parse_units;
use crate::ledger::ids::{CardId, ClassId, LabelId, LineId, PackageId, Text};

/// A card as a file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFile {
    /// The card; its version is 1 until a ledger gives it another one.
    pub card: RateCard,
    /// What is legal, but probably not meant.
    pub warnings: Vec<FileFault>,
}

/// Something that is wrong, or odd, in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// From 1; `None` for what is missing.
    pub line: Option<usize>,
    /// The key with its tables, such as `classes.price-plans.estimate_credits`.
    pub key: String,
    /// What is wrong with it, continuing "`key` ...".
    pub problem: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, problem } = self;
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        let space = if key.is_empty() { "" } else { " " };
        write!(f, "{key}{space}{problem}")
    }
}

/// Reads a card, or gives everything that is wrong, in the order of the lines.
pub fn parse(text: &str) -> Result<CardFile, Vec<FileFault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, faults: Vec::new(), lines: HashMap::new() };
    for error in errors {
        let line = error.span().map(|span| reader.line(span.start));
        let problem = error.message().replace('\n', ", ");
        reader.faults.push(FileFault { line, key: String::new(), problem });
    }
    let card = reader.card(table.get_ref());
    let found = check(&card);
    let wrong: HashSet<String> = reader.faults.iter().map(|fault| fault.key.clone()).collect();
    let located =
        |faults: Vec<CardFault>| faults.into_iter().map(|fault| reader.found(fault)).collect::<Vec<_>>();
    let (checked, warnings) = (located(found.faults), located(found.warnings));
    // A key that could not be read is not reported a second time.
    let mut faults = reader.faults;
    faults.extend(checked.into_iter().filter(|fault| !wrong.contains(&fault.key)));
    faults.sort_by(|one, other| (one.line, &one.key).cmp(&(other.line, &other.key)));
    if faults.is_empty() { Ok(CardFile { card, warnings }) } else { Err(faults) }
}

/// The name of a field of the API in a file, where people write minutes.
fn key_of(field: &'static str) -> &'static str {
    match field {
        "increment_seconds" => "increment_minutes",
        "minimum_seconds" => "minimum_minutes",
        "flat_under_seconds" => "flat_under_minutes",
        other => other,
    }
}

struct Reader<'a> {
    text: &'a str,
    faults: Vec<FileFault>,
    /// Where each key stands that was read.
    lines: HashMap<String, usize>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl Reader<'_> {
    /// The line, from 1, of a byte offset.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1)
    }

    fn refuse<T>(&mut self, key: &str, problem: impl Into<String>) -> Option<T> {
        let line = self.lines.get(key).copied();
        self.faults.push(FileFault { line, key: key.to_owned(), problem: problem.into() });
        None
    }

    /// A finding of the check, at its place.
    fn found(&self, fault: CardFault) -> FileFault {
        let CardFault { field, entry, problem } = fault;
        let key = match entry {
            Some(entry) => format!("{}.{entry}", key_of(field)),
            None => key_of(field).to_owned(),
        };
        FileFault { line: self.lines.get(&key).copied(), key, problem }
    }

    /// The entries of a table in the order of the file, their places noted under `path`.
    fn entries<'t, 'i>(
        &mut self,
        path: &str,
        table: &'t DeTable<'i>,
    ) -> Vec<(String, &'t str, &'t Value<'i>)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut named = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let dot = if path.is_empty() { "" } else { "." };
            let full = format!("{path}{dot}{}", key.get_ref());
            let line = self.line(key.span().start);
            self.lines.insert(full.clone(), line);
            named.push((full, key.get_ref().as_ref(), value));
        }
        named
    }

    fn card(&mut self, table: &DeTable<'_>) -> RateCard {
        let mut card = RateCard::plain(CardId::prepaid(), Credits::ZERO);
        let mut named = false;
        let (mut flat_under, mut flat_credits) = (None, None);
        for (key, name, value) in self.entries("", table) {
            let key = key.as_str();
            match name {
                "rate_card" => {
                    named = true;
                    set(&mut card.card.id, self.id(key, value, CardId::parse));
                }
                "description" => set(&mut card.description, self.id(key, value, Text::parse)),
                "credits_per_hour" => set(&mut card.credits_per_hour, self.credits(key, value)),
                "minimum_credits" => set(&mut card.minimum_credits, self.credits(key, value)),
                "charge_scale" => set(&mut card.charge_scale, self.count(key, value)),
                "minimum_minutes" => set(&mut card.minimum_seconds, self.seconds(key, value)),
                "increment_minutes" => set(&mut card.increment_seconds, self.increment(key, value)),
                "time_basis" => {
                    set(&mut card.time_basis, self.coded(key, value, TimeBasis::ALL, TimeBasis::name));
                }
                "emergency" => {
                    set(&mut card.emergency, self.coded(key, value, EmergencyRule::ALL, EmergencyRule::name));
                }
                "flat_under_minutes" => flat_under = Some(self.seconds(key, value)),
                "flat_credits" => flat_credits = Some(self.credits(key, value)),
                "quote_valid_days" => set(&mut card.quote_valid_days, self.count(key, value)),
                "free_support_days" => card.free_support_days = self.count(key, value),
                "confirmed_hold_only" => set(&mut card.confirmed_hold_only, self.flag(key, value)),
                "packages" => card.packages = self.map(key, value, PackageId::parse, Self::credits),
                "lines" => card.lines = self.map(key, value, LineId::parse, Self::line_rule),
                "multipliers" => card.multipliers = self.map(key, value, LabelId::parse, Self::factor),
                "classes" => {
                    let timed = self.map(key, value, ClassId::parse, Self::timed_class);
                    for (class, rule) in timed {
                        self.add_class(&mut card, key, class, rule);
                    }
                }
                "free_classes" => self.listed(&mut card, key, value, &ClassRule::Free),
                "quote_required_classes" => self.listed(&mut card, key, value, &ClassRule::QuoteRequired),
                "refused_classes" => self.listed(&mut card, key, value, &ClassRule::Refused),
                _ => drop(self.refuse::<()>(key, "is not a key of a rate card")),
            }
        }
        if !named {
            self.refuse::<()>("rate_card", "is missing: the card's name");
        }
        match (flat_under, flat_credits) {
            // A value that could not be read is reported already; the tier must count as present.
            (Some(under), Some(credits)) => {
                let (under_seconds, credits) = (under.unwrap_or(1), credits.unwrap_or(Credits::whole(1)));
                card.flat = Some(FlatTier { under_seconds, credits });
            }
            (Some(_), None) => drop(self.refuse::<()>("flat_under_minutes", "needs flat_credits beside it")),
            (None, Some(_)) => drop(self.refuse::<()>("flat_credits", "needs flat_under_minutes beside it")),
            (None, None) => {}
        }
        card
    }

    /// Adds a class that must have one rule only.
    fn add_class(&mut self, card: &mut RateCard, key: &str, class: ClassId, rule: ClassRule) {
        match card.classes.entry(class) {
            Entry::Vacant(place) => {
                place.insert(rule);
            }
            Entry::Occupied(taken) => {
                let class = taken.key();
                let is_timed = matches!(rule, ClassRule::Timed { .. });
                let at = if is_timed { format!("{key}.{class}") } else { key.to_owned() };
                self.refuse::<()>(&at, format!("names class {class}, which has another rule already"));
            }
        }
    }

    /// A list of classes with one rule.
    fn listed(&mut self, card: &mut RateCard, key: &str, value: &Value<'_>, rule: &ClassRule) {
        let DeValue::Array(classes) = value.get_ref() else {
            self.wrong_type::<()>(key, "a list of classes", value);
            return;
        };
        for class in classes {
            if let Some(class) = self.id(key, class, ClassId::parse) {
                self.add_class(card, key, class, rule.clone());
            }
        }
    }

    fn timed_class(&mut self, key: &str, value: &Value<'_>) -> Option<ClassRule> {
        let DeValue::Table(table) = value.get_ref() else { return self.wrong_type(key, "a table", value) };
        let (mut range, mut credits_per_hour) = (None, None);
        for (key, name, value) in self.entries(key, table) {
            match name {
                "estimate_credits" => range = self.range(&key, value),
                "credits_per_hour" => credits_per_hour = self.credits(&key, value),
                _ => drop(self.refuse::<()>(&key, "is not a key of a class")),
            }
        }
        Some(ClassRule::Timed { range, credits_per_hour })
    }

    fn range(&mut self, key: &str, value: &Value<'_>) -> Option<(Credits, Credits)> {
        match value.get_ref() {
            DeValue::Array(ends) if ends.len() == 2 => {
                let mut ends = ends.iter().map(|end| self.credits(key, end));
                let (min, max) = (ends.next().flatten(), ends.next().flatten());
                min.zip(max)
            }
            _ => self.refuse(key, "must be a range such as [1, 3]"),
        }
    }

    /// A table of entries of one kind.
    fn map<K: Ord, V, E: fmt::Display>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        name: impl Fn(&str) -> Result<K, E>,
        read: impl Fn(&mut Self, &str, &Value<'_>) -> Option<V>,
    ) -> BTreeMap<K, V> {
        let mut map = BTreeMap::new();
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type::<()>(key, "a table", value);
            return map;
        };
        for (key, entry, value) in self.entries(key, table) {
            let entry = match name(entry) {
                Ok(entry) => Some(entry),
                Err(error) => self.refuse(&key, format!("is not a name: it {error}")),
            };
            if let Some((entry, value)) = entry.zip(read(self, &key, value)) {
                map.insert(entry, value);
            }
        }
        map
    }

    fn line_rule(&mut self, key: &str, value: &Value<'_>) -> Option<LineRule> {
        match value.get_ref() {
            DeValue::String(text) if text == "free" => Some(LineRule::Free),
            _ => self.credits(key, value).map(LineRule::CreditsPerHour),
        }
    }

    fn factor(&mut self, key: &str, value: &Value<'_>) -> Option<Factor> {
        let text = self.decimal(key, value)?;
        match Factor::parse(&text) {
            Ok(factor) => Some(factor),
            Err(_) => self.refuse(key, format!("must be a factor such as 1.5, at most {}", Factor::MAX)),
        }
    }

    fn credits(&mut self, key: &str, value: &Value<'_>) -> Option<Credits> {
        let text = self.decimal(key, value)?;
        match Credits::parse(&text) {
            Ok(credits) => Some(credits),
            Err(error) => self.refuse(key, error.to_string()),
        }
    }

    /// Minutes that come to whole seconds.
    fn seconds(&mut self, key: &str, value: &Value<'_>) -> Option<u64> {
        const MINUTES_MAX: i64 = 1_000_000;
        let text = self.decimal(key, value)?;
        let units = parse_units(&text, 4, MINUTES_MAX.saturating_mul(10_000)).ok();
        let seconds = units
            .map(|units| units.saturating_mul(60))
            .filter(|units| units.rem_euclid(10_000) == 0)
            .and_then(|units| u64::try_from(units.div_euclid(10_000)).ok());
        match seconds {
            Some(seconds) => Some(seconds),
            None => self.refuse(key, "must be minutes such as 30 or 1.5 that come to whole seconds"),
        }
    }

    fn increment(&mut self, key: &str, value: &Value<'_>) -> Option<u64> {
        match self.seconds(key, value)? {
            0 => self.refuse(key, "must be more than 0; without it exact time is charged"),
            seconds => Some(seconds),
        }
    }

    /// A number as it is written: no float comes in between.
    fn decimal(&mut self, key: &str, value: &Value<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
            DeValue::Float(number) => Some(number.as_str().replace('_', "")),
            DeValue::String(text) => Some(text.to_string()),
            _ => self.wrong_type(key, "a number", value),
        }
    }

    fn count(&mut self, key: &str, value: &Value<'_>) -> Option<u32> {
        match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => {
                match number.as_str().replace('_', "").parse() {
                    Ok(count) => Some(count),
                    Err(_) => self.refuse(key, "must be a whole number of at least 0"),
                }
            }
            _ => self.wrong_type(key, "a whole number", value),
        }
    }

    fn flag(&mut self, key: &str, value: &Value<'_>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.wrong_type(key, "true or false", value),
        }
    }

    fn id<T, E: fmt::Display>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let DeValue::String(text) = value.get_ref() else { return self.wrong_type(key, "a string", value) };
        match read(text) {
            Ok(value) => Some(value),
            Err(error) => self.refuse(key, error.to_string()),
        }
    }

    /// One of a few words: those of the API, in lower case with dashes.
    fn coded<T: Copy>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let word = |value: T| name(value).to_ascii_lowercase().replace('_', "-");
        let found = match value.get_ref() {
            DeValue::String(text) => all.iter().copied().find(|one| word(*one) == text.as_ref()),
            _ => None,
        };
        found.or_else(|| {
            let words: Vec<String> = all.iter().map(|one| format!("{:?}", word(*one))).collect();
            self.refuse(key, format!("must be one of {}", words.join(", ")))
        })
    }

    fn wrong_type<T>(&mut self, key: &str, wanted: &str, value: &Value<'_>) -> Option<T> {
        self.refuse(key, format!("must be {wanted}, not {}", value.get_ref().type_str()))
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests;

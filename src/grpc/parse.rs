//! Reads wire fields into the core's types. Every field is read, so that all violations are reported at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use uuid::Uuid;

use crate::ledger::actor::Actor;
use crate::ledger::commands::Said;
use crate::ledger::event::EventType;
use crate::ledger::ids::LabelId;
use crate::ledger::job::Circumstances;
use crate::ledger::{Credits, Currency, CustomerId, Day, LedgerId, Money, Text, Timestamp};
use crate::query::{PageRequest, Position, ReadError};
use crate::storefront::amounts;

use super::called::Called;
use super::status::Problem;
#[cfg(test)]
use super::violations::Violations;
use super::violations::{Collector, Step};
use super::wire;

/// The amounts that a field accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// More than 0.
    Positive,
    /// 0 or more.
    AtLeastZero,
    /// Any amount except 0.
    Signed,
}

/// Reads fields and collects their violations. Each method returns `None` for a field with a violation. So callers read
/// all fields first, and only then use `?`.
#[derive(Debug)]
pub struct Fields {
    violations: Collector<'static>,
    /// Who wrote the message.
    called: Called,
    /// The first thing that the caller may not name or do.
    denied: Option<Problem>,
}

/// Builds a struct of parsed parts; `None` if any of them failed. All parts are read first, so that each one reports
/// its violations. A part without an expression is used as it is. `Command::X { ... }` makes a command of it.
macro_rules! complete {
    (@part $field:ident) => { Some($field) };
    (@part $field:ident $read:expr) => { $read };
    (Command::$name:ident $parts:tt) => { complete!($name $parts).map(Command::$name) };
    ($name:ident { $($field:ident $(: $read:expr)?),* $(,)? }) => {
        match ($(complete!(@part $field $($read)?),)*) {
            ($(Some($field),)*) => Some($name { $($field),* }),
            _ => None,
        }
    };
}
pub(super) use complete;

/// Reads a whole message, whoever wrote it.
#[cfg(test)]
pub fn parse<M, T>(message: M, read: impl FnOnce(M, &mut Fields) -> Option<T>) -> Result<T, Violations> {
    let mut fields = Fields::of(Called::new(Arc::new(crate::access::Caller::anybody()), None, ""));
    match read(message, &mut fields) {
        Some(value) if fields.violations.violations.count == 0 => Ok(value),
        Some(_) | None => Err(fields.violations.violations),
    }
}

impl Fields {
    /// Those of a message of this caller.
    pub fn of(called: Called) -> Self {
        Self { violations: Collector::default(), called, denied: None }
    }

    /// Whether the caller named or did what it may not.
    pub fn is_denied(&self) -> bool {
        self.denied.is_some()
    }

    /// The value that was read, if nothing was refused.
    ///
    /// # Errors
    /// What the caller may not name or do; else all violations.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        let Self { violations: Collector { violations, .. }, called: _, denied } = self;
        match (denied, value) {
            (Some(denied), _) => Err(denied),
            (None, Some(value)) if violations.count == 0 => Ok(value),
            (None, Some(_) | None) => Err(violations.into()),
        }
    }

    /// Refuses the whole message for what the caller may not name or do. Nobody learns more by what comes after it.
    pub(super) fn deny<T>(&mut self, problem: Problem) -> Option<T> {
        self.denied.get_or_insert(problem);
        None
    }

    /// Who wrote the message.
    pub const fn called(&self) -> &Called {
        &self.called
    }

    /// What the journal keeps of the caller.
    pub fn actor(&self) -> Option<Arc<Actor>> {
        self.called.actor()
    }

    /// Refuses the message if the caller may not call this method, which is that of a command in a batch.
    pub fn may_call(&mut self, path: &str) -> Option<()> {
        match self.called.may_call(path) {
            Ok(()) => Some(()),
            Err(problem) => self.deny(problem),
        }
    }

    /// Reports a problem of `field`; an empty name means the value that [`Fields::each`] is reading.
    pub fn refuse<T>(&mut self, field: &str, problem: impl Into<String>) -> Option<T> {
        self.violations.refuse(field, problem);
        None
    }

    /// Reads the fields of the message in `field`.
    pub fn within<T>(&mut self, field: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.violations.enter(Step::Field(field));
        let value = read(self);
        self.violations.leave();
        value
    }

    /// Reads every item of the list `field`.
    pub fn each<I, T>(
        &mut self,
        field: &'static str,
        items: Vec<I>,
        mut read: impl FnMut(&mut Self, I) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = items.len();
        let all = self.within(field, |fields| {
            let mut all = Vec::with_capacity(count);
            for (index, item) in items.into_iter().enumerate() {
                fields.violations.enter(Step::Index(index));
                all.extend(read(fields, item));
                fields.violations.leave();
            }
            all
        });
        (all.len() == count).then_some(all)
    }

    /// Takes a parsed value, or reports why it failed.
    pub fn take<T, E: Display>(&mut self, field: &str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => self.refuse(field, error.to_string()),
        }
    }

    /// A field that may be empty; `Some(None)` where it is.
    pub fn optional<T, E: Display>(
        &mut self,
        field: &str,
        text: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        if text.is_empty() { Some(None) } else { self.take(field, read(text)).map(Some) }
    }

    /// The ledger; `Some(None)` where the field is empty.
    pub fn ledger(&mut self, ledger_id: &str) -> Option<Option<LedgerId>> {
        self.optional("ledger_id", ledger_id, LedgerId::parse)
    }

    /// The ledger; `main` where the field is empty.
    pub fn ledger_or_main(&mut self, ledger_id: &str) -> Option<LedgerId> {
        Some(self.ledger(ledger_id)?.unwrap_or_else(LedgerId::main))
    }

    /// The customer. For a caller that is bound to one, an empty field means that one.
    pub fn customer(&mut self, customer_id: &str) -> Option<CustomerId> {
        match self.called.own_customer() {
            Some(own) if customer_id.is_empty() => Some(own.clone()),
            Some(_) | None => self.customer_in("customer_id", customer_id),
        }
    }

    /// A customer that may be left out; `Some(None)` where it is. A caller that is bound to one always means that one.
    pub fn optional_customer(&mut self, customer_id: &str) -> Option<Option<CustomerId>> {
        if customer_id.is_empty() {
            return Some(self.called.own_customer().cloned());
        }
        self.customer(customer_id).map(Some)
    }

    /// The customer in a field or item of any name. This is where the bound of a caller to its customer holds: another
    /// one is answered as if it were not there, and nothing is looked up.
    pub fn customer_in(&mut self, field: &str, customer_id: &str) -> Option<CustomerId> {
        let customer = self.take(field, CustomerId::parse(customer_id))?;
        match self.called.own_customer() {
            Some(own) if *own != customer => self.deny(ReadError::CustomerNotFound.into()),
            Some(_) | None => Some(customer),
        }
    }

    /// Free text; may be empty.
    pub fn text(&mut self, field: &str, text: &str) -> Option<Text> {
        self.take(field, Text::parse(text))
    }

    /// Free text that must not be empty.
    pub fn required_text(&mut self, field: &str, text: &str) -> Option<Text> {
        if text.is_empty() { self.refuse(field, "must not be empty") } else { self.text(field, text) }
    }

    pub fn credits(&mut self, field: &str, text: &str, amount: Amount) -> Option<Credits> {
        let credits = self.take(field, Credits::parse(text))?;
        match amount {
            Amount::Positive if !credits.is_positive() => self.refuse(field, "must be more than 0"),
            Amount::AtLeastZero if credits < Credits::ZERO => self.refuse(field, "must be at least 0"),
            Amount::Signed if credits.is_zero() => self.refuse(field, "must not be 0"),
            Amount::Positive | Amount::AtLeastZero | Amount::Signed => Some(credits),
        }
    }

    /// An amount that may be left out.
    pub fn optional_credits(
        &mut self,
        field: &str,
        text: Option<String>,
        amount: Amount,
    ) -> Option<Option<Credits>> {
        match text {
            Some(text) => self.credits(field, &text, amount).map(Some),
            None => Some(None),
        }
    }

    /// A number from 0 to `max`.
    pub fn number(&mut self, field: &str, number: i64, max: u64) -> Option<u64> {
        match u64::try_from(number) {
            Ok(number) if number <= max => Some(number),
            Ok(_) => self.refuse(field, format!("must be at most {max}")),
            Err(_) => self.refuse(field, "must be at least 0"),
        }
    }

    /// As [`Fields::number`], for fields of 32 bits.
    pub fn count(&mut self, field: &str, number: i32, max: u32) -> Option<u32> {
        let number = self.number(field, number.into(), max.into())?;
        u32::try_from(number).ok()
    }

    pub fn position(&mut self, field: &str, position: i64) -> Option<Position> {
        self.number(field, position, i64::MAX.unsigned_abs()).map(Position)
    }

    /// The labels of an incident that can raise its price, sorted and each once.
    pub fn labels(&mut self, labels: Vec<String>) -> Option<Vec<LabelId>> {
        if labels.len() > Circumstances::LABELS_MAX {
            return self.refuse("labels", format!("must be at most {}", Circumstances::LABELS_MAX));
        }
        let mut labels =
            self.each("labels", labels, |fields, label| fields.take("", LabelId::parse(&label)))?;
        labels.sort_unstable();
        labels.dedup();
        Some(labels)
    }

    /// Types of events; 0 is none.
    pub fn event_types(&mut self, types: Vec<i32>) -> Option<Vec<EventType>> {
        self.each("types", types, |fields, code| {
            let known = u8::try_from(code).ok().and_then(EventType::from_code);
            known.or_else(|| fields.refuse("", format!("has no value {code}")))
        })
    }

    /// A value of an enumeration that this build knows.
    pub fn known<E: TryFrom<i32>>(&mut self, field: &str, value: i32) -> Option<E> {
        match E::try_from(value) {
            Ok(value) => Some(value),
            Err(_) => self.refuse(field, format!("has no value {value}")),
        }
    }

    /// A value of an enumeration with the core's codes on the wire; `Some(None)` for 0, the unspecified value.
    pub fn coded<T>(
        &mut self,
        field: &str,
        code: i32,
        from_code: impl Fn(u8) -> Option<T>,
    ) -> Option<Option<T>> {
        match u8::try_from(code).ok().and_then(from_code) {
            Some(value) => Some(Some(value)),
            None if code == 0 => Some(None),
            None => self.refuse(field, format!("has no value {code}")),
        }
    }

    /// An id that the server made, in its canonical form.
    pub fn made_id<T>(&mut self, field: &str, text: &str, make: impl FnOnce(Uuid) -> T) -> Option<T> {
        match Uuid::try_parse(text) {
            Ok(uuid) if text.len() == uuid::fmt::Hyphenated::LENGTH => Some(make(uuid)),
            Ok(_) | Err(_) if text.is_empty() => self.refuse(field, "must not be empty"),
            Ok(_) | Err(_) => self.refuse(field, "must be an id that the server gave, a UUID"),
        }
    }

    /// A time that may be left out, to the microsecond.
    pub fn time(&mut self, field: &str, time: Option<prost_types::Timestamp>) -> Option<Option<Timestamp>> {
        let Some(prost_types::Timestamp { seconds, nanos }) = time else { return Some(None) };
        // 0001-01-01T00:00:00Z, the earliest that the wire's timestamps can name.
        const SECONDS_MIN: i64 = -62_135_596_800;
        let seconds_max = Timestamp::MAX.micros().div_euclid(Timestamp::MICROS_PER_SECOND);
        if !(SECONDS_MIN..=seconds_max).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
            return self
                .refuse(field, "must be a time of the years 1 to 9999, with nanos from 0 to 999999999");
        }
        let micros =
            seconds.saturating_mul(Timestamp::MICROS_PER_SECOND).saturating_add(i64::from(nanos / 1_000));
        Some(Some(Timestamp::from_micros(micros)))
    }

    /// A day, which may be left out.
    pub fn day(&mut self, field: &str, date: Option<wire::Date>) -> Option<Option<Day>> {
        let Some(date) = date else { return Some(None) };
        match read_day(date) {
            Some(day) => Some(Some(day)),
            None => self.refuse(field, "must be a whole date of the calendar, of the years 1 to 9999"),
        }
    }

    /// An amount of money, which may be left out.
    pub fn money(&mut self, field: &'static str, money: Option<wire::Money>) -> Option<Option<Money>> {
        let Some(wire::Money { currency_code, amount }) = money else { return Some(None) };
        self.within(field, |fields| {
            let digits = amounts::digits(&currency_code);
            let (Some(currency), Some(digits)) = (Currency::parse(&currency_code), digits) else {
                return fields.refuse("currency_code", "must be a currency of ISO 4217, in upper case");
            };
            let minor_units = fields.take("amount", amounts::minor_units(&amount, digits))?;
            Some(Some(Money { currency, minor_units }))
        })
    }

    /// The metadata of a command: at most 32 pairs.
    pub fn metadata(&mut self, metadata: BTreeMap<String, String>) -> Option<BTreeMap<Text, Text>> {
        const PAIRS_MAX: usize = Said::METADATA_MAX;
        if metadata.len() > PAIRS_MAX {
            return self.refuse("metadata", format!("must have at most {PAIRS_MAX} pairs"));
        }
        let mut pairs = Some(BTreeMap::new());
        for (key, value) in metadata {
            let read = self.required_text("metadata.key", &key).zip(self.text("metadata.value", &value));
            pairs = pairs.zip(read).map(|(mut pairs, (key, value))| {
                pairs.insert(key, value);
                pairs
            });
        }
        pairs
    }

    /// The size and token of a page.
    pub fn page(&mut self, page_size: i32, page_token: String) -> Option<PageRequest> {
        const DEFAULT: usize = 50;
        const MAX: usize = 1_000;
        match usize::try_from(page_size) {
            Ok(0) => Some(PageRequest { limit: DEFAULT, token: page_token }),
            Ok(size) => Some(PageRequest { limit: size.min(MAX), token: page_token }),
            Err(_) => self.refuse("page_size", "must be at least 0"),
        }
    }
}

fn read_day(date: wire::Date) -> Option<Day> {
    let wire::Date { year, month, day } = date;
    let year = i16::try_from(year).ok().filter(|year| *year > 0)?;
    let date = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let since_1970 = date.since(jiff::civil::date(1970, 1, 1)).ok()?;
    Some(Day::from_days(since_1970.get_days()))
}

/// The names of `legal` that a mask has: at least one, and no others.
pub fn read_mask<const N: usize>(
    fields: &mut Fields,
    mask: Option<prost_types::FieldMask>,
    legal: [&str; N],
) -> Option<[bool; N]> {
    let prost_types::FieldMask { paths } = mask.unwrap_or_default();
    if paths.is_empty() || paths.iter().any(|path| !legal.contains(&path.as_str())) {
        return fields.refuse("update_mask", format!("must name one or more of {}", legal.join(", ")));
    }
    Some(legal.map(|field| paths.iter().any(|path| path == field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint<T: std::fmt::Debug>(read: impl FnOnce(&mut Fields) -> Option<T>) -> Option<String> {
        parse((), |(), fields| read(fields)).err().map(|violations| violations.shown[0].field.clone())
    }

    #[test]
    fn amounts_keep_their_bounds() {
        for bad in ["", "1e3", "NaN", " 1", "1.00001", "-1", "99999999999", "0"] {
            let read = |fields: &mut Fields| fields.credits("credits", bad, Amount::Positive);
            assert_eq!(complaint(read).as_deref(), Some("credits"), "{bad:?}");
        }
        assert_eq!(complaint(|fields| fields.credits("c", "-0.5", Amount::Signed)), None);
        assert_eq!(complaint(|fields| fields.credits("c", "0", Amount::AtLeastZero)), None);
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        let money = |code: &str, amount: &str| {
            let money = wire::Money { currency_code: code.into(), amount: amount.into() };
            parse((), |(), fields| fields.money("price", Some(money)))
        };
        assert_eq!(money("EUR", "19.9").unwrap().unwrap().minor_units, 1_990);
        assert_eq!(money("JPY", "1500").unwrap().unwrap().minor_units, 1_500);
        for (code, amount, field) in [
            ("JPY", "1.5", "price.amount"),
            ("EUR", "1.999", "price.amount"),
            ("EUR", "-1", "price.amount"),
            ("EUR", "", "price.amount"),
            ("eur", "1", "price.currency_code"),
            ("ZZZ", "1", "price.currency_code"),
            ("XAU", "1", "price.currency_code"),
        ] {
            assert_eq!(money(code, amount).unwrap_err().shown[0].field, field, "{code} {amount}");
        }
    }

    #[test]
    fn days_and_times_are_read_strictly() {
        let day = |(year, month, day)| {
            parse((), |(), fields| fields.day("day", Some(wire::Date { year, month, day })))
        };
        assert_eq!(day((1970, 1, 2)).unwrap(), Some(Day::from_days(1)));
        assert_eq!(day((2026, 11, 21)).unwrap(), Some(Day::from_days(20_778)));
        assert!(day((1, 1, 1)).is_ok() && day((9_999, 12, 31)).is_ok());
        assert_eq!(parse((), |(), fields| fields.day("day", None)).unwrap(), None);
        let not_days = [
            (2026, 2, 30),
            (2026, 13, 1),
            (0, 1, 1),
            (2026, 0, 1),
            (2026, 1, 0),
            (10_000, 1, 1),
            (-1, 1, 1),
            (2026, 256 + 1, 1),
            (i32::MAX, i32::MAX, i32::MAX),
        ];
        for bad in not_days {
            assert!(day(bad).is_err(), "{bad:?}");
        }
        let time = |seconds, nanos| {
            let time = prost_types::Timestamp { seconds, nanos };
            complaint(|fields: &mut Fields| fields.time("time", Some(time)))
        };
        assert_eq!(time(1_700_000_000, 1_999), None);
        assert!(time(i64::MAX, 0).is_some() && time(0, -1).is_some() && time(0, 1_000_000_000).is_some());
    }

    #[test]
    fn made_ids_are_canonical_uuids() {
        let read = |text: &str| parse((), |(), fields| fields.made_id("hold_id", text, |uuid| uuid)).is_ok();
        assert!(read("0198c5a4-7b1c-7000-8000-000000000001"));
        for bad in ["", "x", "0198c5a47b1c70008000000000000001", "{0198c5a4-7b1c-7000-8000-000000000001}"] {
            assert!(!read(bad), "{bad}");
        }
    }
}

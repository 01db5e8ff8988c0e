//! Reads tables of the settings file key by key, and gathers everything that is wrong with its line.

use std::fmt;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something that is wrong in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// The key with its tables, and what is wrong with it.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// The faults that were found so far.
pub(super) struct Faults<'a> {
    text: &'a str,
    found: Vec<Fault>,
    /// Lines that are no TOML. What the parser makes of them is a guess, so no other fault of theirs is told.
    unreadable: Vec<usize>,
}

impl<'a> Faults<'a> {
    /// Of a file with this text, in which the parser found errors.
    pub fn of(text: &'a str, errors: &[toml::de::Error]) -> Self {
        let mut faults = Self { text, found: Vec::new(), unreadable: Vec::new() };
        for error in errors {
            let start = error.span().map_or(0, |span| span.start);
            faults.add(start, error.message().replace('\n', ", "));
        }
        faults.unreadable = faults.found.iter().map(|fault| fault.line).collect();
        faults
    }

    /// The line, from 1, of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1)
    }

    /// Adds a fault at a byte offset.
    pub fn add(&mut self, offset: usize, problem: String) {
        let line = self.line(offset);
        if !self.unreadable.contains(&line) {
            self.found.push(Fault { line, problem });
        }
    }

    /// Adds that something is missing, unless it may stand in a line that is no TOML.
    fn add_missing(&mut self, offset: usize, problem: String) {
        if self.unreadable.is_empty() {
            self.add(offset, problem);
        }
    }

    /// All faults in the order of their lines.
    pub fn sorted(mut self) -> Vec<Fault> {
        self.found.sort_by_key(|fault| fault.line);
        self.found
    }
}

/// A key of the file with its value.
#[derive(Clone)]
pub(super) struct Entry<'t> {
    /// The key with its tables, such as `storefronts.vendor`.
    pub name: String,
    /// The key alone.
    pub key: &'t str,
    /// Where the key stands.
    pub start: usize,
    pub value: &'t DeValue<'t>,
}

impl<'t> Entry<'t> {
    /// Notes what is wrong with it. The problem continues the key's name.
    pub fn refuse<T>(&self, faults: &mut Faults<'_>, problem: impl fmt::Display) -> Option<T> {
        faults.add(self.start, format!("{} {problem}", self.name));
        None
    }

    fn is_other<T>(&self, faults: &mut Faults<'_>, wanted: &str) -> Option<T> {
        self.refuse(faults, format_args!("must be {wanted}, not {}", self.value.type_str()))
    }

    pub fn text(&self, faults: &mut Faults<'_>) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.is_other(faults, "a string"),
        }
    }

    /// A string that says something.
    pub fn some_text(&self, faults: &mut Faults<'_>) -> Option<&'t str> {
        let text = self.text(faults)?;
        if text.is_empty() { self.refuse(faults, "must not be empty") } else { Some(text) }
    }

    pub fn switch(&self, faults: &mut Faults<'_>) -> Option<bool> {
        match self.value {
            DeValue::Boolean(switch) => Some(*switch),
            _ => self.is_other(faults, "true or false"),
        }
    }

    /// Strings, each with the place where it stands. What is no string is noted and left out.
    pub fn texts(&self, faults: &mut Faults<'_>) -> Option<Vec<(Self, &'t str)>> {
        let DeValue::Array(values) = self.value else { return self.is_other(faults, "a list of strings") };
        let entries = values.iter().map(|value| self.item(value));
        Some(entries.filter_map(|entry| Some((entry.clone(), entry.text(faults)?))).collect())
    }

    /// The tables of an array of tables.
    pub fn tables(&self, faults: &mut Faults<'_>) -> Vec<Table<'t>> {
        let wanted = format!("an array of tables: [[{}]]", self.name);
        let DeValue::Array(values) = self.value else {
            self.is_other::<()>(faults, &wanted);
            return Vec::new();
        };
        let entries = values.iter().map(|value| self.item(value));
        entries
            .filter_map(|entry| match entry.value {
                DeValue::Table(table) => Some(Table::new(entry.name, entry.start, table)),
                _ => entry.is_other(faults, &wanted),
            })
            .collect()
    }

    /// The table that it is.
    pub fn table(&self, faults: &mut Faults<'_>, wanted: &str) -> Option<Table<'t>> {
        match self.value {
            DeValue::Table(table) => Some(Table::new(self.name.clone(), self.start, table)),
            _ => self.is_other(faults, wanted),
        }
    }

    fn item(&self, value: &'t Spanned<DeValue<'t>>) -> Self {
        Self { name: self.name.clone(), key: self.key, start: value.span().start, value: value.get_ref() }
    }
}

/// A table whose keys are taken one after the other. What is left in the end is not known.
pub(super) struct Table<'t> {
    name: String,
    start: usize,
    left: Vec<Entry<'t>>,
}

impl<'t> Table<'t> {
    /// The whole file.
    pub fn whole(table: &'t DeTable<'t>) -> Self {
        Self::new(String::new(), 0, table)
    }

    fn new(name: String, start: usize, table: &'t DeTable<'t>) -> Self {
        let dot = if name.is_empty() { "" } else { "." };
        let entry = |(key, value): (&'t Spanned<_>, &'t Spanned<DeValue<'t>>)| {
            let key_start = key.span().start;
            let key: &'t std::borrow::Cow<'t, str> = key.get_ref();
            Entry { name: format!("{name}{dot}{key}"), key, start: key_start, value: value.get_ref() }
        };
        let mut left: Vec<_> = table.iter().map(entry).collect();
        left.sort_by_key(|entry| entry.start);
        Self { name, start, left }
    }

    /// The entry of a key, where the table has it.
    pub fn take(&mut self, key: &str) -> Option<Entry<'t>> {
        let place = self.left.iter().position(|entry| entry.key == key)?;
        Some(self.left.remove(place))
    }

    /// The entry of a key that must be there.
    pub fn need(&mut self, faults: &mut Faults<'_>, key: &str) -> Option<Entry<'t>> {
        let entry = self.take(key);
        if entry.is_none() {
            self.lacks(faults, &format!("the key {key}"));
        }
        entry
    }

    /// Notes what the table must have.
    pub fn lacks(&self, faults: &mut Faults<'_>, missing: &str) {
        faults.add_missing(self.start, format!("{} must have {missing}", self.name));
    }

    /// Notes what is wrong with the table as a whole.
    pub fn refuse(&self, faults: &mut Faults<'_>, problem: &str) {
        faults.add(self.start, format!("{} {problem}", self.name));
    }

    /// What was not taken, in the order of the file.
    pub fn rest(self) -> Vec<Entry<'t>> {
        self.left
    }

    /// Refuses what was not taken.
    pub fn end(self, faults: &mut Faults<'_>) {
        for entry in self.left {
            entry.refuse::<()>(faults, "is not a setting");
        }
    }
}

/// The value of a key that may be left out. The outer `None` stands for a fault.
pub(super) fn optional<'t, T>(
    table: &mut Table<'t>,
    faults: &mut Faults<'_>,
    key: &str,
    read: impl Fn(&Entry<'t>, &mut Faults<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match table.take(key) {
        Some(entry) => read(&entry, faults).map(Some),
        None => Some(None),
    }
}

/// The path of a file, which is not looked at.
pub(super) fn file(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<PathBuf> {
    entry.text(faults).map(PathBuf::from)
}

/// A whole number within bounds.
pub(super) fn whole(entry: &Entry<'_>, faults: &mut Faults<'_>, min: u64, max: u64) -> Option<u64> {
    let (number, given) = match entry.value {
        DeValue::Integer(integer) => {
            (u64::from_str_radix(integer.as_str(), integer.radix()).ok(), integer.to_string())
        }
        other => (None, other.type_str().to_owned()),
    };
    number.filter(|number| (min..=max).contains(number)).or_else(|| {
        entry.refuse(faults, format_args!("must be a whole number from {min} to {max}, not {given}"))
    })
}

/// A text that a reader of its own takes, whose error continues the key.
pub(super) fn parsed<T, E: std::fmt::Display>(
    entry: &Entry<'_>,
    faults: &mut Faults<'_>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    match parse(entry.text(faults)?) {
        Ok(value) => Some(value),
        Err(error) => entry.refuse(faults, error),
    }
}

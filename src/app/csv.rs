//! Reads and writes comma-separated values (RFC 4180).
//!
//! # What it is
//! One reader for every file that people bring, as spreadsheets and shops export them. A header names the columns, in any
//! order. Fields stand between commas or semicolons, whichever the header has. They may be quoted, with line breaks in
//! the quotes. A byte order mark, CRLF, and lines without any value are fine.
//!
//! Columns that are not asked for are ignored: exports have many. [`Reader::ignored`] names them, because a name with a
//! typing error is one of them.
//!
//! # Invariants
//! A record that is given has a field for each column of the header, in UTF-8. Line numbers count line breaks in quotes.
//!
//! # Failure
//! [`CsvError`] names line and column. A quote that is never closed, one in the middle of a field, text after a closing
//! quote, a record of another width than the header, and a column that comes twice are errors.
//!
//! The crates `csv` and `csv-core` accept the first three of these: a file that was cut within quotes would pass. They also
//! put no bound on a record. So this one is written by hand.
//!
//! # Cost
//! One record is held at a time, of at most 64 KiB.

use std::fmt;
use std::io::{self, BufRead};

/// One line, without its end.
pub(super) fn row(fields: &[&str]) -> String {
    let quoted = |field: &&str| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            (*field).to_owned()
        }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// The most bytes of a record, which may go over several lines.
const RECORD_MAX: usize = 64 << 10;

/// Which columns a file has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// Their names in the header. A record gives its fields by their place in this list.
    pub names: &'static [&'static str],
    /// How many of them, from the first, the header must have.
    pub needed: usize,
}

/// Why a file, or a line of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CsvError {
    #[error("cannot be read after line {line}: {source}")]
    Unreadable { line: usize, source: io::Error },
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) struct Wrong {
    /// From 1.
    pub line: usize,
    /// From 1; fields, not characters. `None` for what concerns the whole line.
    pub column: Option<usize>,
    /// The column's name in the header.
    pub name: Option<String>,
    /// What is wrong with the field.
    pub problem: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, name, problem } = self;
        write!(f, "line {line}")?;
        if let Some(column) = column {
            write!(f, ", column {column}")?;
        }
        if let Some(name) = name {
            write!(f, " ({name})")?;
        }
        write!(f, ": {problem}")
    }
}

/// Reads records one by one.
pub(super) struct Reader<R> {
    input: R,
    /// The line that comes next, from 1.
    line: usize,
    /// The bytes of the record that is read.
    raw: Vec<u8>,
    separator: u8,
    columns: Columns,
    /// The header as the file has it.
    header: Vec<String>,
    /// Where the header has each of our columns.
    places: Vec<Option<usize>>,
}

/// A line of the file.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The line on which it begins, from 1.
    pub line: usize,
    fields: Vec<Field>,
    places: Vec<Option<usize>>,
    columns: Columns,
}

/// A field, and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    text: String,
    line: usize,
}

impl Record {
    /// The field of our column with this number; empty where the file has no such column.
    pub fn get(&self, column: usize) -> &str {
        self.field(column).map_or("", |(_, field)| &field.text)
    }

    /// An error about that field.
    pub fn wrong(&self, column: usize, problem: impl Into<String>) -> Wrong {
        let found = self.field(column);
        Wrong {
            line: found.map_or(self.line, |(_, field)| field.line),
            column: found.map(|(place, _)| place.saturating_add(1)),
            name: self.columns.names.get(column).map(|name| (*name).to_owned()),
            problem: problem.into(),
        }
    }

    fn field(&self, column: usize) -> Option<(usize, &Field)> {
        let place = self.places.get(column).copied().flatten()?;
        self.fields.get(place).map(|field| (place, field))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(input: R, columns: Columns) -> Result<Self, CsvError> {
        let (header, places) = (Vec::new(), Vec::new());
        let mut reader = Self { input, line: 1, raw: Vec::new(), separator: b',', columns, header, places };
        let line = reader.line_with_values(true)?;
        let Some(line) = line else {
            let problem = format!("the header is missing: {}", columns.names.join(","));
            return Err(Wrong { line: 1, column: None, name: None, problem }.into());
        };
        reader.read_header(line)?;
        Ok(reader)
    }

    /// The columns of the file that are ignored.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        let is_ours = |name: &&str| self.columns.names.contains(name);
        self.header.iter().map(String::as_str).filter(move |name| !name.is_empty() && !is_ours(name))
    }

    /// The next record; `None` at the end of the file. Lines without any value are skipped.
    pub fn read(&mut self) -> Result<Option<Record>, CsvError> {
        loop {
            let Some(line) = self.line_with_values(false)? else { return Ok(None) };
            let fields = split(&self.raw, self.separator, line).map_err(|fault| self.named(fault))?;
            if fields.iter().all(|field| field.text.trim().is_empty()) {
                continue;
            }
            let width = self.header.len();
            if let Some(last) = fields.get(width..).and_then(<[Field]>::first) {
                let problem = format!("there are only {width} columns");
                return Err(self.named((last.line, width.saturating_add(1), problem)).into());
            }
            if fields.len() < width {
                let problem = "is missing; is the file complete?".to_owned();
                return Err(self.named((line, fields.len().saturating_add(1), problem)).into());
            }
            return Ok(Some(Record { line, fields, places: self.places.clone(), columns: self.columns }));
        }
    }

    fn read_header(&mut self, line: usize) -> Result<(), CsvError> {
        // The separator is the one with which more of our columns are found.
        let read = |separator| split(&self.raw, separator, line);
        let known = |fields: &Result<Vec<Field>, Fault>| {
            let fields = fields.as_deref().unwrap_or_default();
            fields.iter().filter(|field| self.columns.names.contains(&field.text.trim())).count()
        };
        let (commas, semicolons) = (read(b','), read(b';'));
        let (separator, fields) =
            if known(&semicolons) > known(&commas) { (b';', semicolons) } else { (b',', commas) };
        let fields = fields.map_err(|fault| self.named(fault))?;
        self.separator = separator;
        self.header = fields.into_iter().map(|field| field.text.trim().to_owned()).collect();
        for (index, name) in self.columns.names.iter().enumerate() {
            let mut found = self.header.iter().enumerate().filter(|(_, known)| known == name);
            let place = found.next().map(|(place, _)| place);
            if let Some((second, _)) = found.next() {
                return Err(self.named((line, second.saturating_add(1), "comes twice".to_owned())).into());
            }
            if place.is_none() && index < self.columns.needed {
                let problem = format!("the header has no column {name}");
                return Err(Wrong { line, column: None, name: None, problem }.into());
            }
            self.places.push(place);
        }
        Ok(())
    }

    /// Reads the next line with anything in it into `raw`, and gives its number. A line break in quotes does not end it.
    fn line_with_values(&mut self, is_first: bool) -> Result<Option<usize>, CsvError> {
        loop {
            let line = self.line;
            let was_read = self.fill_raw()?;
            if is_first && line == 1 {
                // Spreadsheets put a byte order mark at the start of a file.
                if self.raw.starts_with(b"\xef\xbb\xbf") {
                    self.raw.drain(..3);
                } else if self.raw.starts_with(b"\xff\xfe") || self.raw.starts_with(b"\xfe\xff") {
                    let problem = "is UTF-16; the file must be UTF-8".to_owned();
                    return Err(Wrong { line, column: None, name: None, problem }.into());
                }
            }
            if !self.raw.is_empty() {
                return Ok(Some(line));
            }
            if !was_read {
                return Ok(None);
            }
        }
    }

    /// Reads up to the end of a record, without its line break; false at the end of the file.
    fn fill_raw(&mut self) -> Result<bool, CsvError> {
        self.raw.clear();
        let first = self.line;
        let mut is_quoted = false;
        let mut was_read = false;
        loop {
            let line = self.line;
            let bytes = self.input.fill_buf().map_err(|source| CsvError::Unreadable { line, source })?;
            was_read |= !bytes.is_empty();
            let mut end = None;
            for (place, byte) in bytes.iter().enumerate() {
                match byte {
                    b'"' => is_quoted = !is_quoted,
                    b'\n' => {
                        self.line = self.line.saturating_add(1);
                        if !is_quoted {
                            end = Some(place);
                            break;
                        }
                    }
                    _ => {}
                }
            }
            self.raw.extend_from_slice(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
            let taken = end.map_or(bytes.len(), |end| end.saturating_add(1));
            self.input.consume(taken);
            if self.raw.len() > RECORD_MAX {
                return Err(self.too_long(first).into());
            }
            if taken == 0 || end.is_some() {
                if self.raw.last() == Some(&b'\r') {
                    self.raw.pop();
                }
                return Ok(was_read);
            }
        }
    }

    /// What is wrong with a record that does not end: often a quote at a wrong place.
    fn too_long(&self, line: usize) -> Wrong {
        match split(&self.raw, self.separator, line) {
            Err(fault) => self.named(fault),
            Ok(fields) => {
                let problem = format!("the line has more than {RECORD_MAX} bytes");
                self.named((fields.last().map_or(line, |field| field.line), fields.len(), problem))
            }
        }
    }

    fn named(&self, (line, column, problem): Fault) -> Wrong {
        let name = self.header.get(column.saturating_sub(1)).filter(|name| !name.is_empty()).cloned();
        Wrong { line, column: Some(column), name, problem }
    }
}

/// A line, a column from 1, and what is wrong there.
type Fault = (usize, usize, String);

/// Splits a record that begins on `line` into fields.
fn split(record: &[u8], separator: u8, line: usize) -> Result<Vec<Field>, Fault> {
    let mut fields = Vec::new();
    let mut rest = record;
    let mut line = line;
    loop {
        let column = fields.len().saturating_add(1);
        let wrong = |problem: &str| (line, column, problem.to_owned());
        let (bytes, after) = if let Some(quoted) = rest.strip_prefix(b"\"") {
            unquoted(quoted).map_err(wrong)?
        } else {
            let end = rest.iter().position(|byte| *byte == separator).unwrap_or(rest.len());
            let (field, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            if field.contains(&b'"') {
                return Err(wrong("has a quote in the middle"));
            }
            if field.contains(&b'\r') {
                return Err(wrong("has a carriage return that ends no line"));
            }
            (field.to_vec(), after)
        };
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text"))?;
        let breaks = text.matches('\n').count();
        fields.push(Field { text, line });
        line = line.saturating_add(breaks);
        match after.split_first() {
            None => return Ok(fields),
            Some((next, after)) if *next == separator => rest = after,
            Some(_) => return Err((line, column, "goes on after its closing quote".to_owned())),
        }
    }
}

/// The field after an opening quote, and what follows its closing one.
fn unquoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut field = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'"').ok_or("has a quote that is never closed")?;
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        field.extend_from_slice(part);
        // Two quotes stand for one.
        match after.strip_prefix(b"\"\"") {
            Some(after) => {
                field.push(b'"');
                rest = after;
            }
            None => return Ok((field, after.get(1..).unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests;

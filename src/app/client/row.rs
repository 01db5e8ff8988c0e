//! How answers look: each message is a row of named values, printed as a table or as JSON.

use comfy_table::Table;
use serde_json::{Map, Value};

use crate::app::failure::Failure;
use crate::app::output::print;

/// A row of a message's fields under their own names, and of other values: `row!(hold: hold_id, state = ...)`. After
/// `hold?` the message is an `Option`, and its values are null if there is none.
macro_rules! row {
    ($of:ident: $($name:ident $(= $value:expr)?),* $(,)?) => {
        $crate::app::client::row::OutputRow::default()
            $(.with(stringify!($name), $crate::app::client::row::row!(@value $of, $name $(, $value)?)))*
    };
    ($of:ident?: $($name:ident),* $(,)?) => {
        $crate::app::client::row::OutputRow::default()
            $(.with(stringify!($name), $of.map(|of| serde_json::json!(&of.$name))))*
    };
    (@value $of:ident, $name:ident) => {
        serde_json::json!(&$of.$name)
    };
    (@value $of:ident, $name:ident, $value:expr) => {
        $value
    };
}
pub(super) use row;

/// Named values, in the order in which a table shows them.
#[derive(Clone, Debug, Default)]
pub(super) struct OutputRow {
    values: Vec<(&'static str, Value)>,
    /// Shown only in JSON.
    more: Vec<(&'static str, Value)>,
}

impl OutputRow {
    /// Adds a value. An empty text is a value too, so that all rows have the same columns.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((name, value.into()));
        self
    }

    /// Adds a value that a table leaves out.
    pub fn with_more(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.more.push((name, value.into()));
        self
    }

    /// Adds the values of another row.
    pub fn and(mut self, other: Self) -> Self {
        self.values.extend(other.values);
        self.more.extend(other.more);
        self
    }

    /// A value as a table shows it; `None` if there is nothing to show.
    pub fn shown(&self, name: &str) -> Option<String> {
        let found = self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| cell(value));
        found.filter(|value| !value.is_empty())
    }

    /// Prints one row: a line for each value.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return print(&format!("{:#}", self.json()));
        }
        let mut table = table();
        let filled = self.values.iter().filter(|(_, value)| !cell(value).is_empty());
        table.add_rows(filled.map(|(name, value)| [(*name).to_owned(), cell(value)]));
        print(&table.to_string())
    }

    pub fn json(&self) -> Value {
        let fields =
            self.values.iter().chain(&self.more).map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Object(fields.collect::<Map<_, _>>())
    }
}

/// Prints a list: a line for each row.
///
/// # Errors
/// [`Failure::Output`].
pub(super) fn print_all(rows: &[OutputRow], json: bool) -> Result<(), Failure> {
    if json {
        return print(&format!("{:#}", rows.iter().map(OutputRow::json).collect::<Value>()));
    }
    let Some(first) = rows.first() else { return print("nothing found") };
    let mut table = table();
    table.set_header(first.values.iter().map(|(name, _)| *name));
    table.add_rows(rows.iter().map(|row| row.values.iter().map(|(_, value)| cell(value))));
    print(&table.to_string())
}

/// An empty table in the style of all tables.
pub(super) fn table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

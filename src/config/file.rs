//! The TOML file: flat keys, each a setting, and the tables of e-mail and storefronts. Errors name their line.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::email::EmailSettings;
use super::error::ConfigError;
use super::settings::{Config, Kind, Setting};
use super::storefronts;

/// The byte offset of a fault in the file, and what is wrong.
type Wrong = (usize, String);

/// Reads the file's settings into `config`.
///
/// # Errors
/// [`ConfigError::Unreadable`], or [`ConfigError::File`] for the first key that is unknown or has a bad value.
pub(super) fn read(path: &Path, config: &mut Config) -> Result<(), ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: shown.clone(), source })?;
    read_text(&text, config).map_err(|(start, problem)| ConfigError::File {
        path: shown,
        line: line_of(&text, start),
        problem,
    })
}

fn read_text(text: &str, config: &mut Config) -> Result<(), Wrong> {
    let table = DeTable::parse(text).map_err(|error| described(&error, 0))?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    // The table is sorted by key. By place, the first mistake that is reported is the first in the file.
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let start = key.span().start;
        let wrong = |problem: String| (start, format!("{name} {problem}"));
        match name {
            "email" if !value.get_ref().is_table() => {
                return Err(wrong("must be a table: [email]".to_owned()));
            }
            "email" => {
                let email: EmailSettings = read_table(name, value, start)?;
                email.check().map_err(wrong)?;
                config.email = Some(email);
            }
            "storefronts" => {
                config.storefronts = read_table(name, value, start)?;
                storefronts::check(&config.storefronts).map_err(wrong)?;
            }
            _ => read_setting(name, value, config).map_err(wrong)?,
        }
    }
    Ok(())
}

fn read_table<T: DeserializeOwned>(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    start: usize,
) -> Result<T, Wrong> {
    T::deserialize(ValueDeserializer::from(value.clone())).map_err(|error| {
        let (start, problem) = described(&error, start);
        (start, format!("{name}{}: {problem}", key_at(value, start)))
    })
}

/// The keys that lead to the value at a byte, each with a point in front.
fn key_at(value: &Spanned<DeValue<'_>>, byte: usize) -> String {
    let is_at = |value: &Spanned<DeValue<'_>>| value.span().contains(&byte);
    match value.get_ref() {
        DeValue::Table(table) => {
            let found = table.iter().find(|(_, value)| is_at(value));
            found.map(|(key, value)| format!(".{}{}", key.get_ref(), key_at(value, byte))).unwrap_or_default()
        }
        DeValue::Array(values) => {
            values.iter().find(|value| is_at(value)).map(|value| key_at(value, byte)).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn read_setting(name: &str, value: &Spanned<DeValue<'_>>, config: &mut Config) -> Result<(), String> {
    let setting = Setting::named(name).ok_or("is not a setting")?;
    // The text that a flag would give, so that one reader serves all sources.
    let text = match (setting.kind, value.get_ref()) {
        (Kind::Text, DeValue::String(text)) => text.to_string(),
        (Kind::Switch, DeValue::Boolean(switch)) => switch.to_string(),
        (Kind::Whole(..), DeValue::Integer(integer)) => {
            i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| integer.to_string(), |number| number.to_string())
        }
        (Kind::Text, other) => return Err(format!("must be a string, not {}", other.type_str())),
        (Kind::Switch, other) => return Err(format!("must be true or false, not {}", other.type_str())),
        (Kind::Whole(..), other) => return Err(format!("must be a whole number, not {}", other.type_str())),
    };
    (setting.set)(config, &text)
}

fn described(error: &toml::de::Error, start: usize) -> Wrong {
    (error.span().map_or(start, |span| span.start), error.message().replace('\n', ", "))
}

/// The line, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1)
}

//! The TOML file: flat keys, each a setting, and the tables of e-mail and storefronts; whatever is wrong is named with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::ConfigError;
use super::{Config, SETTINGS, Shape};

/// Reads the file's settings into `config`.
///
/// # Errors
/// [`ConfigError::Unreadable`], or [`ConfigError::File`] for the first key that is unknown or has a bad value.
pub(super) fn read(path: &Path, config: &mut Config) -> Result<(), ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: shown.clone(), source })?;
    let wrong = |start: usize, problem: String| ConfigError::File {
        path: shown.clone(),
        line: line_of(&text, start),
        problem,
    };
    let table = DeTable::parse(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        wrong(start, error.message().replace('\n', ", "))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    // The table is sorted by key; the first mistake is the first in the file.
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let problem = |problem: String| wrong(key.span().start, format!("{name} {problem}"));
        if name == "storefronts" {
            config.storefronts = super::storefronts::read(value).map_err(problem)?;
            continue;
        }
        if name == "email" {
            let at = |(start, problem): (Option<usize>, String)| {
                wrong(start.unwrap_or(key.span().start), format!("{name} {problem}"))
            };
            config.email = Some(super::email::read(value).map_err(at)?);
            continue;
        }
        let text = text_of(name, value).map_err(problem)?;
        config.set(name, &text).map_err(problem)?;
    }
    Ok(())
}

/// The value as the text that a flag would give.
fn text_of(name: &str, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    let (_, shape) = SETTINGS.iter().find(|(setting, _)| *setting == name).ok_or("is not a setting")?;
    let value = value.get_ref();
    match (shape, value) {
        (Shape::Text, DeValue::String(text)) => Ok(text.to_string()),
        (Shape::Flag, DeValue::Boolean(flag)) => Ok(flag.to_string()),
        (Shape::Integer, DeValue::Integer(integer)) => {
            Ok(i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| integer.to_string(), |number| number.to_string()))
        }
        (Shape::Text, _) => Err(format!("must be a string, not {}", value.type_str())),
        (Shape::Flag, _) => Err(format!("must be true or false, not {}", value.type_str())),
        (Shape::Integer, _) => Err(format!("must be a whole number, not {}", value.type_str())),
    }
}

/// The line, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1)
}

//! The TOML file: flat keys, each a setting, and the tables of callers, their limits, e-mail and storefronts. All its faults are named at once,
//! each with its line.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::auth;
use super::email;
use super::error::ConfigError;
use super::limits;
use super::secret::Variables;
use super::settings::{ALTERNATIVES, Config, Kind, Setting};
use super::storefronts;
use super::tables::{Entry, Fault, Faults, Table};

/// Reads the file's settings into `config`, and gives the names of those that it has with their lines.
///
/// # Errors
/// [`ConfigError::Unreadable`], or [`ConfigError::File`] with everything that is wrong.
pub(super) fn read(
    path: &Path,
    variables: Variables<'_>,
    config: &mut Config,
) -> Result<Vec<(&'static str, usize)>, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: shown.clone(), source })?;
    read_text(&text, &shown, variables, config)
        .map_err(|faults| ConfigError::File { path: shown.clone(), faults })
}

fn read_text(
    text: &str,
    path: &str,
    variables: Variables<'_>,
    config: &mut Config,
) -> Result<Vec<(&'static str, usize)>, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults = Faults::of(text, &errors);
    let mut lines = Vec::new();
    let entries = Table::whole(table.get_ref()).rest();
    for [one, other] in ALTERNATIVES {
        let find = |key: &str| entries.iter().find(|entry| entry.key == key);
        if let Some((_, entry)) = find(one).zip(find(other)) {
            entry.refuse::<()>(&mut faults, format_args!("must not be given beside {one}"));
        }
    }
    for entry in entries {
        match entry.key {
            "auth" => config.auth = auth::read(&entry, path, &mut faults),
            "limits" => config.limits = limits::read(&entry, path, &mut faults),
            "email" => config.email = email::read(&entry, &mut faults),
            "storefronts" => config.storefronts = storefronts::read(&entry, variables, &mut faults),
            _ => match read_setting(&entry, config) {
                Ok(name) => lines.push((name, faults.line(entry.start))),
                Err(problem) => drop(entry.refuse::<()>(&mut faults, problem)),
            },
        }
    }
    let faults = faults.sorted();
    if faults.is_empty() { Ok(lines) } else { Err(faults) }
}

fn read_setting(entry: &Entry<'_>, config: &mut Config) -> Result<&'static str, String> {
    let setting = Setting::named(entry.key).ok_or("is not a setting")?;
    // The text that a flag would give, so that one reader serves all sources.
    let text = match (setting.kind, entry.value) {
        (Kind::Text, DeValue::String(text)) => text.to_string(),
        (Kind::Switch, DeValue::Boolean(switch)) => switch.to_string(),
        (Kind::Whole(..), DeValue::Integer(integer)) => {
            i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| integer.to_string(), |number| number.to_string())
        }
        (Kind::Text, other) => return Err(format!("must be a string, not {}", other.type_str())),
        (Kind::Texts, DeValue::Array(values)) => {
            let text = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
            let texts: Option<Vec<_>> = values.iter().map(|value| text(value.get_ref())).collect();
            texts.ok_or("must be a list of strings")?.join(",")
        }
        (Kind::Texts, other) => {
            return Err(format!("must be a list of strings, not {}", other.type_str()));
        }
        (Kind::Switch, other) => return Err(format!("must be true or false, not {}", other.type_str())),
        (Kind::Whole(..), other) => return Err(format!("must be a whole number, not {}", other.type_str())),
    };
    (setting.set)(config, &text)?;
    Ok(setting.name)
}

//! Secrets among the settings: where each may stand, and how it is read from there.
//!
//! A secret `password` is the key `password` with its text, `password_variable` with a variable's name, or
//! `password_file` with a path. Of a list, the keys are `secrets`, `secret_variables` and `secret_files`. A setting that
//! is a variable itself needs no `_variable`. No error and no Debug output shows a secret.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;

use super::tables::{Entry, Faults, Table};
use crate::hidden::Hidden;

/// Bytes of a secret's file. The limit keeps a path such as /dev/zero from filling the memory.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In the settings.
    Text(Hidden<String>),
    /// In this variable.
    Variable(String),
    /// In this file, without the line's end.
    File(PathBuf),
}

/// The variables in which secrets are looked for.
#[derive(Clone, Copy)]
pub(super) enum Variables<'a> {
    /// A server needs the secrets.
    Needed(&'a [(OsString, OsString)]),
    /// Other commands read the file for its other settings.
    NotNeeded,
}

/// The place that a text names.
type Named = fn(&str) -> Secret;

/// The keys under which a secret may stand, as they end, and the place that each names.
const PLACES: [(&str, Named); 3] = [
    ("", |text| Secret::of_text(text)),
    ("_variable", |name| Secret::Variable(name.to_owned())),
    ("_file", |path| Secret::File(path.into())),
];

impl Secret {
    pub fn of_text(text: &str) -> Self {
        Self::Text(Hidden::new(text.to_owned()))
    }

    /// What follows the secret's name in the key that named this place.
    pub const fn key_end(&self) -> &'static str {
        match self {
            Self::Text(_) => PLACES[0].0,
            Self::Variable(_) => PLACES[1].0,
            Self::File(_) => PLACES[2].0,
        }
    }

    /// Reads it from its place. The error continues the key that named the place.
    pub fn revealed(&self) -> Result<Hidden<String>, String> {
        self.read(|name| std::env::var_os(name))
    }

    fn read(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Hidden<String>, String> {
        match self {
            Self::Text(text) => {
                usable(text.reveal()).map_err(|problem| format!("has a secret that {problem}"))?;
                Ok(text.clone())
            }
            Self::Variable(name) => {
                let value = variable(name).ok_or_else(|| format!("names {name}, which is not set"))?;
                let text =
                    value.into_string().map_err(|_| format!("names {name}, which is not UTF-8 text"))?;
                usable(&text).map_err(|problem| format!("names {name}, a secret that {problem}"))?;
                Ok(Hidden::new(text))
            }
            Self::File(path) => {
                let shown = path.display();
                let text = file(path).map_err(|problem| format!("names {shown}, which {problem}"))?;
                usable(&text).map_err(|problem| format!("names {shown}, a secret that {problem}"))?;
                Ok(Hidden::new(text))
            }
        }
    }
}

fn file(path: &PathBuf) -> Result<String, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(format!("is longer than {FILE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn usable(secret: &str) -> Result<(), &'static str> {
    if secret.is_empty() {
        return Err("is empty");
    }
    if secret.chars().any(char::is_control) {
        return Err("has a line's end or another character that is not printable");
    }
    Ok(())
}

/// The one secret of a table that is called so, in whichever place. The outer `None` stands for a fault.
pub(super) fn one(table: &mut Table<'_>, faults: &mut Faults<'_>, name: &str) -> Option<Option<Secret>> {
    let mut given = Vec::new();
    let mut is_whole = true;
    for (end, place) in PLACES {
        let Some(entry) = table.take(&format!("{name}{end}")) else { continue };
        match entry.text(faults) {
            Some(text) => given.push(place(text)),
            None => is_whole = false,
        }
    }
    if given.len() > 1 {
        table.refuse(faults, &format!("must have one of {name}, {name}_variable and {name}_file"));
        return None;
    }
    is_whole.then(|| given.pop())
}

/// The secrets of a table that are each called so, read where they are needed: at least one.
pub(super) fn several(
    table: &mut Table<'_>,
    faults: &mut Faults<'_>,
    name: &str,
    variables: Variables<'_>,
) -> Option<Vec<Hidden<String>>> {
    let mut given: Vec<(Entry<'_>, Secret)> = Vec::new();
    let mut is_whole = true;
    for (end, place) in PLACES {
        let Some(entry) = table.take(&format!("{name}{end}s")) else { continue };
        match entry.texts(faults) {
            Some(texts) => given.extend(texts.into_iter().map(|(entry, text)| (entry, place(text)))),
            None => is_whole = false,
        }
    }
    if !is_whole {
        return None;
    }
    if given.is_empty() {
        table.lacks(faults, &format!("a secret in {name}s, {name}_variables or {name}_files"));
        return None;
    }
    let mut secrets = Vec::new();
    for (entry, secret) in given {
        let read = match variables {
            Variables::Needed(variables) => secret.read(|name| {
                variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }),
            // Those in the file itself are checked all the same.
            Variables::NotNeeded if secret.key_end().is_empty() => secret.revealed(),
            Variables::NotNeeded => continue,
        };
        match read {
            Ok(text) => secrets.push(text),
            Err(problem) => drop(entry.refuse::<()>(faults, problem)),
        }
    }
    Some(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_each_place_and_no_error_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Secret::File(path)
        };
        let variable = |name: &str| match name {
            "SET" => Some(OsString::from("s3cret")),
            "ODD" => Some(OsString::from("s3\tcret")),
            _ => None,
        };
        let good = [
            Secret::of_text("s3cret"),
            Secret::Variable("SET".into()),
            file("a", b"s3cret"),
            file("b", b"s3cret\r\n"),
            file("c", b"s3cret\n\n"),
        ];
        for secret in good {
            assert_eq!(secret.read(variable).unwrap().reveal(), "s3cret", "{secret:?}");
            assert!(!format!("{secret:?}").contains("s3cret"), "{secret:?}");
        }
        let long = vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1];
        for (secret, told) in [
            (Secret::of_text(""), "has a secret that is empty"),
            (Secret::of_text("s3cret\n"), "has a secret that has a line's end"),
            (Secret::Variable("GONE".into()), "names GONE, which is not set"),
            (Secret::Variable("ODD".into()), "names ODD, a secret that has a line's end"),
            (file("d", b"\n"), "a secret that is empty"),
            (file("e", b"s3cret\nmore"), "a secret that has a line's end"),
            (file("f", b"s3cret\xff"), "which is not UTF-8 text"),
            (file("g", &long), "which is longer than 65536 bytes"),
            (Secret::File("/no/such".into()), "names /no/such, which cannot be read: "),
            (Secret::File(folder.path().into()), "which cannot be read: "),
        ] {
            let problem = secret.read(variable).unwrap_err();
            assert!(problem.contains(told) && !problem.contains("cret\\"), "{problem}");
            assert!(!problem.contains("s3"), "{problem}");
        }
    }
}

//! Secrets of the file, which are never shown.

use std::path::PathBuf;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In the settings.
    Text(SecretText),
    /// In this variable.
    Variable(String),
    /// In this file, without the line's end.
    File(PathBuf),
}

/// A secret in the settings themselves. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText")
    }
}

impl SecretText {
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Secret {
    /// Reads it from its place. The error does not show the secret.
    pub fn revealed(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.0.clone()),
            Self::Variable(name) => {
                std::env::var(name).map_err(|_| format!("the variable {name} of its secret is not set"))
            }
            Self::File(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|error| format!("{} of its secret: {error}", path.display()))?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

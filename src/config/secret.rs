//! Texts of the file with rules of their own: secrets, which are never shown, and texts that must not be empty.

use std::ops::Deref;
use std::path::PathBuf;

use serde::Deserialize;

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In the settings.
    Text(SecretText),
    /// In this variable.
    Variable(String),
    /// In this file, without the line's end.
    File(PathBuf),
}

/// A secret in the settings themselves. It is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText")
    }
}

impl SecretText {
    pub fn revealed(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NonEmpty(String);

impl TryFrom<String> for NonEmpty {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() { Err("must not be empty") } else { Ok(Self(text)) }
    }
}

impl Deref for NonEmpty {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

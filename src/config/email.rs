//! The table `[email]` of the file: the mail server, the sender of messages, and the templates.

use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::secret::{NonEmpty, Secret, SecretText};

/// E-mail as the file describes it. Addresses, links and templates are checked where they are used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// The mail server's name or address.
    pub host: NonEmpty,
    port: Option<NonZeroU16>,
    /// How the connection to it is encrypted.
    #[serde(default)]
    pub tls: EmailTls,
    /// Certificates in PEM of the authorities to trust instead of those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// The user, where the server wants one.
    pub user: Option<NonEmpty>,
    password: Option<SecretText>,
    password_variable: Option<String>,
    password_file: Option<PathBuf>,
    /// The sender of messages.
    pub from: NonEmpty,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<NonEmpty>,
    /// Where customers buy credits, with placeholders for ids.
    pub top_up_link: NonEmpty,
    /// A directory of templates that take the place of the built-in ones.
    pub templates: Option<PathBuf>,
    /// How long one message may take to be handed over, in milliseconds: 100-600,000 (10 min).
    #[serde(default = "default_timeout_ms", deserialize_with = "timeout_ms")]
    pub timeout_ms: u64,
}

/// How the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailTls {
    /// By STARTTLS, which the server must offer.
    #[default]
    StartTls,
    /// From the first byte on.
    Implicit,
    /// Not at all: for a server on this machine only.
    None,
}

const fn default_timeout_ms() -> u64 {
    15_000
}

fn timeout_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let ms = u64::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom(format!("must be a whole number from 100 to 600000, not {ms}"));
    (100..=600_000).contains(&ms).then_some(ms).ok_or_else(wrong)
}

impl EmailSettings {
    /// The mail server's port: the usual one of its encryption unless the file names one.
    pub fn port(&self) -> u16 {
        self.port.map_or(
            match self.tls {
                EmailTls::StartTls => 587,
                EmailTls::Implicit => 465,
                EmailTls::None => 25,
            },
            NonZeroU16::get,
        )
    }

    /// There is a password if there is a user.
    pub fn password(&self) -> Option<Secret> {
        self.passwords().next()
    }

    fn passwords(&self) -> impl Iterator<Item = Secret> {
        let text = self.password.clone().map(Secret::Text);
        let variable = self.password_variable.clone().map(Secret::Variable);
        let file = self.password_file.clone().map(Secret::File);
        [text, variable, file].into_iter().flatten()
    }

    /// Checks keys that are wrong only together. The error continues the name of the table.
    pub(super) fn check(&self) -> Result<(), String> {
        let passwords = self.passwords().count();
        if passwords > 1 {
            return Err("must have one of password, password_variable and password_file".to_owned());
        }
        if self.user.is_some() != (passwords == 1) {
            return Err("must have user and a password, or neither".to_owned());
        }
        Ok(())
    }
}

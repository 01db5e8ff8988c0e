//! A provider of tokens, as the settings describe it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use super::algorithm::Algorithm;
use super::rules::Rules;
use crate::net::Target;

/// Whose tokens are taken, and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name in the settings and in logs.
    pub name: String,
    /// What `iss` is, to the letter.
    pub issuer: String,
    /// One of these is in `aud`.
    pub audiences: BTreeSet<String>,
    /// What its tokens may be signed with.
    pub algorithms: BTreeSet<Algorithm>,
    pub keys: KeySource,
    /// How long keys serve after the last fetch that succeeded.
    pub keys_max_age_hours: u32,
    /// How often keys are fetched, unless the provider asks for more often.
    pub keys_refresh_minutes: u32,
    pub rules: Rules,
}

/// Where the keys of a provider are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file, which is read again each second.
    File(PathBuf),
    /// At a URL.
    Url {
        target: Target,
        /// The authorities that vouch for it, in PEM, instead of those that browsers trust.
        authorities: Option<PathBuf>,
    },
}

impl KeySource {
    /// Takes a URL: https, or http on this machine.
    ///
    /// # Errors
    /// What is wrong with it, after its name.
    pub fn target(url: &str) -> Result<Target, &'static str> {
        let target = Target::parse(url)?;
        let is_loopback = match target.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => target.host == "localhost",
        };
        if target.tls || is_loopback { Ok(target) } else { Err("must be an https URL: http is for loopback") }
    }
}

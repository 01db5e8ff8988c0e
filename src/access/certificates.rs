//! Callers that show a certificate: which names of certificates the settings give a role.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::caller::{Bounds, Caller, Refused};
use crate::ledger::Text;
use crate::ledger::actor::Way;
use crate::ledger::ids::OpenText;

/// The callers by the names of their certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates(BTreeMap<String, Arc<Caller>>);

impl Certificates {
    /// Gives a name its bounds: `DNS:<host>` or `URI:<uri>`. Hosts are told apart without regard to case.
    ///
    /// # Errors
    /// What is wrong with the name, after it.
    pub fn add(&mut self, name: &str, bounds: Bounds) -> Result<(), &'static str> {
        let name = normal(name);
        let rest = name.strip_prefix("DNS:").or_else(|| name.strip_prefix("URI:"));
        let rest = rest.ok_or("must begin with DNS: or URI:")?;
        if rest.is_empty() || rest.contains(|c: char| c.is_whitespace()) {
            return Err("must be a name without spaces");
        }
        if name.starts_with("DNS:") && rest.contains('*') {
            return Err("must be one host: a certificate for many hosts names no caller");
        }
        let text = Text::parse(&name).map_err(|_| "must be at most 1024 bytes without control characters")?;
        let caller = Caller::known(OpenText(text), Way::Certificate, bounds, None);
        if self.0.insert(name, Arc::new(caller)).is_some() {
            return Err("is named twice: hosts are told apart without regard to case");
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who shows a certificate with these names, each `DNS:<host>` or `URI:<uri>`. `None` where the settings name none of
    /// them.
    ///
    /// # Errors
    /// [`Refused::Unauthenticated`] where two of the names give different callers.
    pub fn caller(&self, names: &[String]) -> Result<Option<Arc<Caller>>, Refused> {
        let mut found: Option<&Arc<Caller>> = None;
        for caller in names.iter().filter_map(|name| self.0.get(&normal(name))) {
            match found {
                Some(before) if before != caller => {
                    tracing::debug!("a certificate is refused: its names give different callers");
                    return Err(Refused::Unauthenticated);
                }
                _ => found = Some(caller),
            }
        }
        Ok(found.cloned())
    }
}

/// Names of hosts in lower case; URIs as they are.
fn normal(name: &str) -> String {
    match name.strip_prefix("DNS:") {
        Some(host) => format!("DNS:{}", host.to_ascii_lowercase()),
        None => name.to_owned(),
    }
}

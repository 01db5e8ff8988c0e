//! The tables `[auth.providers.NAME]` and `[auth.certificates."NAME"]` of the file: who may call, and as what. They are
//! checked here and nowhere else, so that each fault is named with its key and line.

mod grants;
mod providers;

use std::collections::BTreeMap;

pub(super) use grants::role_named;

use super::tables::{Entry, Faults};
use crate::access::certificates::Certificates;
use crate::access::jwt::Provider;

/// Who may call, as the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Their issuers differ.
    pub providers: Vec<Provider>,
    pub certificates: Certificates,
    /// The file and the line where the table begins.
    pub(super) place: String,
}

/// Reads the tables of the file at `path`. What has a fault is left out and the fault is noted.
pub(super) fn read(entry: &Entry<'_>, path: &str, faults: &mut Faults<'_>) -> Option<AuthSettings> {
    let place = format!("{path} line {}", faults.line(entry.start));
    let mut table = entry.table(faults, "a table: [auth.providers.NAME] or [auth.certificates.\"NAME\"]")?;
    let (providers, certificates) = (table.take("providers"), table.take("certificates"));
    if providers.is_none() && certificates.is_none() {
        table.lacks(faults, "providers or certificates");
    }
    table.end(faults);
    Some(AuthSettings {
        providers: providers.map_or_else(Vec::new, |entry| read_providers(&entry, faults)),
        certificates: certificates
            .map_or_else(Certificates::default, |entry| read_certificates(&entry, faults)),
        place,
    })
}

fn read_providers(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Vec<Provider> {
    let Some(table) = entry.table(faults, "a table: [auth.providers.NAME]") else { return Vec::new() };
    let mut providers = Vec::new();
    let mut issuers: BTreeMap<String, usize> = BTreeMap::new();
    for entry in table.rest() {
        providers.extend(providers::read(&entry, &mut issuers, faults));
    }
    providers
}

fn read_certificates(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Certificates {
    let mut certificates = Certificates::default();
    let Some(table) = entry.table(faults, "a table: [auth.certificates.\"NAME\"]") else {
        return certificates;
    };
    for entry in table.rest() {
        let Some(bounds) = grants::bounds(&entry, faults) else { continue };
        if let Err(problem) = certificates.add(entry.key, bounds) {
            entry.refuse::<()>(faults, problem);
        }
    }
    certificates
}

#[cfg(test)]
mod tests;

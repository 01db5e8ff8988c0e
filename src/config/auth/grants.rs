//! Roles, ledgers and customers as the file gives them to a subject or a certificate.

use toml::de::DeValue;

use super::super::tables::{Entry, Faults, optional, parsed};
use crate::access::jwt::Grant;
use crate::access::{Bounds, Ledgers};
use crate::ledger::actor::Role;
use crate::ledger::{CustomerId, LedgerId};

/// The role that an entry names.
pub(super) fn role(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Role> {
    role_named(entry.text(faults)?, entry, faults)
}

/// A role by its name.
pub(in crate::config) fn role_named(name: &str, entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Role> {
    let role = Role::ALL.iter().copied().find(|role| role.name() == name);
    role.or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        entry.refuse(faults, format_args!("must be a role, one of {}, not {name:?}", names.join(", ")))
    })
}

/// All ledgers by a star, or a list of them.
pub(super) fn ledgers(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Ledgers> {
    match entry.value {
        DeValue::String(text) if text == "*" => Some(Ledgers::All),
        DeValue::Array(items) if !items.is_empty() => {
            let texts = entry.texts(faults)?;
            let ledgers = texts.iter().filter_map(|(entry, _)| parsed(entry, faults, LedgerId::parse));
            Some(Ledgers::Only(ledgers.collect()))
        }
        _ => entry.refuse(faults, "must be \"*\" for all ledgers, or a list of some, such as [\"main\"]"),
    }
}

/// What a subject may do: a role alone, or a table with ledgers and a customer of its own.
pub(super) fn grant(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Grant> {
    let DeValue::Table(_) = entry.value else {
        return role(entry, faults).map(|role| Grant { role, ledgers: None, customer: None });
    };
    let mut table = entry.table(faults, "a role or a table")?;
    let role = table.need(faults, "role").and_then(|entry| role(&entry, faults));
    let ledgers = optional(&mut table, faults, "ledgers", ledgers);
    let customer =
        optional(&mut table, faults, "customer", |entry, faults| parsed(entry, faults, CustomerId::parse));
    table.end(faults);
    let (role, ledgers, customer) = (role?, ledgers?, customer?);
    if customer.is_some() && role != Role::Customer {
        return entry.refuse(faults, "has a customer, which only the role customer is bound to");
    }
    Some(Grant { role, ledgers, customer })
}

/// What a certificate may do, whole.
pub(super) fn bounds(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Bounds> {
    if !matches!(entry.value, DeValue::Table(_)) {
        return entry.refuse(faults, "must be a table: { role = \"helpdesk\", ledgers = [\"main\"] }");
    }
    let Grant { role, ledgers, customer } = grant(entry, faults)?;
    let Some(ledgers) = ledgers else { return entry.refuse(faults, "must have the key ledgers") };
    Bounds::new(role, ledgers, customer)
        .map_err(|problem| entry.refuse::<()>(faults, format_args!("cannot be: {problem}")))
        .ok()
}

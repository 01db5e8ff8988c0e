//! One table `[auth.providers.NAME]`: whose tokens are taken, where the keys are, and what the claims mean.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use super::super::tables::{Entry, Faults, Table, file, optional, parsed, whole};
use super::grants;
use crate::access::jwt::{Algorithm, ClaimPath, Grant, KeySource, LedgerRule, Provider, Rules};
use crate::ledger::actor::Role;

/// Where a role stands unless the file says so. Its values are names of roles.
const ROLE_CLAIM: &str = "creditledger_role";
/// What most providers sign with.
const ALGORITHM: Algorithm = Algorithm::Rs256;
const MAX_AGE_HOURS: u64 = 24;
const REFRESH_MINUTES: u64 = 60;

/// Reads a provider. Its issuer is none of those before, whose lines are given.
pub(super) fn read(
    entry: &Entry<'_>,
    issuers: &mut BTreeMap<String, usize>,
    faults: &mut Faults<'_>,
) -> Option<Provider> {
    let mut table = entry.table(faults, "a table: [auth.providers.NAME]")?;
    let issuer = table.need(faults, "issuer").and_then(|entry| {
        let issuer = entry.some_text(faults)?;
        let line = faults.line(entry.start);
        match issuers.insert(issuer.to_owned(), line) {
            Some(first) => entry.refuse(faults, format_args!("is {issuer:?}, as on line {first} already")),
            None => Some(issuer.to_owned()),
        }
    });
    let audiences = table.need(faults, "audience").and_then(|entry| audiences(&entry, faults));
    let algorithms = optional(&mut table, faults, "algorithms", algorithms);
    let keys = keys(&mut table, faults);
    let max_age =
        optional(&mut table, faults, "keys_max_age_hours", |entry, faults| whole(entry, faults, 1, 720));
    let refresh = refresh(&mut table, max_age.flatten().unwrap_or(MAX_AGE_HOURS), keys.as_ref(), faults);
    let rules = rules(&mut table, faults);
    table.end(faults);
    Some(Provider {
        name: entry.key.to_owned(),
        issuer: issuer?,
        audiences: audiences?,
        algorithms: algorithms?.unwrap_or_else(|| BTreeSet::from([ALGORITHM])),
        keys: keys?,
        keys_max_age_hours: u32::try_from(max_age?.unwrap_or(MAX_AGE_HOURS)).ok()?,
        keys_refresh_minutes: u32::try_from(refresh?).ok()?,
        rules: rules?,
    })
}

fn audiences(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<BTreeSet<String>> {
    let all = match entry.value {
        DeValue::Array(_) => entry.texts(faults)?.into_iter().map(|(_, text)| text.to_owned()).collect(),
        _ => BTreeSet::from([entry.text(faults)?.to_owned()]),
    };
    if all.is_empty() || all.contains("") { entry.refuse(faults, "must not be empty") } else { Some(all) }
}

fn algorithms(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<BTreeSet<Algorithm>> {
    let texts = entry.texts(faults)?;
    if texts.is_empty() {
        return entry.refuse(faults, "must not be empty");
    }
    let known = texts.iter().filter_map(|(entry, name)| {
        Algorithm::named(name).or_else(|| {
            let names = Algorithm::ALL.map(Algorithm::name).join(", ");
            entry.refuse(faults, format_args!("must be of {names}, and {name:?} is not"))
        })
    });
    Some(known.collect())
}

/// Where the keys are: at a URL or in a file.
fn keys(table: &mut Table<'_>, faults: &mut Faults<'_>) -> Option<KeySource> {
    let (url, path) = (table.take("jwks_url"), table.take("jwks_file"));
    let authorities = table.take("authorities_file");
    match (url, path) {
        (Some(url), None) => {
            let target = parsed(&url, faults, KeySource::target);
            let is_plain = target.as_ref().is_some_and(|target| !target.tls);
            let authorities = match authorities {
                Some(entry) if is_plain => entry.refuse(faults, "is for https, and jwks_url is http"),
                Some(entry) => file(&entry, faults).map(Some),
                None => Some(None),
            };
            Some(KeySource::Url { target: target?, authorities: authorities? })
        }
        (None, Some(path)) => {
            if let Some(entry) = authorities {
                entry.refuse::<()>(faults, "is for jwks_url, and the keys are in a file");
            }
            path.some_text(faults).map(|path| KeySource::File(path.into()))
        }
        (Some(_), Some(_)) => {
            table.refuse(faults, "must have one of jwks_url and jwks_file");
            None
        }
        (None, None) => {
            table.lacks(faults, "jwks_url or jwks_file");
            None
        }
    }
}

/// How often keys are fetched, in minutes.
fn refresh(
    table: &mut Table<'_>,
    max_age_hours: u64,
    keys: Option<&KeySource>,
    faults: &mut Faults<'_>,
) -> Option<u64> {
    let Some(entry) = table.take("keys_refresh_minutes") else { return Some(REFRESH_MINUTES) };
    if matches!(keys, Some(KeySource::File(_))) {
        return entry.refuse(faults, "is for jwks_url: a file is read again each second");
    }
    let minutes = whole(&entry, faults, 1, 1_440)?;
    if minutes > max_age_hours.saturating_mul(60) {
        return entry.refuse(faults, "must not be longer than keys_max_age_hours");
    }
    Some(minutes)
}

/// What the claims mean.
fn rules(table: &mut Table<'_>, faults: &mut Faults<'_>) -> Option<Rules> {
    let subject = optional(table, faults, "subject_claim", claim);
    let subjects = optional(table, faults, "subjects", subjects);
    let grants: Vec<&Grant> = subjects.iter().flatten().flat_map(BTreeMap::values).collect();
    let roles = role_rules(table, matches!(subjects, Some(None)), faults);
    let customer = customer_rule(table, roles.as_ref(), &grants, faults);
    let is_from_claims = roles.as_ref().is_none_or(|roles| roles.claim.is_some());
    let all_have_ledgers = grants.iter().all(|grant| grant.ledgers.is_some());
    let ledgers = ledger_rule(table, !is_from_claims && all_have_ledgers, faults);
    let roles = roles?;
    Some(Rules {
        subject: subject?.unwrap_or_else(|| ClaimPath::one("sub")),
        subjects: subjects?.unwrap_or_default(),
        role: roles.claim,
        roles: roles.given,
        ledgers: ledgers?,
        customer: customer?,
    })
}

/// A claim by names with points between them, or by a list of names.
fn claim(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<ClaimPath> {
    let path = match entry.value {
        DeValue::Array(_) => {
            ClaimPath::of(entry.texts(faults)?.into_iter().map(|(_, name)| name.to_owned()).collect())
        }
        _ => ClaimPath::parse(entry.text(faults)?),
    };
    path.map_err(|problem| entry.refuse::<()>(faults, problem)).ok()
}

fn subjects(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<BTreeMap<String, Grant>> {
    let table = entry.table(faults, "a table of subjects and their roles")?;
    let entries = table.rest();
    if entries.is_empty() {
        return entry.refuse(faults, "must not be empty");
    }
    let read = entries.iter().map(|entry| (entry.key.to_owned(), grants::grant(entry, faults)));
    // All are read, also after one that is wrong.
    let read: Vec<_> = read.collect();
    read.into_iter().map(|(subject, grant)| Some((subject, grant?))).collect()
}

/// How roles follow from claims.
struct RoleRules {
    /// Where values stand that give a role.
    claim: Option<ClaimPath>,
    given: BTreeMap<String, Role>,
    /// The values are the names of roles, because the file does not say otherwise.
    is_default: bool,
}

/// The claim that gives a role, and what its values give. Where only `subjects` is there, no claim does.
fn role_rules(table: &mut Table<'_>, has_no_subjects: bool, faults: &mut Faults<'_>) -> Option<RoleRules> {
    let own = ClaimPath::one(ROLE_CLAIM);
    let (claimed, roles) = (table.take("role_claim"), table.take("roles"));
    if claimed.is_none() && roles.is_none() && !has_no_subjects {
        return Some(RoleRules { claim: None, given: BTreeMap::new(), is_default: false });
    }
    let path = match claimed {
        Some(entry) => claim(&entry, faults),
        None => Some(own.clone()),
    };
    let Some(roles) = roles else {
        if path.as_ref().is_some_and(|path| *path != own) {
            // A role of the provider that is called operator may be about anything.
            table.lacks(faults, "the key roles, which says what the values of role_claim give");
            return None;
        }
        let names = Role::ALL.iter().map(|role| (role.name().to_owned(), *role));
        return Some(RoleRules { claim: Some(path?), given: names.collect(), is_default: true });
    };
    let given = roles_of(&roles, faults);
    Some(RoleRules { claim: Some(path?), given: given?, is_default: false })
}

fn roles_of(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<BTreeMap<String, Role>> {
    let table = entry.table(faults, "a table of the provider's values and their roles")?;
    let entries = table.rest();
    if entries.is_empty() {
        return entry.refuse(faults, "must not be empty");
    }
    let read: Vec<_> =
        entries.iter().map(|entry| (entry.key.to_owned(), grants::role(entry, faults))).collect();
    read.into_iter().map(|(value, role)| Some((value, role?))).collect()
}

/// Where the customer of the role `customer` comes from. The outer `None` stands for a fault.
fn customer_rule(
    table: &mut Table<'_>,
    roles: Option<&RoleRules>,
    grants: &[&Grant],
    faults: &mut Faults<'_>,
) -> Option<Option<ClaimPath>> {
    let entry = table.take("customer_claim");
    let path = match &entry {
        Some(entry) => claim(entry, faults).map(Some),
        None => Some(None),
    };
    // What has a fault may have given the role.
    let roles = roles?;
    let from_claims = roles.given.values().any(|role| *role == Role::Customer);
    let from_subjects = grants.iter().any(|grant| grant.role == Role::Customer && grant.customer.is_none());
    match entry {
        Some(entry) if !from_claims && !from_subjects => {
            entry.refuse(faults, "is for the role customer, which nothing here gives")
        }
        // By default every role may be claimed. Without this key a token with the role customer is refused.
        None if from_subjects || (from_claims && !roles.is_default) => {
            table.lacks(faults, "the key customer_claim, for the role customer");
            None
        }
        _ => path,
    }
}

fn ledger_rule(table: &mut Table<'_>, may_be_none: bool, faults: &mut Faults<'_>) -> Option<LedgerRule> {
    match (table.take("ledgers"), table.take("ledgers_claim")) {
        (Some(entry), None) => grants::ledgers(&entry, faults).map(LedgerRule::Fixed),
        (None, Some(entry)) => claim(&entry, faults).map(LedgerRule::Claim),
        (Some(_), Some(_)) => {
            table.refuse(faults, "must have one of ledgers and ledgers_claim");
            None
        }
        (None, None) if may_be_none => Some(LedgerRule::None),
        (None, None) => {
            table.lacks(faults, "ledgers or ledgers_claim");
            None
        }
    }
}

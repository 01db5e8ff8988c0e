//! What the claims of a token mean: its subject, role, ledgers and customer.
//!
//! A token gives exactly one role. Values that the settings do not name give none. Where several of its values are named,
//! they must all give the same role: a caller does not get more because a list has more, and nobody has to know an order.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Fault;
use crate::access::{Bounds, Caller, Ledgers};
use crate::ledger::actor::{Role, Way};
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, Text, Timestamp};

/// How the claims of a provider are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who the caller is, in the journal.
    pub subject: ClaimPath,
    /// What a subject may do, where the settings name it.
    pub subjects: BTreeMap<String, Grant>,
    /// Where the role stands, or a list of what may give one.
    pub role: Option<ClaimPath>,
    /// The roles that the values there give.
    pub roles: BTreeMap<String, Role>,
    /// The ledgers of whom `subjects` gives none.
    pub ledgers: LedgerRule,
    /// The customer of the role `customer`.
    pub customer: Option<ClaimPath>,
}

/// What the settings give to one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub role: Role,
    /// `None` for those of the provider.
    pub ledgers: Option<Ledgers>,
    /// `None` for the one that the claims name.
    pub customer: Option<CustomerId>,
}

/// Where the ledgers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerRule {
    /// From nowhere: each subject has its own.
    None,
    Fixed(Ledgers),
    /// An id or a list of ids. No claim gives all ledgers.
    Claim(ClaimPath),
}

/// The names that lead to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// Takes names with points between them. A name with `/` or `:` is one name, for claims that are URLs.
    ///
    /// # Errors
    /// What is wrong with it, after its name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains(['/', ':']) {
            return Self::of(vec![text.to_owned()]);
        }
        Self::of(text.split('.').map(str::to_owned).collect())
    }

    /// Takes the names one by one, for those that have points in them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(names: Vec<String>) -> Result<Self, &'static str> {
        let is_odd = |name: &String| name.is_empty() || name != name.trim();
        if names.is_empty() || names.iter().any(is_odd) {
            return Err("must be names of claims, without spaces around them");
        }
        Ok(Self(names))
    }

    /// One name.
    pub fn one(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }

    /// The text there, or the texts of the list there; none where nothing is there.
    fn texts<'c>(&self, claims: &'c Map<String, Value>) -> Result<Vec<&'c str>, Fault> {
        const WRONG: Fault = Fault("has a claim that is neither a text nor a list of texts");
        match self.find(claims) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or(WRONG)).collect(),
            Some(_) => Err(WRONG),
        }
    }
}

impl Rules {
    /// Whom the claims name. They were checked before.
    pub(super) fn caller(&self, claims: &Map<String, Value>, until: Timestamp) -> Result<Caller, Fault> {
        let subject = self.subject.find(claims).and_then(Value::as_str);
        let subject = subject.ok_or(Fault("has no subject that is a text"))?;
        let grant = self.subjects.get(subject);
        let text = Text::parse(subject).map_err(|_| Fault("has a subject that is no text of ours"))?;
        if text.is_empty() {
            return Err(Fault("has an empty subject"));
        }
        let role = self.role(grant, claims)?;
        let ledgers = match grant.and_then(|grant| grant.ledgers.clone()) {
            Some(ledgers) => ledgers,
            None => self.ledgers(claims)?,
        };
        let customer = match role {
            Role::Customer => Some(self.customer(grant, claims)?),
            _ => None,
        };
        let bounds = Bounds::new(role, ledgers, customer).map_err(Fault)?;
        Ok(Caller::known(OpenText(text), Way::Jwt, bounds, Some(until)))
    }

    fn role(&self, grant: Option<&Grant>, claims: &Map<String, Value>) -> Result<Role, Fault> {
        let values = self.role.as_ref().map_or_else(|| Ok(Vec::new()), |path| path.texts(claims))?;
        let claimed = values.iter().filter_map(|value| self.roles.get(*value).copied());
        let mut role = None;
        for next in grant.map(|grant| grant.role).into_iter().chain(claimed) {
            if *role.get_or_insert(next) != next {
                return Err(Fault("has several roles"));
            }
        }
        role.ok_or(Fault("has no role"))
    }

    fn ledgers(&self, claims: &Map<String, Value>) -> Result<Ledgers, Fault> {
        let path = match &self.ledgers {
            LedgerRule::None => return Err(Fault("has no ledgers")),
            LedgerRule::Fixed(ledgers) => return Ok(ledgers.clone()),
            LedgerRule::Claim(path) => path,
        };
        let texts = path.texts(claims)?;
        if texts.is_empty() {
            return Err(Fault("names no ledger"));
        }
        let ledgers: Result<_, _> = texts.into_iter().map(LedgerId::parse).collect();
        ledgers.map(Ledgers::Only).map_err(|_| Fault("names a ledger by what is no id"))
    }

    fn customer(&self, grant: Option<&Grant>, claims: &Map<String, Value>) -> Result<CustomerId, Fault> {
        if let Some(customer) = grant.and_then(|grant| grant.customer.clone()) {
            return Ok(customer);
        }
        let customer = self.customer.as_ref().and_then(|path| path.find(claims)).and_then(Value::as_str);
        let customer = customer.ok_or(Fault("names no customer"))?;
        CustomerId::parse(customer).map_err(|_| Fault("names a customer by what is no id"))
    }
}

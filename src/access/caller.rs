//! A caller that is known: its role, and what it is bound to.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::actor::{Actor, Peer, Role, Way};
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, Timestamp};

/// The ledgers that a caller may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ledgers {
    /// All, also those that are made later.
    All,
    /// These, and what belongs to no ledger.
    Only(BTreeSet<LedgerId>),
}

impl Ledgers {
    /// Whether it has this one.
    pub fn has(&self, ledger: &LedgerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(ledgers) => ledgers.contains(ledger),
        }
    }
}

/// A role, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    role: Role,
    ledgers: Ledgers,
    customer: Option<CustomerId>,
}

impl Bounds {
    /// A role bound to ledgers; the role `customer`, and no other, to a customer too.
    ///
    /// # Errors
    /// What is wrong, for whoever gives the role.
    pub fn new(role: Role, ledgers: Ledgers, customer: Option<CustomerId>) -> Result<Self, &'static str> {
        match (role, &customer) {
            (Role::Customer, None) => Err("the role customer needs the customer that it is bound to"),
            (Role::Customer, Some(_)) | (_, None) => Ok(Self { role, ledgers, customer }),
            (_, Some(_)) => Err("only the role customer is bound to a customer"),
        }
    }

    pub const fn role(&self) -> Role {
        self.role
    }

    pub const fn ledgers(&self) -> &Ledgers {
        &self.ledgers
    }

    /// The one customer whose things it may see; `None` for all.
    pub const fn customer(&self) -> Option<&CustomerId> {
        self.customer.as_ref()
    }
}

/// Who a caller is, and how it showed that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    subject: OpenText,
    way: Way,
    provider: OpenText,
}

/// A caller that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is, and how it showed that; `None` where callers are not authenticated.
    identity: Option<Identity>,
    pub bounds: Bounds,
    /// When what it showed expires.
    pub until: Option<Timestamp>,
}

impl Caller {
    /// A caller that has shown who it is.
    pub fn known(subject: OpenText, way: Way, bounds: Bounds, until: Option<Timestamp>) -> Self {
        Self { identity: Some(Identity { subject, way, provider: OpenText::default() }), bounds, until }
    }

    /// The same, by the word of this provider.
    #[must_use]
    pub fn vouched_by(mut self, provider: OpenText) -> Self {
        if let Some(identity) = &mut self.identity {
            identity.provider = provider;
        }
        self
    }

    /// Anybody, where callers are not authenticated: everything is allowed.
    pub fn anybody() -> Self {
        let bounds = Bounds { role: Role::Operator, ledgers: Ledgers::All, customer: None };
        Self { identity: None, bounds, until: None }
    }

    /// Whether it has shown who it is.
    pub const fn is_known(&self) -> bool {
        self.identity.is_some()
    }

    /// What tells it from others; `None` where callers are not authenticated.
    pub(super) fn name(&self) -> Option<impl Hash + use<'_>> {
        self.identity.as_ref().map(|identity| (identity, self.bounds.role, &self.bounds.customer))
    }

    /// What the journal keeps of it; `None` where callers are not authenticated.
    pub fn actor(&self, peer: Option<IpAddr>) -> Option<Arc<Actor>> {
        let Identity { subject, way, provider } = self.identity.clone()?;
        Some(Arc::new(Actor { subject, role: self.bounds.role, way, peer: peer.map(Peer), provider }))
    }
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// The setting.
    pub limit: &'static str,
    pub max: u64,
    /// When to try again.
    pub wait: Duration,
}

/// Why it cannot be told who calls. Callers learn no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was shown, or nothing that holds.
    #[error("the caller has not shown who it is")]
    Unauthenticated,
    /// It may hold, but cannot be checked now: nothing is known about the caller.
    #[error("it cannot be checked now who calls")]
    Unavailable,
    /// Too many calls of its address have not shown who they are.
    #[error("too many calls from this address have not shown who they are")]
    TooMany(Over),
}

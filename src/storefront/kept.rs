//! An order as it is kept: the facts, how far the ledger has followed, what people decided, and why it waits.

use crate::ledger::codec::{decode, encode, record};
use crate::ledger::payment::PaymentEvent;
use crate::ledger::{LedgerNo, OpenText, OrderId, Storefront, Text, Timestamp};
use crate::store::{KeptOrder, OrderState, StoreError};
use uuid::Uuid;

use super::json::cut;
use super::order::{Decided, Order, Terms};
use super::others::Other;

/// The body of a kept order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub order: Order,
    pub decided: Decided,
    /// The order id of its purchase, fixed before there is one.
    pub id: Option<OrderId>,
    /// The terms that it is recorded by, fixed before it is.
    pub terms: Option<Terms>,
    /// Why it waits for a person.
    pub waits: Option<Waits>,
    /// True once what earlier versions recorded of it was added to the facts.
    pub is_seeded: bool,
    /// A delivery that could not be read: its payload is kept beside it.
    pub unread: Option<Unread>,
    /// What people did about it, oldest first; the last [`Kept::DECISIONS_MAX`].
    pub decisions: Vec<Decision>,
    /// Attempts that failed since it last came further.
    pub tries: u32,
    /// Of an agreement: the rows of its orders that wait until it names a customer; at most [`Kept::DEPENDENTS_MAX`].
    pub dependents: Vec<Uuid>,
    /// Of a shelf: how new orders were that are not kept.
    pub others: Vec<Other>,
}
record!(Kept {
    1 => order, 2 => decided, 3 => id, 4 => terms, 5 => waits, 6 => is_seeded, 7 => unread, 8 => decisions, 9 => tries,
    10 => dependents, 11 => others,
});

/// What a purchase is recorded by, fixed before it is: so only one run records it, by the settings of that moment.
#[derive(Clone, Debug)]
pub struct Fixed {
    pub id: OrderId,
    pub terms: Terms,
}

/// What a person has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    pub event: PaymentEvent,
    pub why: Text,
    pub since: Timestamp,
}
record!(Waits { 1 => event, 2 => why, 3 => since });

/// A delivery that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The vendor's name of the event, where a header has it.
    pub topic: OpenText,
    pub at: Timestamp,
}
record!(Unread { 1 => topic, 2 => at });

/// What a person did about a waiting order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub at: Timestamp,
    pub by: Text,
    pub reason: Text,
    /// `assigned` or `dismissed`, and what of.
    pub what: OpenText,
    /// The request that asked for it, as text.
    pub request: OpenText,
}
record!(Decision { 1 => at, 2 => by, 3 => reason, 4 => what, 5 => request });

impl Kept {
    pub const DECISIONS_MAX: usize = 20;
    pub const DEPENDENTS_MAX: usize = 100;

    /// Reads the body of a row.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn of(row: &KeptOrder) -> Result<Self, StoreError> {
        decode(&row.body).map_err(|error| StoreError::Damaged(format!("the kept order {}: {error}", row.id)))
    }

    /// The order id that its purchase has or will have: the best of its names that can be one.
    pub fn order_id(&self) -> Option<OrderId> {
        self.id.clone().or_else(|| self.order.best_id().map(|(id, _)| id))
    }

    /// Fixes what a purchase of it will be recorded by, unless that is fixed.
    pub fn fix(&mut self, fixed: Option<&Fixed>) {
        if let (None, None, Some(fixed)) = (&self.id, &self.terms, fixed) {
            (self.id, self.terms) = (Some(fixed.id.clone()), Some(fixed.terms.clone()));
        }
    }

    /// Adds all that another row knows of the same order.
    pub fn merge(&mut self, other: Self) {
        let Self {
            order,
            decided,
            id,
            terms,
            waits,
            is_seeded,
            unread: _,
            decisions,
            tries: _,
            dependents,
            others: _,
        } = other;
        self.order.join(&order);
        if self.decided == Decided::default() {
            self.decided = decided;
        }
        self.id = self.id.take().or(id);
        self.terms = self.terms.take().or(terms);
        self.waits = self.waits.take().or(waits);
        // What is not sure to be seeded is seeded again: that changes nothing.
        self.is_seeded &= is_seeded;
        for decision in decisions {
            self.note(decision);
        }
        for dependent in dependents {
            // One that is not noted waits for a person, as it did before.
            self.depend(dependent);
        }
    }

    /// What people are shown of a row that cannot be read. It is never stored.
    pub fn damaged(error: &StoreError, since: Timestamp) -> Self {
        let why = cut(&format!("the kept order cannot be read, `creditledger verify` tells more: {error}"));
        Self { waits: Some(Waits { event: PaymentEvent::Unreadable, why, since }), ..Self::default() }
    }

    /// Notes a row that waits for this agreement; false where as many do as are noted.
    pub fn depend(&mut self, row: Uuid) -> bool {
        let is_noted = self.dependents.contains(&row);
        let has_room = self.dependents.len() < Self::DEPENDENTS_MAX;
        if !is_noted && has_room {
            self.dependents.push(row);
        }
        is_noted || has_room
    }

    pub fn note(&mut self, decision: Decision) {
        self.decisions.push(decision);
        self.decisions.sort_by_key(|decision| decision.at);
        let over = self.decisions.len().saturating_sub(Self::DECISIONS_MAX);
        self.decisions.drain(..over);
    }

    /// The row that keeps it.
    pub fn row(&self, place: &Place) -> KeptOrder {
        KeptOrder {
            id: place.id,
            ledger: place.ledger,
            storefront: place.storefront.clone(),
            names: self.order.names.keys().map(|name| name.0.clone()).collect(),
            state: place.state,
            due_at: place.due_at,
            revision: place.revision,
            body: encode(self),
        }
    }
}

/// Where an order is kept: its row without the body.
#[derive(Clone, Debug)]
pub struct Place {
    pub id: Uuid,
    pub ledger: LedgerNo,
    pub storefront: Storefront,
    pub state: OrderState,
    pub due_at: Timestamp,
    pub revision: u64,
}

impl Place {
    pub fn of(row: &KeptOrder) -> Self {
        Self {
            id: row.id,
            ledger: row.ledger,
            storefront: row.storefront.clone(),
            state: row.state,
            due_at: row.due_at,
            revision: row.revision,
        }
    }
}

/// A row, read.
#[derive(Clone, Debug)]
pub struct Row {
    pub place: Place,
    pub kept: Kept,
    /// Whom the agreement of the order names, where the order names nobody.
    pub customer_of_agreement: Option<Text>,
}

impl Row {
    /// Whom the order, or its agreement, names.
    pub fn customer(&self) -> Option<&Text> {
        let told = self.kept.order.customer.as_ref().map(|told| &told.fact);
        told.or(self.customer_of_agreement.as_ref())
    }

    /// Names of the order and of its agreement.
    pub fn names(order: &Order) -> impl Iterator<Item = &Text> {
        let agreement = order.agreement.as_ref().map(|told| &told.fact.0);
        order.names.keys().map(|name| &name.0).chain(agreement)
    }
}

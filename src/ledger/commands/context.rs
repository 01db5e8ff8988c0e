//! What a command is decided against, and the checks that several commands share.

use std::sync::Arc;

use super::draft::{Draft, Submission};
use super::keys::{HoldRef, PurchaseRef};
use crate::ledger::book::Book;
use crate::ledger::credits::Credits;
use crate::ledger::customer::Customer;
use crate::ledger::entry::Entry;
use crate::ledger::hold::{HoldState, SharedHold};
use crate::ledger::ids::IncidentId;
use crate::ledger::kind::Kind;
use crate::ledger::lot::{Lot, LotSource};
use crate::ledger::posting::Shortfall;
use crate::ledger::reject::Rejection;
use crate::ledger::time::Timestamp;

/// What a command is decided against: the loaded state of its customer, with everything due applied.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub book: &'a Book,
    pub entry: &'a Entry,
    pub customer: &'a Customer,
    pub kind: Kind,
    pub submission: Submission<'a>,
}

impl<'a> Context<'a> {
    /// A draft of the posting that the command leaves.
    pub fn draft(&self) -> Draft<'a> {
        Draft::by_request(self.book, self.customer, self.kind, self.submission)
    }

    /// The hold that a command names; by incident the open one, else the newest.
    pub fn hold(&self, hold: &HoldRef) -> Result<&'a SharedHold, Rejection> {
        let found = match hold {
            HoldRef::Id(id) => self.entry.hold(*id),
            HoldRef::Incident(incident) => self.open_hold(incident).or_else(|| {
                let newest =
                    |direct| self.entry.incident(incident).rev().find(move |hold| hold.direct == direct);
                newest(false).or_else(|| newest(true))
            }),
        };
        found.ok_or(Rejection::HoldNotFound)
    }

    /// The hold that a command names, which must be ACTIVE.
    pub fn active_hold(&self, hold: &HoldRef) -> Result<&'a SharedHold, Rejection> {
        let hold = self.hold(hold)?;
        if hold.state == HoldState::Active {
            Ok(hold)
        } else {
            Err(Rejection::HoldNotActive { state: hold.state })
        }
    }

    /// The open hold of an incident: there is at most one.
    pub fn open_hold(&self, incident: &IncidentId) -> Option<&'a SharedHold> {
        self.entry.incident(incident).find(|hold| hold.state.is_open())
    }

    /// Refuses a second open hold of an incident.
    pub fn must_have_no_open_hold(&self, incident: &IncidentId) -> Result<(), Rejection> {
        self.open_hold(incident).map_or(Ok(()), |hold| Err(Rejection::HoldExists { hold: hold.id }))
    }

    /// Refuses one open hold more than a customer may have.
    pub fn must_have_room_for_a_hold(&self) -> Result<(), Rejection> {
        let max = self.book.open_holds_max;
        if self.customer.state.open_holds < max { Ok(()) } else { Err(Rejection::TooManyOpenHolds { max }) }
    }

    /// The purchase that a command names.
    pub fn purchase(&self, purchase: &PurchaseRef) -> Result<&'a Arc<Lot>, Rejection> {
        let id = match purchase {
            PurchaseRef::Id(id) => Some(*id),
            PurchaseRef::Order(storefront, order) => {
                let scope = (self.customer.ledger, storefront.clone(), order.clone());
                self.book.order(&scope).and_then(|posting| Some(posting.detail.lot.as_ref()?.id))
            }
        };
        let lot = id.and_then(|id| self.entry.lot(id));
        lot.filter(|lot| lot.source == LotSource::Purchase).ok_or(Rejection::PurchaseNotFound)
    }

    /// The announcement of `missing` credits, unless it is zero or was the last one made for the incident.
    pub fn new_shortfall(&self, incident: &IncidentId, missing: Credits) -> Option<Shortfall> {
        let known = self.customer.state.shortfall(incident) == Some(missing);
        (missing.is_positive() && !known).then(|| Shortfall { incident: incident.clone(), missing })
    }

    /// Refuses new work from a closed customer.
    pub fn must_not_be_closed(&self) -> Result<(), Rejection> {
        if self.customer.state.closed { Err(Rejection::CustomerClosed) } else { Ok(()) }
    }

    /// Refuses a moment that is not in the future.
    pub fn must_be_later(&self, field: &'static str, at: Option<Timestamp>) -> Result<(), Rejection> {
        match at {
            Some(at) if at <= self.book.due_by() => Err(Rejection::field(field, "must be in the future")),
            Some(_) | None => Ok(()),
        }
    }
}

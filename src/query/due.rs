//! Reads of one customer apply what is due of it first, so that reads and commands agree.
//!
//! # What it is
//! Expiries are postings, and postings are made by the writer alone. A read that finds its customer due asks the writer
//! to apply it, as the background task does, and then reads what was stored. The call itself has no effect: whatever
//! comes next would have applied the same.
//!
//! # Invariants
//! - A read of one customer shows nothing that has expired, whether or not the background task ran.
//! - Reads as of a past time apply nothing. Lists over customers answer as of the background task's last round.
//!
//! # Failure
//! Where the writer refuses, the read fails as [`ReadError::NotCurrent`]: an answer from before would differ from what
//! the next command does.
//!
//! # Cost
//! One comparison where nothing is due; otherwise one commit and a second read of the customer.

use std::collections::HashMap;

use crate::clock;
use crate::ledger::{Customer, CustomerId, CustomerKey, LedgerNo, Rejection, Request, Timestamp};
use crate::writer::Submitted;

use super::error::ReadError;
use super::reader::Reader;

/// Whether a read found its customer due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WasDue {
    No,
    /// It was, and that is applied now. What was read before of the customer's holds and lots may be outdated.
    Applied,
}

impl Reader {
    /// The customer with everything due applied.
    pub(super) async fn current(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
    ) -> Result<(Customer, WasDue), ReadError> {
        let stored = self.stored_customer(ledger, id).await?;
        let Some(writer) = self.writer.as_ref().filter(|_| is_due(&stored)) else {
            return Ok((stored, WasDue::No));
        };
        applied(writer.submit(Request::apply_due(ledger, id.clone()), None).await)?;
        Ok((self.stored_customer(ledger, id).await?, WasDue::Applied))
    }

    /// The customer for a read of what counts before `until`. Nothing is applied where that has passed.
    pub(super) async fn customer_until(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
        until: Option<Timestamp>,
    ) -> Result<Customer, ReadError> {
        match until {
            Some(until) if until <= clock::now() => self.stored_customer(ledger, id).await,
            Some(_) | None => self.customer(ledger, id).await,
        }
    }

    /// Customers of a ledger by their keys, with everything due applied; missing ones are left out.
    pub(super) async fn current_by_key(
        &self,
        ledger: LedgerNo,
        keys: impl Iterator<Item = CustomerKey>,
    ) -> Result<HashMap<CustomerKey, Customer>, ReadError> {
        let mut found = self.customers_by_key(keys).await?;
        let due: Vec<CustomerId> =
            found.values().filter(|it| it.ledger == ledger && is_due(it)).map(|it| it.id.clone()).collect();
        let Some(writer) = self.writer.as_ref().filter(|_| !due.is_empty()) else { return Ok(found) };
        let keys: Vec<CustomerKey> = due.iter().map(|id| CustomerKey::of(ledger, id)).collect();
        let requests = due.into_iter().map(|id| Request::apply_due(ledger, id)).collect();
        for submitted in writer.submit_bulk(requests, None).await? {
            applied(submitted)?;
        }
        found.extend(self.customers_by_key(keys.into_iter()).await?);
        Ok(found)
    }
}

fn is_due(customer: &Customer) -> bool {
    customer.state.next_due.is_some_and(|due| due <= clock::due_until())
}

/// The bound on what falls due may be early, and another command may have come first: then nothing is due any more.
fn applied(submitted: Submitted) -> Result<(), ReadError> {
    match submitted? {
        Ok(_) | Err(Rejection::NothingDue) => Ok(()),
        Err(rejection) => Err(ReadError::damaged(format!("what is due was not applied: {rejection}"))),
    }
}

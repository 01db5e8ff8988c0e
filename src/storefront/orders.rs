//! Changes kept orders: several changes of one storefront in one transaction.
//!
//! # Invariants
//! - A storefront's rows change only under the lock of its room, whose counts are true at each commit.
//! - A name finds one order. Where a delivery names two, they are one order, and become one row.
//! - What followed from an older revision of a row is not put over a newer one ([`Changed::Stale`]).
//!
//! # Failure
//! Nothing is kept in memory between two transactions, and a change that is made again changes nothing or is stale. So the
//! process goes on after a commit that failed, also where nobody knows its fate ([`StoreError::UnknownFate`]): whoever
//! asked is told that it failed, and asks again. The writer of the ledger has to stop there, because it decides by what it
//! remembers.
//!
//! # Cost
//! A bounded number of statements for up to 64 changes. What waits of one storefront is bounded ([`WAITING_MAX`],
//! [`PAYLOAD_BYTES_MAX`]). An order that is settled takes its row, of at most [`ORDER_BYTES_MAX`] and what people decided,
//! and no room: so the rows grow with the orders and refunds that a shop signs, as the journal does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::change::{Change, Changed};
#[cfg(doc)]
use super::change::{ORDER_BYTES_MAX, PAYLOAD_BYTES_MAX, WAITING_MAX};
use super::kept::{Kept, Place, Row};
use super::work::Work;
use crate::clock;
use crate::ledger::{LedgerNo, Storefront, Timestamp};
use crate::store::{KeptOrder, OrderStore, OrderTx, StoreError, Unreadable};

/// Attempts at a transaction that clashes with another server's.
const ATTEMPTS: usize = 4;

/// Rows that cannot be read and are told of, each once.
const UNREADABLE_MAX: usize = 10_000;

/// The kept orders of all storefronts. Cheap to clone.
#[derive(Clone)]
pub struct Orders {
    store: Arc<dyn OrderStore>,
    /// Rows that cannot be read.
    unreadable: Arc<Mutex<BTreeSet<Uuid>>>,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orders").finish_non_exhaustive()
    }
}

impl Orders {
    #[must_use]
    pub fn new(store: Arc<dyn OrderStore>) -> Self {
        Self { store, unreadable: Arc::default() }
    }

    /// How many rows are known that cannot be read.
    fn unreadable(&self) -> usize {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Tells the log, once, of a row that cannot be read. `creditledger verify` finds it too.
    fn left_out(&self, id: Uuid, problem: &str) {
        let mut known = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= UNREADABLE_MAX || !known.insert(id) {
            return;
        }
        let unreadable = known.len();
        drop(known);
        tracing::error!(%id, problem, unreadable, "a kept order cannot be read; the others are followed");
    }

    /// Makes changes of one storefront, all in one transaction, and says what came of each.
    ///
    /// # Errors
    /// [`StoreError`]: none of them was made, unless the error says that nobody knows.
    pub async fn change(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        changes: &[Change],
    ) -> Result<Vec<Changed>, StoreError> {
        let mut attempt = 1;
        loop {
            let changed = self.try_change(ledger, storefront, changes).await;
            match changed {
                Err(StoreError::Clash(_)) if attempt < ATTEMPTS => attempt = attempt.saturating_add(1),
                changed => return changed,
            }
        }
    }

    async fn try_change(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        changes: &[Change],
    ) -> Result<Vec<Changed>, StoreError> {
        let mut tx = self.store.begin(clock::now()).await?;
        let room = tx.room(ledger, storefront).await?;
        let mut work = Work::load(&mut *tx, ledger, storefront, room, changes).await?;
        let changed = changes.iter().map(|change| work.change(change)).collect();
        work.store(&mut *tx).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// A row by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn row(&self, ledger: LedgerNo, id: Uuid) -> Result<Option<Row>, StoreError> {
        let mut tx = self.store.read(clock::now()).await?;
        let found = match tx.orders(ledger, &[id]).await?.pop() {
            Some(found) => Some(read(&mut *tx, found).await?),
            None => None,
        };
        tx.commit().await?;
        Ok(found)
    }

    /// The payload of a delivery that could not be read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn payload(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let mut tx = self.store.read(clock::now()).await?;
        let payload = tx.payload(id).await?;
        tx.commit().await?;
        Ok(payload)
    }

    /// Rows that are due by a time, soonest first. One that cannot be read is left out, and told of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(&self, until: Timestamp, limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut tx = self.store.read(clock::now()).await?;
        let mut due = Vec::new();
        // Rows that cannot be read stay due for ever. They take no place of those that can.
        let limit_of_all = limit.saturating_add(self.unreadable());
        for found in tx.due(until, limit_of_all).await? {
            if due.len() >= limit {
                break;
            }
            match found {
                Ok(found) => {
                    let id = found.id;
                    match read(&mut *tx, found).await {
                        Ok(row) => due.push(row),
                        Err(StoreError::Damaged(problem)) => self.left_out(id, &problem),
                        Err(error) => return Err(error),
                    }
                }
                Err(Unreadable { id, problem }) => self.left_out(id, &problem),
            }
        }
        tx.commit().await?;
        Ok(due)
    }

    /// Rows that wait for a person, after an id, by id; and the id after which the list goes on, `None` at its end. One whose
    /// body cannot be read is among them, with that as its reason. One whose place cannot be told is left out, and told of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting(
        &self,
        ledger: LedgerNo,
        storefront: Option<&Storefront>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<Row>, Option<Uuid>), StoreError> {
        let mut tx = self.store.read(clock::now()).await?;
        let mut found = tx.waiting(ledger, storefront, after, limit.saturating_add(1)).await?;
        tx.commit().await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|found| found.as_ref().map_or_else(|it| it.id, |found| found.id));
        let read = |found: KeptOrder| {
            let place = Place::of(&found);
            let kept = Kept::of(&found).unwrap_or_else(|error| {
                tracing::error!(id = %found.id, %error, "a kept order cannot be read");
                Kept::damaged(&error, found.due_at)
            });
            Row { place, kept, customer_of_agreement: None }
        };
        let mut rows = Vec::with_capacity(found.len());
        for found in found {
            match found {
                Ok(found) => rows.push(read(found)),
                Err(Unreadable { id, problem }) => self.left_out(id, &problem),
            }
        }
        Ok((rows, last.filter(|_| has_more)))
    }
}

/// Reads a row, with whom its agreement names.
async fn read(tx: &mut dyn OrderTx, found: KeptOrder) -> Result<Row, StoreError> {
    let kept = Kept::of(&found)?;
    let mut customer_of_agreement = None;
    if let (None, Some(agreement)) = (&kept.order.customer, &kept.order.agreement) {
        let names = [agreement.fact.0.clone()];
        for found in tx.named(found.ledger, &found.storefront, &names).await? {
            customer_of_agreement = Kept::of(&found)?.order.customer.map(|told| told.fact);
        }
    }
    Ok(Row { place: Place::of(&found), kept, customer_of_agreement })
}

//! Takes deliveries in: what matters of a signed delivery is stored before it is answered. What follows from it happens
//! afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::json::cut;
use super::order::{Mapping, Order, is_ours};
use super::orders::{Change, Changed};
use super::queue::Queue;
use super::shop::Shop;
use super::vendors::Unreadable;
use super::worker::Worker;
use crate::ledger::{LedgerNo, OpenText, OrderId};
use crate::query::{ReadError, Reader};
use crate::store::{OrderState, StoreError};

/// What a signed delivery says.
#[derive(Debug)]
pub struct Reading {
    /// The vendor's name of the event or topic, where a header has it.
    pub topic: String,
    pub orders: Result<Vec<Order>, Unreadable>,
    /// The delivery as it came, to be kept where it could not be read.
    pub payload: Bytes,
}

/// Why a delivery was not taken in. The shop has to send it again.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// As many orders of this storefront wait for people as there is room for.
    #[error("too many orders of the storefront wait: people have to look at them")]
    Full,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Takes deliveries in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    queue: Queue,
    reader: Arc<Reader>,
    worker: Worker,
    others: Arc<AtomicU64>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    #[must_use]
    pub fn new(queue: Queue, reader: Arc<Reader>, worker: Worker) -> Self {
        Self { queue, reader, worker, others: Arc::default() }
    }

    /// Stores what matters of a delivery.
    ///
    /// # Errors
    /// [`IntakeError`]; nothing of it is stored, unless the storage cannot tell.
    pub async fn take(&self, shop: &Shop, ledger: LedgerNo, reading: Reading) -> Result<(), IntakeError> {
        let mut changes = Vec::new();
        match reading.orders {
            Ok(orders) => {
                for order in orders {
                    if self.concerns(shop, ledger, &order).await? {
                        changes.push(Change::Tell(Box::new(order)));
                    }
                }
            }
            Err(Unreadable(why)) => {
                tracing::error!(
                    storefront = %shop.storefront, topic = %reading.topic, %why,
                    "a signed delivery cannot be read; it is kept for a person"
                );
                let topic = OpenText(cut(&reading.topic));
                changes.push(Change::Unread { topic, payload: reading.payload, why: cut(&why) });
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let changed = self.queue.change(ledger, &shop.storefront, changes).await?;
        let is_full = changed.iter().any(|changed| matches!(changed, Changed::Full));
        for changed in changed {
            // What could not be read waits for a person at once: there is nothing to follow.
            if let Changed::Row(row) = changed
                && row.place.state == OrderState::Due
            {
                self.worker.hand(*row);
            }
        }
        if is_full {
            tracing::error!(
                storefront = %shop.storefront,
                "too many orders of this storefront wait; its deliveries are refused until people have looked at them"
            );
            return Err(IntakeError::Full);
        }
        Ok(())
    }

    /// Whether an order concerns the ledger. One without a product of credits, or paid in a test, does only where it
    /// is known already.
    async fn concerns(&self, shop: &Shop, ledger: LedgerNo, order: &Order) -> Result<bool, IntakeError> {
        let is_tested = order.test && !shop.accept_test_payments;
        let mapping = Mapping { shop, terms: None };
        if !is_tested && is_ours(order, mapping) != Some(false) {
            return Ok(true);
        }
        let ids: Vec<OrderId> =
            order.names.keys().filter_map(|name| OrderId::parse(name.0.as_str()).ok()).collect();
        let ids: Vec<&OrderId> = ids.iter().collect();
        let is_known = !self.reader.purchases_of(ledger, &shop.storefront, &ids).await?.is_empty()
            || self.queue.orders().knows(ledger, &shop.storefront, order).await?;
        if !is_known {
            let count = self.others.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            tracing::debug!(storefront = %shop.storefront, count, "an order of other goods, or of a test: not kept");
        }
        Ok(is_known)
    }
}

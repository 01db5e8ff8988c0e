//! Takes deliveries in: what matters of a signed delivery is stored before it is answered. What follows from it happens
//! afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::change::{Change, Changed, ORDER_BYTES_MAX, Telling};
use super::json::cut;
use super::kept::Fixed;
use super::order::{Mapping, Order, is_ours};
use super::queue::Queue;
use super::shop::{Shop, Vendor};
use super::vendors::{Unreadable, generic, stripe};
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
    /// [`IntakeError`]; a part of it may be stored: sent again, the delivery adds what is missing, and changes nothing else.
    pub async fn take(&self, shop: &Shop, ledger: LedgerNo, reading: Reading) -> Result<(), IntakeError> {
        let Reading { topic, orders, payload } = reading;
        let unread = |why: &str| {
            tracing::error!(
                storefront = %shop.storefront, %topic, %why,
                "a signed delivery cannot be taken up; it is kept for a person"
            );
            Change::Unread { topic: OpenText(cut(&topic)), payload: payload.clone(), why: cut(why) }
        };
        let mut changes = Vec::new();
        match orders {
            Ok(orders) => {
                for order in orders {
                    changes.push(self.change_of(shop, ledger, order).await?);
                }
            }
            Err(Unreadable(why)) => changes.push(unread(&why)),
        }
        if changes.is_empty() {
            return Ok(());
        }
        let mut changed = self.queue.change(ledger, &shop.storefront, changes).await?;
        if changed.iter().any(|changed| matches!(changed, Changed::TooLarge)) {
            let why = format!("the order would have more than {ORDER_BYTES_MAX} bytes of facts");
            changed.push(self.queue.change_one(ledger, &shop.storefront, unread(&why)).await?);
        }
        let is_full = changed.iter().any(|changed| matches!(changed, Changed::Full));
        for changed in changed {
            match changed {
                // What could not be read waits for a person at once: there is nothing to follow.
                Changed::Row(row) if row.place.state == OrderState::Due => self.worker.hand(*row),
                Changed::NotKept => {
                    let count = self.others.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                    tracing::debug!(
                        storefront = %shop.storefront, count, "an order of other goods, or of a test: not kept"
                    );
                }
                Changed::Row(_)
                | Changed::Nothing
                | Changed::Full
                | Changed::TooLarge
                | Changed::Stale(_) => {}
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

    /// The change that an order makes. One without a product of credits, or paid in a test, concerns the ledger only
    /// where that knows it already.
    async fn change_of(&self, shop: &Shop, ledger: LedgerNo, order: Order) -> Result<Change, IntakeError> {
        let is_tested = order.test && !shop.accept_test_payments;
        let is_ours = is_ours(&order, Mapping { shop, terms: None });
        let leaves_out = shop.vendor.leaves_lines_out() && !is_tested;
        if !is_tested && is_ours != Some(false) {
            let fixed = is_ours.and_then(|_| fixed(shop, &order));
            return Ok(Change::Tell(Box::new(Telling { order, fixed, leaves_out })));
        }
        let ids: Vec<OrderId> =
            order.names.keys().filter_map(|name| OrderId::parse(name.0.as_str()).ok()).collect();
        let ids: Vec<&OrderId> = ids.iter().collect();
        let is_recorded = !self.reader.purchases_of(ledger, &shop.storefront, &ids).await?.is_empty();
        let telling = Box::new(Telling { order, fixed: None, leaves_out });
        Ok(if is_recorded { Change::Tell(telling) } else { Change::TellKnown(telling) })
    }
}

/// What the purchase of an order will be recorded by. `None` where a later delivery may name a better id.
fn fixed(shop: &Shop, order: &Order) -> Option<Fixed> {
    let (id, naming) = order.best_id()?;
    let best = match shop.vendor {
        Vendor::Stripe => stripe::INTENT,
        Vendor::Generic => generic::ORDER,
        // Their orders have one name.
        Vendor::Shopify | Vendor::WooCommerce => naming,
    };
    (naming >= best).then(|| Fixed { id, terms: Mapping { shop, terms: None }.terms_of(order) })
}

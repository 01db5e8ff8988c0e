//! Puts the parts together: one set for each server.

use std::sync::Arc;

use super::applier::Applier;
use super::change::Change;
use super::intake::Intake;
use super::kept::Row;
use super::orders::Orders;
use super::queue::Queue;
use super::seeds;
use super::shop::Shop;
use super::worker::Worker;
use crate::query::{PageRequest, ReadError, Reader};
use crate::store::OrderStore;
use crate::writer::Writer;
use tokio::sync::mpsc;

/// All that takes deliveries in and follows them.
#[derive(Debug)]
pub struct Storefronts {
    pub intake: Intake,
    pub applier: Applier,
    worker: Worker,
    handed: mpsc::Receiver<Row>,
}

impl Storefronts {
    /// Nothing happens before [`Storefronts::run`].
    #[must_use]
    pub fn new(
        store: Arc<dyn OrderStore>,
        writer: Writer,
        reader: Arc<Reader>,
        shops: Vec<Arc<Shop>>,
    ) -> Self {
        let queue = Queue::new(Orders::new(store), shops.iter().map(|shop| shop.storefront.clone()));
        let (worker, handed) = Worker::new();
        let intake = Intake::new(queue.clone(), Arc::clone(&reader), worker.clone());
        let applier = Applier::new(writer, reader, queue, shops);
        Self { intake, applier, worker, handed }
    }

    /// Follows orders, for ever. First, what earlier versions kept in the suspense accounts becomes kept orders.
    pub async fn run(self) {
        if let Err(error) = self.adopt().await {
            tracing::warn!(%error, "payments that an earlier version kept are adopted with the next start");
        }
        self.worker.run(self.applier, self.handed).await;
    }

    /// Makes an order of each payment that waits in a suspense account. The account lets go of it once the order is
    /// followed. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`ReadError`]; what was not adopted still waits in its account.
    pub async fn adopt(&self) -> Result<(), ReadError> {
        let Applier { reader, queue, .. } = &self.applier;
        for ledger in reader.all_ledgers().await? {
            let mut page = PageRequest { limit: 500, token: String::new() };
            loop {
                let listed = reader.kept_payments(ledger.no, &page).await?;
                let (payments, next) = listed.show(usize::MAX, |kept| Arc::clone(&kept.payment), |_| 0);
                for payment in payments {
                    let change = Change::Tell(Box::new(seeds::of_payment(&payment).into()));
                    queue.change_one(ledger.no, &payment.storefront, change).await?;
                }
                if next.is_empty() {
                    break;
                }
                page.token = next;
            }
        }
        Ok(())
    }
}

//! Gathers the changes of a storefront's orders: those that wait while one transaction commits share the next one.
//!
//! # Failure
//! Where a transaction of several changes fails, the changes of each caller are tried alone, so that one fails alone. That
//! is right also where the first fate is unknown: a change that is made again changes nothing, or is stale. Only a delivery
//! that cannot be read may be kept twice then. Nobody is told that a change is stored before it is.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::change::{Change, Changed};
use super::orders::Orders;
use crate::ledger::{LedgerNo, Storefront};
use crate::store::StoreError;

/// Callers whose changes share a transaction.
const TOGETHER_MAX: usize = 64;

/// Changes that wait for a transaction, and who asked for them.
struct Job {
    changes: Vec<Change>,
    reply: oneshot::Sender<Result<Vec<Changed>, StoreError>>,
}

/// A queue for each storefront. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    orders: Orders,
    storefronts: Arc<HashSet<Storefront>>,
    queues: Arc<Mutex<Queues>>,
}

/// A queue for each storefront and ledger that had changes.
type Queues = HashMap<(LedgerNo, Storefront), mpsc::Sender<Job>>;

impl Queue {
    /// Gathers the changes of these storefronts. Those of others, which are few, are made one by one.
    #[must_use]
    pub fn new(orders: Orders, storefronts: impl IntoIterator<Item = Storefront>) -> Self {
        let storefronts = Arc::new(storefronts.into_iter().collect());
        Self { orders, storefronts, queues: Arc::default() }
    }

    /// The queue of a storefront. Its task ends with the last clone of all queues.
    fn jobs(&self, ledger: LedgerNo, storefront: &Storefront) -> Option<mpsc::Sender<Job>> {
        if !self.storefronts.contains(storefront) {
            return None;
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = queues.entry((ledger, storefront.clone())).or_insert_with(|| {
            let (jobs, waiting) = mpsc::channel(TOGETHER_MAX);
            tokio::spawn(gather(self.orders.clone(), ledger, storefront.clone(), waiting));
            jobs
        });
        Some(jobs.clone())
    }

    /// The orders behind it.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Makes changes of one storefront, all or none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        changes: Vec<Change>,
    ) -> Result<Vec<Changed>, StoreError> {
        let Some(jobs) = self.jobs(ledger, storefront) else {
            return self.orders.change(ledger, storefront, &changes).await;
        };
        let (reply, answer) = oneshot::channel();
        let gone = || StoreError::Unusable("the server is shutting down".to_owned());
        jobs.send(Job { changes, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change_one(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let changed = self.change(ledger, storefront, vec![change]).await?;
        Ok(changed.into_iter().next().unwrap_or(Changed::Nothing))
    }
}

async fn gather(orders: Orders, ledger: LedgerNo, storefront: Storefront, mut waiting: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(TOGETHER_MAX);
    while waiting.recv_many(&mut jobs, TOGETHER_MAX).await > 0 {
        let changes: Vec<Change> = jobs.iter().flat_map(|job| job.changes.iter().cloned()).collect();
        match orders.change(ledger, &storefront, &changes).await {
            Ok(changed) => {
                let mut changed = changed.into_iter();
                for job in jobs.drain(..) {
                    let its = changed.by_ref().take(job.changes.len()).collect();
                    // A caller that went away does not ask any more.
                    let _ = job.reply.send(Ok(its));
                }
            }
            Err(_) if jobs.len() > 1 => {
                for job in jobs.drain(..) {
                    let _ = job.reply.send(orders.change(ledger, &storefront, &job.changes).await);
                }
            }
            Err(error) => {
                if let Some(job) = jobs.pop() {
                    let _ = job.reply.send(Err(error));
                }
            }
        }
    }
}

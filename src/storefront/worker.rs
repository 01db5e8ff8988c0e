//! Follows orders in the background: those that were just told of, and those that are still due after a restart or a
//! failure.
//!
//! # Invariants
//! - Of the orders that come by the queue or a look, each is followed by one task at a time. What a person asks for, an order
//!   that another one leads to, and other servers do not wait for that: two that follow one order record nothing twice.
//! - Nothing depends on the queue: what does not fit, or is lost with the process, is found by its row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::applier::Applier;
use super::change::Change;
use super::kept::Row;
use crate::clock;
use crate::ledger::Timestamp;

/// Orders that are followed at a time.
const FOLLOWED_MAX: usize = 32;
/// Orders that wait to be followed; more are found by their rows.
const WAITING_MAX: usize = 1_024;
/// How often rows that are still due are looked for; after a full page at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a row is left to the server that was told of it.
const LEFT_ALONE_SECONDS: i64 = 2;
/// Rows of one look.
const PAGE: usize = 256;
/// The longest pause after a failure.
const PAUSE_SECONDS_MAX: i64 = 60;

/// Hands orders to the tasks that follow them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker {
    rows: mpsc::Sender<Row>,
    known: Arc<Known>,
}

/// The orders that wait in the queue or are followed at the moment.
#[derive(Debug, Default)]
struct Known(Mutex<Orders>);

#[derive(Debug, Default)]
struct Orders {
    /// How many rows of each wait in the queue.
    queued: HashMap<Uuid, u32>,
    followed: HashMap<Uuid, Followed>,
}

/// An order that is followed: the revision that is, and a newer row that was handed over meanwhile.
#[derive(Debug)]
struct Followed {
    revision: u64,
    next: Option<Row>,
}

impl Worker {
    /// A worker, and what is handed over to it: [`Worker::run`] follows that.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Row>) {
        let (rows, waiting) = mpsc::channel(WAITING_MAX);
        (Self { rows, known: Arc::default() }, waiting)
    }

    /// Has an order followed soon. Where too many wait it is found by its row later.
    pub fn hand(&self, row: Row) {
        let id = row.place.id;
        self.known.queue(id);
        if self.rows.try_send(row).is_err() {
            self.known.unqueue(id);
            tracing::debug!("many orders wait to be followed; this one is found by its row");
        }
    }

    /// Follows what is handed over and what is due, for ever.
    pub async fn run(self, applier: Applier, mut waiting: mpsc::Receiver<Row>) {
        let places = Arc::new(Semaphore::new(FOLLOWED_MAX));
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let rows = tokio::select! {
                row = waiting.recv() => match row {
                    Some(row) => {
                        self.known.unqueue(row.place.id);
                        vec![row]
                    }
                    None => return,
                },
                _ = looks.tick() => {
                    let due = self.due(&applier).await;
                    let is_full = due.len() >= PAGE;
                    let rows = self.known.without_queued(due);
                    if is_full && !rows.is_empty() {
                        looks.reset_immediately();
                    }
                    rows
                }
            };
            for row in rows {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let Some(row) = self.known.begin(row) else { continue };
                let (applier, known) = (applier.clone(), Arc::clone(&self.known));
                tokio::spawn(async move {
                    let id = row.place.id;
                    let mut next = Some(row);
                    while let Some(row) = next {
                        follow(&applier, row).await;
                        next = known.end(id);
                    }
                    drop(place);
                });
            }
        }
    }

    async fn due(&self, applier: &Applier) -> Vec<Row> {
        let until = clock::now().plus_seconds(-LEFT_ALONE_SECONDS);
        match applier.queue.orders().due(until, PAGE).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "orders that are due could not be read");
                Vec::new()
            }
        }
    }
}

impl Known {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, id: Uuid) {
        let mut orders = self.orders();
        let queued = orders.queued.entry(id).or_default();
        *queued = queued.saturating_add(1);
    }

    fn unqueue(&self, id: Uuid) {
        if let Entry::Occupied(mut queued) = self.orders().queued.entry(id) {
            if *queued.get() > 1 {
                *queued.get_mut() = queued.get().saturating_sub(1);
            } else {
                queued.remove();
            }
        }
    }

    /// Rows that were found, less those that come by the queue anyway.
    fn without_queued(&self, mut rows: Vec<Row>) -> Vec<Row> {
        let orders = self.orders();
        rows.retain(|row| !orders.queued.contains_key(&row.place.id));
        rows
    }

    /// The row, where it is to be followed now; where its order is being followed, a newer one waits for that.
    fn begin(&self, row: Row) -> Option<Row> {
        let revision = row.place.revision;
        match self.orders().followed.entry(row.place.id) {
            Entry::Vacant(free) => {
                free.insert(Followed { revision, next: None });
                Some(row)
            }
            Entry::Occupied(mut taken) => {
                if revision > taken.get().revision {
                    *taken.get_mut() = Followed { revision, next: Some(row) };
                }
                None
            }
        }
    }

    /// Ends following an order, unless a newer row of it was handed over meanwhile.
    fn end(&self, id: Uuid) -> Option<Row> {
        let mut orders = self.orders();
        let next = orders.followed.get_mut(&id).and_then(|followed| followed.next.take());
        if next.is_none() {
            orders.followed.remove(&id);
        }
        next
    }
}

/// Follows an order; where that fails it is due again later.
async fn follow(applier: &Applier, row: Row) {
    let (mut place, mut kept) = (row.place.clone(), row.kept.clone());
    let Err(error) = applier.follow(row).await else { return };
    kept.tries = kept.tries.saturating_add(1);
    let pause = 1_i64.checked_shl(kept.tries.min(16)).unwrap_or(PAUSE_SECONDS_MAX).min(PAUSE_SECONDS_MAX);
    tracing::warn!(
        storefront = %place.storefront, id = %place.id, tries = kept.tries, %error,
        "an order could not be followed; it is tried again"
    );
    place.due_at = later(pause);
    let (ledger, storefront) = (place.ledger, place.storefront.clone());
    let again = Change::Put { place, kept: Box::new(kept) };
    match applier.queue.change_one(ledger, &storefront, again).await {
        Ok(_) => {}
        Err(error) => tracing::warn!(%storefront, %error, "when an order is tried again was not stored"),
    }
}

fn later(seconds: i64) -> Timestamp {
    clock::now().plus_seconds(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{LedgerNo, Storefront};
    use crate::store::OrderState;
    use crate::storefront::kept::{Kept, Place};

    fn row(id: u128, revision: u64) -> Row {
        let place = Place {
            id: Uuid::from_u128(id),
            ledger: LedgerNo::MAIN,
            storefront: Storefront::parse("shop").unwrap(),
            state: OrderState::Due,
            due_at: Timestamp::default(),
            revision,
        };
        Row { place, kept: Kept::default(), customer_of_agreement: None }
    }

    #[test]
    fn an_order_is_followed_again_only_where_a_newer_row_came_meanwhile() {
        let known = Known::default();
        let revision = |row: Option<Row>| row.map(|row| row.place.revision);
        assert_eq!(revision(known.begin(row(1, 1))), Some(1));
        assert_eq!(revision(known.begin(row(2, 5))), Some(5));
        // A look finds what is being followed.
        assert_eq!(revision(known.begin(row(1, 1))), None);
        assert_eq!(revision(known.end(Uuid::from_u128(1))), None);
        assert_eq!(revision(known.begin(row(1, 1))), Some(1));
        // The newest of what is told meanwhile is followed next.
        for newer in [2, 4, 3] {
            assert_eq!(revision(known.begin(row(1, newer))), None);
        }
        assert_eq!(revision(known.end(Uuid::from_u128(1))), Some(4));
        assert_eq!(revision(known.end(Uuid::from_u128(1))), None);
        assert_eq!(revision(known.end(Uuid::from_u128(2))), None);
        assert!(known.orders().followed.is_empty());
    }

    #[test]
    fn a_look_leaves_rows_to_the_queue() {
        let (worker, mut waiting) = Worker::new();
        for revision in 1..=2 {
            worker.hand(row(1, revision));
        }
        let found = || -> Vec<u128> {
            let rows = worker.known.without_queued(vec![row(1, 2), row(2, 1)]);
            rows.into_iter().map(|row| row.place.id.as_u128()).collect()
        };
        assert_eq!(found(), [2]);
        for left in [&[2][..], &[1, 2]] {
            let row = waiting.try_recv().unwrap();
            worker.known.unqueue(row.place.id);
            assert_eq!(found(), left);
        }
        // What does not fit is found by its row.
        for id in 0..=WAITING_MAX as u128 {
            worker.hand(row(100 + id, 1));
        }
        assert_eq!(worker.known.orders().queued.len(), WAITING_MAX);
    }
}

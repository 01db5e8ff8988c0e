//! A lane: a queue, and a task on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ask::{Bulk, Done, Single};
use super::error::SubmitError;
use super::held_back::HeldBack;
use super::limits::Limits;
use super::queue::Queue;
use super::run::Task;
use super::shared::{Ends, Oldest, Shared};
use crate::ledger::card::Cards;
use crate::metrics::Metrics;
use crate::store::WriteStore;

/// Sends commands to one lane.
#[derive(Debug)]
pub(super) struct Lane {
    singles: mpsc::UnboundedSender<Single>,
    bulks: mpsc::UnboundedSender<Bulk>,
    oldest: Arc<Oldest>,
}

impl Lane {
    pub fn send(&self, shared: &Shared, single: Single) -> Result<(), SubmitError> {
        shared.enqueue(1)?;
        self.oldest.queued(single.since);
        self.singles.send(single).map_err(|_| SubmitError::ShuttingDown)
    }

    /// How long the oldest command of its queue has waited.
    pub fn age(&self) -> Duration {
        self.oldest.age()
    }

    /// Queues commands that are already counted. If the lane has ended, they are answered at once.
    pub fn send_bulk(&self, bulk: Bulk) {
        self.oldest.queued(bulk.since);
        if let Err(mpsc::error::SendError(mut bulk)) = self.bulks.send(bulk) {
            let count = bulk.requests.len();
            bulk.done.extend((0..count).map(|_| Done::Now(Err(SubmitError::ShuttingDown))));
            bulk.answer();
        }
    }
}

pub(super) fn start(
    store: Box<dyn WriteStore>,
    cards: Arc<Cards>,
    limits: Limits,
    metrics: Metrics,
    shared: &Arc<Shared>,
    ends: &Arc<Ends>,
) -> std::io::Result<Lane> {
    let (singles, single_queue) = mpsc::unbounded_channel();
    let (bulks, bulk_queue) = mpsc::unbounded_channel();
    let oldest = Arc::new(Oldest::new());
    let queue = Queue::new(Arc::clone(shared), Arc::clone(&oldest), single_queue, bulk_queue);
    let held_back = HeldBack::new(Arc::clone(shared));
    let task = Task { store, cards, limits, metrics, queue, held_back, gave_up: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (shared, ends) = (Arc::clone(shared), Arc::clone(ends));
    std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
        // A panic ends the lane too: without this guard the server would wait for it for ever.
        let guard = EndGuard { shared, ends, result: Err("the writer has ended".to_owned()) };
        guard.end(runtime.block_on(task.run()));
    })?;
    Ok(Lane { singles, bulks, oldest })
}

struct EndGuard {
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    result: Result<(), String>,
}

impl EndGuard {
    fn end(mut self, result: Result<(), String>) {
        self.result = result;
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        // A lane that cannot go on stops the other lanes too; they finish what waits in their queues.
        self.shared.close();
        self.ends.lane_ended(std::mem::replace(&mut self.result, Ok(())));
    }
}

//! Lanes: a queue, a task on a thread of its own, and how all of them end together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use super::batch::Queue;
use super::run::Task;
use super::{Bulk, Limits, Single, SubmitError};
use crate::ledger::card::Cards;
use crate::store::WriteStore;

/// What all lanes share: how much waits, and whether more is taken.
#[derive(Debug)]
pub(super) struct Shared {
    /// Commands that wait. The channels are unbounded because this counts commands, not messages.
    queued: AtomicUsize,
    queue_commands_max: usize,
    closing: watch::Sender<bool>,
}

impl Shared {
    pub fn new(queue_commands_max: usize) -> Self {
        Self { queued: AtomicUsize::new(0), queue_commands_max, closing: watch::Sender::new(false) }
    }

    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::SeqCst)
    }

    /// Counts commands in, or refuses them.
    pub fn enqueue(&self, commands: usize) -> Result<(), SubmitError> {
        if *self.closing.borrow() {
            return Err(SubmitError::ShuttingDown);
        }
        // What is refused is never counted for others.
        let max = self.queue_commands_max;
        let room = |queued: usize| queued.checked_add(commands).filter(|queued| *queued <= max);
        let taken = self.queued.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        taken.map(drop).map_err(|_| SubmitError::Overloaded)
    }

    /// Counts commands out.
    pub fn taken(&self, commands: usize) {
        self.queued.fetch_sub(commands, Ordering::SeqCst);
    }

    /// Nothing new is taken from now on.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }
}

/// The way to one lane.
#[derive(Debug)]
pub(super) struct Lane {
    singles: mpsc::UnboundedSender<Single>,
    bulks: mpsc::UnboundedSender<Bulk>,
}

impl Lane {
    /// Queues one command.
    pub fn send(&self, shared: &Shared, single: Single) -> Result<(), SubmitError> {
        shared.enqueue(1)?;
        self.singles.send(single).map_err(|_| SubmitError::ShuttingDown)
    }

    /// Queues commands that are counted already. Where the lane has ended, whoever waits for the reply notices.
    pub fn send_bulk(&self, bulk: Bulk) {
        if let Err(mpsc::error::SendError(mut bulk)) = self.bulks.send(bulk) {
            let count = bulk.requests.len();
            bulk.done.extend((0..count).map(|_| Err(SubmitError::ShuttingDown)));
            let _ = bulk.reply.send(bulk.done);
        }
    }
}

/// Starts a lane.
pub(super) fn start(
    store: Box<dyn WriteStore>,
    cards: Arc<Cards>,
    limits: Limits,
    shared: &Arc<Shared>,
    ends: &Arc<Ends>,
) -> std::io::Result<Lane> {
    let (singles, single_queue) = mpsc::unbounded_channel();
    let (bulks, bulk_queue) = mpsc::unbounded_channel();
    let queue = Queue::new(Arc::clone(shared), single_queue, bulk_queue);
    let task = Task { store, cards, limits, queue, gave_up: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (shared, ends) = (Arc::clone(shared), Arc::clone(ends));
    std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
        // Also where the lane panics its end is told, or the server would wait for it for ever.
        let guard = EndGuard { shared, ends, result: Err("the writer has ended".to_owned()) };
        guard.end(runtime.block_on(task.run()));
    })?;
    Ok(Lane { singles, bulks })
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
        // One lane that cannot go on takes the others with it: they end what waits for them.
        self.shared.close();
        self.ends.lane_ended(std::mem::replace(&mut self.result, Ok(())));
    }
}

/// How the lanes have ended.
#[derive(Debug)]
pub(super) struct Ends {
    left: AtomicUsize,
    some_ended: watch::Sender<bool>,
    fault: Mutex<Option<String>>,
    tell: Mutex<Option<oneshot::Sender<Result<(), String>>>>,
}

impl Ends {
    pub fn new(lanes: usize) -> (Arc<Self>, oneshot::Receiver<Result<(), String>>) {
        let (tell, told) = oneshot::channel();
        let ends = Self {
            left: AtomicUsize::new(lanes),
            some_ended: watch::Sender::new(false),
            fault: Mutex::new(None),
            tell: Mutex::new(Some(tell)),
        };
        (Arc::new(ends), told)
    }

    /// Waits for the first one.
    pub async fn ended(&self) {
        // The sender is in `self`.
        let _ = self.some_ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Tells of a lane's end; of the first fault, once the last lane has ended.
    fn lane_ended(&self, result: Result<(), String>) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Err(line), None) = (result, fault.as_ref()) {
            *fault = Some(line);
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Nobody waits for the end any more where the receiver is gone; there is no one else to tell.
            let _ = tell.map(|tell| tell.send(fault.take().map_or(Ok(()), Err)));
        }
        self.some_ended.send_replace(true);
    }
}

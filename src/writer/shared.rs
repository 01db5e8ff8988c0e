//! State that all lanes share: how many commands wait, whether new ones are taken, and how lanes ended.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::error::SubmitError;

/// How many commands wait, and whether new ones are taken.
#[derive(Debug)]
pub(super) struct Shared {
    /// The channels are unbounded, because this bounds commands, not messages.
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
        // A refused call adds nothing to the count, not even for a moment.
        let max = self.queue_commands_max;
        let room = |queued: usize| queued.checked_add(commands).filter(|queued| *queued <= max);
        let taken = self.queued.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        taken.map(drop).map_err(|_| SubmitError::Overloaded)
    }

    /// Counts commands out when a batch takes them.
    pub fn taken(&self, commands: usize) {
        self.queued.fetch_sub(commands, Ordering::SeqCst);
    }

    /// Counts commands in again that a batch had taken, although there may be no room.
    pub fn put_back(&self, commands: usize) {
        self.queued.fetch_add(commands, Ordering::SeqCst);
    }

    /// Takes no new commands from now on.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }
}

/// Since when a lane's oldest command waits, for people who watch the queue: nothing is decided by it.
///
/// A sender sets it where nothing waits. The lane clears it before it takes what is there, and sets it to the time of
/// what it left behind. So a command that comes meanwhile is never overlooked. It may count from a command that was just
/// taken, until the lane takes the next batch.
#[derive(Debug)]
pub(super) struct Oldest {
    from: Instant,
    /// Microseconds after `from`, and one more; 0 where nothing waits.
    since: AtomicU64,
}

impl Oldest {
    pub fn new() -> Self {
        Self { from: Instant::now(), since: AtomicU64::new(0) }
    }

    /// Something was queued at this time.
    pub fn queued(&self, at: Instant) {
        if self.since.load(Ordering::Relaxed) == 0 {
            // Where another one was faster, that is the older one.
            let _ = self.since.compare_exchange(0, self.micros(at), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The lane is about to take what waits.
    pub fn clear(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// The lane has left something behind.
    pub fn left(&self, since: Instant) {
        self.since.store(self.micros(since), Ordering::Relaxed);
    }

    /// How long the oldest has waited.
    pub fn age(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.from.elapsed().saturating_sub(Duration::from_micros(since)),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        let micros = at.saturating_duration_since(self.from).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// How the lanes ended.
#[derive(Debug)]
pub(super) struct Ends {
    left: AtomicUsize,
    some_ended: watch::Sender<bool>,
    fault: Mutex<Option<String>>,
    stopped: Mutex<Option<oneshot::Sender<Result<(), String>>>>,
}

impl Ends {
    pub fn new(lanes: usize) -> (Arc<Self>, oneshot::Receiver<Result<(), String>>) {
        let (stopped, receiver) = oneshot::channel();
        let ends = Self {
            left: AtomicUsize::new(lanes),
            some_ended: watch::Sender::new(false),
            fault: Mutex::new(None),
            stopped: Mutex::new(Some(stopped)),
        };
        (Arc::new(ends), receiver)
    }

    /// Waits until the first lane has ended.
    pub async fn ended(&self) {
        // The sender is in `self`, so waiting cannot fail.
        let _ = self.some_ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Counts a lane out. After the last one the writer reports the first fault, if there was one.
    pub fn lane_ended(&self, result: Result<(), String>) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Err(line), None) = (result, fault.as_ref()) {
            *fault = Some(line);
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).take();
            // If the receiver is gone, nobody waits for the end.
            let _ = stopped.map(|stopped| stopped.send(fault.take().map_or(Ok(()), Err)));
        }
        self.some_ended.send_replace(true);
    }
}

//! The writer: gathers commands into batches, decides them, and answers after the commit, never before.
//!
//! One task owns the writing side of the store. While one batch commits the next gathers, so a lone caller pays no
//! delay and a busy server commits hundreds of commands at once. No request handler ever holds a transaction: a
//! client that goes away drops a receiver, nothing else.

mod batch;
mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

pub use crate::ledger::decide::Outcome;
pub use crate::store::{Ledger, LedgerCreated, NewLedger};

use crate::ledger::Request;
use crate::ledger::card::Cards;
use crate::store::WriteStore;

/// Why a command has no outcome of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; nothing was done.
    #[error("the server is overloaded; try again")]
    Overloaded,
    /// The server is going down; nothing was done.
    #[error("the server is shutting down; try again")]
    ShuttingDown,
    /// The caller's deadline passed before the command was decided; nothing was done.
    #[error("the deadline passed before the command was run; nothing was done")]
    DeadlineExceeded,
    /// The storage failed; the same request id finds out what became of the command.
    #[error("the outcome is unknown; the same request_id finds out")]
    Unknown,
    /// The storage could not be read, as while another program keeps it busy; nothing was done.
    #[error("the storage is not available at the moment; nothing was done")]
    StorageUnavailable,
    /// The command met a fault of this program; nothing was done.
    #[error("the command could not be stored; nothing was done")]
    Internal,
}

/// Bounds of the writer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commands that may wait; one more is refused at once as overloaded.
    pub queue_commands_max: usize,
    /// Commands in one commit, at least 2: a single one and one of a bulk, so that neither starves. Above about
    /// 1,000 the tail latency grows faster than the speed.
    pub batch_commands_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_commands_max: 32_768, batch_commands_max: 1_000 }
    }
}

/// What a submitted command comes to.
pub type Submitted = Result<Outcome, SubmitError>;

/// The way to the writer task; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    singles: mpsc::UnboundedSender<Single>,
    bulks: mpsc::UnboundedSender<Bulk>,
    commits: watch::Receiver<u64>,
}

/// The end of a writer: how it stopped, and the thread to wait for.
#[derive(Debug)]
pub struct WriterEnd {
    /// Becomes ready when the task has stopped: `Ok` after [`Writer::close`], `Err` with one clear line after a fault.
    pub stopped: oneshot::Receiver<Result<(), String>>,
}

#[derive(Debug)]
struct Shared {
    /// Commands that wait. The channels are unbounded because this counts commands, not messages.
    queued: AtomicUsize,
    queue_commands_max: usize,
    closing: AtomicBool,
    close: tokio::sync::Notify,
}

/// A command alone, or a ledger to be made.
#[derive(Debug)]
struct Single {
    ask: Ask,
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum Ask {
    Command(Box<Request>, oneshot::Sender<Submitted>),
    Ledger(NewLedger, oneshot::Sender<Result<LedgerCreated, SubmitError>>),
}

/// Many commands with one reply.
#[derive(Debug)]
struct Bulk {
    requests: std::vec::IntoIter<Request>,
    deadline: Option<Instant>,
    done: Vec<Submitted>,
    /// How many of its commands are in the batch that is being run.
    in_batch: usize,
    reply: oneshot::Sender<Vec<Submitted>>,
}

impl Writer {
    /// Starts the writer on a thread of its own, where an embedded database may block.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        store: Box<dyn WriteStore>,
        cards: Arc<Cards>,
        limits: Limits,
    ) -> std::io::Result<(Self, WriterEnd)> {
        let shared = Arc::new(Shared {
            queued: AtomicUsize::new(0),
            queue_commands_max: limits.queue_commands_max,
            closing: AtomicBool::new(false),
            close: tokio::sync::Notify::new(),
        });
        let (singles, single_queue) = mpsc::unbounded_channel();
        let (bulks, bulk_queue) = mpsc::unbounded_channel();
        let (commit, commits) = watch::channel(0);
        let (stop, stopped) = oneshot::channel();
        let task = run::Task {
            store,
            cards,
            batch_commands_max: limits.batch_commands_max.max(2),
            commit,
            queue: batch::Queue::new(Arc::clone(&shared), single_queue, bulk_queue),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            // Nobody waits for the end any more where the receiver is gone; there is no one else to tell.
            let _ = stop.send(runtime.block_on(task.run()));
        })?;
        Ok((Self { shared, singles, bulks, commits }, WriterEnd { stopped }))
    }

    /// Submits one command and waits for its fate.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, request: Request, deadline: Option<Instant>) -> Submitted {
        let (reply, outcome) = oneshot::channel();
        self.enqueue(1)?;
        let single = Single { ask: Ask::Command(Box::new(request), reply), deadline };
        self.singles.send(single).map_err(|_| SubmitError::ShuttingDown)?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Submits many commands at once; they keep their order, and outcome `i` belongs to request `i`. They wait behind
    /// single commands, and may be spread over several commits.
    ///
    /// # Errors
    /// [`SubmitError`] for all of them where none was queued; else one each.
    pub async fn submit_bulk(
        &self,
        requests: Vec<Request>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Submitted>, SubmitError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, outcomes) = oneshot::channel();
        self.enqueue(requests.len())?;
        let done = Vec::with_capacity(requests.len());
        let bulk = Bulk { requests: requests.into_iter(), deadline, done, in_batch: 0, reply };
        self.bulks.send(bulk).map_err(|_| SubmitError::ShuttingDown)?;
        outcomes.await.map_err(|_| SubmitError::Unknown)
    }

    /// Makes a ledger.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn create_ledger(
        &self,
        ledger: NewLedger,
        deadline: Option<Instant>,
    ) -> Result<LedgerCreated, SubmitError> {
        let (reply, outcome) = oneshot::channel();
        self.enqueue(1)?;
        let single = Single { ask: Ask::Ledger(ledger, reply), deadline };
        self.singles.send(single).map_err(|_| SubmitError::ShuttingDown)?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Changes with every commit that wrote something: what followers of the journal wait for.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// Commands that wait now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.queued.load(Ordering::SeqCst)
    }

    /// Takes nothing new from now on; what waits is still run. [`WriterEnd::stopped`] tells when that is done.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.close.notify_one();
    }

    fn enqueue(&self, commands: usize) -> Result<(), SubmitError> {
        if self.shared.closing.load(Ordering::SeqCst) {
            return Err(SubmitError::ShuttingDown);
        }
        // What is refused is never counted: not for others, and not for the end, which waits for a count of zero.
        let max = self.shared.queue_commands_max;
        let room = |queued: usize| queued.checked_add(commands).filter(|queued| *queued <= max);
        let taken = self.shared.queued.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        taken.map(drop).map_err(|_| SubmitError::Overloaded)
    }
}

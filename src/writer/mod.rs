//! The writer: gathers commands into batches, decides them, and answers after the commit, never before.
//!
//! Each writing side of the store has a task of its own, a lane; a customer always belongs to the same lane, so its
//! commands keep their order. While one batch commits the next gathers, so a lone caller pays no delay and a busy
//! server commits hundreds of commands at once. No request handler ever holds a transaction: a client that goes away
//! drops a receiver, nothing else.

mod batch;
mod lanes;
mod retry;
mod run;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use lanes::{Ends, Lane, Shared};

pub use crate::ledger::decide::Outcome;
pub use crate::store::{CardsChanged, DefaultAlertsSet, Ledger, LedgerCreated, NewDefaultAlerts, NewLedger};

use crate::ledger::Request;
use crate::ledger::card::{CardRequest, Cards};
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
    /// How long a batch is tried again where other servers are in the way or the database is away; then its callers
    /// are told that it is not available.
    pub retry_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_commands_max: 32_768, batch_commands_max: 1_000, retry_for: Duration::from_secs(5) }
    }
}

/// What a submitted command comes to.
pub type Submitted = Result<Outcome, SubmitError>;

/// The way to the writer's lanes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    lanes: Arc<[Lane]>,
    ends: Arc<Ends>,
}

/// The end of a writer: how it stopped.
#[derive(Debug)]
pub struct WriterEnd {
    /// Becomes ready when all lanes have stopped: `Ok` after [`Writer::close`], `Err` with one clear line after a fault.
    pub stopped: oneshot::Receiver<Result<(), String>>,
}

/// A command alone, or a change of a ledger.
#[derive(Debug)]
struct Single {
    ask: Ask,
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum Ask {
    Command(Box<Request>, oneshot::Sender<Submitted>),
    Ledger(Change),
}

/// A change of a ledger itself, with its reply.
#[derive(Debug)]
enum Change {
    Create(NewLedger, oneshot::Sender<Result<LedgerCreated, SubmitError>>),
    DefaultAlerts(NewDefaultAlerts, oneshot::Sender<Result<DefaultAlertsSet, SubmitError>>),
    Cards(Box<CardRequest>, oneshot::Sender<Result<CardsChanged, SubmitError>>),
}

impl Change {
    /// Tells that nothing was done.
    fn refuse(self, error: SubmitError) {
        // Where the caller has gone away there is nobody to tell.
        match self {
            Self::Create(_, reply) => drop(reply.send(Err(error))),
            Self::DefaultAlerts(_, reply) => drop(reply.send(Err(error))),
            Self::Cards(_, reply) => drop(reply.send(Err(error))),
        }
    }
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
    /// Starts a lane for each store, on a thread of its own, where an embedded database may block.
    ///
    /// # Errors
    /// Where the system gives no thread, or there is no store.
    pub fn start(
        stores: Vec<Box<dyn WriteStore>>,
        cards: &Arc<Cards>,
        limits: Limits,
    ) -> std::io::Result<(Self, WriterEnd)> {
        if stores.is_empty() {
            return Err(std::io::Error::other("there is nothing to write to"));
        }
        let shared = Arc::new(Shared::new(limits.queue_commands_max));
        let (ends, stopped) = Ends::new(stores.len());
        let lanes: Vec<Lane> = stores
            .into_iter()
            .map(|store| lanes::start(store, Arc::clone(cards), limits, &shared, &ends))
            .collect::<std::io::Result<_>>()?;
        Ok((Self { shared, lanes: lanes.into(), ends }, WriterEnd { stopped }))
    }

    /// Submits one command and waits for its fate.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, request: Request, deadline: Option<Instant>) -> Submitted {
        let (reply, outcome) = oneshot::channel();
        let lane = self.lane_of(&request);
        lane.send(&self.shared, Single { ask: Ask::Command(Box::new(request), reply), deadline })?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Submits many commands at once; those of a customer keep their order, and outcome `i` belongs to request `i`. They
    /// wait behind single commands, and may be spread over several commits.
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
        let count = requests.len();
        self.shared.enqueue(count)?;
        let mut parts: Vec<(Vec<usize>, Vec<Request>)> = vec![Default::default(); self.lanes.len()];
        for (place, request) in requests.into_iter().enumerate() {
            let (places, requests) = &mut parts[self.lane_no(&request)];
            places.push(place);
            requests.push(request);
        }
        let mut waiting = Vec::with_capacity(parts.len());
        for (lane, (places, requests)) in self.lanes.iter().zip(parts).filter(|(_, part)| !part.0.is_empty())
        {
            let (reply, outcomes) = oneshot::channel();
            let done = Vec::with_capacity(requests.len());
            lane.send_bulk(Bulk { requests: requests.into_iter(), deadline, done, in_batch: 0, reply });
            waiting.push((places, outcomes));
        }
        let mut all: Vec<Submitted> = (0..count).map(|_| Err(SubmitError::Unknown)).collect();
        for (places, outcomes) in waiting {
            // Of a lane that ended with the commands in its hands nobody knows what became of them.
            for (place, outcome) in places.into_iter().zip(outcomes.await.unwrap_or_default()) {
                if let Some(slot) = all.get_mut(place) {
                    *slot = outcome;
                }
            }
        }
        Ok(all)
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
        self.change(Change::Create(ledger, reply), deadline)?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Adds a rate card, or makes one the default. What is decided after the answer knows it, by whichever server.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn change_cards(
        &self,
        request: CardRequest,
        deadline: Option<Instant>,
    ) -> Result<CardsChanged, SubmitError> {
        let (reply, outcome) = oneshot::channel();
        self.change(Change::Cards(Box::new(request), reply), deadline)?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Sets the thresholds of a ledger's customers without their own.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn set_default_alerts(
        &self,
        alerts: NewDefaultAlerts,
        deadline: Option<Instant>,
    ) -> Result<DefaultAlertsSet, SubmitError> {
        let (reply, outcome) = oneshot::channel();
        self.change(Change::DefaultAlerts(alerts, reply), deadline)?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    fn change(&self, change: Change, deadline: Option<Instant>) -> Result<(), SubmitError> {
        self.lanes[0].send(&self.shared, Single { ask: Ask::Ledger(change), deadline })
    }

    /// Waits until some lane has stopped: from then on the writer can only refuse.
    pub async fn ended(&self) {
        self.ends.ended().await;
    }

    /// Commands that wait now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.queued()
    }

    /// Takes nothing new from now on; what waits is still run. [`WriterEnd::stopped`] tells when that is done.
    pub fn close(&self) {
        self.shared.close();
    }

    fn lane_of(&self, request: &Request) -> &Lane {
        &self.lanes[self.lane_no(request)]
    }

    /// By the customer's key, which is a hash. There is at least one lane.
    fn lane_no(&self, request: &Request) -> usize {
        match self.lanes.len() {
            1 => 0,
            lanes => {
                let hash = request.customer_key().raw().cast_unsigned() >> 32;
                usize::try_from(hash).unwrap_or_default() % lanes
            }
        }
    }
}

//! Sends the events: in order within a customer, and in parallel across customers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::{ReplayClient, Settled};
use super::incidents::Incident;
use super::plan::{Event, Moment};
use super::queue::{Next, Queue};
use crate::app::call::CallError;
use crate::app::progress::Progress;
use crate::ledger::{ClassId, Credits};

/// The outcome of the events.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Incidents that were settled.
    pub settled: usize,
    /// Their cost, by class.
    pub charged: BTreeMap<Option<ClassId>, Credits>,
    /// The part of the cost that the vendor bears.
    pub written_off: Credits,
    /// Incidents that the server refused to open or to settle, by id, with the server's message.
    pub refused: BTreeMap<String, String>,
}

impl Tally {
    fn settle(&mut self, incident: &Incident, settled: &Settled) -> Result<(), CallError> {
        let sum = |one: Credits, other| one.checked_add(other).ok_or_else(|| CallError::unexpected("charge"));
        self.settled = self.settled.saturating_add(1);
        let class = self.charged.entry(incident.class.clone()).or_default();
        *class = sum(*class, settled.charged)?;
        self.written_off = sum(self.written_off, settled.written_off)?;
        Ok(())
    }
}

/// What the workers share.
struct Shared {
    incidents: Vec<Incident>,
    state: Mutex<State>,
    /// Notified when a customer becomes free, and when there is nothing left to do.
    free: Notify,
    progress: Progress,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    tally: Tally,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A worker that panicked is reported by the join, and the numbers are not used then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends every event through as many clients as `concurrency`, and adds the times of their calls to `answered_us`.
///
/// # Errors
/// The first call that was not answered, because the server is gone. A refusal is no error; it is listed.
pub async fn drive(
    incidents: Vec<Incident>,
    client: &ReplayClient,
    concurrency: usize,
    progress: Progress,
    answered_us: &mut Histogram<u64>,
) -> Result<Tally, CallError> {
    let state = Mutex::new(State { queue: Queue::new(&incidents), tally: Tally::default() });
    let shared = Arc::new(Shared { incidents, state, free: Notify::new(), progress });
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        workers.spawn(work(Arc::clone(&shared), client.clone()));
    }
    while let Some(ended) = workers.join_next().await {
        let client = ended.map_err(|_| CallError::unexpected("worker"))??;
        answered_us.add(&client.answered_us).map_err(|_| CallError::unexpected("time"))?;
    }
    Ok(std::mem::take(&mut shared.state().tally))
}

/// One worker: sends one event at a time until there are none.
async fn work(shared: Arc<Shared>, mut client: ReplayClient) -> Result<ReplayClient, CallError> {
    loop {
        let free = shared.free.notified();
        tokio::pin!(free);
        // Registered before the queue is read, so that a notification in between is not lost.
        free.as_mut().enable();
        let next = shared.state().queue.take();
        match next {
            Next::Wait => free.await,
            Next::End => {
                shared.free.notify_waiters();
                return Ok(client);
            }
            Next::Event { event, first } => {
                // Boxed, because the future of a settlement is large.
                if let Err(error) = Box::pin(run(&shared, &mut client, event, first)).await {
                    shared.state().queue.stop();
                    shared.free.notify_waiters();
                    return Err(error);
                }
            }
        }
    }
}

async fn run(shared: &Shared, client: &mut ReplayClient, event: Event, first: bool) -> Result<(), CallError> {
    let Some(incident) = shared.incidents.get(event.incident) else { return Ok(()) };
    if first {
        client.create_customer(incident).await?;
    }
    let answer = match event.moment {
        Moment::Opening => client.open(incident).await.map(|()| None),
        Moment::Closing => Box::pin(client.close(incident)).await.map(Some),
    };
    let mut state = shared.state();
    match answer {
        Ok(None) => {}
        Ok(Some(settled)) => state.tally.settle(incident, &settled)?,
        // The server has rejected it; trying the other incidents completes the list.
        Err(error) if error.is_refusal() => {
            state.tally.refused.entry(incident.id.to_string()).or_insert_with(|| error.to_string());
        }
        Err(error) => return Err(error),
    }
    state.queue.done(&incident.customer);
    drop(state);
    shared.progress.advances();
    shared.free.notify_one();
    Ok(())
}

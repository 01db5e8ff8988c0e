//! The handle to the writer; request handlers hold it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ask::{Ask, Bulk, Caller, Change, Listener, Rejections, Reply, Single};
use super::error::{SubmitError, Submitted};
use super::lane::{self, Lane};
use super::limits::Limits;
use super::shared::{Ends, Shared};
use super::traced;
use crate::ledger::Request;
use crate::ledger::card::{CardRequest, Cards};
use crate::metrics::Metrics;
use crate::store::{CardsChanged, DefaultAlertsSet, LedgerCreated, NewDefaultAlerts, NewLedger, WriteStore};

/// Sends commands to the writer's lanes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    lanes: Arc<[Lane]>,
    ends: Arc<Ends>,
    /// Who hears of what is rejected of the commands that come through this handle.
    listener: Listener,
}

/// Reports how the writer stopped.
#[derive(Debug)]
pub struct WriterEnd {
    /// Ready when all lanes have stopped: `Ok` after [`Writer::close`], `Err` with one line after a fault.
    pub stopped: oneshot::Receiver<Result<(), String>>,
}

impl Writer {
    /// Starts a lane for each store, each on a thread of its own, because an embedded database may block.
    ///
    /// # Errors
    /// Where the system gives no thread, or `stores` is empty.
    pub fn start(
        stores: Vec<Box<dyn WriteStore>>,
        cards: &Arc<Cards>,
        limits: Limits,
    ) -> std::io::Result<(Self, WriterEnd)> {
        Self::start_measured(stores, cards, limits, &Metrics::default())
    }

    /// The same, and tells how long batches take.
    ///
    /// # Errors
    /// As [`Writer::start`].
    pub fn start_measured(
        stores: Vec<Box<dyn WriteStore>>,
        cards: &Arc<Cards>,
        limits: Limits,
        metrics: &Metrics,
    ) -> std::io::Result<(Self, WriterEnd)> {
        if stores.is_empty() {
            return Err(std::io::Error::other("there is nothing to write to"));
        }
        let shared = Arc::new(Shared::new(limits.queue_commands_max));
        let (ends, stopped) = Ends::new(stores.len());
        let lanes: Vec<Lane> = stores
            .into_iter()
            .map(|store| lane::start(store, Arc::clone(cards), limits, metrics.clone(), &shared, &ends))
            .collect::<std::io::Result<_>>()?;
        Ok((Self { shared, lanes: lanes.into(), ends, listener: None }, WriterEnd { stopped }))
    }

    /// The same writer. What it rejects of the commands that come through this handle is told to `listener`, also where
    /// nobody waits for the answer any more.
    #[must_use]
    pub fn heard_by(&self, listener: Arc<dyn Rejections>) -> Self {
        Self { listener: Some(listener), ..self.clone() }
    }

    /// Submits one command and waits for its outcome.
    pub async fn submit(&self, request: Request, deadline: Option<Instant>) -> Submitted {
        let (reply, outcome) = oneshot::channel();
        let lane = self.lane_of(&request);
        let caller = Caller { reply, listener: self.listener.clone() };
        let (ask, since) = (Ask::Command(Box::new(request), caller), Instant::now());
        lane.send(&self.shared, Single { ask, deadline, since, traced: traced::caller() })?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Submits many commands at once. Commands of one customer keep their order, and outcome `i` belongs to request
    /// `i`. They wait behind single commands, and may be spread over several commits.
    ///
    /// # Errors
    /// [`SubmitError`] for the whole call if nothing was queued; else one for each failed command.
    pub async fn submit_bulk(
        &self,
        requests: Vec<Request>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Submitted>, SubmitError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let (count, since) = (requests.len(), Instant::now());
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
            let (requests, listener) = (requests.into_iter(), self.listener.clone());
            let traced = traced::caller();
            lane.send_bulk(Bulk { requests, deadline, since, traced, done, in_batch: 0, reply, listener });
            waiting.push((places, outcomes));
        }
        let mut all: Vec<Submitted> = (0..count).map(|_| Err(SubmitError::Unknown)).collect();
        for (places, outcomes) in waiting {
            // If a lane ended while it held the commands, their outcome is unknown.
            for (place, outcome) in places.into_iter().zip(outcomes.await.unwrap_or_default()) {
                if let Some(slot) = all.get_mut(place) {
                    *slot = outcome;
                }
            }
        }
        Ok(all)
    }

    pub async fn create_ledger(
        &self,
        ledger: NewLedger,
        deadline: Option<Instant>,
    ) -> Result<LedgerCreated, SubmitError> {
        self.change(|reply| Change::Create(ledger, reply), deadline).await
    }

    /// Adds a rate card, or makes one the default. After the answer every server decides with it. The answer has the
    /// cards as they are after it.
    pub async fn change_cards(
        &self,
        request: CardRequest,
        deadline: Option<Instant>,
    ) -> Result<(CardsChanged, Arc<Cards>), SubmitError> {
        self.change(|reply| Change::Cards(Box::new(request), reply), deadline).await
    }

    /// Sets a ledger's default thresholds.
    pub async fn set_default_alerts(
        &self,
        alerts: NewDefaultAlerts,
        deadline: Option<Instant>,
    ) -> Result<DefaultAlertsSet, SubmitError> {
        self.change(|reply| Change::DefaultAlerts(alerts, reply), deadline).await
    }

    async fn change<T>(
        &self,
        change: impl FnOnce(Reply<T>) -> Change,
        deadline: Option<Instant>,
    ) -> Result<T, SubmitError> {
        let (reply, outcome) = oneshot::channel();
        let (ask, since) = (Ask::Ledger(change(reply)), Instant::now());
        self.lanes[0].send(&self.shared, Single { ask, deadline, since, traced: traced::caller() })?;
        outcome.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Waits until some lane has stopped; from then on the writer refuses new commands.
    pub async fn ended(&self) {
        self.ends.ended().await;
    }

    /// The number of commands that wait.
    pub fn queued(&self) -> usize {
        self.shared.queued()
    }

    /// How long the oldest command of the queue has waited, as far as is known without stopping the lanes. Commands that
    /// are held back because of a foreign lock are not looked at.
    pub fn queue_age(&self) -> Duration {
        if self.queued() == 0 {
            return Duration::ZERO;
        }
        self.lanes.iter().map(Lane::age).max().unwrap_or_default()
    }

    /// Takes no new commands; those that wait are still run. [`WriterEnd::stopped`] reports when that is done.
    pub fn close(&self) {
        self.shared.close();
    }

    fn lane_of(&self, request: &Request) -> &Lane {
        &self.lanes[self.lane_no(request)]
    }

    /// The lane follows from the customer's key, which is a hash. There is at least one lane.
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

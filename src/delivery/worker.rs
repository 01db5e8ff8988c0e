//! Sends the events of a ledger to one endpoint, along a cursor over the feed. Events that are not taken go to the
//! retry queue.
//!
//! The cursor is stored only after each event before it was taken or stored in the retry queue, so a server that dies
//! loses nothing. The server that takes over sends again what was sent but not stored yet.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use super::chains::{Chain, Outgoing, Sent, send_all};
use super::feeds::EventFeeds;
use super::measured;
use super::notice::{Cursor, Notice, read_page};
use super::retry_queue::RetryQueue;
use super::schedule::{next_attempt, patience};
use super::thread::DeliveryThread;
use super::transport::{Consequence, SendFailure, Sender, Transport, transport_of};
use super::watch::{Filter, Watch, WatchError};
use crate::clock::{self, Clock};
use crate::ledger::{CustomerId, LedgerId, Text, Timestamp};
use crate::metrics::Metrics;
use crate::store::webhooks::{Delivery, Disabled, Endpoint, WebhookStore};
use crate::store::{Position, StoreError};

/// With this many events in an endpoint's retry queue, no new ones are sent until some were taken.
const RETRIES_MAX: usize = 1_000;
/// A round gathers pages of new events until it has this many.
const ROUND_EVENTS: usize = 256;
/// Customers whose failed events are tried again in one round, and events of each.
const ROUND_CUSTOMERS: usize = 64;
const CUSTOMER_EVENTS: usize = 16;
/// The cursor is stored after this long, or after so many events. Events since then are sent again if the server dies.
const SAVE_SECONDS: i64 = 1;
const SAVE_EVENTS: usize = 1_000;
/// How often a moved cursor is stored while no event passes the filter.
const LOOK_SECONDS: i64 = 30;

/// What all workers of a server share.
pub(super) struct Shared {
    pub feeds: Arc<EventFeeds>,
    pub rows: Arc<dyn WebhookStore>,
    pub clock: Arc<dyn Clock>,
    pub transports: Arc<[Arc<dyn Transport>]>,
    /// Where messages are made and sent.
    pub thread: DeliveryThread,
    pub me: Uuid,
    pub metrics: Metrics,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// It was asked to end, another server has its endpoint now, or the endpoint is disabled or gone.
    #[error("nothing is to be sent by this server any more")]
    Over,
    /// The storage failed; the next worker goes on from what is stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    changes: watch::Receiver<Endpoint>,
    endpoint: Endpoint,
    ledger: LedgerId,
    transport: Arc<dyn Transport>,
    sender: Arc<dyn Sender>,
    retries: RetryQueue,
    watch: Watch,
    /// The endpoint asked for no messages before this time.
    not_before: Timestamp,
    saved: Cursor,
    saved_at: Timestamp,
    unsaved: usize,
}

/// Runs until the endpoint is not this server's any more, or the storage fails.
pub(super) async fn run(shared: Arc<Shared>, changes: watch::Receiver<Endpoint>) -> End {
    let mut worker = match Worker::start(shared, changes).await {
        Ok(worker) => worker,
        Err(end) => return end,
    };
    let end = match worker.work().await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    // Storing the cursor now saves the next worker from sending again what was taken.
    if matches!(end, End::Over)
        && let Err(End::Store(error)) = worker.save(&[], &[], None).await
    {
        tracing::debug!(%error, "a cursor was not stored at the end");
    }
    end
}

impl Worker {
    async fn start(shared: Arc<Shared>, mut changes: watch::Receiver<Endpoint>) -> Result<Self, End> {
        let endpoint = changes.borrow_and_update().clone();
        let ledgers = shared.feeds.store.ledgers().await?;
        let ledger = ledgers.into_iter().find(|ledger| ledger.no == endpoint.ledger).map(|ledger| ledger.id);
        let ledger = ledger.ok_or_else(|| {
            StoreError::Damaged(format!("the ledger of endpoint {} is missing", endpoint.id))
        })?;
        let transport = Arc::clone(transport_of(&shared.transports, &endpoint).ok_or(End::Over)?);
        let saved = Cursor { done: endpoint.done, taken: endpoint.taken };
        Ok(Self {
            sender: transport.sender(&endpoint, &ledger),
            retries: load_retries(&shared, endpoint.id).await?,
            watch: new_watch(&shared, &endpoint, saved),
            not_before: Timestamp::default(),
            saved,
            saved_at: shared.clock.now(),
            unsaved: 0,
            shared,
            changes,
            endpoint,
            ledger,
            transport,
        })
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            match self.changes.has_changed() {
                Ok(true) => self.apply_changes().await?,
                Ok(false) => {}
                Err(_) => return Err(End::Over),
            }
            let now = self.shared.clock.now();
            if now < self.not_before {
                self.wait(self.not_before, false).await?;
                continue;
            }
            let due = self.retries.take_due(now, ROUND_CUSTOMERS, CUSTOMER_EVENTS);
            if !due.is_empty() {
                self.send_again(due).await?;
                continue;
            }
            let next = self.retries.next_at().unwrap_or(Timestamp::MAX);
            let has_room = self.retries.len() < RETRIES_MAX;
            self.wait(next, has_room).await?;
        }
    }

    /// Waits for events, `until`, a change of the endpoint, or the time to store the cursor, whichever comes first.
    async fn wait(&mut self, until: Timestamp, for_events: bool) -> Result<(), End> {
        let save_at = self.saved_at.plus_seconds(SAVE_SECONDS);
        let has_moved = self.unsaved > 0 || self.watch.cursor() != self.saved;
        // The cursor moves also where nothing was sent. Storing it now and then saves reading the same postings again.
        let look_at = self.shared.clock.now().plus_seconds(LOOK_SECONDS);
        let wake = until.min(if has_moved { save_at } else { look_at });
        let clock = Arc::clone(&self.shared.clock);
        tokio::select! {
            changed = self.changes.changed() => match changed {
                Ok(()) => self.changes.mark_changed(),
                Err(_) => return Err(End::Over),
            },
            notices = self.watch.next(), if for_events => match notices {
                Ok(notices) => self.send(notices.unwrap_or_default()).await?,
                // A new watch goes on from the cursor and catches up by itself.
                Err(WatchError::TooSlow) => {
                    self.watch = new_watch(&self.shared, &self.endpoint, self.watch.cursor());
                }
                Err(WatchError::Storage(error)) => return Err(error.into()),
            },
            () = clock.sleep_until(wake) => {}
        }
        let is_time = self.shared.clock.now() >= save_at || self.unsaved >= SAVE_EVENTS;
        let has_moved = self.unsaved > 0 || self.watch.cursor() != self.saved;
        if has_moved && is_time { self.save(&[], &[], None).await } else { Ok(()) }
    }

    /// Takes over a change of the endpoint that this worker did not make.
    async fn apply_changes(&mut self) -> Result<(), End> {
        let endpoint = self.changes.borrow_and_update().clone();
        if endpoint.version == self.endpoint.version {
            return Ok(());
        }
        self.save(&[], &[], None).await?;
        if endpoint.types != self.endpoint.types {
            self.watch = new_watch(&self.shared, &endpoint, self.watch.cursor());
        }
        self.retries = load_retries(&self.shared, endpoint.id).await?;
        self.not_before = Timestamp::default();
        // A new sender, because connections of the old one lead to the old URL.
        self.sender = self.transport.sender(&endpoint, &self.ledger);
        self.endpoint = endpoint;
        Ok(())
    }

    /// Sends a round of new events. If events of a customer wait in the retry queue, its new ones go behind them.
    async fn send(&mut self, mut notices: Vec<Arc<Notice>>) -> Result<(), End> {
        while notices.len() < ROUND_EVENTS {
            match self.watch.ready() {
                Some(more) => notices.extend(more),
                None => break,
            }
        }
        let mut put = Vec::new();
        let mut chains: Vec<Chain> = Vec::new();
        let mut places: HashMap<CustomerId, usize> = HashMap::new();
        for notice in notices {
            if self.retries.has(&notice.customer) {
                let delivery = notice.to_delivery(self.endpoint.id);
                self.retries.push(delivery.clone());
                put.push(delivery);
                continue;
            }
            let place = *places.entry(notice.customer.clone()).or_insert(chains.len());
            let outgoing = Outgoing { notice, stored: None };
            match chains.get_mut(place) {
                Some(chain) => chain.push(outgoing),
                None => chains.push(vec![outgoing]),
            }
        }
        self.unsaved = self.unsaved.saturating_add(chains.iter().map(Vec::len).sum());
        self.send_chains(chains, put).await
    }

    /// Tries again what is due, each customer's events in their order.
    async fn send_again(&mut self, due: Vec<Vec<Delivery>>) -> Result<(), End> {
        let mut chains: Vec<Chain> = Vec::with_capacity(due.len());
        for deliveries in due {
            let mut chain = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                chain.push(Outgoing { notice: self.find(&delivery).await?, stored: Some(delivery) });
            }
            chains.push(chain);
        }
        self.send_chains(chains, Vec::new()).await
    }

    /// Sends chains, puts what was not taken at the front of the retry queue, and stores that with the rows of `put`.
    async fn send_chains(&mut self, chains: Vec<Chain>, mut put: Vec<Delivery>) -> Result<(), End> {
        let id = self.endpoint.id;
        let count: usize = chains.iter().map(Vec::len).sum();
        let sends = send_all(Arc::clone(&self.sender), self.transport.messages_at_a_time(), chains);
        let sent = self.shared.thread.run(sends).await.unwrap_or_default();
        measured::sent(&self.shared.metrics, &self.endpoint, &self.ledger, &sent);
        let (mut remove, mut accounted, mut disabling) = (Vec::new(), 0_usize, None);
        for Sent { taken, failed, rest } in sent {
            accounted = accounted.saturating_add(taken.len()).saturating_add(rest.len());
            remove.extend(taken.iter().filter_map(|outgoing| outgoing.stored.as_ref()).map(Delivery::at));
            let mut waiting = Vec::new();
            if let Some((Outgoing { notice, stored }, failure)) = failed {
                accounted = accounted.saturating_add(1);
                let delivery = self.after(stored.unwrap_or_else(|| notice.to_delivery(id)), &failure);
                disabling = disabling.or(failure.disables_endpoint().then_some(failure));
                put.push(delivery.clone());
                if delivery.dead_at.is_none() {
                    waiting.push(delivery);
                }
            }
            for Outgoing { notice, stored } in rest {
                waiting.push(stored.unwrap_or_else(|| {
                    let delivery = notice.to_delivery(id);
                    put.push(delivery.clone());
                    delivery
                }));
            }
            self.retries.put_back(waiting);
        }
        if accounted != count {
            let unknown = "what became of some messages is not known; they are sent again";
            return Err(StoreError::Failed(unknown.into()).into());
        }
        if put.is_empty() && remove.is_empty() {
            return Ok(());
        }
        self.save(&put, &remove, disabling.as_ref()).await
    }

    /// The event of a delivery, read again from the feed.
    async fn find(&self, delivery: &Delivery) -> Result<Arc<Notice>, StoreError> {
        let before = Position(delivery.position.0.saturating_sub(1));
        let store = &*self.shared.feeds.store;
        let page = read_page(store, self.endpoint.ledger, before, 1).await?;
        let found = page.notices.into_iter().find(|notice| (notice.position, notice.index) == delivery.at());
        found.ok_or_else(|| StoreError::Damaged(format!("there is no event {}", delivery.event_id)))
    }

    /// A delivery after an attempt that failed: when it is tried again, or that it is given up.
    fn after(&mut self, delivery: Delivery, failure: &SendFailure) -> Delivery {
        let now = self.shared.clock.now();
        let attempts = delivery.attempts.saturating_add(1);
        // Without randomness, messages that failed together are tried again together. That is better than no attempt.
        let random = clock::random().unwrap_or(100);
        let next_at = match failure.consequence {
            Consequence::GiveUp => None,
            Consequence::TryAgain | Consequence::DisableEndpoint => {
                next_attempt(now, attempts, failure.retry_after, random)
            }
        };
        if let Some(wait) = failure.retry_after {
            self.not_before = self.not_before.max(patience(now, wait));
        }
        Delivery {
            attempts,
            next_at,
            dead_at: next_at.is_none().then_some(now),
            tried_at: Some(now),
            status: failure.status.into(),
            error: Text::parse(&failure.error).unwrap_or_default(),
            ..delivery
        }
    }

    /// Stores the changes of the retry queue and the cursor in one transaction.
    async fn save(
        &mut self,
        put: &[Delivery],
        remove: &[(Position, u32)],
        disabling: Option<&SendFailure>,
    ) -> Result<(), End> {
        let id = self.endpoint.id;
        let cursor = self.watch.cursor();
        let mut tx = self.shared.rows.begin(self.shared.clock.now()).await?;
        let Some(mut endpoint) = tx.endpoint(id).await? else { return Err(End::Over) };
        if endpoint.holder != Some(self.shared.me) {
            return Err(End::Over);
        }
        (endpoint.done, endpoint.taken) = (cursor.done, cursor.taken);
        if let Some(failure) = disabling {
            let reason = Text::parse(&format!("the endpoint answered {}", failure.error)).unwrap_or_default();
            endpoint.disabled = Some(Disabled { at: tx.now(), reason });
            endpoint.holder = None;
        }
        tx.put_endpoint(&endpoint).await?;
        for delivery in put {
            tx.put_delivery(delivery).await?;
        }
        for at in remove {
            tx.delete_delivery(id, *at).await?;
        }
        tx.commit().await?;
        (self.saved, self.saved_at, self.unsaved) = (cursor, self.shared.clock.now(), 0);
        if disabling.is_some() { Err(End::Over) } else { Ok(()) }
    }
}

fn new_watch(shared: &Arc<Shared>, endpoint: &Endpoint, cursor: Cursor) -> Watch {
    let filter = Filter { customer: None, types: endpoint.types.clone() };
    Watch::new(&shared.feeds, endpoint.ledger, filter, cursor)
}

async fn load_retries(shared: &Shared, endpoint: Uuid) -> Result<RetryQueue, StoreError> {
    let mut tx = shared.rows.begin(shared.clock.now()).await?;
    let deliveries = tx.deliveries(endpoint, false, None, usize::MAX).await?;
    tx.commit().await?;
    Ok(RetryQueue::new(deliveries))
}

//! Sends the events of a ledger to one endpoint: a cursor over the feed, and what was not taken kept aside and tried again.
//!
//! The cursor is stored after what it has passed was taken or is stored aside, so a server that dies loses nothing; what
//! was sent and not stored yet is sent again by whoever takes over.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use super::aside::Aside;
use super::endpoints::new_delivery;
use super::http::Idle;
use super::schedule::{next_attempt, patience};
use super::send::{Chain, Failure, Lane, Means, Sent, Then, send_all};
use crate::clock::{self, Clock};
use crate::delivery::told::read_page;
use crate::delivery::{Cursor, EventFeeds, Filter, Told, Watch, WatchError};
use crate::ledger::{CustomerId, LedgerId, Text, Timestamp};
use crate::store::webhooks::{Delivery, Disabled, Endpoint, WebhookStore};
use crate::store::{Position, StoreError};

/// Events that are kept aside for one endpoint; beyond that the cursor stays where it is until some were taken.
const ASIDE_MAX: usize = 1_000;
/// Events of one round.
const ROUND_EVENTS: usize = 256;
/// Customers whose failed events are tried again in one round, and events of each.
const ROUND_CUSTOMERS: usize = 64;
const CUSTOMER_EVENTS: usize = 16;
/// The cursor is stored after this long, or so many events: what was sent since then is sent again if the server dies.
const SAVE_SECONDS: i64 = 1;
const SAVE_EVENTS: usize = 1_000;
/// How often the cursor is looked at where no event passes the filter.
const LOOK_SECONDS: i64 = 30;

/// What all workers of a server share.
pub(super) struct Shared {
    pub feeds: Arc<EventFeeds>,
    pub rows: Arc<dyn WebhookStore>,
    pub clock: Arc<dyn Clock>,
    pub means: Means,
    pub me: Uuid,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// It was told to, another server has its endpoint now, or nothing is to be sent to it any more.
    #[error("nothing is to be sent by this server any more")]
    Over,
    /// The storage failed; the next worker goes on from what is stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The sender of one endpoint.
pub(super) struct Worker {
    shared: Arc<Shared>,
    changes: watch::Receiver<Endpoint>,
    lane: Arc<Lane>,
    aside: Aside,
    watch: Watch,
    /// Until when the endpoint asks to be left alone.
    not_before: Timestamp,
    saved: Cursor,
    saved_at: Timestamp,
    unsaved: usize,
}

/// Runs until there is nothing to do for it any more.
pub(super) async fn run(shared: Arc<Shared>, changes: watch::Receiver<Endpoint>) -> End {
    let mut worker = match Worker::start(shared, changes).await {
        Ok(worker) => worker,
        Err(end) => return end,
    };
    let end = match worker.work().await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    // What was taken meanwhile need not be sent again by the next one.
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
        let ledger = ledgers.into_iter().find(|ledger| ledger.no == endpoint.ledger);
        let ledger = ledger.map_or_else(LedgerId::main, |ledger| ledger.id);
        let aside = load_aside(&shared, endpoint.id).await?;
        let saved = Cursor { done: endpoint.done, taken: endpoint.taken };
        let watch = new_watch(&shared, &endpoint, saved);
        let lane = Arc::new(Lane {
            ledger,
            target: shared.means.sender.policy().target(endpoint.url.as_str()),
            sender: shared.means.sender.clone(),
            clock: Arc::clone(&shared.clock),
            render: Arc::clone(&shared.means.render),
            idle: Arc::new(Idle::default()),
            mailer: shared.means.mailer.clone(),
            endpoint,
        });
        let saved_at = shared.clock.now();
        let not_before = Timestamp::default();
        Ok(Self { shared, changes, lane, aside, watch, not_before, saved, saved_at, unsaved: 0 })
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            match self.changes.has_changed() {
                Ok(true) => self.take_news().await?,
                Ok(false) => {}
                Err(_) => return Err(End::Over),
            }
            let now = self.shared.clock.now();
            if now < self.not_before {
                self.wait(self.not_before, false).await?;
                continue;
            }
            let due = self.aside.take_due(now, ROUND_CUSTOMERS, CUSTOMER_EVENTS);
            if !due.is_empty() {
                self.send_again(due).await?;
                continue;
            }
            let next = self.aside.next_at().unwrap_or(Timestamp::MAX);
            let has_room = self.aside.len() < ASIDE_MAX;
            self.wait(next, has_room).await?;
        }
    }

    /// Waits for events, for `until`, for a change of the endpoint, or for the time to store the cursor, and does what comes first.
    async fn wait(&mut self, until: Timestamp, for_events: bool) -> Result<(), End> {
        let save_at = self.saved_at.plus_seconds(SAVE_SECONDS);
        let has_moved = self.unsaved > 0 || self.watch.cursor() != self.saved;
        // Now and then also where nothing was to be sent: what was looked through need not be looked through again.
        let look_at = self.shared.clock.now().plus_seconds(LOOK_SECONDS);
        let wake = until.min(if has_moved { save_at } else { look_at });
        let clock = Arc::clone(&self.shared.clock);
        tokio::select! {
            changed = self.changes.changed() => match changed {
                Ok(()) => self.changes.mark_changed(),
                Err(_) => return Err(End::Over),
            },
            told = self.watch.next(), if for_events => match told {
                Ok(told) => self.send(told.unwrap_or_default()).await?,
                // It goes on from its cursor, and catches up by itself.
                Err(WatchError::TooSlow) => {
                    self.watch = new_watch(&self.shared, &self.lane.endpoint, self.watch.cursor());
                }
                Err(WatchError::Storage(error)) => return Err(error.into()),
            },
            () = clock.sleep_until(wake) => {}
        }
        let is_time = self.shared.clock.now() >= save_at || self.unsaved >= SAVE_EVENTS;
        let has_moved = self.unsaved > 0 || self.watch.cursor() != self.saved;
        if has_moved && is_time { self.save(&[], &[], None).await } else { Ok(()) }
    }

    /// Takes over what was changed about the endpoint.
    async fn take_news(&mut self) -> Result<(), End> {
        let endpoint = self.changes.borrow_and_update().clone();
        if endpoint.version == self.lane.endpoint.version {
            return Ok(());
        }
        self.save(&[], &[], None).await?;
        if endpoint.types != self.lane.endpoint.types {
            self.watch = new_watch(&self.shared, &endpoint, self.watch.cursor());
        }
        self.aside = load_aside(&self.shared, endpoint.id).await?;
        self.not_before = Timestamp::default();
        let Lane { ledger, sender, clock, render, mailer, .. } = &*self.lane;
        self.lane = Arc::new(Lane {
            target: sender.policy().target(endpoint.url.as_str()),
            endpoint,
            ledger: ledger.clone(),
            sender: sender.clone(),
            clock: Arc::clone(clock),
            render: Arc::clone(render),
            // The old ones lead to the old URL.
            idle: Arc::new(Idle::default()),
            mailer: mailer.clone(),
        });
        Ok(())
    }

    /// A round of new events. Those of a customer who has some aside wait behind them.
    async fn send(&mut self, mut told: Vec<Arc<Told>>) -> Result<(), End> {
        while told.len() < ROUND_EVENTS {
            match self.watch.ready() {
                Some(more) => told.extend(more),
                None => break,
            }
        }
        let mut put = Vec::new();
        let mut chains: Vec<Chain<()>> = Vec::new();
        let mut places: std::collections::HashMap<CustomerId, usize> = std::collections::HashMap::new();
        for told in told {
            if self.aside.has(&told.customer) {
                let delivery = new_delivery(self.lane.endpoint.id, &told);
                self.aside.push(delivery.clone());
                put.push(delivery);
                continue;
            }
            let place = *places.entry(told.customer.clone()).or_insert(chains.len());
            match chains.get_mut(place) {
                Some(chain) => chain.push((told, ())),
                None => chains.push(vec![(told, ())]),
            }
        }
        let count: usize = chains.iter().map(Vec::len).sum();
        let sent = self.courier_sends(chains).await;
        let mut accounted = 0_usize;
        let mut gone = None;
        for Sent { taken, failed, rest } in sent {
            accounted = accounted.saturating_add(taken.len()).saturating_add(rest.len());
            if let Some((told, (), failure)) = failed {
                accounted = accounted.saturating_add(1);
                let delivery = new_delivery(self.lane.endpoint.id, &told);
                let delivery = self.after(delivery, &failure);
                gone = gone.or(failure.is_gone().then_some(failure));
                put.push(delivery.clone());
                if delivery.dead_at.is_none() {
                    self.aside.push(delivery);
                }
            }
            for (told, ()) in rest {
                let delivery = new_delivery(self.lane.endpoint.id, &told);
                put.push(delivery.clone());
                self.aside.push(delivery);
            }
        }
        must_be_whole(accounted, count)?;
        self.unsaved = self.unsaved.saturating_add(count);
        if put.is_empty() { Ok(()) } else { self.save(&put, &[], gone.as_ref()).await }
    }

    /// Tries again what is due, each customer's events in their order.
    async fn send_again(&mut self, due: Vec<Vec<Delivery>>) -> Result<(), End> {
        let mut chains: Vec<Chain<Delivery>> = Vec::with_capacity(due.len());
        for deliveries in due {
            let mut chain = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                chain.push((self.find(&delivery).await?, delivery));
            }
            chains.push(chain);
        }
        let count: usize = chains.iter().map(Vec::len).sum();
        let sent = self.courier_sends(chains).await;
        let (mut put, mut remove, mut accounted, mut gone) = (Vec::new(), Vec::new(), 0_usize, None);
        for Sent { taken, failed, rest } in sent {
            accounted = accounted.saturating_add(taken.len()).saturating_add(rest.len());
            remove.extend(taken.iter().map(Delivery::at));
            let mut back = Vec::new();
            if let Some((_, delivery, failure)) = failed {
                accounted = accounted.saturating_add(1);
                let delivery = self.after(delivery, &failure);
                gone = gone.or(failure.is_gone().then_some(failure));
                put.push(delivery.clone());
                if delivery.dead_at.is_none() {
                    back.push(delivery);
                }
            }
            back.extend(rest.into_iter().map(|(_, delivery)| delivery));
            self.aside.put_back(back);
        }
        must_be_whole(accounted, count)?;
        self.save(&put, &remove, gone.as_ref()).await
    }

    /// What becomes of chains; nothing is known of those that the courier did not get done.
    async fn courier_sends<T: Send + 'static>(&self, chains: Vec<Chain<T>>) -> Vec<Sent<T>> {
        let sends = send_all(Arc::clone(&self.lane), chains);
        self.shared.means.courier.run(sends).await.unwrap_or_default()
    }

    /// The event of a delivery, read again from the feed.
    async fn find(&self, delivery: &Delivery) -> Result<Arc<Told>, StoreError> {
        let before = Position(delivery.position.0.saturating_sub(1));
        let store = &*self.shared.feeds.store;
        let page = read_page(store, self.lane.endpoint.ledger, before, 1).await?;
        let found = page.told.into_iter().find(|told| (told.position, told.index) == delivery.at());
        found.ok_or_else(|| StoreError::Damaged(format!("there is no event {}", delivery.event_id)))
    }

    /// A delivery after an attempt that failed: when it is tried again, or that it is given up.
    fn after(&mut self, delivery: Delivery, failure: &Failure) -> Delivery {
        let now = self.shared.clock.now();
        let attempts = delivery.attempts.saturating_add(1);
        // Without randomness what failed together comes together again; it is tried all the same.
        let random = clock::random().unwrap_or(100);
        let next_at = match failure.then {
            Then::GiveUp => None,
            Then::TryAgain | Then::Disable => next_attempt(now, attempts, failure.retry_after, random),
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

    /// Stores what was kept aside and taken from there, and how far the feed was read.
    async fn save(
        &mut self,
        put: &[Delivery],
        remove: &[(Position, u32)],
        gone: Option<&Failure>,
    ) -> Result<(), End> {
        let id = self.lane.endpoint.id;
        let cursor = self.watch.cursor();
        let mut tx = self.shared.rows.begin(self.shared.clock.now()).await?;
        let Some(mut endpoint) = tx.endpoint(id).await? else { return Err(End::Over) };
        if endpoint.holder != Some(self.shared.me) {
            return Err(End::Over);
        }
        (endpoint.done, endpoint.taken) = (cursor.done, cursor.taken);
        if let Some(gone) = gone {
            let reason = Text::parse(&format!("the endpoint answered {}", gone.error)).unwrap_or_default();
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
        if gone.is_some() { Err(End::Over) } else { Ok(()) }
    }
}

/// Whether each event of a round is known to be taken or not.
fn must_be_whole(accounted: usize, count: usize) -> Result<(), StoreError> {
    if accounted == count {
        return Ok(());
    }
    Err(StoreError::Failed("what became of some messages is not known; they are sent again".into()))
}

fn new_watch(shared: &Arc<Shared>, endpoint: &Endpoint, cursor: Cursor) -> Watch {
    let filter = Filter { customer: None, types: endpoint.types.clone() };
    Watch::new(&shared.feeds, endpoint.ledger, filter, cursor)
}

async fn load_aside(shared: &Shared, endpoint: Uuid) -> Result<Aside, StoreError> {
    let mut tx = shared.rows.begin(shared.clock.now()).await?;
    let deliveries = tx.deliveries(endpoint, false, None, usize::MAX).await?;
    tx.commit().await?;
    Ok(Aside::new(deliveries))
}

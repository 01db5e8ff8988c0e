//! An engine whose next calls are counted, one of which fails as the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use creditledger::ledger::alert::DefaultAlerts;
use creditledger::ledger::book::{Book, RequestScope};
use creditledger::ledger::card::{CardChange, CardRequest, Cards};
use creditledger::ledger::ids::WorkId;
use creditledger::ledger::work::Work;
use creditledger::ledger::{
    Credits, Customer, CustomerId, CustomerKey, Hold, HoldId, IncidentId, LedgerId, LedgerNo, LotId, OrderId,
    Profile, Request, RequestKey, Storefront, Timestamp,
};
use creditledger::store::orders::OrderStore;
use creditledger::store::webhooks::{Asked, AskedScope, Delivery, Endpoint, WebhookStore, WebhookTx};
use creditledger::store::{
    At, AuditStore, CardsChanged, ClassStats, ClassStatsFilter, CommitNotifier, DefaultAlertsSet, Engine,
    EngineClock, Erased, Gauges, HoldFilter, Ledger, LedgerCreated, LotFilter, NewDefaultAlerts, NewLedger,
    OwnedLot, Page, Position, ReadStore, Readable, RecordStore, Recorded, StoreError, StoreInfo, StoredToken,
    TokenCounts, TokenStore, TokenTx, WriteStore,
};
use tokio::sync::Mutex;
use uuid::Uuid;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Before,
    /// The database refuses a row of what is appended. Nothing is done.
    Refused,
    /// All of it is done. A commit says that its fate is unknown, and so does the process end on SQLite.
    After,
    /// All of it is done. The answer to a commit is lost, as it can be on PostgreSQL.
    Unanswered,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Before, Self::Refused, Self::After, Self::Unanswered];
}

/// The call that fails.
#[derive(Default)]
pub struct Plan {
    calls: AtomicU32,
    /// Its number from 1; 0 for none.
    at: AtomicU32,
    fault: std::sync::Mutex<Option<Fault>>,
}

impl Plan {
    /// The call with this number from now on fails.
    pub fn arm(&self, at: u32, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
        self.calls.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    /// No call fails any more; true where one has failed.
    pub fn disarm(&self) -> bool {
        let at = self.at.swap(0, Ordering::SeqCst);
        at > 0 && self.calls.load(Ordering::SeqCst) >= at
    }

    fn next(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call == self.at.load(Ordering::SeqCst) { *self.fault.lock().unwrap() } else { None }
    }

    async fn through<T>(
        &self,
        commits: bool,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(fault) = self.next() else { return call.await };
        let error = "a fault of the test".into();
        Err(match fault {
            Fault::Refused if commits => StoreError::Refused(error),
            Fault::Before | Fault::Refused => StoreError::Failed(error),
            Fault::After | Fault::Unanswered => {
                call.await?;
                match fault {
                    _ if !commits => StoreError::Failed(error),
                    Fault::Unanswered => StoreError::Unsure(error),
                    _ => StoreError::UnknownFate(error),
                }
            }
        })
    }
}

/// The parts of an engine, and the plan before them. They outlive the servers on them.
pub struct Faulty {
    pub plan: Arc<Plan>,
    writer: Arc<Mutex<Box<dyn WriteStore>>>,
    reader: Arc<dyn ReadStore>,
    pub audit: Arc<dyn AuditStore>,
    webhooks: Arc<dyn WebhookStore>,
    orders: Arc<dyn OrderStore>,
    tokens: Arc<dyn TokenStore>,
    records: Arc<dyn RecordStore>,
    notifier: CommitNotifier,
    clock: EngineClock,
}

impl Faulty {
    pub fn new(engine: Engine) -> Self {
        let Engine {
            mut writers,
            reader,
            audit,
            webhooks,
            orders,
            tokens,
            records,
            notifier,
            gauges: _,
            clock,
        } = engine;
        let writer = Arc::new(Mutex::new(writers.remove(0)));
        Self {
            plan: Arc::default(),
            writer,
            reader,
            audit,
            webhooks,
            orders,
            tokens,
            records,
            notifier,
            clock,
        }
    }

    /// An engine for the next server. Nothing of an earlier one is under way.
    pub async fn open(&self) -> Engine {
        self.writer.lock().await.abandon().await.unwrap();
        let plan = || Arc::clone(&self.plan);
        Engine {
            writers: vec![Box::new(Writes { plan: plan(), inner: Arc::clone(&self.writer) })],
            reader: Arc::new(Reads { plan: plan(), inner: Arc::clone(&self.reader) }),
            audit: Arc::clone(&self.audit),
            webhooks: Arc::new(Hooks { plan: plan(), inner: Arc::clone(&self.webhooks) }),
            orders: Arc::clone(&self.orders),
            records: Arc::clone(&self.records),
            tokens: Arc::new(Toks { plan: plan(), inner: Arc::clone(&self.tokens) }),
            notifier: self.notifier.clone(),
            gauges: Gauges::None,
            clock: self.clock.clone(),
        }
    }

    /// All that commands can have stored, past the plan.
    pub async fn stored(&self) -> String {
        let reader = &self.reader;
        let mut all = vec![format!("{:?}", reader.ledgers().await.unwrap())];
        all.push(format!("{:?}", reader.card_changes(0).await.unwrap().len()));
        for ledger in (0..3).map(|number| LedgerNo::new(number).unwrap()) {
            let feed = reader.feed(ledger, Position(0), 10_000).await.unwrap();
            all.extend(feed.items.iter().map(|recorded| recorded.posting.id.to_string()));
            all.push(format!("{:?}", reader.default_alerts(ledger).await.unwrap()));
        }
        let mut webhooks = self.webhooks.begin(creditledger::clock::now()).await.unwrap();
        all.push(format!("{:?}", webhooks.endpoints().await.unwrap()));
        all.push(format!("{:?}", webhooks.all_asked().await.unwrap()));
        webhooks.commit().await.unwrap();
        all.push(format!("{:?}", self.tokens.tokens(None, 100).await.unwrap()));
        all.join("\n")
    }
}

struct Writes {
    plan: Arc<Plan>,
    inner: Arc<Mutex<Box<dyn WriteStore>>>,
}

#[async_trait]
impl WriteStore for Writes {
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        let mut inner = self.inner.lock().await;
        let loaded = self.plan.through(false, inner.load(requests, clock, random, cards)).await;
        if loaded.is_err() {
            inner.abandon().await?;
        }
        loaded
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        let mut inner = self.inner.lock().await;
        let appended = self.plan.through(true, inner.append(book)).await;
        if appended.is_err() {
            inner.abandon().await?;
        }
        appended
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.inner.lock().await.abandon().await
    }

    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError> {
        self.plan.through(true, self.inner.lock().await.create_ledger(ledger, now)).await
    }

    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        self.plan.through(true, self.inner.lock().await.change_cards(request, now, cards)).await
    }

    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        self.plan.through(true, self.inner.lock().await.set_default_alerts(alerts, now)).await
    }

    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        self.plan.through(true, self.inner.lock().await.erase_words(ledger, customer, now)).await
    }

    /// Not counted: it comes after the answers.
    async fn tidy(&mut self) -> Result<(), StoreError> {
        self.inner.lock().await.tidy().await
    }

    /// The next server goes on with it.
    async fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Reads {
    plan: Arc<Plan>,
    inner: Arc<dyn ReadStore>,
}

macro_rules! reads {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl ReadStore for Reads {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.plan.through(false, self.inner.$name($($argument),*)).await
            })*
        }
    };
}

reads! {
    info() -> StoreInfo;
    ledgers() -> Vec<Ledger>;
    ledger(id: &LedgerId) -> Option<Ledger>;
    card_changes(after: u64) -> Vec<CardChange>;
    watermark(wanted: Timestamp, now: Timestamp) -> Timestamp;
    customer(key: CustomerKey) -> Option<Customer>;
    customers_by_key(keys: &[CustomerKey]) -> Vec<Customer>;
    profile(key: CustomerKey) -> Option<Profile>;
    profiles_by_key(keys: &[CustomerKey]) -> Vec<(CustomerKey, CustomerId, Profile)>;
    default_alerts(ledger: LedgerNo) -> Option<DefaultAlerts>;
    customers(ledger: LedgerNo, after: Option<&CustomerId>, limit: usize) -> Vec<(Customer, Profile)>;
    customers_due(now: Timestamp, limit: usize) -> Vec<(LedgerNo, CustomerId)>;
    posting_at(customer: CustomerKey, at: At) -> Option<Recorded>;
    postings_of(customer: CustomerKey, first: u64, last: u64) -> Page<Recorded, u64>;
    posting_by_request(scope: &RequestScope) -> Option<Recorded>;
    feed(ledger: LedgerNo, after: Position, limit: usize) -> Page<Recorded, Position>;
    counted_feed(ledger: LedgerNo, after: Position, limit: usize) -> Page<(Recorded, Timestamp), Position>;
    last_position(ledger: LedgerNo) -> Position;
    hold(ledger: LedgerNo, id: HoldId) -> Option<Arc<Hold>>;
    holds_of_incident(customer: CustomerKey, incident: &IncidentId) -> Vec<Arc<Hold>>;
    holds(ledger: LedgerNo, filter: &HoldFilter, before: Option<HoldId>, limit: usize) -> Page<Arc<Hold>, HoldId>;
    work(hold: HoldId, after: Option<WorkId>, limit: usize) -> Page<Arc<Work>, WorkId>;
    class_stats(filter: &ClassStatsFilter, after: Option<&str>, limit: usize) -> Vec<ClassStats>;
    lot(ledger: LedgerNo, id: LotId) -> Option<OwnedLot>;
    order(ledger: LedgerNo, storefront: &Storefront, order: &OrderId) -> Option<OwnedLot>;
    orders(ledger: LedgerNo, storefront: &Storefront, orders: &[&OrderId]) -> Vec<OwnedLot>;
    lots(ledger: LedgerNo, filter: &LotFilter, before: Option<LotId>, limit: usize) -> Page<OwnedLot, LotId>;
    trial_balance(ledger: LedgerNo) -> Vec<(String, Credits)>;
}

struct Hooks {
    plan: Arc<Plan>,
    inner: Arc<dyn WebhookStore>,
}

#[async_trait]
impl WebhookStore for Hooks {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        let inner = self.plan.through(false, self.inner.begin(now)).await?;
        Ok(Box::new(HooksTx { plan: Arc::clone(&self.plan), inner }))
    }

    async fn read(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        let inner = self.plan.through(false, self.inner.read(now)).await?;
        Ok(Box::new(HooksTx { plan: Arc::clone(&self.plan), inner }))
    }
}

struct HooksTx {
    plan: Arc<Plan>,
    inner: Box<dyn WebhookTx>,
}

macro_rules! hooks {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl WebhookTx for HooksTx {
            fn now(&self) -> Timestamp {
                self.inner.now()
            }

            $(async fn $name(&mut self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.plan.through(false, self.inner.$name($($argument),*)).await
            })*

            async fn commit(self: Box<Self>) -> Result<(), StoreError> {
                self.plan.through(true, self.inner.commit()).await
            }
        }
    };
}

hooks! {
    asked(scope: &AskedScope) -> Option<Asked>;
    put_asked(scope: &AskedScope, asked: Asked) -> ();
    endpoints() -> Vec<Endpoint>;
    endpoint(id: Uuid) -> Option<Endpoint>;
    peek_endpoint(id: Uuid) -> Option<Endpoint>;
    put_endpoint(endpoint: &Endpoint) -> ();
    delete_endpoint(id: Uuid) -> ();
    deliveries(
        endpoint: Uuid, dead: bool, after: Option<(Position, u32)>, limit: usize
    ) -> Vec<Delivery>;
    put_delivery(delivery: &Delivery) -> ();
    delete_delivery(endpoint: Uuid, at: (Position, u32)) -> ();
    relays() -> Vec<(Uuid, Timestamp)>;
    put_relay(relay: Uuid, there_until: Option<Timestamp>) -> ();
    all_asked() -> Vec<(AskedScope, Asked)>;
}

struct Toks {
    plan: Arc<Plan>,
    inner: Arc<dyn TokenStore>,
}

/// Reads are not counted: after a change the server looks at what it has stored, and answers whether it could or not.
#[async_trait]
impl TokenStore for Toks {
    async fn revision(&self) -> Result<u64, StoreError> {
        self.inner.revision().await
    }

    async fn tokens(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<StoredToken>>, StoreError> {
        self.inner.tokens(after, limit).await
    }

    async fn begin(&self, now: Timestamp) -> Result<Box<dyn TokenTx>, StoreError> {
        let inner = self.plan.through(false, self.inner.begin(now)).await?;
        Ok(Box::new(ToksTx { plan: Arc::clone(&self.plan), inner }))
    }
}

struct ToksTx {
    plan: Arc<Plan>,
    inner: Box<dyn TokenTx>,
}

macro_rules! toks {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl TokenTx for ToksTx {
            fn now(&self) -> Timestamp {
                self.inner.now()
            }

            $(async fn $name(&mut self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.plan.through(false, self.inner.$name($($argument),*)).await
            })*

            async fn commit(self: Box<Self>) -> Result<(), StoreError> {
                self.plan.through(true, self.inner.commit()).await
            }
        }
    };
}

toks! {
    raise_revision() -> ();
    token(id: Uuid) -> Option<StoredToken>;
    token_of(request: &RequestKey) -> Option<StoredToken>;
    counts() -> TokenCounts;
    put(token: &StoredToken) -> ();
    delete_dead(count: u64) -> ();
    used(id: Uuid, at: Timestamp) -> ();
}

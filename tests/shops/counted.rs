//! Stores that count what an order costs: reads of the ledger, transactions about kept orders, and their statements. Commits
//! about orders can be made to fail.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use creditledger::ledger::alert::DefaultAlerts;
use creditledger::ledger::book::RequestScope;
use creditledger::ledger::card::CardChange;
use creditledger::ledger::ids::WorkId;
use creditledger::ledger::work::Work;
use creditledger::ledger::{
    Credits, Customer, CustomerId, CustomerKey, Hold, HoldId, IncidentId, LedgerId, LedgerNo, LotId, OrderId,
    Profile, Storefront, Text, Timestamp,
};
use creditledger::store::orders::{KeptOrder, OrderStore, OrderTx, Room, StorefrontRoom, WithPayload};
use creditledger::store::{
    At, ClassStats, ClassStatsFilter, HoldFilter, Ledger, LotFilter, OwnedLot, Page, Position, ReadStore,
    Readable, Recorded, StoreError, StoreInfo, Unreadable,
};
use uuid::Uuid;

/// How the next commit about orders fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Nothing is stored.
    NotStored,
    /// All of it is.
    Stored,
}

#[derive(Debug, Default)]
pub struct Counts {
    reads: AtomicUsize,
    writing: AtomicUsize,
    statements: AtomicUsize,
    fails: Mutex<Option<Fails>>,
    /// Orders of which lists have only the id: the rest cannot be read.
    pub damaged: Arc<Mutex<BTreeSet<Uuid>>>,
}

/// What was counted since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Reads of the ledger.
    pub reads: usize,
    /// Transactions about kept orders that may write.
    pub writing: usize,
    /// Their statements, as engines see them.
    pub statements: usize,
}

impl Counts {
    pub fn take(&self) -> Cost {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        Cost { reads: take(&self.reads), writing: take(&self.writing), statements: take(&self.statements) }
    }

    /// The next commit about orders says that its fate is unknown.
    pub fn fail(&self, fails: Fails) {
        *self.fails.lock().unwrap() = Some(fails);
    }

    fn count(count: &AtomicUsize) {
        count.fetch_add(1, Ordering::SeqCst);
    }
}

pub fn counted_reads(inner: Arc<dyn ReadStore>, counts: &Arc<Counts>) -> Arc<dyn ReadStore> {
    Arc::new(Reads { counts: Arc::clone(counts), inner })
}

pub fn counted_orders(inner: Arc<dyn OrderStore>, counts: &Arc<Counts>) -> Arc<dyn OrderStore> {
    Arc::new(Orders { counts: Arc::clone(counts), inner })
}

struct Reads {
    counts: Arc<Counts>,
    inner: Arc<dyn ReadStore>,
}

macro_rules! reads {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl ReadStore for Reads {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                Counts::count(&self.counts.reads);
                self.inner.$name($($argument),*).await
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

struct Orders {
    counts: Arc<Counts>,
    inner: Arc<dyn OrderStore>,
}

#[async_trait]
impl OrderStore for Orders {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError> {
        Counts::count(&self.counts.writing);
        let inner = self.inner.begin(now).await?;
        Ok(Box::new(Tx { counts: Arc::clone(&self.counts), inner }))
    }

    async fn read(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError> {
        // What only reads is not counted.
        let counts = Counts { damaged: Arc::clone(&self.counts.damaged), ..Counts::default() };
        Ok(Box::new(Tx { counts: Arc::new(counts), inner: self.inner.read(now).await? }))
    }
}

struct Tx {
    counts: Arc<Counts>,
    inner: Box<dyn OrderTx>,
}

impl Tx {
    /// The rows of a list, of which some cannot be read.
    fn damaged(&self, mut rows: Vec<Readable<KeptOrder>>) -> Vec<Readable<KeptOrder>> {
        let damaged = self.counts.damaged.lock().unwrap();
        for row in &mut rows {
            let id = row.as_ref().unwrap().id;
            if damaged.contains(&id) {
                *row = Err(Unreadable { id, problem: "its storefront is none".to_owned() });
            }
        }
        rows
    }
}

macro_rules! statements {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl OrderTx for Tx {
            fn now(&self) -> Timestamp {
                self.inner.now()
            }

            $(async fn $name(&mut self, $($argument: $type),*) -> Result<$answer, StoreError> {
                Counts::count(&self.counts.statements);
                self.inner.$name($($argument),*).await
            })*

            async fn due(
                &mut self,
                until: Timestamp,
                limit: usize,
            ) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
                Counts::count(&self.counts.statements);
                let rows = self.inner.due(until, limit).await?;
                Ok(self.damaged(rows))
            }

            async fn waiting(
                &mut self,
                ledger: LedgerNo,
                storefront: Option<&Storefront>,
                after: Option<Uuid>,
                limit: usize,
            ) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
                Counts::count(&self.counts.statements);
                let rows = self.inner.waiting(ledger, storefront, after, limit).await?;
                Ok(self.damaged(rows))
            }

            async fn commit(self: Box<Self>) -> Result<(), StoreError> {
                let fails = self.counts.fails.lock().unwrap().take();
                if fails != Some(Fails::NotStored) {
                    self.inner.commit().await?;
                }
                fails.map_or(Ok(()), |_| Err(StoreError::UnknownFate("the disk is gone".into())))
            }
        }
    };
}

statements! {
    room(ledger: LedgerNo, storefront: &Storefront) -> Room;
    put_room(ledger: LedgerNo, storefront: &Storefront, room: Room) -> ();
    named(ledger: LedgerNo, storefront: &Storefront, names: &[Text]) -> Vec<KeptOrder>;
    orders(ledger: LedgerNo, ids: &[Uuid]) -> Vec<KeptOrder>;
    put(orders: &[KeptOrder]) -> ();
    delete(id: Uuid) -> ();
    payload(id: Uuid) -> Option<Vec<u8>>;
    put_payload(id: Uuid, payload: Option<&[u8]>) -> ();
    all(after: Option<Uuid>, limit: usize) -> Vec<WithPayload>;
    rooms() -> Vec<StorefrontRoom>;
}

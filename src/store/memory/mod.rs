//! The reference engine: maps in memory, the simplest thing that gives the right answers. For tests and trials; the
//! conformance suite holds the other engines to it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::stamps::Stamps;
use super::{
    AuditStore, CommitNotifier, Engine, EngineClock, Gauges, Ledger, Position, ReadStore, Recorded,
    StoredDefaultAlerts, Time,
};
use crate::ledger::book::{OrderScope, RequestScope};
use crate::ledger::card::CardChange;
use crate::ledger::unused::Unused;
use crate::ledger::work::Entries;
use crate::ledger::{
    Credits, Customer, CustomerKey, Hold, HoldId, LedgerId, LedgerNo, Lot, LotId, Profile, RequestKey,
    Timestamp,
};

mod audit;
mod clock;
mod orders;
mod read;
mod records;
mod tokens;
mod webhooks;
mod words;
mod write;

/// Everything there is.
#[derive(Debug, Default)]
struct State {
    ledgers: BTreeMap<LedgerNo, (Ledger, Option<RequestKey>)>,
    /// Each ledger's journal; position n is at n - 1.
    journal: BTreeMap<LedgerNo, Vec<Recorded>>,
    /// Each customer's share of it.
    histories: BTreeMap<CustomerKey, Vec<Recorded>>,
    customers: BTreeMap<CustomerKey, Customer>,
    profiles: BTreeMap<CustomerKey, Profile>,
    holds: BTreeMap<HoldId, Arc<Hold>>,
    work: Entries,
    lots: BTreeMap<LotId, (CustomerKey, Arc<Lot>)>,
    unused: BTreeMap<LotId, Unused>,
    requests: BTreeMap<RequestScope, Recorded>,
    orders: BTreeMap<OrderScope, Recorded>,
    accounts: BTreeMap<(LedgerNo, String), Credits>,
    card_changes: Vec<CardChange>,
    default_alerts: BTreeMap<LedgerNo, Vec<StoredDefaultAlerts>>,
}

/// An engine that forgets when the process ends. Clones share what is stored.
#[derive(Clone, Debug)]
pub struct Memory {
    state: Arc<RwLock<State>>,
    stamps: Stamps,
    growth: Arc<watch::Sender<u64>>,
    webhooks: webhooks::MemoryWebhooks,
    orders: orders::MemoryOrders,
    tokens: tokens::MemoryTokens,
    records: records::MemoryRecords,
    clock: clock::MemoryClock,
}

impl Memory {
    /// An empty database with its main ledger.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let main = Ledger { no: LedgerNo::MAIN, id: LedgerId::main(), created_at: now };
        let state = State { ledgers: BTreeMap::from([(main.no, (main, None))]), ..State::default() };
        Self {
            state: Arc::new(RwLock::new(state)),
            stamps: Stamps::default(),
            growth: Arc::default(),
            webhooks: webhooks::MemoryWebhooks::default(),
            orders: orders::MemoryOrders::default(),
            tokens: tokens::MemoryTokens::default(),
            records: records::MemoryRecords::default(),
            clock: clock::MemoryClock::default(),
        }
    }

    /// Its sides.
    pub fn engine(self) -> Engine {
        let reader = Arc::new(self.clone());
        let notifier = CommitNotifier::always_reachable(Arc::clone(&self.growth));
        Engine {
            webhooks: Arc::new(self.webhooks.clone()),
            orders: Arc::new(self.orders.clone()),
            tokens: Arc::new(self.tokens.clone()),
            records: Arc::new(self.records.clone()),
            clock: EngineClock {
                source: Time::Caller,
                watch: Arc::default(),
                rows: Arc::new(self.clock.clone()),
            },
            writers: vec![Box::new(self)],
            reader: Arc::clone(&reader) as Arc<dyn ReadStore>,
            audit: reader as Arc<dyn AuditStore>,
            notifier,
            gauges: Gauges::None,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// All that left a lot unused.
    fn unused(&self, lot: LotId) -> Unused {
        self.unused.get(&lot).copied().unwrap_or_default()
    }

    /// The changes of rate cards after a revision.
    fn card_changes_after(&self, after: u64) -> &[CardChange] {
        usize::try_from(after).ok().and_then(|after| self.card_changes.get(after..)).unwrap_or_default()
    }

    /// A customer's postings, oldest first.
    fn history(&self, customer: CustomerKey) -> impl DoubleEndedIterator<Item = &Recorded> {
        self.histories.get(&customer).into_iter().flatten()
    }

    fn last_position(&self, ledger: LedgerNo) -> Position {
        self.journal.get(&ledger).and_then(|journal| journal.last()).map_or(Position(0), |last| last.position)
    }
}

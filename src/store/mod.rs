//! What a storage engine can do, in terms of the core. One engine a folder; SQL stays inside them.
//!
//! An engine has two sides that never wait for each other: a [`WriteStore`] that one writer task owns, and a
//! [`ReadStore`] that any number of readers share.

use std::sync::Arc;

use async_trait::async_trait;

use crate::ledger::alert::DefaultAlerts;
use crate::ledger::book::{Book, RequestScope};
use crate::ledger::card::{CardChange, CardRequest, Cards};
use crate::ledger::ids::WorkId;
use crate::ledger::lot::{Lot, LotSource};
use crate::ledger::work::Work;
use crate::ledger::{
    ClassId, Credits, Customer, CustomerId, CustomerKey, Hold, HoldId, HoldState, IncidentId, LedgerId,
    LedgerNo, LotId, OrderId, Posting, PostingId, Profile, Request, RequestKey, Storefront, Timestamp,
};

pub mod alerts;
mod audit;
pub mod cards;
pub mod checks;
pub mod class_stats;
pub mod copy;
pub mod figures;
pub mod memory;
pub mod nets;
pub mod open;
pub mod postgres;
pub mod skew;
pub mod sqlite;
pub mod stamps;
pub mod stored;
pub mod usage;
pub mod webhooks;
pub mod words;

pub use alerts::{DefaultAlertsSet, NewDefaultAlerts, StoredDefaultAlerts};
pub use audit::{AuditStore, StoredCustomer, StoredHold, StoredLedger, StoredLot, StoredOrder, StoredWork};
pub use cards::CardsChanged;
pub use class_stats::{ClassStats, ClassStatsFilter};
pub use copy::{CopyStore, CopyTarget, check_urls, open_for_copy};
pub use figures::{Figures, open_figures};
pub use open::{
    CommitNotifier, Committed, Engine, ExclusiveLock, Isolation, Settings, Time, migrate, open,
    open_to_check, open_to_read, shown_url,
};
pub use words::Erased;

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be used as it is: newer schema, locked by another server, read-only. For start-up.
    #[error("{0}")]
    Unusable(String),
    /// The database refused a row that the core let through: a bug, for one command's sake. Nothing is stored; the
    /// writer runs the batch again one by one.
    #[error("the database refused a row: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading or writing failed. After a failed write nothing of the batch is stored.
    #[error("the database failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another server was in the way, or the connection was lost before the commit. Nothing is stored; the same batch
    /// may well succeed if it is run again.
    #[error("the database asks for another attempt: {0}")]
    Again(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another server stored a row with the same key in between. Nothing is stored; the next attempt reads that row.
    /// Where it keeps happening, it is [`StoreError::Refused`].
    #[error("a row with the same key exists: {0}")]
    Clash(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer to a commit was lost. The next attempt finds out with [`WriteStore::was_stored`].
    #[error("the answer to a commit was lost: {0}")]
    Unsure(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The commit failed in a way that leaves its fate open. The process must stop: only a restart finds out.
    #[error("the fate of a commit is unknown: {0}")]
    UnknownFate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database holds what this program did not write.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

/// A ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Its number in this database.
    pub no: LedgerNo,
    /// Its id.
    pub id: LedgerId,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What an engine says about itself and its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// Its name: `sqlite`, `postgres` or `memory`.
    pub engine: &'static str,
    /// The number of the newest migration that was applied; 0 where there are none.
    pub schema_version: u64,
    /// How many ledgers there are.
    pub ledgers: u64,
}

/// A ledger to be made.
#[derive(Clone, Debug)]
pub struct NewLedger {
    /// Its id.
    pub id: LedgerId,
    /// The id that makes the command repeatable.
    pub request: RequestKey,
}

/// What came of creating a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerCreated {
    /// It is there now, or was made by this very request before (`replayed`).
    Created {
        /// The ledger.
        ledger: Ledger,
        /// True for a repeat.
        replayed: bool,
    },
    /// It was made by another request.
    Exists,
    /// The request id made another ledger.
    RequestIdReused,
    /// The database has as many ledgers as it can number.
    TooMany,
}

/// A place in a ledger's feed: 1, 2, 3, ... without gaps. 0 is before the first: a posting that has no place yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A posting with its place in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place; 0 where it was committed a moment ago and has none yet. What a feed gives always has one.
    pub position: Position,
    /// The posting.
    pub posting: Arc<Posting>,
}

/// A writing side, owned by one writer task. `load` opens a transaction, `append` commits it.
#[async_trait]
pub trait WriteStore: Send {
    /// Opens a transaction and loads what the requests name: customers, earlier answers to the same request ids,
    /// holds, orders, and the watched holds of customers with something due or parked. The book's stamp is `clock`
    /// or just after the engine's last stamp, whichever is later. A fixed number of statements a command.
    ///
    /// `cards` is brought up to date first, where others have changed them: what is decided in the transaction knows
    /// every card that a hold which it sees can have pinned.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is closed.
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError>;

    /// Appends the book's journal, writes the touched rows, and commits durably.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored, unless the error says that the fate is unknown.
    async fn append(&mut self, book: &Book) -> Result<(), StoreError>;

    /// Inside the transaction that `load` opened: whether an earlier append of `book`, whose answer was lost, has been
    /// stored after all. `load` has waited for whatever held its customers, so the answer is final, except for
    /// customers that do not exist: for those a later append clashes.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is closed.
    async fn was_stored(&mut self, book: &Book) -> Result<bool, StoreError> {
        // Engines that never are unsure.
        let _ = book;
        Ok(false)
    }

    /// Closes the transaction and stores nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn abandon(&mut self) -> Result<(), StoreError>;

    /// Makes a ledger, in a transaction of its own.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError>;

    /// Adds a rate card or sets a default, in a transaction of its own, and brings `cards` up to date with it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError>;

    /// Sets the thresholds of a ledger's customers without their own, in a transaction of its own; the next batch is
    /// decided by them, on whichever server.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError>;

    /// Erases what was said about a customer, in a transaction of its own: texts of its postings that lie aside, and of
    /// the rows that repeat them. The journal, its checksums, balances and replay stay as they are. Nothing is erased of
    /// a customer that does not exist.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is erased.
    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError>;

    /// Housekeeping between batches, such as a checkpoint of the log. Called after every commit; cheap when there is
    /// nothing to do.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn tidy(&mut self) -> Result<(), StoreError>;

    /// Closes the engine's writing side in order; the last call.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn close(&mut self) -> Result<(), StoreError>;
}

/// A point in a customer's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The last posting with at most this sequence.
    Sequence(u64),
    /// The last posting at or before this position.
    Position(Position),
    /// The last posting recorded at or before this time.
    Time(Timestamp),
    /// The posting with this id.
    Posting(PostingId),
}

/// Which holds to list, newest first. Direct charges are left out unless asked for by `settled`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldFilter {
    /// Of one customer; of the whole ledger without.
    pub customer: Option<CustomerKey>,
    /// Of one incident.
    pub incident: Option<IncidentId>,
    /// In one of these states; any state where empty.
    pub states: Vec<HoldState>,
    /// Of one class.
    pub class: Option<ClassId>,
    /// Made at or after.
    pub from: Option<Timestamp>,
    /// Made before.
    pub until: Option<Timestamp>,
    /// Only what has a settlement, direct charges included.
    pub settled: bool,
}

/// Which lots to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LotFilter {
    /// Of one customer; of the whole ledger without.
    pub customer: Option<CustomerKey>,
    /// From one source.
    pub source: Option<LotSource>,
    /// Sold by one storefront.
    pub storefront: Option<Storefront>,
    /// Brought in at or after.
    pub from: Option<Timestamp>,
    /// Brought in before.
    pub until: Option<Timestamp>,
}

/// One page of a list. An engine bounds what it reads for a page, so a page may be short, even empty, while `next`
/// says where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    /// What matched.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// A page of at most `limit` of the items; where there is one more, the next page begins after the last.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, key: impl FnOnce(&T) -> K) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(key);
        Self { items, next }
    }
}

/// A lot with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedLot {
    /// Whose.
    pub customer: CustomerId,
    /// The facts; what is left stands with the customer.
    pub lot: Arc<Lot>,
}

/// The reading side: read-only, shared, each call one short read transaction.
#[async_trait]
pub trait ReadStore: Send + Sync {
    /// The engine, its schema, and how much there is in it: no cost that grows with the data.
    async fn info(&self) -> Result<StoreInfo, StoreError>;

    /// All ledgers, by number.
    async fn ledgers(&self) -> Result<Vec<Ledger>, StoreError>;

    /// One ledger: one indexed look-up.
    async fn ledger(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError>;

    /// The changes of rate cards after a revision, ascending.
    async fn card_changes(&self, after: u64) -> Result<Vec<CardChange>, StoreError>;

    /// A time at or before which nothing more will count, so that reads as of it never change: `wanted`, where that is
    /// possible by now. `now` is the caller's clock, which engines with one of their own do without.
    async fn watermark(&self, wanted: Timestamp, now: Timestamp) -> Result<Timestamp, StoreError>;

    /// One customer: one indexed look-up.
    async fn customer(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError>;

    /// Several customers, in no order; missing ones are left out.
    async fn customers_by_key(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError>;

    /// A customer's profile.
    async fn profile(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError>;

    /// The profiles of several customers, with their ids, in no order; missing ones are left out.
    async fn profiles_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError>;

    /// The thresholds of a ledger's customers without their own; `None` where none were ever set.
    async fn default_alerts(&self, ledger: LedgerNo) -> Result<Option<DefaultAlerts>, StoreError>;

    /// Customers of a ledger by id, those after `after`.
    async fn customers(
        &self,
        ledger: LedgerNo,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<(Customer, Profile)>, StoreError>;

    /// Keys and ids of customers for whom something may have fallen due by `now`, at most `limit`.
    async fn customers_due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError>;

    /// A customer's posting at a point of its history; a logarithmic number of reads.
    async fn posting_at(&self, customer: CustomerKey, at: At) -> Result<Option<Recorded>, StoreError>;

    /// A customer's postings with sequences `first..=last`, ascending; callers bound the range.
    async fn postings_of(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// The posting that answered a request.
    async fn posting_by_request(&self, scope: &RequestScope) -> Result<Option<Recorded>, StoreError>;

    /// A ledger's postings after a position, ascending.
    async fn feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// As [`ReadStore::feed`], with the time from which each posting counts in reads as of a time. Along the feed these
    /// rise but for what was committed at the same time, within seconds.
    async fn counted_feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Recorded, Timestamp)>, StoreError> {
        // Engines with one writer: a posting counts from when it was recorded.
        let feed = self.feed(ledger, after, limit).await?;
        Ok(feed.into_iter().map(|recorded| (recorded.clone(), recorded.posting.recorded_at)).collect())
    }

    /// The last position of a ledger.
    async fn last_position(&self, ledger: LedgerNo) -> Result<Position, StoreError>;

    /// One hold of a ledger.
    async fn hold(&self, ledger: LedgerNo, id: HoldId) -> Result<Option<Arc<Hold>>, StoreError>;

    /// All holds of a customer's incident, oldest first, direct charges included.
    async fn holds_of_incident(
        &self,
        customer: CustomerKey,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, StoreError>;

    /// Holds newest first, from before `before` on.
    async fn holds(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError>;

    /// A hold's entries of work in the order of recording, voided ones included, those after `after`.
    async fn work(
        &self,
        hold: HoldId,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<Page<Arc<Work>, WorkId>, StoreError>;

    /// What the settled incidents of each class were estimated at and charged, by class, those after `after`. Incidents
    /// without a class come first, and their class is the empty text. One statement over any amount of history.
    async fn class_stats(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError>;

    /// One lot of a ledger.
    async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError>;

    /// The lot that an order brought in.
    async fn order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError>;

    /// The lots that these orders brought in, in no order; missing ones are left out. Callers bound their number.
    async fn orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError>;

    /// Lots newest first, from before `before` on.
    async fn lots(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError>;

    /// Balances by account name, customers' accounts summed, in one consistent read; they sum to zero. Those in money
    /// ([`crate::ledger::money::MoneyPlace`]) count in their currency's smallest unit.
    async fn trial_balance(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError>;
}

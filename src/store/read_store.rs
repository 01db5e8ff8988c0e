//! What the reading side of an engine can do: look-ups, lists and feeds.

use std::sync::Arc;

use async_trait::async_trait;

use super::class_stats::{ClassStats, ClassStatsFilter};
use super::error::StoreError;
use super::recorded::{Ledger, Position, Recorded};
use crate::ledger::alert::DefaultAlerts;
use crate::ledger::book::RequestScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::lot::{Lot, LotSource};
use crate::ledger::unused::Unused;
use crate::ledger::work::Work;
use crate::ledger::{
    ClassId, Credits, Customer, CustomerId, CustomerKey, Hold, HoldId, HoldState, IncidentId, LedgerId,
    LedgerNo, LotId, OrderId, PostingId, Profile, Storefront, Timestamp,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// `sqlite`, `postgres` or `memory`.
    pub engine: &'static str,
    /// The newest migration that was applied; 0 where there are none.
    pub schema_version: u64,
    pub ledgers: u64,
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

/// Which holds to list, newest first. Direct charges are left out unless `settled` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldFilter {
    /// One customer's; `None` for the whole ledger.
    pub customer: Option<CustomerKey>,
    pub incident: Option<IncidentId>,
    /// Any state where empty.
    pub states: Vec<HoldState>,
    pub class: Option<ClassId>,
    /// Made at or after this time.
    pub from: Option<Timestamp>,
    /// Made before this time.
    pub until: Option<Timestamp>,
    /// Only holds with a settlement, direct charges included.
    pub settled: bool,
}

/// Which lots to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LotFilter {
    /// One customer's; `None` for the whole ledger.
    pub customer: Option<CustomerKey>,
    pub source: Option<LotSource>,
    pub storefront: Option<Storefront>,
    /// Added at or after this time.
    pub from: Option<Timestamp>,
    /// Added before this time.
    pub until: Option<Timestamp>,
}

/// The encoded postings, with their texts, that one read takes in: a reader's memory is bounded by this, whatever the
/// rows hold. The posting that reaches it is the last one.
pub const READ_BYTES_MAX: usize = 2 << 20;

/// One page of a list. An engine bounds the rows that it reads for a page. So a page may be short, even empty,
/// although `next` says that the list continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    pub items: Vec<T>,
    /// The key after which the next page begins; `None` at the end.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// A page that was read to the end where it has fewer than `limit` items and fewer bytes than [`READ_BYTES_MAX`].
    pub(crate) fn weighed(items: Vec<(T, usize)>, limit: usize, key: impl FnOnce(&T) -> K) -> Self {
        let bytes = items.iter().fold(0_usize, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let goes_on = items.len() >= limit || bytes >= READ_BYTES_MAX;
        let items: Vec<T> = items.into_iter().map(|(item, _)| item).collect();
        let next = items.last().filter(|_| goes_on).map(key);
        Self { items, next }
    }

    /// Cuts `items` to `limit`. Where there are more, the next page begins after the last one kept.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, key: impl FnOnce(&T) -> K) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(key);
        Self { items, next }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedLot {
    pub customer: CustomerId,
    /// The facts that never change; the credits left are stored with the customer.
    pub lot: Arc<Lot>,
    /// All that left it unused.
    pub unused: Unused,
}

/// The reading side: read-only and shared. Each call is one short read transaction.
#[async_trait]
pub trait ReadStore: Send + Sync {
    /// The engine, its schema version and the number of ledgers. The cost does not grow with the data.
    async fn info(&self) -> Result<StoreInfo, StoreError>;

    /// All ledgers, by number.
    async fn ledgers(&self) -> Result<Vec<Ledger>, StoreError>;

    /// One indexed look-up.
    async fn ledger(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError>;

    /// The changes of rate cards after a revision, ascending.
    async fn card_changes(&self, after: u64) -> Result<Vec<CardChange>, StoreError>;

    /// The latest time, at most `wanted`, up to which reads as of a time never change. Engines with a clock of their
    /// own ignore `now`, the caller's clock.
    async fn watermark(&self, wanted: Timestamp, now: Timestamp) -> Result<Timestamp, StoreError>;

    /// One indexed look-up.
    async fn customer(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError>;

    /// Several customers, in no particular order; missing ones are left out.
    async fn customers_by_key(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError>;

    async fn profile(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError>;

    /// The profiles of several customers with their ids, in no particular order; missing ones are left out.
    async fn profiles_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError>;

    /// The ledger's default thresholds; `None` where none were ever set.
    async fn default_alerts(&self, ledger: LedgerNo) -> Result<Option<DefaultAlerts>, StoreError>;

    /// Customers of a ledger after the id `after`, in the order of ids.
    async fn customers(
        &self,
        ledger: LedgerNo,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<(Customer, Profile)>, StoreError>;

    /// Keys and ids of at most `limit` customers for whom something may have fallen due by `now`.
    async fn customers_due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError>;

    /// A customer's posting at a point of its history. The number of reads is logarithmic in the number of postings.
    async fn posting_at(&self, customer: CustomerKey, at: At) -> Result<Option<Recorded>, StoreError>;

    /// A customer's postings with sequences `first..=last`, ascending: as many as come to [`READ_BYTES_MAX`], at least
    /// one. The caller bounds the range.
    async fn postings_of(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Page<Recorded, u64>, StoreError>;

    /// The posting that answered a request.
    async fn posting_by_request(&self, scope: &RequestScope) -> Result<Option<Recorded>, StoreError>;

    /// A ledger's postings after a position, ascending: at most `limit`, and as many as come to [`READ_BYTES_MAX`], at
    /// least one. Without `next` it was read to its end.
    async fn feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError>;

    /// Like [`ReadStore::feed`], with the time from which each posting counts in reads as of a time. These times rise
    /// along the feed, except that commits of the same few seconds may be out of order.
    async fn counted_feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<(Recorded, Timestamp), Position>, StoreError> {
        // Engines with one writer: a posting counts from the time when it was recorded.
        let Page { items, next } = self.feed(ledger, after, limit).await?;
        let counted = |recorded: Recorded| (recorded.clone(), recorded.posting.recorded_at);
        Ok(Page { items: items.into_iter().map(counted).collect(), next })
    }

    async fn last_position(&self, ledger: LedgerNo) -> Result<Position, StoreError>;

    async fn hold(&self, ledger: LedgerNo, id: HoldId) -> Result<Option<Arc<Hold>>, StoreError>;

    /// All holds of a customer's incident, oldest first, direct charges included.
    async fn holds_of_incident(
        &self,
        customer: CustomerKey,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, StoreError>;

    /// Holds, newest first, made before `before`.
    async fn holds(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError>;

    /// A hold's entries of work after `after`, in the order of recording, voided ones included.
    async fn work(
        &self,
        hold: HoldId,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<Page<Arc<Work>, WorkId>, StoreError>;

    /// Statistics of the settled incidents by class, for classes after `after`. Incidents without a class come first;
    /// their class is the empty text. One statement over any amount of history.
    async fn class_stats(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError>;

    async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError>;

    /// The lot that an order added.
    async fn order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError>;

    /// The lots that these orders added, in no particular order; missing ones are left out. The caller bounds their
    /// number.
    async fn orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError>;

    /// Lots, newest first, added before `before`.
    async fn lots(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError>;

    /// Balances by account name, with all customers' accounts summed, from one consistent read. They sum to zero.
    /// Balances in money ([`crate::ledger::money::MoneyPlace`]) are in the currency's smallest unit.
    async fn trial_balance(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError>;
}

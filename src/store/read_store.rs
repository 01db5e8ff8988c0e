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
use crate::ledger::work::Work;
use crate::ledger::{
    ClassId, Credits, Customer, CustomerId, CustomerKey, Hold, HoldId, HoldState, IncidentId, LedgerId,
    LedgerNo, LotId, OrderId, PostingId, Profile, Storefront, Timestamp,
};

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

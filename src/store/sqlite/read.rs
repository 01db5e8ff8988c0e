//! The reading side: a pool of read-only connections. Each call is one statement, or a few over rows that never
//! change, so that no read transaction lives long enough to hold up a checkpoint.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;

use crate::ledger::alert::DefaultAlerts;
use crate::ledger::book::RequestScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::work::Work;
use crate::ledger::{
    Credits, Customer, CustomerId, CustomerKey, Hold, HoldId, IncidentId, LedgerId, LedgerNo, LotId, OrderId,
    Profile, Storefront, Timestamp,
};
use crate::store::class_stats::{ClassStats, ClassStatsFilter};
use crate::store::stamps::Stamps;
use crate::store::{
    At, HoldFilter, Ledger, LotFilter, OwnedLot, Page, Position, ReadStore, Recorded, StoreError, StoreInfo,
};

/// Rows that one page of a list reads at most: about 5 ms of one connection. A rare filter gives short pages.
pub(super) const ROWS_PER_PAGE_MAX: i64 = 5_000;

/// The reading side of a SQLite database.
#[derive(Clone, Debug)]
pub struct SqliteReader {
    pub(super) pool: SqlitePool,
    stamps: Stamps,
}

impl SqliteReader {
    pub(super) const fn new(pool: SqlitePool, stamps: Stamps) -> Self {
        Self { pool, stamps }
    }
}

#[async_trait]
impl ReadStore for SqliteReader {
    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store_info().await
    }

    async fn ledger(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError> {
        self.ledger_by_id(id).await
    }

    async fn ledgers(&self) -> Result<Vec<Ledger>, StoreError> {
        Ok(self.ledger_rows().await?.into_iter().map(|stored| stored.ledger).collect())
    }

    async fn card_changes(&self, after: u64) -> Result<Vec<CardChange>, StoreError> {
        self.card_changes_after(after).await
    }

    async fn class_stats(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError> {
        self.stats_of_classes(filter, after, limit).await
    }

    async fn watermark(&self, wanted: Timestamp, now: Timestamp) -> Result<Timestamp, StoreError> {
        Ok(self.stamps.watermark(wanted.min(now)))
    }

    async fn customer(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError> {
        self.customer_by_key(key).await
    }

    async fn customers_by_key(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError> {
        self.customers_of_keys(keys).await
    }

    async fn profile(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError> {
        self.profile_of(key).await
    }

    async fn profiles_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError> {
        self.profiles_of_keys(keys).await
    }

    async fn default_alerts(&self, ledger: LedgerNo) -> Result<Option<DefaultAlerts>, StoreError> {
        self.default_alerts_of(ledger).await
    }

    async fn customers(
        &self,
        ledger: LedgerNo,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<(Customer, Profile)>, StoreError> {
        self.customers_after(ledger, after, limit).await
    }

    async fn customers_due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError> {
        self.customers_due_by(now, limit).await
    }

    async fn posting_at(&self, customer: CustomerKey, at: At) -> Result<Option<Recorded>, StoreError> {
        self.posting_back_to(customer, at).await
    }

    async fn postings_of(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.postings_between(customer, first, last).await
    }

    async fn posting_by_request(&self, scope: &RequestScope) -> Result<Option<Recorded>, StoreError> {
        self.posting_of_request(scope).await
    }

    async fn feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.feed_after(ledger, after, limit).await
    }

    async fn last_position(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.last_position_of(ledger).await
    }

    async fn hold(&self, ledger: LedgerNo, id: HoldId) -> Result<Option<Arc<Hold>>, StoreError> {
        self.hold_by_id(ledger, id).await
    }

    async fn holds_of_incident(
        &self,
        customer: CustomerKey,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, StoreError> {
        self.incident_of(customer, incident).await
    }

    async fn holds(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        self.hold_page(ledger, filter, before, limit).await
    }

    async fn work(
        &self,
        hold: HoldId,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<Page<Arc<Work>, WorkId>, StoreError> {
        self.work_page(hold, after, limit).await
    }

    async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError> {
        self.lot_by_id(ledger, id).await
    }

    async fn order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        self.lot_of_order(ledger, storefront, order).await
    }

    async fn orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError> {
        self.lots_of_orders(ledger, storefront, orders).await
    }

    async fn lots(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        self.lot_page(ledger, filter, before, limit).await
    }

    async fn trial_balance(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError> {
        self.balances_of(ledger).await
    }
}

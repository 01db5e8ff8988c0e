//! The reading side: a pool of read-only connections. Each call is one statement, or a few over rows that never
//! change; what must be of one moment is one statement.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Executor as _;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::connect::{Address, prepare, refuse_read_only};
use super::errors::timed_out;
use super::sequencer::Sequencer;
use super::tend::Tending;
use super::{READERS_MAX, cards, read_customers, read_postings};
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
use crate::store::{
    At, HoldFilter, Ledger, LotFilter, OwnedLot, Page, Position, ReadStore, Recorded, StoreError, StoreInfo,
};

/// Rows that one page of a list reads at most, so that no filter keeps a connection long. A rare filter gives short
/// pages.
pub(super) const ROWS_PER_PAGE_MAX: i64 = 5_000;
/// How long a reader waits for a connection, be it a free one or a new one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than any statement may take: the server would have said so by then, were it there.
const READ_TIMEOUT: Duration = Duration::from_secs(35);
/// After a fail-over, connections to what is no longer the main server go away by themselves.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(30);

/// The reading side of a PostgreSQL database.
#[derive(Debug)]
pub struct PgReader {
    address: Arc<Address>,
    pool: RwLock<PgPool>,
    sequencer: Arc<Sequencer>,
    /// Goes on for as long as somebody may read.
    _tending: Tending,
}

impl PgReader {
    /// A pool that connects when it is asked for something: a database that cannot be reached now may be later.
    pub(super) fn new(address: Arc<Address>, sequencer: Arc<Sequencer>, tending: Tending) -> Self {
        let pool = RwLock::new(new_pool(&address));
        Self { address, pool, sequencer, _tending: tending }
    }

    pub(super) fn pool(&self) -> PgPool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for what is read, but not for ever: a machine that goes away without a word leaves connections that nothing
    /// comes back on, and neither the driver nor its pool gives them up. Then a new pool takes the place of the one that
    /// they belong to.
    async fn bounded<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if let Ok(done) = tokio::time::timeout(READ_TIMEOUT, read).await {
            return done;
        }
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = new_pool(&self.address);
        Err(timed_out("a read"))
    }
}

fn new_pool(address: &Address) -> PgPool {
    PgPoolOptions::new()
        .min_connections(0)
        .max_connections(READERS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(CONNECTION_AGE_MAX)
        .after_connect(|connection, _| {
            Box::pin(async move {
                prepare(connection).await?;
                refuse_read_only(connection).await?;
                connection.execute("SET default_transaction_read_only = on").await.map(drop)
            })
        })
        .connect_lazy_with(address.options())
}

#[async_trait]
impl ReadStore for PgReader {
    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.bounded(self.store_info()).await
    }

    async fn ledger(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError> {
        self.bounded(self.ledger_by_id(id)).await
    }

    async fn ledgers(&self) -> Result<Vec<Ledger>, StoreError> {
        let rows = self.bounded(async { read_customers::ledger_rows(&self.pool()).await }).await?;
        Ok(rows.into_iter().map(|(ledger, _)| ledger).collect())
    }

    async fn card_changes(&self, after: u64) -> Result<Vec<CardChange>, StoreError> {
        let pool = self.pool();
        self.bounded(cards::changes(&pool, after)).await
    }

    async fn class_stats(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError> {
        self.bounded(self.stats_of_classes(filter, after, limit)).await
    }

    async fn watermark(&self, wanted: Timestamp, _now: Timestamp) -> Result<Timestamp, StoreError> {
        self.sequencer.watermark(wanted).await
    }

    async fn customer(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError> {
        self.bounded(self.customer_by_key(key)).await
    }

    async fn customers_by_key(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError> {
        self.bounded(self.customers_of_keys(keys)).await
    }

    async fn profile(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError> {
        self.bounded(self.profile_of(key)).await
    }

    async fn profiles_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError> {
        self.bounded(self.profiles_of_keys(keys)).await
    }

    async fn default_alerts(&self, ledger: LedgerNo) -> Result<Option<DefaultAlerts>, StoreError> {
        self.bounded(self.default_alerts_of(ledger)).await
    }

    async fn customers(
        &self,
        ledger: LedgerNo,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<(Customer, Profile)>, StoreError> {
        self.bounded(self.customers_after(ledger, after, limit)).await
    }

    async fn customers_due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError> {
        self.bounded(self.customers_due_by(now, limit)).await
    }

    async fn posting_at(&self, customer: CustomerKey, at: At) -> Result<Option<Recorded>, StoreError> {
        if let At::Time(time) = at {
            // What is not placed yet counts from just after the watermark, so that must be as late as it can be.
            self.sequencer.watermark(time).await?;
        }
        self.bounded(self.posting_back_to(customer, at)).await
    }

    async fn postings_of(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.bounded(self.postings_between(customer, first, last)).await
    }

    async fn posting_by_request(&self, scope: &RequestScope) -> Result<Option<Recorded>, StoreError> {
        self.bounded(self.posting_of_request(scope)).await
    }

    async fn feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        // A reader never misses what it was told of: everything committed before this call has its place first.
        self.sequencer.catch_up().await?;
        self.bounded(async { read_postings::feed_after(&self.pool(), ledger, after, limit).await }).await
    }

    async fn counted_feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Recorded, Timestamp)>, StoreError> {
        self.sequencer.catch_up().await?;
        self.bounded(self.counted_feed_after(ledger, after, limit)).await
    }

    async fn last_position(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.sequencer.catch_up().await?;
        self.bounded(self.last_position_of(ledger)).await
    }

    async fn hold(&self, ledger: LedgerNo, id: HoldId) -> Result<Option<Arc<Hold>>, StoreError> {
        self.bounded(self.hold_by_id(ledger, id)).await
    }

    async fn holds_of_incident(
        &self,
        customer: CustomerKey,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, StoreError> {
        self.bounded(self.incident_of(customer, incident)).await
    }

    async fn holds(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        self.bounded(self.hold_page(ledger, filter, before, limit)).await
    }

    async fn work(
        &self,
        hold: HoldId,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<Page<Arc<Work>, WorkId>, StoreError> {
        self.bounded(self.work_page_of(hold, after, limit)).await
    }

    async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError> {
        self.bounded(self.lot_by_id(ledger, id)).await
    }

    async fn order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        self.bounded(self.lot_of_order(ledger, storefront, order)).await
    }

    async fn orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError> {
        self.bounded(self.lots_of_orders(ledger, storefront, orders)).await
    }

    async fn lots(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        self.bounded(self.lot_page(ledger, filter, before, limit)).await
    }

    async fn trial_balance(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError> {
        self.bounded(self.balances_of(ledger)).await
    }
}

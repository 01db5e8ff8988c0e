//! The reading side of every engine with SQL: each call lends one connection to its statements.

use std::sync::Arc;

use async_trait::async_trait;

use super::database::{Database, Dialect, ReadDatabase, Sql};
use super::{alerts, cards, class_stats, customers, holds, ledgers, lots, postings, work};
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
use crate::store::error::StoreError;
use crate::store::read_store::{At, HoldFilter, LotFilter, OwnedLot, Page, ReadStore, StoreInfo};
use crate::store::recorded::{Ledger, Position, Recorded};

#[derive(Debug)]
pub struct SqlReader<D>(pub D);

type DialectOf<D> = <<D as Database>::Connection as Sql>::Dialect;

fn raw(keys: &[CustomerKey]) -> Vec<i64> {
    keys.iter().map(|key| key.raw()).collect()
}

#[async_trait]
impl<D: ReadDatabase> ReadStore for SqlReader<D> {
    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.0.run(|sql| Box::pin(ledgers::info(sql))).await
    }

    async fn ledger(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError> {
        let id = id.clone();
        self.0.run(|sql| Box::pin(ledgers::by_id(sql, id))).await
    }

    async fn ledgers(&self) -> Result<Vec<Ledger>, StoreError> {
        self.0.run(|sql| Box::pin(ledgers::all(sql))).await
    }

    async fn card_changes(&self, after: u64) -> Result<Vec<CardChange>, StoreError> {
        self.0.run(move |sql| Box::pin(cards::changes(sql, after))).await
    }

    async fn class_stats(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError> {
        let (filter, after) = (filter.clone(), after.map(str::to_owned));
        self.0.run(move |sql| Box::pin(class_stats::list(sql, filter, after, limit))).await
    }

    async fn watermark(&self, wanted: Timestamp, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.0.watermark(wanted, now).await
    }

    async fn customer(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError> {
        self.0.run(move |sql| Box::pin(customers::by_key(sql, key))).await
    }

    async fn customers_by_key(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError> {
        let keys = raw(keys);
        self.0.run(|sql| Box::pin(customers::by_keys(sql, keys))).await
    }

    async fn profile(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError> {
        self.0.run(move |sql| Box::pin(customers::profile(sql, key))).await
    }

    async fn profiles_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError> {
        let keys = raw(keys);
        self.0.run(|sql| Box::pin(customers::profiles(sql, keys))).await
    }

    async fn default_alerts(&self, ledger: LedgerNo) -> Result<Option<DefaultAlerts>, StoreError> {
        self.0.run(move |sql| Box::pin(alerts::of_ledger(sql, ledger))).await
    }

    async fn customers(
        &self,
        ledger: LedgerNo,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<(Customer, Profile)>, StoreError> {
        let after = after.cloned();
        self.0.run(move |sql| Box::pin(customers::list(sql, ledger, after, limit))).await
    }

    async fn customers_due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError> {
        self.0.run(move |sql| Box::pin(customers::due(sql, now, limit))).await
    }

    async fn posting_at(&self, customer: CustomerKey, at: At) -> Result<Option<Recorded>, StoreError> {
        if let At::Time(time) = at {
            self.0.reach(time).await?;
        }
        self.0.run(move |sql| Box::pin(DialectOf::<D>::posting_at(sql, customer, at))).await
    }

    async fn postings_of(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Page<Recorded, u64>, StoreError> {
        self.0.run(move |sql| Box::pin(postings::postings_of(sql, customer, first, last))).await
    }

    async fn posting_by_request(&self, scope: &RequestScope) -> Result<Option<Recorded>, StoreError> {
        let scope = scope.clone();
        self.0.run(|sql| Box::pin(postings::by_request(sql, scope))).await
    }

    async fn feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError> {
        // Everything committed before this call gets its place first, so a reader finds every commit that was
        // announced to it.
        self.0.place_all().await?;
        self.0.run(move |sql| Box::pin(postings::feed(sql, ledger, after, limit))).await
    }

    async fn counted_feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<(Recorded, Timestamp), Position>, StoreError> {
        self.0.place_all().await?;
        self.0.run(move |sql| Box::pin(postings::counted_feed(sql, ledger, after, limit))).await
    }

    async fn last_position(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.0.place_all().await?;
        self.0.run(move |sql| Box::pin(postings::last_position(sql, ledger))).await
    }

    async fn hold(&self, ledger: LedgerNo, id: HoldId) -> Result<Option<Arc<Hold>>, StoreError> {
        self.0.run(move |sql| Box::pin(holds::by_id(sql, ledger, id))).await
    }

    async fn holds_of_incident(
        &self,
        customer: CustomerKey,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, StoreError> {
        let incident = incident.clone();
        self.0.run(move |sql| Box::pin(holds::of_incident(sql, customer, incident))).await
    }

    async fn holds(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        let filter = filter.clone();
        self.0.run(move |sql| Box::pin(DialectOf::<D>::hold_page(sql, ledger, filter, before, limit))).await
    }

    async fn work(
        &self,
        hold: HoldId,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<Page<Arc<Work>, WorkId>, StoreError> {
        self.0.run(move |sql| Box::pin(work::page(sql, hold, after, limit))).await
    }

    async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError> {
        self.0.run(move |sql| Box::pin(lots::by_id(sql, ledger, id))).await
    }

    async fn order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        let (storefront, order) = (storefront.clone(), order.clone());
        self.0.run(move |sql| Box::pin(lots::of_order(sql, ledger, storefront, order))).await
    }

    async fn orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError> {
        let storefront = storefront.clone();
        let orders = orders.iter().map(|order| (*order).clone()).collect();
        self.0.run(move |sql| Box::pin(lots::of_orders(sql, ledger, storefront, orders))).await
    }

    async fn lots(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        let filter = filter.clone();
        self.0.run(move |sql| Box::pin(DialectOf::<D>::lot_page(sql, ledger, filter, before, limit))).await
    }

    async fn trial_balance(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError> {
        self.0.run(move |sql| Box::pin(customers::balances(sql, ledger))).await
    }
}

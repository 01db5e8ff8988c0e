//! Reading every row as it is stored, for `verify`.

use async_trait::async_trait;

use super::failed;
use super::read::SqliteReader;
use super::rows::{count_of, customer_id_of, damaged, ledger_no_of, limit_of, uuid_of};
use crate::ledger::book::OrderScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::{
    Balances, Credits, CustomerKey, HoldId, LedgerNo, LotId, OrderId, PostingId, Storefront, Timestamp,
};
use crate::store::{
    AuditStore, Position, Recorded, StoreError, StoredCustomer, StoredHold, StoredLedger, StoredLot,
    StoredOrder, StoredWork,
};

type CustomerColumns = (i64, i64, String, i64, i64, i64, i64, Option<i64>, Vec<u8>, Option<Vec<u8>>);

#[async_trait]
impl AuditStore for SqliteReader {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.check_itself().await
    }

    async fn stored_ledgers(&self) -> Result<Vec<StoredLedger>, StoreError> {
        self.ledger_rows().await
    }

    async fn stored_card_changes(&self) -> Result<Vec<CardChange>, StoreError> {
        self.card_changes_after(0).await
    }

    async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.feed_after(ledger, after, limit).await
    }

    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.last_position_of(ledger).await
    }

    async fn stored_customers(
        &self,
        after: Option<CustomerKey>,
        limit: usize,
    ) -> Result<Vec<StoredCustomer>, StoreError> {
        // A key is a hash, so any 64-bit number: the first page must not begin after the lowest one.
        let rows: Vec<CustomerColumns> = sqlx::query_as(
            "SELECT c.customer, c.ledger_no, c.customer_id, c.sequence, c.available, c.held, c.owed, c.next_due,
                    c.state, p.profile
             FROM customer c
             LEFT JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
             WHERE c.customer >= ?
               AND c.customer IS NOT ?
             ORDER BY c.customer
             LIMIT ?",
        )
        .bind(after.map_or(i64::MIN, CustomerKey::raw))
        .bind(after.map(CustomerKey::raw))
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.into_iter().map(stored_customer).collect()
    }

    async fn stored_holds(&self, after: Option<HoldId>, limit: usize) -> Result<Vec<StoredHold>, StoreError> {
        let rows: Vec<(Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT hold_id, customer, body
             FROM hold
             WHERE hold_id > ?
             ORDER BY hold_id
             LIMIT ?",
        )
        .bind(after.map_or(Vec::new(), |after| after.uuid().as_bytes().to_vec()))
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.into_iter()
            .map(|(id, customer, body)| {
                let id = HoldId::from_uuid(uuid_of(&id, "hold id")?);
                Ok(StoredHold { id, customer: CustomerKey::from_raw(customer), body })
            })
            .collect()
    }

    async fn stored_work(
        &self,
        after: Option<(HoldId, WorkId)>,
        limit: usize,
    ) -> Result<Vec<StoredWork>, StoreError> {
        self.work_rows(after, limit).await
    }

    async fn stored_lots(&self, after: Option<LotId>, limit: usize) -> Result<Vec<StoredLot>, StoreError> {
        let rows: Vec<(Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT lot_id, customer, body
             FROM lot
             WHERE lot_id > ?
             ORDER BY lot_id
             LIMIT ?",
        )
        .bind(after.map_or(Vec::new(), |after| after.uuid().as_bytes().to_vec()))
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.into_iter()
            .map(|(id, customer, body)| {
                let id = LotId::from_uuid(uuid_of(&id, "lot id")?);
                Ok(StoredLot { id, customer: CustomerKey::from_raw(customer), body })
            })
            .collect()
    }

    async fn stored_orders(
        &self,
        after: Option<&OrderScope>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let (ledger, storefront, order) = match after {
            Some((ledger, storefront, order)) => (ledger.get(), storefront.as_str(), order.as_str()),
            None => (0, "", ""),
        };
        let rows: Vec<(i64, String, String, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT o.ledger_no, o.storefront, o.order_id, p.posting_id
             FROM purchase_order o
             LEFT JOIN posting p ON p.key = o.posting
             WHERE (o.ledger_no, o.storefront, o.order_id) > (?, ?, ?)
             ORDER BY o.ledger_no, o.storefront, o.order_id
             LIMIT ?",
        )
        .bind(ledger)
        .bind(storefront)
        .bind(order)
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.into_iter()
            .map(|(ledger, storefront, order, posting)| {
                let ids = Storefront::parse(&storefront).and_then(|shop| Ok((shop, OrderId::parse(&order)?)));
                let (storefront, order) =
                    ids.map_err(|error| damaged(format!("order {order:?}: {error}")))?;
                let scope = (ledger_no_of(ledger)?, storefront, order);
                let posting =
                    posting.map(|id| uuid_of(&id, "posting id").map(PostingId::from_uuid)).transpose()?;
                Ok(StoredOrder { scope, posting })
            })
            .collect()
    }

    async fn stored_accounts(&self) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError> {
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT ledger_no, account, balance
             FROM system_account
             ORDER BY ledger_no, account",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.into_iter()
            .map(|(ledger, account, balance)| {
                Ok((ledger_no_of(ledger)?, account, Credits::from_units(balance)))
            })
            .collect()
    }
}

fn stored_customer(row: CustomerColumns) -> Result<StoredCustomer, StoreError> {
    let (key, ledger, id, sequence, available, held, owed, next_due, state, profile) = row;
    let what = format!("customer {id:?}");
    let sequence = count_of(sequence, &what)?;
    Ok(StoredCustomer {
        key: CustomerKey::from_raw(key),
        ledger: ledger_no_of(ledger)?,
        id: customer_id_of(&id)?,
        sequence,
        balances: Balances {
            available: Credits::from_units(available),
            held: Credits::from_units(held),
            owed: Credits::from_units(owed),
        },
        next_due: next_due.map(Timestamp::from_micros),
        state,
        profile,
    })
}

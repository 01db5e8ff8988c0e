//! Reading lots: by id, by order, and as lists that read a bounded number of rows a page.

use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::failed;
use super::read::{ROWS_PER_PAGE_MAX, SqliteReader};
use super::rows::{customer_id_of, decoded, limit_of, uuid_of};
use crate::ledger::{LedgerNo, LotId, OrderId, PostingId, Storefront, Timestamp};
use crate::store::{LotFilter, OwnedLot, Page, StoreError};

/// Newest first: the filter is applied to the rows of a bounded number of ids.
macro_rules! page_sql {
    ($source:literal) => {
        concat!(
            "SELECT c.customer_id, l.body FROM ",
            $source,
            " CROSS JOIN lot l ON l.lot_id = source.lot_id
              CROSS JOIN customer c ON c.customer = l.customer
              WHERE l.ledger_no = ?
                AND l.source = COALESCE(?, l.source)
                AND l.storefront IS COALESCE(?, l.storefront)
                AND l.created_at >= ?
                AND l.created_at < ?
              LIMIT ?"
        )
    };
}

/// The id of the last row that a page may look at, where there are that many.
macro_rules! bound_sql {
    ($source:literal) => {
        concat!("SELECT source.lot_id FROM ", $source, " LIMIT 1 OFFSET ?")
    };
}

/// A customer's lots, in the order of the index.
macro_rules! of_customer {
    ($sql:ident) => {
        $sql!(
            "(SELECT lot_id FROM lot
              WHERE customer = ? AND lot_id >= ? AND lot_id < ?
              ORDER BY lot_id DESC
              LIMIT ?) source"
        )
    };
}

/// All lots.
macro_rules! all {
    ($sql:ident) => {
        $sql!(
            "(SELECT lot_id FROM lot
              WHERE ? IS NULL AND lot_id >= ? AND lot_id < ?
              ORDER BY lot_id DESC
              LIMIT ?) source"
        )
    };
}

impl SqliteReader {
    pub(super) async fn lot_by_id(
        &self,
        ledger: LedgerNo,
        id: LotId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        let row = sqlx::query(
            "SELECT c.customer_id, l.body
             FROM lot l
             CROSS JOIN customer c ON c.customer = l.customer
             WHERE l.lot_id = ?
               AND l.ledger_no = ?",
        )
        .bind(bytes(id))
        .bind(ledger.get())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        row.as_ref().map(lot_of).transpose()
    }

    pub(super) async fn lot_of_order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        // A lot is named by the posting that brought it in.
        let row = sqlx::query(
            "SELECT c.customer_id, l.body
             FROM purchase_order o
             CROSS JOIN posting p ON p.key = o.posting
             CROSS JOIN lot l ON l.lot_id = p.posting_id
             CROSS JOIN customer c ON c.customer = l.customer
             WHERE o.ledger_no = ?
               AND o.storefront = ?
               AND o.order_id = ?",
        )
        .bind(ledger.get())
        .bind(storefront.as_str())
        .bind(order.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        row.as_ref().map(lot_of).transpose()
    }

    pub(super) async fn lots_of_orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError> {
        // As one parameter, so that the statement is the same for any number of them. Ids need no escaping in JSON.
        let ids: Vec<String> = orders.iter().map(|order| format!("\"{order}\"")).collect();
        let rows = sqlx::query(
            "SELECT c.customer_id, l.body
             FROM json_each(?) u
             CROSS JOIN purchase_order o ON o.ledger_no = ? AND o.storefront = ? AND o.order_id = u.value
             CROSS JOIN posting p ON p.key = o.posting
             CROSS JOIN lot l ON l.lot_id = p.posting_id
             CROSS JOIN customer c ON c.customer = l.customer",
        )
        .bind(format!("[{}]", ids.join(",")))
        .bind(ledger.get())
        .bind(storefront.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(lot_of).collect()
    }

    pub(super) async fn lot_page(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        let (page_sql, bound_sql) = match filter.customer {
            Some(_) => (of_customer!(page_sql), of_customer!(bound_sql)),
            None => (all!(page_sql), all!(bound_sql)),
        };
        let customer = filter.customer.map(crate::ledger::CustomerKey::raw);
        let (from, upper) = id_bounds(filter, before);
        // One snapshot: the bound must be that of the rows that were read.
        let mut snapshot = self.pool.begin().await.map_err(failed)?;
        let rows = sqlx::query(page_sql)
            .bind(customer)
            .bind(bytes(from))
            .bind(bytes(upper))
            .bind(ROWS_PER_PAGE_MAX)
            .bind(ledger.get())
            .bind(filter.source.map(|source| i64::from(source.code())))
            .bind(filter.storefront.as_ref().map(ToString::to_string))
            .bind(filter.from.map_or(i64::MIN, Timestamp::micros))
            .bind(filter.until.map_or(i64::MAX, Timestamp::micros))
            .bind(limit_of(limit.saturating_add(1)))
            .fetch_all(&mut *snapshot)
            .await
            .map_err(failed)?;
        let mut items = rows.iter().map(lot_of).collect::<Result<Vec<_>, _>>()?;
        if items.len() > limit {
            items.truncate(limit);
            let next = items.last().map(|owned| owned.lot.id);
            return Ok(Page { items, next });
        }
        let bound: Option<Vec<u8>> = sqlx::query_scalar(bound_sql)
            .bind(customer)
            .bind(bytes(from))
            .bind(bytes(upper))
            .bind(ROWS_PER_PAGE_MAX)
            .bind(ROWS_PER_PAGE_MAX.saturating_sub(1))
            .fetch_optional(&mut *snapshot)
            .await
            .map_err(failed)?;
        let next = bound.map(|id| uuid_of(&id, "lot id").map(LotId::from_uuid)).transpose()?;
        Ok(Page { items, next })
    }
}

/// The first id and the one after the last. Ids carry the time at which their lots came in.
fn id_bounds(filter: &LotFilter, before: Option<LotId>) -> (LotId, LotId) {
    let id_at = |time| LotId::from_uuid(PostingId::new(time, 0, 0).uuid());
    let upper = [before, filter.until.map(id_at)].into_iter().flatten().min();
    (filter.from.map_or(LotId::from_uuid(Uuid::nil()), id_at), upper.unwrap_or(LotId::from_uuid(Uuid::max())))
}

fn bytes(id: LotId) -> Vec<u8> {
    id.uuid().as_bytes().to_vec()
}

fn lot_of(row: &SqliteRow) -> Result<OwnedLot, StoreError> {
    let customer: String = row.try_get(0).map_err(failed)?;
    let body: Vec<u8> = row.try_get(1).map_err(failed)?;
    Ok(OwnedLot { customer: customer_id_of(&customer)?, lot: Arc::new(decoded(&body, "a lot")?) })
}

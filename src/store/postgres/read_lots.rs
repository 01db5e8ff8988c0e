//! Reading lots: by id, by order, and as lists that read a bounded number of rows a page.

use std::sync::Arc;

use uuid::Uuid;

use super::errors::failed;
use super::read::{PgReader, ROWS_PER_PAGE_MAX};
use super::rows::{customer_id_of, decoded, sql_count, sql_ledger};
use crate::ledger::{CustomerKey, LedgerNo, LotId, OrderId, PostingId, Storefront, Timestamp};
use crate::store::{LotFilter, OwnedLot, Page, StoreError};

/// Newest first. The filter is applied to a bounded number of rows; besides what matches, the last row that a page may
/// look at is given (without its body where that does not match): from there the next page goes on.
macro_rules! page_sql {
    ($source:literal, $order:literal) => {
        concat!(
            "SELECT l.lot_id, l.place, c.customer_id, CASE WHEN l.matches THEN l.body END
             FROM (
                 SELECT l.lot_id, l.customer, l.body, ROW_NUMBER() OVER (ORDER BY ",
            $order,
            ") AS place,
                        (l.ledger_no = $4
                         AND ($5 IS NULL OR l.source = $5)
                         AND ($6 IS NULL OR l.storefront IS NOT DISTINCT FROM $6)
                         AND l.created_at >= $7
                         AND l.created_at < $8) AS matches
                 FROM (SELECT * FROM lot l WHERE ",
            $source,
            " ORDER BY ",
            $order,
            " LIMIT $3) l
             ) l
             LEFT JOIN customer c ON c.customer = l.customer
             WHERE l.matches OR l.place = $3
             ORDER BY ",
            $order,
            " LIMIT $9"
        )
    };
}

/// Id, place on the page, owner, body.
type Listed = (Uuid, i64, Option<String>, Option<Vec<u8>>);

/// All lots.
const ALL: &str = page_sql!("l.lot_id >= $1 AND l.lot_id < $2", "l.lot_id DESC");
/// A customer's lots, in the order of the primary key. Were they asked for by customer = $10, PostgreSQL might go through
/// everybody's lots by their ids and leave others' out.
const OF_CUSTOMER: &str = page_sql!(
    "(l.customer, l.lot_id) >= ($10, $1) AND (l.customer, l.lot_id) < ($10, $2)",
    "l.customer DESC, l.lot_id DESC"
);

impl PgReader {
    pub(super) async fn lot_by_id(
        &self,
        ledger: LedgerNo,
        id: LotId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        let row: Option<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT c.customer_id, l.body
             FROM lot l
             JOIN customer c ON c.customer = l.customer
             WHERE l.lot_id = $1
               AND l.ledger_no = $2",
        )
        .bind(id.uuid())
        .bind(sql_ledger(ledger))
        .fetch_optional(&self.pool())
        .await
        .map_err(failed)?;
        row.map(|(customer, body)| lot_of(&customer, &body)).transpose()
    }

    pub(super) async fn lot_of_order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        // A lot is named by the posting that brought it in.
        let row: Option<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT c.customer_id, l.body
             FROM purchase_order o
             JOIN posting p ON p.customer = o.customer AND p.sequence = o.sequence
             JOIN lot l ON l.customer = p.customer AND l.lot_id = p.posting_id
             JOIN customer c ON c.customer = l.customer
             WHERE o.ledger_no = $1
               AND o.storefront = $2
               AND o.order_id = $3",
        )
        .bind(sql_ledger(ledger))
        .bind(storefront.as_str())
        .bind(order.as_str())
        .fetch_optional(&self.pool())
        .await
        .map_err(failed)?;
        row.map(|(customer, body)| lot_of(&customer, &body)).transpose()
    }

    pub(super) async fn lots_of_orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError> {
        // Each order is looked up by itself (OFFSET keeps it so): a plan that was made while there was one storefront, or one
        // customer, would go through all orders, or all lots, for each of them.
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT c.customer_id, l.body
             FROM UNNEST($3::text[]) u(order_id)
             CROSS JOIN LATERAL (
                 SELECT o.customer, o.sequence
                 FROM purchase_order o
                 WHERE o.ledger_no = $1
                   AND o.storefront = $2
                   AND o.order_id = u.order_id
                 OFFSET 0
             ) o
             CROSS JOIN LATERAL (
                 SELECT p.posting_id
                 FROM posting p
                 WHERE p.customer = o.customer
                   AND p.sequence = o.sequence
                 OFFSET 0
             ) p
             CROSS JOIN LATERAL (
                 SELECT l.body
                 FROM lot l
                 WHERE l.customer = o.customer
                   AND l.lot_id = p.posting_id
                 OFFSET 0
             ) l
             CROSS JOIN LATERAL (
                 SELECT c.customer_id
                 FROM customer c
                 WHERE c.customer = o.customer
                 OFFSET 0
             ) c",
        )
        .bind(sql_ledger(ledger))
        .bind(storefront.as_str())
        .bind(orders.iter().map(|order| order.as_str()).collect::<Vec<_>>())
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        rows.iter().map(|(customer, body)| lot_of(customer, body)).collect()
    }

    pub(super) async fn lot_page(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        let (from, upper) = id_bounds(filter, before);
        let query = sqlx::query_as(if filter.customer.is_some() { OF_CUSTOMER } else { ALL })
            .bind(from)
            .bind(upper)
            .bind(ROWS_PER_PAGE_MAX)
            .bind(sql_ledger(ledger))
            .bind(filter.source.map(|source| i16::from(source.code())))
            .bind(filter.storefront.as_ref().map(Storefront::as_str))
            .bind(filter.from.map_or(i64::MIN, Timestamp::micros))
            .bind(filter.until.map_or(i64::MAX, Timestamp::micros))
            .bind(sql_count(limit.saturating_add(1)));
        let query = match filter.customer {
            Some(customer) => query.bind(CustomerKey::raw(customer)),
            None => query,
        };
        let rows: Vec<Listed> = query.fetch_all(&self.pool()).await.map_err(failed)?;
        let last = rows.last().filter(|(_, place, ..)| *place == ROWS_PER_PAGE_MAX);
        let mut next = last.map(|(id, ..)| LotId::from_uuid(*id));
        let lots = rows.iter().filter_map(|(_, _, customer, body)| customer.as_deref().zip(body.as_deref()));
        let mut items = lots.map(|(customer, body)| lot_of(customer, body)).collect::<Result<Vec<_>, _>>()?;
        if items.len() > limit {
            items.truncate(limit);
            next = items.last().map(|owned| owned.lot.id);
        }
        Ok(Page { items, next })
    }
}

/// The first id and the one after the last. Ids carry the time at which their lots came in.
fn id_bounds(filter: &LotFilter, before: Option<LotId>) -> (Uuid, Uuid) {
    let id_at = |time| PostingId::new(time, 0, 0).uuid();
    let upper = [before.map(|before| before.uuid()), filter.until.map(id_at)].into_iter().flatten().min();
    (filter.from.map_or(Uuid::nil(), id_at), upper.unwrap_or(Uuid::max()))
}

fn lot_of(customer: &str, body: &[u8]) -> Result<OwnedLot, StoreError> {
    Ok(OwnedLot { customer: customer_id_of(customer)?, lot: Arc::new(decoded(body, "a lot")?) })
}

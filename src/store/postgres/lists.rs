//! Lists of holds and lots, one statement each. A page reads a bounded number of rows.

use std::sync::Arc;

use uuid::Uuid;

use super::columns::PostgreSql;
use crate::ledger::{ClassId, CustomerKey, Hold, HoldId, IncidentId, LedgerNo, LotId, Storefront, Timestamp};
use crate::store::error::StoreError;
use crate::store::read_store::{HoldFilter, LotFilter, OwnedLot, Page};
use crate::store::sql::database::Sql;
use crate::store::sql::holds::{Chain, ROWS_PER_PAGE_MAX, bounds, chain_behind, hold, states_mask};
use crate::store::sql::lots::{LOT_COLUMNS, id_bounds, lot_columns, owned_lot};
use crate::store::sql::row::sql_count;

/// Whether a hold `h` is on the list. All lists of holds number their parameters alike:
/// - $1 ledger, $2 customer, $3 incident, $4 states as bits, $5 class, $6 from, $7 until, $8 settled
/// - $9 the first id of the source, $10 the id that it ends before
/// - $11 the most rows that a page reads, $12 the most that it returns
macro_rules! matches_sql {
    () => {
        "(h.ledger_no = $1
          AND ($2 IS NULL OR h.customer = $2)
          AND ($3 IS NULL OR h.incident_id = $3)
          AND ($4 >> h.state) & 1 = 1
          AND ($5 IS NULL OR h.class IS NOT DISTINCT FROM $5)
          AND h.created_at >= $6
          AND h.created_at < $7
          AND h.settled >= $8
          AND h.direct <= $8)"
    };
}

/// A list from an index. The source returns at most $11 ids, newest first, and the filter is applied to those. So a
/// rare filter cannot make one page read the whole table. The page also returns the last row that it may read,
/// without its body if that does not match; the next page continues there.
///
/// A source is one range of one index. A condition such as `incident_id = $3` would let PostgreSQL walk all holds by
/// id instead, and skip the others.
macro_rules! hold_page {
    ($source:literal, $order:literal) => {
        concat!(
            "SELECT CASE WHEN matches THEN body END, hold_id, place
             FROM (
                 SELECT h.customer, h.incident_id, h.hold_id, h.body, ROW_NUMBER() OVER (ORDER BY ",
            $order,
            ") AS place, ",
            matches_sql!(),
            " AS matches
                 FROM (SELECT * FROM hold WHERE ",
            $source,
            " ORDER BY ",
            $order,
            " LIMIT $11) h
             ) looked_at
             WHERE matches OR place = $11
             ORDER BY ",
            $order,
            " LIMIT $12"
        )
    };
}

const ALL_HOLDS: &str = hold_page!("hold_id >= $9 AND hold_id < $10", "hold_id DESC");
/// A customer's holds for an incident.
const INCIDENT: &str = hold_page!(
    "(customer, incident_id, hold_id) >= ($2, $3, $9) AND (customer, incident_id, hold_id) < ($2, $3, $10)",
    "customer DESC, incident_id DESC, hold_id DESC"
);
/// All customers' holds for an incident.
const ANYONES_INCIDENT: &str = hold_page!(
    "(incident_id, hold_id) >= ($3, $9) AND (incident_id, hold_id) < ($3, $10)",
    "incident_id DESC, hold_id DESC"
);
/// A customer's holds: its chain from the hold $9 back, until the page is full. Returns the same columns as the other
/// lists.
const CHAIN: &str = concat!(
    "WITH RECURSIVE chain(hold_id, previous, place, body, found) AS (
         SELECT h.hold_id, h.previous, CAST(1 AS BIGINT), CASE WHEN m.matches THEN h.body END,
                CASE WHEN m.matches THEN CAST(1 AS BIGINT) ELSE 0 END
         FROM hold h
         CROSS JOIN LATERAL (SELECT ",
    matches_sql!(),
    " AS matches) m
         WHERE h.hold_id = $9
           AND h.hold_id < $10
         UNION ALL
         SELECT h.hold_id, h.previous, c.place + 1, CASE WHEN m.matches THEN h.body END,
                c.found + CASE WHEN m.matches THEN 1 ELSE 0 END
         FROM chain c
         JOIN hold h ON h.hold_id = c.previous
         CROSS JOIN LATERAL (SELECT ",
    matches_sql!(),
    " AS matches) m
         WHERE c.place < $11
           AND c.found < $12
     )
     SELECT body, hold_id, place
     FROM chain
     WHERE body IS NOT NULL OR place = $11
     ORDER BY place"
);

/// Newest first. The filter is applied to a bounded number of rows. The page also returns the last row that it may
/// read, without its body if that does not match; the next page continues there.
macro_rules! lot_page {
    ($source:literal, $order:literal) => {
        concat!(
            "SELECT c.customer_id, ",
            lot_columns!(),
            ", l.lot_id, l.place, l.matches
             FROM (
                 SELECT l.lot_id, l.customer, ",
            lot_columns!(),
            ", ROW_NUMBER() OVER (ORDER BY ",
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

const ALL_LOTS: &str = lot_page!("l.lot_id >= $1 AND l.lot_id < $2", "l.lot_id DESC");
/// A customer's lots, in the order of the primary key. With `customer = $10`, PostgreSQL might walk everybody's lots
/// by id and skip the others'.
const LOTS_OF_CUSTOMER: &str = lot_page!(
    "(l.customer, l.lot_id) >= ($10, $1) AND (l.customer, l.lot_id) < ($10, $2)",
    "l.customer DESC, l.lot_id DESC"
);

/// A row of a list: its id, its index on the page, and the item where it matches.
type Listed<T> = (Uuid, i64, Option<T>);

/// A page of the rows that match. If the last row that a page may read was reached, the next page continues after it.
fn page<T, K: Copy>(rows: Vec<Listed<T>>, limit: usize, key: fn(Uuid) -> K) -> Page<T, K> {
    let last = rows.last().filter(|(_, place, _)| *place == ROWS_PER_PAGE_MAX).map(|(id, ..)| key(*id));
    let items: Vec<_> = rows.into_iter().filter_map(|(id, _, item)| item.map(|item| (id, item))).collect();
    let page = Page::cut(items, limit, |(id, _)| key(*id));
    Page { items: page.items.into_iter().map(|(_, item)| item).collect(), next: page.next.or(last) }
}

/// One page of holds. A customer's list first looks up the hold at which it enters the chain. A hold never changes
/// its predecessor, so the two statements need no common snapshot.
pub(super) async fn holds<S: Sql<Dialect = PostgreSql>>(
    sql: &mut S,
    ledger: LedgerNo,
    filter: &HoldFilter,
    before: Option<HoldId>,
    limit: usize,
) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
    let (mut lower, mut upper) = bounds(filter, before);
    let text = match (&filter.incident, filter.customer) {
        (Some(_), Some(_)) => INCIDENT,
        (Some(_), None) => ANYONES_INCIDENT,
        (None, Some(customer)) => match chain_behind(sql, customer, before).await? {
            Chain::From(first) => {
                // The chain begins after `before`; the filter checks the times.
                (lower, upper) = (first.uuid(), Uuid::max());
                CHAIN
            }
            Chain::End => return Ok(Page { items: Vec::new(), next: None }),
            Chain::Elsewhere => ALL_HOLDS,
        },
        (None, None) => ALL_HOLDS,
    };
    let params = [
        ledger.into(),
        filter.customer.map(CustomerKey::raw).into(),
        filter.incident.as_ref().map(IncidentId::as_str).into(),
        states_mask(filter).into(),
        filter.class.as_ref().map(ClassId::as_str).into(),
        filter.from.map_or(i64::MIN, Timestamp::micros).into(),
        filter.until.map_or(i64::MAX, Timestamp::micros).into(),
        filter.settled.into(),
        lower.into(),
        upper.into(),
        ROWS_PER_PAGE_MAX.into(),
        sql_count(limit.saturating_add(1)).into(),
    ];
    let rows = sql
        .all(text, &params, |row| {
            let matches = row.get::<Option<Vec<u8>>>(0)?.is_some();
            Ok((row.get(1)?, row.get(2)?, matches.then(|| hold(row)).transpose()?))
        })
        .await?;
    Ok(page(rows, limit, HoldId::from_uuid))
}

/// One page of lots.
pub(super) async fn lots<S: Sql<Dialect = PostgreSql>>(
    sql: &mut S,
    ledger: LedgerNo,
    filter: &LotFilter,
    before: Option<LotId>,
    limit: usize,
) -> Result<Page<OwnedLot, LotId>, StoreError> {
    let (from, upper) = id_bounds(filter.from, filter.until, before.map(|before| before.uuid()));
    let params = [
        from.into(),
        upper.into(),
        ROWS_PER_PAGE_MAX.into(),
        ledger.into(),
        filter.source.map(|source| i64::from(source.code())).into(),
        filter.storefront.as_ref().map(Storefront::as_str).into(),
        filter.from.map_or(i64::MIN, Timestamp::micros).into(),
        filter.until.map_or(i64::MAX, Timestamp::micros).into(),
        sql_count(limit.saturating_add(1)).into(),
        filter.customer.map(CustomerKey::raw).into(),
    ];
    let text = if filter.customer.is_some() { LOTS_OF_CUSTOMER } else { ALL_LOTS };
    let rows = sql
        .all(text, &params, |row| {
            let (id, place, matches) = (LOT_COLUMNS + 1, LOT_COLUMNS + 2, LOT_COLUMNS + 3);
            let matches = row.get::<bool>(matches)? && row.get::<Option<String>>(0)?.is_some();
            Ok((row.get(id)?, row.get(place)?, matches.then(|| owned_lot(row)).transpose()?))
        })
        .await?;
    Ok(page(rows, limit, LotId::from_uuid))
}

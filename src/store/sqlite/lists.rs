//! Lists of holds and lots. A page reads a bounded number of rows.
//!
//! A source returns a bounded number of ids, newest first. The filter is applied to their rows after that, so that a
//! rare filter cannot make one page read the whole table. Where a page is not full, a second statement finds the last
//! id that the page read. Both statements see one snapshot.

use std::sync::Arc;

use uuid::Uuid;

use super::columns::Sqlite;
use crate::ledger::{ClassId, CustomerKey, Hold, HoldId, IncidentId, LedgerNo, LotId, Storefront, Timestamp};
use crate::store::error::StoreError;
use crate::store::read_store::{HoldFilter, LotFilter, OwnedLot, Page};
use crate::store::sql::database::Sql;
use crate::store::sql::holds::{Chain, ROWS_PER_PAGE_MAX, bounds, chain_behind, hold, states_mask};
use crate::store::sql::lots::{id_bounds, lot_columns, owned_lot};
use crate::store::sql::row::{Param, sql_count};

/// A page of holds `source` (which may need a `WITH` before it), newest first, and the last id that it may read. All
/// lists of holds number their parameters alike:
/// - $1 ledger, $2 customer, $3 incident, $4 states as bits, $5 class, $6 from, $7 until, $8 settled
/// - $9 the first id of the source, $10 the id that it ends before
/// - $11 the most rows that a page reads, $12 the most that it returns
macro_rules! hold_list {
    ($with:literal, $source:literal) => {
        List {
            page: concat!(
                $with,
                " SELECT h.body FROM ",
                $source,
                " CROSS JOIN hold h ON h.hold_id = source.hold_id
                  WHERE h.ledger_no = $1
                    AND h.customer = COALESCE($2, h.customer)
                    AND h.incident_id = COALESCE($3, h.incident_id)
                    AND ($4 >> h.state) & 1
                    AND h.class IS COALESCE($5, h.class)
                    AND h.created_at >= $6
                    AND h.created_at < $7
                    AND h.settled >= $8
                    AND h.direct <= $8
                  LIMIT $12"
            ),
            bound: concat!($with, " SELECT source.hold_id FROM ", $source, " LIMIT 1 OFFSET $11 - 1"),
        }
    };
}

/// The two statements of a list.
struct List {
    page: &'static str,
    bound: &'static str,
}

/// A customer's chain of holds, from the hold $9 back.
const CHAIN: List = hold_list!(
    "WITH RECURSIVE source(hold_id, previous, place) AS (
         SELECT hold_id, previous, 1
         FROM hold
         WHERE hold_id = $9
         UNION ALL
         SELECT h.hold_id, h.previous, s.place + 1
         FROM source s
         CROSS JOIN hold h ON h.hold_id = s.previous
         WHERE s.place < $11
     )",
    "source"
);
/// A customer's holds for an incident, in the order of the index.
const INCIDENT: List = hold_list!(
    "",
    "(SELECT hold_id FROM hold
      WHERE incident_id = $3 AND customer = $2 AND hold_id < $10
      ORDER BY hold_id DESC
      LIMIT $11) source"
);
/// All customers' holds for an incident; few, so they are sorted.
const ANYONES_INCIDENT: List = hold_list!(
    "",
    "(SELECT hold_id FROM hold INDEXED BY hold_incident
      WHERE incident_id = $3 AND hold_id < $10
      ORDER BY hold_id DESC
      LIMIT $11) source"
);
const ALL_HOLDS: List = hold_list!(
    "",
    "(SELECT hold_id FROM hold
      WHERE hold_id >= $9 AND hold_id < $10
      ORDER BY hold_id DESC
      LIMIT $11) source"
);

/// The same for lots, with these parameters:
/// - $1 ledger, $2 customer, $3 source, $4 storefront, $5 from, $6 until
/// - $7 the first id of the source, $8 the id that it ends before
/// - $9 the most rows that a page reads, $10 the most that it returns
macro_rules! lot_list {
    ($source:literal) => {
        List {
            page: concat!(
                "SELECT c.customer_id, ",
                lot_columns!(),
                " FROM ",
                $source,
                " CROSS JOIN lot l ON l.lot_id = source.lot_id
                  CROSS JOIN customer c ON c.customer = l.customer
                  WHERE l.ledger_no = $1
                    AND l.source = COALESCE($3, l.source)
                    AND l.storefront IS COALESCE($4, l.storefront)
                    AND l.created_at >= $5
                    AND l.created_at < $6
                  LIMIT $10"
            ),
            bound: concat!("SELECT source.lot_id FROM ", $source, " LIMIT 1 OFFSET $9 - 1"),
        }
    };
}

/// A customer's lots, in the order of the index.
const LOTS_OF_CUSTOMER: List = lot_list!(
    "(SELECT lot_id FROM lot
      WHERE customer = $2 AND lot_id >= $7 AND lot_id < $8
      ORDER BY lot_id DESC
      LIMIT $9) source"
);
const ALL_LOTS: List = lot_list!(
    "(SELECT lot_id FROM lot
      WHERE lot_id >= $7 AND lot_id < $8
      ORDER BY lot_id DESC
      LIMIT $9) source"
);

/// One page of holds, in the caller's snapshot.
pub(super) async fn holds<S: Sql<Dialect = Sqlite>>(
    sql: &mut S,
    ledger: LedgerNo,
    filter: &HoldFilter,
    before: Option<HoldId>,
    limit: usize,
) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
    let (mut lower, upper) = bounds(filter, before);
    let list = match (&filter.incident, filter.customer) {
        (Some(_), Some(_)) => INCIDENT,
        (Some(incident), None) if is_rare(sql, incident).await? => ANYONES_INCIDENT,
        (None, Some(customer)) => match chain_behind(sql, customer, before).await? {
            Chain::From(first) => {
                lower = first.uuid();
                CHAIN
            }
            Chain::End => return Ok(Page { items: Vec::new(), next: None }),
            Chain::Elsewhere => ALL_HOLDS,
        },
        (_, None) => ALL_HOLDS,
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
    let page = Page::cut(sql.all(list.page, &params, hold).await?, limit, |hold| hold.id);
    let next = further(sql, &list, &params, page.next.map(|id| id.uuid())).await?;
    Ok(Page { next: next.map(HoldId::from_uuid), ..page })
}

/// Where the next page begins: after the last row of this one, or after the last one that it may read.
async fn further<S: Sql>(
    sql: &mut S,
    list: &List,
    params: &[Param<'_>],
    next: Option<Uuid>,
) -> Result<Option<Uuid>, StoreError> {
    match next {
        Some(next) => Ok(Some(next)),
        None => sql.first(list.bound, params, |row| row.get(0)).await,
    }
}

/// True where an incident has fewer holds than a page reads.
async fn is_rare<S: Sql>(sql: &mut S, incident: &IncidentId) -> Result<bool, StoreError> {
    let text = "SELECT COUNT(*) FROM (SELECT 1 FROM hold WHERE incident_id = $1 LIMIT $2)";
    let count: i64 =
        sql.one(text, &[incident.as_str().into(), ROWS_PER_PAGE_MAX.into()], |row| row.get(0)).await?;
    Ok(count < ROWS_PER_PAGE_MAX)
}

/// One page of lots, in the caller's snapshot.
pub(super) async fn lots<S: Sql<Dialect = Sqlite>>(
    sql: &mut S,
    ledger: LedgerNo,
    filter: &LotFilter,
    before: Option<LotId>,
    limit: usize,
) -> Result<Page<OwnedLot, LotId>, StoreError> {
    let list = if filter.customer.is_some() { LOTS_OF_CUSTOMER } else { ALL_LOTS };
    let (lower, upper) = id_bounds(filter.from, filter.until, before.map(|before| before.uuid()));
    let params = [
        ledger.into(),
        filter.customer.map(CustomerKey::raw).into(),
        filter.source.map(|source| i64::from(source.code())).into(),
        filter.storefront.as_ref().map(Storefront::as_str).into(),
        filter.from.map_or(i64::MIN, Timestamp::micros).into(),
        filter.until.map_or(i64::MAX, Timestamp::micros).into(),
        lower.into(),
        upper.into(),
        ROWS_PER_PAGE_MAX.into(),
        sql_count(limit.saturating_add(1)).into(),
    ];
    let page = Page::cut(sql.all(list.page, &params, owned_lot).await?, limit, |owned| owned.lot.id);
    let next = further(sql, &list, &params, page.next.map(|id| id.uuid())).await?;
    Ok(Page { next: next.map(LotId::from_uuid), ..page })
}

//! Reading holds: by id, by incident, and as lists that read a bounded number of rows a page.

use std::sync::Arc;

use uuid::Uuid;

use super::errors::failed;
use super::read::{PgReader, ROWS_PER_PAGE_MAX};
use super::rows::{decoded, sql_count, sql_ledger};
use crate::ledger::customer::CustomerState;
use crate::ledger::{CustomerKey, Hold, HoldId, HoldState, IncidentId, LedgerNo, PostingId, Timestamp};
use crate::store::{HoldFilter, Page, StoreError};

/// Whether a hold `h` is on the list. The parameters of all lists are numbered alike: $1 ledger, $2 customer,
/// $3 incident, $4 states as bits, $5 class, $6 from, $7 until, $8 settled, $9 the id that the source begins with,
/// $10 the one that it ends before, $11 how many rows a page looks at, $12 how many it gives.
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

/// A list from an index: the source gives ids newest first and at most $11 of them, and the filter is applied to those,
/// so that a rare filter cannot make one page read the whole table. Besides what matches, it gives the last row that a
/// page may look at (without its body where that does not match): from there the next page goes on.
///
/// The rows of a source stand together in one index, and are asked for by where they begin and end there: were they asked
/// for by incident_id = $3, PostgreSQL might go through all holds by their ids and leave the others out.
macro_rules! page_sql {
    ($source:literal, $order:literal) => {
        concat!(
            "SELECT hold_id, place, CASE WHEN matches THEN body END
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

/// All customers' holds.
const ALL: &str = page_sql!("hold_id >= $9 AND hold_id < $10", "hold_id DESC");
/// A customer's holds for an incident.
const INCIDENT: &str = page_sql!(
    "(customer, incident_id, hold_id) >= ($2, $3, $9) AND (customer, incident_id, hold_id) < ($2, $3, $10)",
    "customer DESC, incident_id DESC, hold_id DESC"
);
/// All customers' holds for an incident.
const ANYONES_INCIDENT: &str = page_sql!(
    "(incident_id, hold_id) >= ($3, $9) AND (incident_id, hold_id) < ($3, $10)",
    "incident_id DESC, hold_id DESC"
);
/// A customer's holds: its chain from the hold $9 back, until as many are found as the page gives. Gives what the other
/// lists give.
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
     SELECT hold_id, place, body
     FROM chain
     WHERE body IS NOT NULL OR place = $11
     ORDER BY place"
);

/// Where a list enters a customer's chain.
enum Chain {
    /// At this hold.
    From(Uuid),
    /// Nowhere: it is at its end, or the customer has no holds.
    End,
    /// The list goes on before something that is no hold of this customer.
    Elsewhere,
}

impl PgReader {
    pub(super) async fn hold_by_id(
        &self,
        ledger: LedgerNo,
        id: HoldId,
    ) -> Result<Option<Arc<Hold>>, StoreError> {
        let body: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT body FROM hold WHERE hold_id = $1 AND ledger_no = $2")
                .bind(id.uuid())
                .bind(sql_ledger(ledger))
                .fetch_optional(&self.pool())
                .await
                .map_err(failed)?;
        body.as_deref().map(hold_of).transpose()
    }

    pub(super) async fn incident_of(
        &self,
        customer: CustomerKey,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, StoreError> {
        let bodies: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT body
             FROM hold
             WHERE customer = $1
               AND incident_id = $2
             ORDER BY hold_id",
        )
        .bind(customer.raw())
        .bind(incident.as_str())
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        bodies.iter().map(|body| hold_of(body)).collect()
    }

    /// The page itself is one statement. What a customer's list needs before it, the hold that it enters the chain at,
    /// never changes its predecessor, so the two need not be of one moment.
    pub(super) async fn hold_page(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        let mut upper = upper_bound(filter, before);
        let mut lower = filter.from.map_or(Uuid::nil(), |from| PostingId::new(from, 0, 0).uuid());
        let sql = match (&filter.incident, filter.customer) {
            (Some(_), Some(_)) => INCIDENT,
            (Some(_), None) => ANYONES_INCIDENT,
            (None, Some(customer)) => match self.chain_behind(customer, before).await? {
                Chain::From(first) => {
                    // The chain begins behind `before`; times are left to the filter.
                    (lower, upper) = (first, Uuid::max());
                    CHAIN
                }
                Chain::End => return Ok(Page { items: Vec::new(), next: None }),
                Chain::Elsewhere => ALL,
            },
            (None, None) => ALL,
        };
        let states = if filter.states.is_empty() { HoldState::ALL } else { &filter.states };
        let mask = states.iter().fold(0_i64, |mask, state| mask | (1 << state.code()));
        let rows: Vec<(Uuid, i64, Option<Vec<u8>>)> = sqlx::query_as(sql)
            .bind(sql_ledger(ledger))
            .bind(filter.customer.map(CustomerKey::raw))
            .bind(filter.incident.as_ref().map(IncidentId::as_str))
            .bind(mask)
            .bind(filter.class.as_ref().map(crate::ledger::ClassId::as_str))
            .bind(filter.from.map_or(i64::MIN, Timestamp::micros))
            .bind(filter.until.map_or(i64::MAX, Timestamp::micros))
            .bind(filter.settled)
            .bind(lower)
            .bind(upper)
            .bind(ROWS_PER_PAGE_MAX)
            .bind(sql_count(limit.saturating_add(1)))
            .fetch_all(&self.pool())
            .await
            .map_err(failed)?;
        let last = rows.last().filter(|(_, place, _)| *place == ROWS_PER_PAGE_MAX);
        let mut next = last.map(|(id, ..)| HoldId::from_uuid(*id));
        let bodies = rows.iter().filter_map(|(.., body)| body.as_deref());
        let mut items = bodies.map(hold_of).collect::<Result<Vec<_>, _>>()?;
        if items.len() > limit {
            items.truncate(limit);
            next = items.last().map(|hold| hold.id);
        }
        Ok(Page { items, next })
    }

    async fn chain_behind(&self, customer: CustomerKey, before: Option<HoldId>) -> Result<Chain, StoreError> {
        let first = if let Some(before) = before {
            let previous: Option<Option<Uuid>> =
                sqlx::query_scalar("SELECT previous FROM hold WHERE hold_id = $1 AND customer = $2")
                    .bind(before.uuid())
                    .bind(customer.raw())
                    .fetch_optional(&self.pool())
                    .await
                    .map_err(failed)?;
            let Some(previous) = previous else { return Ok(Chain::Elsewhere) };
            previous
        } else {
            let state: Option<Vec<u8>> = sqlx::query_scalar("SELECT state FROM customer WHERE customer = $1")
                .bind(customer.raw())
                .fetch_optional(&self.pool())
                .await
                .map_err(failed)?;
            let state =
                state.map(|state| decoded::<CustomerState>(&state, "a customer's state")).transpose()?;
            state.and_then(|state| state.last_hold).map(|hold| hold.uuid())
        };
        Ok(first.map_or(Chain::End, Chain::From))
    }
}

/// Ids carry the time at which their holds were made, so `until` bounds them as well.
fn upper_bound(filter: &HoldFilter, before: Option<HoldId>) -> Uuid {
    let until = filter.until.map(|until| PostingId::new(until, 0, 0).uuid());
    [before.map(|before| before.uuid()), until].into_iter().flatten().min().unwrap_or(Uuid::max())
}

fn hold_of(body: &[u8]) -> Result<Arc<Hold>, StoreError> {
    decoded(body, "a hold").map(Arc::new)
}

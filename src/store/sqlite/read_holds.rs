//! Reading holds: by id, by incident, and as lists that read a bounded number of rows a page.

use std::sync::Arc;

use sqlx::SqliteConnection;
use sqlx::query::QueryScalar;
use sqlx::sqlite::SqliteArguments;
use uuid::Uuid;

use super::failed;
use super::read::{ROWS_PER_PAGE_MAX, SqliteReader};
use super::rows::{decoded, limit_of, uuid_of};
use crate::ledger::customer::CustomerState;
use crate::ledger::{CustomerKey, Hold, HoldId, HoldState, IncidentId, LedgerNo, PostingId, Timestamp};
use crate::store::{HoldFilter, Page, StoreError};

type Ids<'q> = QueryScalar<'q, sqlx::Sqlite, Vec<u8>, SqliteArguments>;

/// Where the ids of a list come from. Each source gives ids newest first and at most so many; the filter is applied
/// to their rows after that, so that a rare filter cannot make one page read the whole table.
enum Source {
    /// A customer's chain of holds, from this one back.
    Chain(HoldId),
    /// A customer's holds for an incident, in the order of the index.
    Incident(IncidentId, CustomerKey),
    /// All customers' holds for an incident: few, so they are sorted.
    AnyonesIncident(IncidentId),
    /// All holds, with ids from the first on.
    All(HoldId),
}

/// Newest first; `$source` begins with a statement of its own (WITH) and names the ids `source.hold_id`.
macro_rules! page_sql {
    ($with:literal, $source:literal) => {
        concat!(
            $with,
            " SELECT h.body FROM ",
            $source,
            " CROSS JOIN hold h ON h.hold_id = source.hold_id
              WHERE h.ledger_no = ?
                AND h.customer = COALESCE(?, h.customer)
                AND h.incident_id = COALESCE(?, h.incident_id)
                AND (? >> h.state) & 1
                AND h.class IS COALESCE(?, h.class)
                AND h.created_at >= ?
                AND h.created_at < ?
                AND h.settled >= ?
                AND h.direct <= ?
              LIMIT ?"
        )
    };
}

/// The id of the last row that a page may look at, where there are that many.
macro_rules! bound_sql {
    ($with:literal, $source:literal) => {
        concat!($with, " SELECT source.hold_id FROM ", $source, " LIMIT 1 OFFSET ?")
    };
}

/// One statement for each source: `chain!(page_sql)` and so on.
macro_rules! chain {
    ($sql:ident) => {
        $sql!(
            "WITH RECURSIVE source(hold_id, previous, place) AS (
                 SELECT hold_id, previous, 1
                 FROM hold
                 WHERE hold_id = ?
                 UNION ALL
                 SELECT h.hold_id, h.previous, s.place + 1
                 FROM source s
                 CROSS JOIN hold h ON h.hold_id = s.previous
                 WHERE s.place < ?
             )",
            "source"
        )
    };
}
macro_rules! incident {
    ($sql:ident) => {
        $sql!(
            "",
            "(SELECT hold_id FROM hold
              WHERE incident_id = ? AND customer = ? AND hold_id < ?
              ORDER BY hold_id DESC
              LIMIT ?) source"
        )
    };
}
macro_rules! anyones_incident {
    ($sql:ident) => {
        $sql!(
            "",
            "(SELECT hold_id FROM hold INDEXED BY hold_incident
              WHERE incident_id = ? AND hold_id < ?
              ORDER BY hold_id DESC
              LIMIT ?) source"
        )
    };
}
macro_rules! all {
    ($sql:ident) => {
        $sql!(
            "",
            "(SELECT hold_id FROM hold
              WHERE hold_id >= ? AND hold_id < ?
              ORDER BY hold_id DESC
              LIMIT ?) source"
        )
    };
}

fn bytes(id: HoldId) -> Vec<u8> {
    id.uuid().as_bytes().to_vec()
}

impl Source {
    /// The statement with the source's own parameters bound; `page` chooses rows, else the bound is asked for.
    fn query(&self, page: bool, before: HoldId) -> Ids<'static> {
        let (page_sql, bound_sql) = match self {
            Self::Chain(_) => (chain!(page_sql), chain!(bound_sql)),
            Self::Incident(..) => (incident!(page_sql), incident!(bound_sql)),
            Self::AnyonesIncident(_) => (anyones_incident!(page_sql), anyones_incident!(bound_sql)),
            Self::All(_) => (all!(page_sql), all!(bound_sql)),
        };
        let query = sqlx::query_scalar(if page { page_sql } else { bound_sql });
        let query = match self {
            Self::Chain(first) => query.bind(bytes(*first)),
            Self::Incident(incident, customer) => {
                query.bind(incident.to_string()).bind(customer.raw()).bind(bytes(before))
            }
            Self::AnyonesIncident(incident) => query.bind(incident.to_string()).bind(bytes(before)),
            Self::All(from) => query.bind(bytes(*from)).bind(bytes(before)),
        };
        query.bind(ROWS_PER_PAGE_MAX)
    }
}

impl SqliteReader {
    pub(super) async fn hold_by_id(&self, ledger: LedgerNo, id: HoldId) -> Result<Option<Arc<Hold>>, StoreError> {
        let body: Option<Vec<u8>> = sqlx::query_scalar("SELECT body FROM hold WHERE hold_id = ? AND ledger_no = ?")
            .bind(bytes(id))
            .bind(ledger.get())
            .fetch_optional(&self.pool)
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
             WHERE incident_id = ?
               AND customer = ?
             ORDER BY hold_id",
        )
        .bind(incident.as_str())
        .bind(customer.raw())
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        bodies.iter().map(|body| hold_of(body)).collect()
    }

    pub(super) async fn hold_page(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        let nothing = Page { items: Vec::new(), next: None };
        // One snapshot: the bound must be that of the rows that were read.
        let mut snapshot = self.pool.begin().await.map_err(failed)?;
        let Some(source) = source(&mut snapshot, filter, before).await? else { return Ok(nothing) };
        let upper = upper_bound(filter, before);
        let states = if filter.states.is_empty() { HoldState::ALL } else { &filter.states };
        let mask = states.iter().fold(0_i64, |mask, state| mask | (1 << state.code()));
        let bodies = source
            .query(true, upper)
            .bind(ledger.get())
            .bind(filter.customer.map(CustomerKey::raw))
            .bind(filter.incident.as_ref().map(ToString::to_string))
            .bind(mask)
            .bind(filter.class.as_ref().map(ToString::to_string))
            .bind(filter.from.map_or(i64::MIN, Timestamp::micros))
            .bind(filter.until.map_or(i64::MAX, Timestamp::micros))
            .bind(filter.settled)
            .bind(filter.settled)
            .bind(limit_of(limit.saturating_add(1)))
            .fetch_all(&mut *snapshot)
            .await
            .map_err(failed)?;
        let mut items = bodies.iter().map(|body| hold_of(body)).collect::<Result<Vec<_>, _>>()?;
        if items.len() > limit {
            items.truncate(limit);
            let next = items.last().map(|hold| hold.id);
            return Ok(Page { items, next });
        }
        let bound = source
            .query(false, upper)
            .bind(ROWS_PER_PAGE_MAX.saturating_sub(1))
            .fetch_optional(&mut *snapshot)
            .await
            .map_err(failed)?;
        let next = bound.map(|id| uuid_of(&id, "hold id").map(HoldId::from_uuid)).transpose()?;
        Ok(Page { items, next })
    }
}

/// Ids carry the time at which their holds were made, so `until` bounds them as well.
fn upper_bound(filter: &HoldFilter, before: Option<HoldId>) -> HoldId {
    let until = filter.until.map(|until| HoldId::from_uuid(PostingId::new(until, 0, 0).uuid()));
    [before, until].into_iter().flatten().min().unwrap_or(HoldId::from_uuid(Uuid::max()))
}

async fn source(
    snapshot: &mut SqliteConnection,
    filter: &HoldFilter,
    before: Option<HoldId>,
) -> Result<Option<Source>, StoreError> {
    match (&filter.incident, filter.customer) {
        (Some(incident), Some(customer)) => return Ok(Some(Source::Incident(incident.clone(), customer))),
        (None, Some(customer)) => match chain_behind(snapshot, customer, before).await? {
            Chain::From(first) => return Ok(Some(Source::Chain(first))),
            Chain::End => return Ok(None),
            Chain::Elsewhere => {}
        },
        (Some(incident), None) => {
            let count: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM (SELECT 1 FROM hold WHERE incident_id = ? LIMIT ?)")
                    .bind(incident.to_string())
                    .bind(ROWS_PER_PAGE_MAX)
                    .fetch_one(&mut *snapshot)
                    .await
                    .map_err(failed)?;
            if count < ROWS_PER_PAGE_MAX {
                return Ok(Some(Source::AnyonesIncident(incident.clone())));
            }
        }
        (None, None) => {}
    }
    let from = filter.from.map_or(Uuid::nil(), |from| PostingId::new(from, 0, 0).uuid());
    Ok(Some(Source::All(HoldId::from_uuid(from))))
}

/// Where a list enters a customer's chain.
enum Chain {
    /// At this hold.
    From(HoldId),
    /// Nowhere: it is at its end, or the customer has no holds.
    End,
    /// The list goes on before something that is no hold of this customer.
    Elsewhere,
}

async fn chain_behind(
    snapshot: &mut SqliteConnection,
    customer: CustomerKey,
    before: Option<HoldId>,
) -> Result<Chain, StoreError> {
    let first = if let Some(before) = before {
        let previous: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT previous FROM hold WHERE hold_id = ? AND customer = ?")
                .bind(bytes(before))
                .bind(customer.raw())
                .fetch_optional(&mut *snapshot)
                .await
                .map_err(failed)?;
        let Some(previous) = previous else { return Ok(Chain::Elsewhere) };
        previous.map(|id| uuid_of(&id, "previous hold").map(HoldId::from_uuid)).transpose()?
    } else {
        let state: Option<Vec<u8>> = sqlx::query_scalar("SELECT state FROM customer WHERE customer = ?")
            .bind(customer.raw())
            .fetch_optional(snapshot)
            .await
            .map_err(failed)?;
        let state = state.map(|state| decoded::<CustomerState>(&state, "a customer's state")).transpose()?;
        state.and_then(|state| state.last_hold)
    };
    Ok(first.map_or(Chain::End, Chain::From))
}

fn hold_of(body: &[u8]) -> Result<Arc<Hold>, StoreError> {
    decoded(body, "a hold").map(Arc::new)
}

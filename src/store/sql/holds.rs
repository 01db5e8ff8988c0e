//! Holds by id and by incident. Each engine has its own lists.

use std::sync::Arc;

use uuid::Uuid;

use super::database::Sql;
use super::row::Row;
use super::rows::body;
use crate::ledger::customer::CustomerState;
use crate::ledger::{CustomerKey, Hold, HoldId, HoldState, IncidentId, LedgerNo};
use crate::store::error::StoreError;
use crate::store::read_store::HoldFilter;

/// The most rows that one page of a list reads: about 5 ms on one connection. A rare filter gives short pages.
pub const ROWS_PER_PAGE_MAX: i64 = 5_000;

/// Reads a hold from a row of its body.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn hold(row: &dyn Row) -> Result<Arc<Hold>, StoreError> {
    body(row, 0, "a hold").map(Arc::new)
}

pub async fn by_id(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    id: HoldId,
) -> Result<Option<Arc<Hold>>, StoreError> {
    let text = "SELECT body FROM hold WHERE hold_id = $1 AND ledger_no = $2";
    sql.first(text, &[id.into(), ledger.into()], hold).await
}

/// All holds of a customer's incident.
pub async fn of_incident(
    sql: &mut impl Sql,
    customer: CustomerKey,
    incident: IncidentId,
) -> Result<Vec<Arc<Hold>>, StoreError> {
    sql.all(
        "SELECT body FROM hold WHERE incident_id = $2 AND customer = $1 ORDER BY hold_id",
        &[customer.into(), incident.as_str().into()],
        hold,
    )
    .await
}

/// The range of ids of a list's holds, its end excluded. Ids carry the time at which the hold was made.
pub fn bounds(filter: &HoldFilter, before: Option<HoldId>) -> (Uuid, Uuid) {
    super::lots::id_bounds(filter.from, filter.until, before.map(|before| before.uuid()))
}

/// The states of a list as bits.
pub fn states_mask(filter: &HoldFilter) -> i64 {
    let states = if filter.states.is_empty() { HoldState::ALL } else { &filter.states };
    states.iter().fold(0, |mask, state| mask | (1 << state.code()))
}

/// Where a list enters a customer's chain of holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    From(HoldId),
    /// Nowhere: the list is at its end, or the customer has no holds.
    End,
    /// The list continues before an id that is no hold of this customer, so it cannot use the chain.
    Elsewhere,
}

/// Finds where a customer's list continues. A hold never changes its predecessor.
pub async fn chain_behind(
    sql: &mut impl Sql,
    customer: CustomerKey,
    before: Option<HoldId>,
) -> Result<Chain, StoreError> {
    let first = if let Some(before) = before {
        let text = "SELECT previous FROM hold WHERE hold_id = $1 AND customer = $2";
        let previous =
            sql.first(text, &[before.into(), customer.into()], |row| row.get::<Option<Uuid>>(0)).await?;
        let Some(previous) = previous else { return Ok(Chain::Elsewhere) };
        previous.map(HoldId::from_uuid)
    } else {
        let text = "SELECT state FROM customer WHERE customer = $1";
        let state: Option<CustomerState> =
            sql.first(text, &[customer.into()], |row| body(row, 0, "a customer's state")).await?;
        state.and_then(|state| state.last_hold)
    };
    Ok(first.map_or(Chain::End, Chain::From))
}

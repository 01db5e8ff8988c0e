//! Making ledgers. Where two servers race for a number, an id or a request, the second clashes and looks again.

use sqlx::PgConnection;

use super::errors::failed;
use super::rows::{ledger_no_of, request_bytes, sql_ledger};
use crate::ledger::{LedgerNo, Timestamp};
use crate::store::{Ledger, LedgerCreated, NewLedger, StoreError};

/// Makes a ledger, in the caller's transaction.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn create(
    connection: &mut PgConnection,
    ledger: &NewLedger,
    now: Timestamp,
) -> Result<LedgerCreated, StoreError> {
    let request = request_bytes(&ledger.request);
    let by_request: Option<(i32, String, i64)> =
        sqlx::query_as("SELECT ledger_no, ledger_id, created_at FROM ledger WHERE request = $1")
            .bind(&request)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
    if let Some((no, id, created_at)) = by_request {
        if id != ledger.id.as_str() {
            return Ok(LedgerCreated::RequestIdReused);
        }
        let created_at = Timestamp::from_micros(created_at);
        let ledger = Ledger { no: ledger_no_of(no)?, id: ledger.id.clone(), created_at };
        return Ok(LedgerCreated::Created { ledger, replayed: true });
    }
    let by_id: Option<i32> = sqlx::query_scalar("SELECT ledger_no FROM ledger WHERE ledger_id = $1")
        .bind(ledger.id.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    if by_id.is_some() {
        return Ok(LedgerCreated::Exists);
    }
    let last: Option<i32> = sqlx::query_scalar("SELECT MAX(ledger_no) FROM ledger")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let next = last.unwrap_or(0).checked_add(1).and_then(|no| u32::try_from(no).ok()).and_then(LedgerNo::new);
    let Some(no) = next else { return Ok(LedgerCreated::TooMany) };
    sqlx::query("INSERT INTO ledger (ledger_no, ledger_id, created_at, request) VALUES ($1, $2, $3, $4)")
        .bind(sql_ledger(no))
        .bind(ledger.id.as_str())
        .bind(now.micros())
        .bind(&request)
        .execute(connection)
        .await
        .map_err(failed)?;
    let ledger = Ledger { no, id: ledger.id.clone(), created_at: now };
    Ok(LedgerCreated::Created { ledger, replayed: false })
}

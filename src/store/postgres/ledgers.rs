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
    // One statement, one moment: seen one after the other, the ledger that this very request made elsewhere in between
    // would look like another request's.
    let (last, is_taken, by_request): (Option<i32>, bool, Option<i32>) = sqlx::query_as(
        "SELECT (SELECT MAX(ledger_no) FROM ledger),
                EXISTS (SELECT 1 FROM ledger WHERE ledger_id = $1),
                (SELECT ledger_no FROM ledger WHERE request = $2)",
    )
    .bind(ledger.id.as_str())
    .bind(&request)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if let Some(no) = by_request {
        // A ledger that is there never changes.
        let (id, created_at): (String, i64) =
            sqlx::query_as("SELECT ledger_id, created_at FROM ledger WHERE ledger_no = $1")
                .bind(no)
                .fetch_one(connection)
                .await
                .map_err(failed)?;
        if id != ledger.id.as_str() {
            return Ok(LedgerCreated::RequestIdReused);
        }
        let created_at = Timestamp::from_micros(created_at);
        let ledger = Ledger { no: ledger_no_of(no)?, id: ledger.id.clone(), created_at };
        return Ok(LedgerCreated::Created { ledger, replayed: true });
    }
    if is_taken {
        return Ok(LedgerCreated::Exists);
    }
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

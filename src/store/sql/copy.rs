//! The mark of an unfinished copy, and creating a ledger as the source of a copy has it.

use super::alerts;
use super::database::Sql;
use super::ledgers;
use crate::ledger::{LedgerId, LedgerNo, Timestamp};
use crate::store::audit::StoredLedger;
use crate::store::copy::not_empty;
use crate::store::error::{StoreError, damaged};

/// True where the database is an unfinished copy.
pub async fn is_unfinished(sql: &mut impl Sql) -> Result<bool, StoreError> {
    sql.one("SELECT EXISTS (SELECT 1 FROM unfinished_copy)", &[], |row| row.get(0)).await
}

/// Sets the mark; false where it was set already.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Unusable`] for a database that is in use.
pub async fn mark(sql: &mut impl Sql, now: Timestamp) -> Result<bool, StoreError> {
    if is_unfinished(sql).await? {
        return Ok(false);
    }
    let is_used: bool = sql
        .one(
            "SELECT EXISTS (SELECT 1 FROM posting) OR EXISTS (SELECT 1 FROM ledger WHERE ledger_no <> 0)
                 OR EXISTS (SELECT 1 FROM rate_card_change) OR EXISTS (SELECT 1 FROM storefront_order)
                 OR EXISTS (SELECT 1 FROM access_token) OR EXISTS (SELECT 1 FROM audit_record)",
            &[],
            |row| row.get(0),
        )
        .await?;
    if is_used {
        return Err(not_empty());
    }
    let text = "INSERT INTO unfinished_copy (only_row, started_at) VALUES (TRUE, $1)";
    sql.run(text, &[now.into()]).await.map(|_| true)
}

/// Removes the mark.
pub async fn unmark(sql: &mut impl Sql) -> Result<(), StoreError> {
    sql.run("DELETE FROM unfinished_copy", &[]).await.map(drop)
}

/// Creates a ledger with its number, time, request and thresholds. Main exists already; only its time is set.
pub async fn write_ledger(sql: &mut impl Sql, stored: &StoredLedger) -> Result<(), StoreError> {
    let StoredLedger { ledger, request, default_alerts } = stored;
    for stored in default_alerts {
        alerts::insert(sql, ledger.no, stored).await?;
    }
    if ledger.no != LedgerNo::MAIN {
        return ledgers::insert(sql, ledger, request.as_ref()).await;
    }
    if ledger.id != LedgerId::main() || request.is_some() {
        return Err(damaged("the first ledger is not main"));
    }
    let text = "UPDATE ledger SET created_at = $1 WHERE ledger_no = 0";
    sql.run(text, &[ledger.created_at.into()]).await.map(drop)
}

//! Changes of rate cards: one small table, read as a whole.

use rusqlite::types::Value;
use rusqlite::{Row, params};

use super::connection::Statements;
use super::failed;
use super::read::SqliteReader;
use super::rows::{request_column, request_of, request_value};
use crate::ledger::card::{CardChange, CardRequest};
use crate::store::StoreError;
use crate::store::cards::CardColumns;

/// The columns of a change, in the order in which [`read`] takes them.
macro_rules! card_columns {
    () => {
        "revision, ledger_no, kind, card_id, version, body, recorded_at, fingerprint, made_by, checksum, request"
    };
}

fn read(row: &Row<'_>) -> rusqlite::Result<(CardColumns, Value)> {
    let columns = CardColumns {
        revision: row.get(0)?,
        ledger_no: row.get(1)?,
        kind: row.get(2)?,
        card_id: row.get(3)?,
        version: row.get(4)?,
        body: row.get(5)?,
        recorded_at: row.get(6)?,
        fingerprint: row.get(7)?,
        made_by: row.get(8)?,
        checksum: row.get(9)?,
    };
    Ok((columns, row.get(10)?))
}

fn change((columns, request): (CardColumns, Value)) -> Result<CardChange, StoreError> {
    columns.change(request_of(request, "a change of rate cards")?)
}

/// The changes after a revision, on the writing side.
///
/// # Errors
/// [`StoreError`].
pub(super) fn changes(statements: Statements<'_>, after: u64) -> Result<Vec<CardChange>, StoreError> {
    let rows = statements.all(
        concat!("SELECT ", card_columns!(), " FROM rate_card_change WHERE revision > ? ORDER BY revision"),
        [i64::try_from(after).unwrap_or(i64::MAX)],
        read,
    )?;
    rows.into_iter().map(change).collect()
}

/// What a request made before.
///
/// # Errors
/// [`StoreError`].
pub(super) fn earlier(
    statements: Statements<'_>,
    request: &CardRequest,
) -> Result<Option<CardChange>, StoreError> {
    let row = statements.first(
        concat!(
            "SELECT ",
            card_columns!(),
            " FROM rate_card_change WHERE ledger_no = ? AND kind = ? AND request = ?"
        ),
        params![request.ledger.get(), request.change.kind().code(), request_value(&request.request)],
        read,
    )?;
    row.map(change).transpose()
}

/// Adds a change.
///
/// # Errors
/// [`StoreError`].
pub(super) fn insert(statements: Statements<'_>, change: &CardChange) -> Result<(), StoreError> {
    let row = CardColumns::of(change)?;
    statements.run(
        "INSERT INTO rate_card_change (
             revision, ledger_no, kind, card_id, version, body, recorded_at, fingerprint, made_by, checksum, request
         )
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            row.revision,
            row.ledger_no,
            row.kind,
            row.card_id,
            row.version,
            row.body,
            row.recorded_at,
            row.fingerprint,
            row.made_by,
            row.checksum,
            request_value(&change.request),
        ],
    )?;
    Ok(())
}

impl SqliteReader {
    /// The changes after a revision, on the reading side.
    pub(super) async fn card_changes_after(&self, after: u64) -> Result<Vec<CardChange>, StoreError> {
        use sqlx::Row as _;
        let rows = sqlx::query(concat!(
            "SELECT ",
            card_columns!(),
            " FROM rate_card_change WHERE revision > ? ORDER BY revision"
        ))
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let columns = CardColumns {
                    revision: row.try_get(0).map_err(failed)?,
                    ledger_no: row.try_get(1).map_err(failed)?,
                    kind: row.try_get(2).map_err(failed)?,
                    card_id: row.try_get(3).map_err(failed)?,
                    version: row.try_get(4).map_err(failed)?,
                    body: row.try_get(5).map_err(failed)?,
                    recorded_at: row.try_get(6).map_err(failed)?,
                    fingerprint: row.try_get(7).map_err(failed)?,
                    made_by: row.try_get(8).map_err(failed)?,
                    checksum: row.try_get(9).map_err(failed)?,
                };
                change((columns, request_column(row, 10).map_err(failed)?))
            })
            .collect()
    }
}

//! Changes of rate cards: one small table, read as a whole. Where two servers race for a revision or a request, the
//! second clashes and looks again.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row as _};

use super::errors::failed;
use super::rows::{request_bytes, request_of, sql_ledger};
use crate::ledger::card::{CardChange, CardRequest};
use crate::store::StoreError;
use crate::store::cards::CardColumns;

/// The columns of a change, in the order in which [`change`] takes them.
macro_rules! card_columns {
    () => {
        "revision, ledger_no, kind, card_id, version, body, recorded_at, fingerprint, made_by, checksum, request"
    };
}

fn change(row: &PgRow) -> Result<CardChange, StoreError> {
    let columns = CardColumns {
        revision: row.try_get(0).map_err(failed)?,
        ledger_no: row.try_get::<i32, _>(1).map_err(failed)?.into(),
        kind: row.try_get::<i16, _>(2).map_err(failed)?.into(),
        card_id: row.try_get(3).map_err(failed)?,
        version: row.try_get::<Option<i32>, _>(4).map_err(failed)?.map(i64::from),
        body: row.try_get(5).map_err(failed)?,
        recorded_at: row.try_get(6).map_err(failed)?,
        fingerprint: row.try_get(7).map_err(failed)?,
        made_by: row.try_get(8).map_err(failed)?,
        checksum: row.try_get(9).map_err(failed)?,
    };
    let request: Vec<u8> = row.try_get(10).map_err(failed)?;
    columns.change(Some(request_of(&request, "a change of rate cards")?))
}

/// The changes after a revision.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn changes(
    database: impl PgExecutor<'_>,
    after: u64,
) -> Result<Vec<CardChange>, StoreError> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        card_columns!(),
        " FROM rate_card_change WHERE revision > $1 ORDER BY revision"
    ))
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .fetch_all(database)
    .await
    .map_err(failed)?;
    rows.iter().map(change).collect()
}

/// What a request made before.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn earlier(
    connection: &mut PgConnection,
    request: &CardRequest,
) -> Result<Option<CardChange>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        card_columns!(),
        " FROM rate_card_change WHERE ledger_no = $1 AND kind = $2 AND request = $3"
    ))
    .bind(sql_ledger(request.ledger))
    .bind(i16::from(request.change.kind().code()))
    .bind(request_bytes(&request.request))
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    row.as_ref().map(change).transpose()
}

/// Adds a change.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn insert(connection: &mut PgConnection, change: &CardChange) -> Result<(), StoreError> {
    let row = CardColumns::of(change)?;
    sqlx::query(
        "INSERT INTO rate_card_change (
             revision, ledger_no, kind, card_id, version, body, recorded_at, fingerprint, made_by, checksum, request
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(row.revision)
    .bind(sql_ledger(change.ledger))
    .bind(i16::from(change.changed.kind().code()))
    .bind(row.card_id)
    .bind(row.version.and_then(|version| i32::try_from(version).ok()))
    .bind(row.body)
    .bind(row.recorded_at)
    .bind(row.fingerprint)
    .bind(row.made_by)
    .bind(row.checksum)
    .bind(request_bytes(&change.request))
    .execute(connection)
    .await
    .map_err(failed)
    .map(drop)
}

//! Changes of rate cards: one small table, read as a whole. When two servers race for a revision or a request, the
//! second one clashes, and its next attempt reads the first one's row.

use super::database::Sql;
use super::row::{Row, sql_count};
use crate::ledger::card::{CardChange, CardRequest};
use crate::store::cards::CardColumns;
use crate::store::error::{StoreError, damaged};

/// The columns of a change, in the order in which [`change`] takes them.
macro_rules! card_columns {
    () => {
        "revision, ledger_no, kind, card_id, version, body, recorded_at, fingerprint, made_by, checksum, request"
    };
}

fn change(row: &dyn Row) -> Result<CardChange, StoreError> {
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
    let request = row.request(10)?.ok_or_else(|| damaged("a change of rate cards has no request"))?;
    columns.change(request.key("a change of rate cards")?)
}

/// The changes after a revision.
pub async fn changes(sql: &mut impl Sql, after: u64) -> Result<Vec<CardChange>, StoreError> {
    sql.all(
        concat!("SELECT ", card_columns!(), " FROM rate_card_change WHERE revision > $1 ORDER BY revision"),
        &[sql_count(after).into()],
        change,
    )
    .await
}

/// The change that an earlier request with this id made.
pub async fn earlier(sql: &mut impl Sql, request: &CardRequest) -> Result<Option<CardChange>, StoreError> {
    sql.first(
        concat!(
            "SELECT ",
            card_columns!(),
            " FROM rate_card_change WHERE ledger_no = $1 AND kind = $2 AND request = $3"
        ),
        &[request.ledger.into(), i64::from(request.change.kind().code()).into(), (&request.request).into()],
        change,
    )
    .await
}

pub async fn insert(sql: &mut impl Sql, change: &CardChange) -> Result<(), StoreError> {
    let row = CardColumns::of(change)?;
    sql.run(
        concat!(
            "INSERT INTO rate_card_change (",
            card_columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        ),
        &[
            row.revision.into(),
            row.ledger_no.into(),
            row.kind.into(),
            row.card_id.as_str().into(),
            row.version.into(),
            row.body.as_deref().into(),
            row.recorded_at.into(),
            row.fingerprint.into(),
            row.made_by.as_str().into(),
            row.checksum.into(),
            (&change.request).into(),
        ],
    )
    .await
    .map(drop)
}

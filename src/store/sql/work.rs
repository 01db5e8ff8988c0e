//! Reads entries of work, and splits the holds of older databases, which contained them.

use std::sync::Arc;

use uuid::Uuid;

use super::database::Sql;
use super::row::{Row, sql_count};
use super::rows::body;
use crate::ledger::ids::WorkId;
use crate::ledger::work::Work;
use crate::ledger::{Hold, HoldId};
use crate::store::audit::StoredWork;
use crate::store::error::{StoreError, damaged};
use crate::store::read_store::Page;

/// How many holds one transaction of the migration splits. [`STEP_BYTES`] limits their bodies too, except that the
/// last one may exceed it. Both are far below what engines allow in a transaction.
pub const STEP_HOLDS: i64 = 500;
pub const STEP_BYTES: i64 = 1 << 20;

/// Reads an entry from its body in column `column`.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn entry(row: &dyn Row, column: usize) -> Result<Arc<Work>, StoreError> {
    body(row, column, "an entry of work").map(Arc::new)
}

/// A hold's entries in the order of recording.
pub async fn page(
    sql: &mut impl Sql,
    hold: HoldId,
    after: Option<WorkId>,
    limit: usize,
) -> Result<Page<Arc<Work>, WorkId>, StoreError> {
    // No id is nil.
    let after = after.map_or(Uuid::nil(), |after| after.uuid());
    let items = sql
        .all(
            "SELECT body
             FROM work
             WHERE hold_id = $1
               AND work_id > $2
             ORDER BY work_id
             LIMIT $3",
            &[hold.into(), after.into(), sql_count(limit.saturating_add(1)).into()],
            |row| entry(row, 0),
        )
        .await?;
    Ok(Page::cut(items, limit, |work| work.id))
}

/// Entries as they are stored.
pub async fn stored(
    sql: &mut impl Sql,
    after: Option<(HoldId, WorkId)>,
    limit: usize,
) -> Result<Vec<StoredWork>, StoreError> {
    let (hold, work) = after.map_or((Uuid::nil(), Uuid::nil()), |(hold, work)| (hold.uuid(), work.uuid()));
    sql.all(
        "SELECT hold_id, work_id, body
         FROM work
         WHERE (hold_id, work_id) > ($1, $2)
         ORDER BY hold_id, work_id
         LIMIT $3",
        &[hold.into(), work.into(), sql_count(limit).into()],
        |row| {
            let (hold, id) = (HoldId::from_uuid(row.get(0)?), WorkId::from_uuid(row.get(1)?));
            Ok(StoredWork { hold, id, body: row.get(2)? })
        },
    )
    .await
}

/// Splits a hold of an older database into the hold without its entries of work, and the entries.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn taken_apart(id: Uuid, body: &[u8]) -> Result<(Hold, Vec<Work>), StoreError> {
    Hold::decode_with_entries(body).map_err(|error| damaged(format!("hold {id}: {error}")))
}

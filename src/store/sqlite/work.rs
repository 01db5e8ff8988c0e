//! Entries of work: loading those that a void needs, writing those that a batch recorded or voided, reading and
//! checking the rows, and moving them out of the holds of older databases.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row, TransactionBehavior, params};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::connection::Statements;
use super::read::SqliteReader;
use super::rows::{decoded, limit_of, uuid_of};
use super::{failed, refused};
use crate::ledger::codec::encode;
use crate::ledger::ids::WorkId;
use crate::ledger::work::Work;
use crate::ledger::{Book, Hold, HoldId};
use crate::store::checks::{Faults, WorkColumns};
use crate::store::stored::{Voids, damaged};
use crate::store::{Page, StoreError, StoredWork};

/// Rows read at a time.
const PAGE: i64 = 1_000;
/// Holds that one transaction moves out of their older form, and the bytes of their bodies, but for the last one's.
const STEP_HOLDS: i64 = 500;
const STEP_BYTES: usize = 4 << 20;

type WorkTuple = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, bool, Option<i64>, Option<i64>, Vec<u8>);

/// Fills the book with the entries that are to be voided, and with what the sums of their holds need then.
///
/// # Errors
/// [`StoreError`].
pub(super) fn load(
    statements: Statements<'_>,
    book: &mut Book,
    voids: &BTreeMap<HoldId, Voids>,
) -> Result<(), StoreError> {
    for (id, Voids { hold, entries }) in voids {
        let customer = hold.customer_key();
        let entry = |work: WorkId| {
            let body = statements.first(
                "SELECT body
                 FROM work
                 WHERE hold_id = ?
                   AND work_id = ?",
                params![id.uuid().as_bytes(), work.uuid().as_bytes()],
                read_body,
            )?;
            body.map(|body| work_of(&body)).transpose()
        };
        for work in entries {
            if let Some(work) = entry(*work)? {
                book.put_work(customer, *id, work);
            }
        }
        // Back along each line to the first entry that stays.
        for line in &hold.work.lines {
            let mut at = Some(line.last);
            while let Some(work) = at {
                let work =
                    entry(work)?.ok_or_else(|| damaged(format!("entry {work} of hold {id} is not there")))?;
                let stays = work.counts() && !entries.contains(&work.id);
                at =
                    work.previous.filter(|previous| !stays && *previous > WorkId::MIN && *previous < work.id);
                book.put_work(customer, *id, work);
            }
        }
        if hold.work.placed.is_none() {
            continue;
        }
        // At least one of these still counts, whichever are voided.
        let some = limit_of(entries.len().saturating_add(1));
        for bound in [
            "SELECT body
             FROM work
             WHERE hold_id = ?
               AND counts_from IS NOT NULL
             ORDER BY counts_from
             LIMIT ?",
            "SELECT body
             FROM work
             WHERE hold_id = ?
               AND counts_until IS NOT NULL
             ORDER BY counts_until DESC
             LIMIT ?",
        ] {
            for body in statements.all(bound, params![id.uuid().as_bytes(), some], read_body)? {
                book.put_work(customer, *id, work_of(&body)?);
            }
        }
    }
    Ok(())
}

/// Writes the entries that the batch recorded or voided.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub(super) fn append(statements: Statements<'_>, book: &Book) -> Result<(), StoreError> {
    let mut touched = book.touched_work().peekable();
    if touched.peek().is_none() {
        return Ok(());
    }
    let mut write = statements.prepare(
        "INSERT INTO work (hold_id, work_id, previous, voided, counts_from, counts_until, body)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (hold_id, work_id) DO UPDATE
         SET voided = excluded.voided, counts_from = excluded.counts_from, counts_until = excluded.counts_until,
             body = excluded.body",
    )?;
    touched.try_for_each(|(hold, work)| write.run(row(hold, work)).map(drop))
}

/// An entry's row, in the order of its columns.
fn row(hold: HoldId, work: &Work) -> impl rusqlite::Params {
    let WorkColumns { id, previous, voided, counts_from, counts_until } = WorkColumns::of(work);
    (hold.uuid().as_bytes().to_vec(), id, previous, voided, counts_from, counts_until, encode(work))
}

fn read_body(row: &Row<'_>) -> rusqlite::Result<Vec<u8>> {
    row.get(0)
}

fn work_of(body: &[u8]) -> Result<Arc<Work>, StoreError> {
    decoded(body, "an entry of work").map(Arc::new)
}

impl SqliteReader {
    pub(super) async fn work_page(
        &self,
        hold: HoldId,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<Page<Arc<Work>, WorkId>, StoreError> {
        let bodies: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT body
             FROM work
             WHERE hold_id = ?
               AND work_id > ?
             ORDER BY work_id
             LIMIT ?",
        )
        .bind(hold.uuid().as_bytes().to_vec())
        .bind(after.map_or(Vec::new(), |after| after.uuid().as_bytes().to_vec()))
        .bind(limit_of(limit.saturating_add(1)))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let items = bodies.iter().map(|body| work_of(body)).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |work| work.id))
    }

    pub(super) async fn work_rows(
        &self,
        after: Option<(HoldId, WorkId)>,
        limit: usize,
    ) -> Result<Vec<StoredWork>, StoreError> {
        let (hold, work) = after.map_or_else(Default::default, |(hold, work)| {
            (hold.uuid().as_bytes().to_vec(), work.uuid().as_bytes().to_vec())
        });
        let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT hold_id, work_id, body
             FROM work
             WHERE (hold_id, work_id) > (?, ?)
             ORDER BY hold_id, work_id
             LIMIT ?",
        )
        .bind(hold)
        .bind(work)
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.into_iter()
            .map(|(hold, id, body)| {
                let hold = HoldId::from_uuid(uuid_of(&hold, "hold id")?);
                Ok(StoredWork { hold, id: WorkId::from_uuid(uuid_of(&id, "work id")?), body })
            })
            .collect()
    }
}

/// The columns that repeat what the bodies say.
pub(super) async fn check(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after: (Vec<u8>, Vec<u8>) = Default::default();
    loop {
        let rows: Vec<WorkTuple> = sqlx::query_as(
            "SELECT hold_id, work_id, previous, voided, counts_from, counts_until, body
             FROM work
             WHERE (hold_id, work_id) > (?, ?)
             ORDER BY hold_id, work_id
             LIMIT ?",
        )
        .bind(after.0.as_slice())
        .bind(after.1.as_slice())
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = (last.0.clone(), last.1.clone());
        for (_, id, previous, voided, counts_from, counts_until, body) in rows {
            let name = Uuid::from_slice(&id).map_or_else(|_| "without an id".to_owned(), |id| id.to_string());
            let work: Work = decoded(&body, &format!("entry of work {name}"))?;
            let columns = WorkColumns { id, previous, voided, counts_from, counts_until };
            faults.expect(columns == WorkColumns::of(&work), || {
                format!("entry of work {name}: its columns are not those of its body")
            });
        }
    }
}

/// Moves the entries of older holds to their table, some holds a transaction; one that was cut off goes on where it was.
///
/// # Errors
/// [`StoreError`]; what was not committed is as it was.
pub(super) fn finish_step(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    while move_some(connection, path)? {}
    Ok(())
}

/// True where there may be more.
fn move_some(connection: &mut Connection, path: &Path) -> Result<bool, StoreError> {
    let said = |error| refused(path, error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(said)?;
    let mut done_to: Option<Vec<u8>> = {
        let mut step =
            transaction.prepare("SELECT done_to FROM unfinished_step WHERE step = 'work'").map_err(said)?;
        let mut rows = step.query([]).map_err(said)?;
        match rows.next().map_err(said)? {
            Some(row) => row.get(0).map_err(said)?,
            None => return Ok(false),
        }
    };
    let mut older = Vec::new();
    {
        let sql = "SELECT hold_id, body FROM hold WHERE hold_id > ? ORDER BY hold_id LIMIT ?";
        let mut holds = transaction.prepare(sql).map_err(said)?;
        let mut rows = holds.query(params![done_to.take().unwrap_or_default(), STEP_HOLDS]).map_err(said)?;
        let mut bytes = 0_usize;
        while let Some(row) = rows.next().map_err(said)? {
            let (id, body): (Vec<u8>, Vec<u8>) = (row.get(0).map_err(said)?, row.get(1).map_err(said)?);
            bytes = bytes.saturating_add(body.len());
            done_to = Some(id.clone());
            older.push((id, body));
            if bytes >= STEP_BYTES {
                break;
            }
        }
    }
    for (id, body) in older {
        let (hold, entries) = Hold::decode_with_entries(&body).map_err(|error| {
            damaged(format!("hold {}: {error}", Uuid::from_slice(&id).unwrap_or_default()))
        })?;
        if entries.is_empty() {
            continue;
        }
        for entry in &entries {
            let sql = "INSERT INTO work (hold_id, work_id, previous, voided, counts_from, counts_until, body)
                       VALUES (?, ?, ?, ?, ?, ?, ?)";
            let mut insert = transaction.prepare_cached(sql).map_err(said)?;
            insert.execute(row(hold.id, entry)).map_err(said)?;
        }
        let mut update =
            transaction.prepare_cached("UPDATE hold SET body = ? WHERE hold_id = ?").map_err(said)?;
        update.execute(params![encode(&hold), id]).map_err(said)?;
    }
    let more = done_to.is_some();
    let sql = if more {
        "UPDATE unfinished_step SET done_to = ? WHERE step = 'work'"
    } else {
        "DELETE FROM unfinished_step WHERE step = 'work' AND ? IS NULL"
    };
    transaction.execute(sql, [done_to]).map_err(said)?;
    transaction.commit().map_err(said)?;
    Ok(more)
}

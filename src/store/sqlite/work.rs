//! Entries of work: loading those that a void needs, and writing those that a batch touched. Also moves entries out
//! of the holds of older databases.

use std::collections::BTreeMap;

use rusqlite::{Connection, TransactionBehavior, params};
use uuid::Uuid;

use super::connection::Statements;
use super::driver::fetch;
use crate::ledger::codec::encode;
use crate::ledger::ids::WorkId;
use crate::ledger::work::Work;
use crate::ledger::{Book, HoldId};
use crate::store::checks::WorkColumns;
use crate::store::error::{StoreError, damaged};
use crate::store::sql::row::sql_count;
use crate::store::sql::work::{STEP_BYTES, STEP_HOLDS, entry as entry_of, taken_apart};
use crate::store::stored::Voids;

/// Fills the book with the entries to be voided, and with those that the sums of their holds then need.
pub(super) fn load(
    statements: Statements<'_>,
    book: &mut Book,
    voids: &BTreeMap<HoldId, Voids>,
) -> Result<(), StoreError> {
    for (id, Voids { hold, entries }) in voids {
        let customer = hold.customer_key();
        let entry = |work: WorkId| {
            statements.first(
                "SELECT body
                 FROM work
                 WHERE hold_id = ?
                   AND work_id = ?",
                params![id.uuid().as_bytes(), work.uuid().as_bytes()],
                |row| entry_of(row, 0),
            )
        };
        for work in entries {
            if let Some(work) = entry(*work)? {
                book.put_work(customer, *id, work);
            }
        }
        // Go back along each line to the first entry that stays.
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
        // Enough entries that at least one still counts, whichever are voided.
        let some = sql_count(entries.len().saturating_add(1));
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
            for work in statements.all(bound, params![id.uuid().as_bytes(), some], |row| entry_of(row, 0))? {
                book.put_work(customer, *id, work);
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

fn row(hold: HoldId, work: &Work) -> impl rusqlite::Params {
    let WorkColumns { id, previous, voided, counts_from, counts_until } = WorkColumns::of(work);
    let previous = previous.map(|previous| previous.as_bytes().to_vec());
    let id = id.as_bytes().to_vec();
    (hold.uuid().as_bytes().to_vec(), id, previous, voided, counts_from, counts_until, encode(work))
}

/// Moves the entries of older holds to their table, some holds a transaction. After an interruption it continues
/// where it was.
///
/// # Errors
/// [`StoreError`]; committed steps stay.
pub(super) fn finish_step(connection: &mut Connection) -> Result<(), StoreError> {
    while move_some(connection)? {}
    Ok(())
}

/// False once nothing is left to move.
fn move_some(connection: &mut Connection) -> Result<bool, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done_to: Option<Option<Uuid>> = {
        let mut step = transaction.prepare("SELECT done_to FROM unfinished_step WHERE step = 'work'")?;
        fetch(&mut step, &[], |row| row.get(0))?.into_iter().next()
    };
    let Some(done_to) = done_to else { return Ok(false) };
    let older: Vec<(Uuid, Vec<u8>)> = {
        let mut holds = transaction.prepare(
            "SELECT hold_id, body
             FROM (
                 SELECT hold_id, body, SUM(LENGTH(body)) OVER (ORDER BY hold_id) - LENGTH(body) AS bytes_before
                 FROM (SELECT hold_id, body FROM hold WHERE hold_id > $1 ORDER BY hold_id LIMIT $2)
             )
             WHERE bytes_before < $3
             ORDER BY hold_id",
        )?;
        let params = [done_to.unwrap_or(Uuid::nil()).into(), STEP_HOLDS.into(), STEP_BYTES.into()];
        fetch(&mut holds, &params, |row| Ok((row.get(0)?, row.get(1)?)))?
    };
    let last = older.last().map(|(id, _)| *id);
    for (id, body) in older {
        let (hold, entries) = taken_apart(id, &body)?;
        if entries.is_empty() {
            continue;
        }
        for entry in &entries {
            let sql = "INSERT INTO work (hold_id, work_id, previous, voided, counts_from, counts_until, body)
                       VALUES (?, ?, ?, ?, ?, ?, ?)";
            transaction.prepare_cached(sql)?.execute(row(hold.id, entry))?;
        }
        let mut update = transaction.prepare_cached("UPDATE hold SET body = ? WHERE hold_id = ?")?;
        update.execute(params![encode(&hold), id.as_bytes()])?;
    }
    match last {
        Some(last) => transaction
            .execute("UPDATE unfinished_step SET done_to = ? WHERE step = 'work'", [last.as_bytes()])?,
        None => transaction.execute("DELETE FROM unfinished_step WHERE step = 'work'", [])?,
    };
    transaction.commit()?;
    Ok(last.is_some())
}

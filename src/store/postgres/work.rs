//! Entries of work: loading those that a void needs, and writing those that a batch touched. Also moves entries out
//! of the holds of older databases.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::ledger::codec::encode;
use crate::ledger::work::Work;
use crate::ledger::{Book, HoldId};
use crate::store::error::StoreError;
use crate::store::sql::row::sql_count;
use crate::store::sql::work::{STEP_BYTES, STEP_HOLDS, entry, taken_apart};
use crate::store::stored::Voids;

/// Fills the book with the entries to be voided, and with those that the sums of their holds then need. Along each
/// line it goes back to the first entry that stays. It also loads enough first starts and last ends that at least one
/// still counts.
pub(super) async fn load(
    connection: &mut PgConnection,
    book: &mut Book,
    voids: &BTreeMap<HoldId, Voids>,
) -> Result<(), StoreError> {
    if voids.is_empty() {
        return Ok(());
    }
    let named = |(hold, voids): (&HoldId, &Voids)| -> Vec<(Uuid, Uuid)> {
        voids.entries.iter().map(|work| (hold.uuid(), work.uuid())).collect()
    };
    let last = |(hold, voids): (&HoldId, &Voids)| -> Vec<(Uuid, Uuid)> {
        voids.hold.work.lines.iter().map(|line| (hold.uuid(), line.last.uuid())).collect()
    };
    let placed = |(hold, voids): (&HoldId, &Voids)| {
        voids.hold.work.placed.map(|_| (hold.uuid(), sql_count(voids.entries.len().saturating_add(1))))
    };
    let (named_holds, named): (Vec<Uuid>, Vec<Uuid>) = voids.iter().flat_map(named).unzip();
    let (line_holds, last): (Vec<Uuid>, Vec<Uuid>) = voids.iter().flat_map(last).unzip();
    let (placed_holds, some): (Vec<Uuid>, Vec<i64>) = voids.iter().filter_map(placed).unzip();
    let rows = sqlx::query(
        "WITH RECURSIVE named(hold_id, work_id) AS (
             SELECT * FROM UNNEST($1::uuid[], $2::uuid[])
         ), line(hold_id, previous, body, goes_on) AS (
             SELECT w.hold_id, w.previous, w.body,
                    w.voided OR EXISTS (SELECT 1 FROM named n WHERE n.hold_id = w.hold_id AND n.work_id = w.work_id)
             FROM UNNEST($3::uuid[], $4::uuid[]) u(hold_id, work_id)
             JOIN work w ON w.hold_id = u.hold_id AND w.work_id = u.work_id
             UNION ALL
             SELECT w.hold_id, w.previous, w.body,
                    w.voided OR EXISTS (SELECT 1 FROM named n WHERE n.hold_id = w.hold_id AND n.work_id = w.work_id)
             FROM line
             JOIN work w ON w.hold_id = line.hold_id AND w.work_id = line.previous
             WHERE line.goes_on
         )
         SELECT w.hold_id, w.body
         FROM named n
         JOIN work w ON w.hold_id = n.hold_id AND w.work_id = n.work_id
         UNION ALL
         SELECT hold_id, body
         FROM line
         UNION ALL
         SELECT u.hold_id, w.body
         FROM UNNEST($5::uuid[], $6::bigint[]) u(hold_id, wanted)
         CROSS JOIN LATERAL (SELECT body FROM work
                             WHERE work.hold_id = u.hold_id AND work.counts_from IS NOT NULL
                             ORDER BY counts_from
                             LIMIT u.wanted) w
         UNION ALL
         SELECT u.hold_id, w.body
         FROM UNNEST($5::uuid[], $6::bigint[]) u(hold_id, wanted)
         CROSS JOIN LATERAL (SELECT body FROM work
                             WHERE work.hold_id = u.hold_id AND work.counts_until IS NOT NULL
                             ORDER BY counts_until DESC
                             LIMIT u.wanted) w",
    )
    .bind(named_holds)
    .bind(named)
    .bind(line_holds)
    .bind(last)
    .bind(placed_holds)
    .bind(some)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let hold = HoldId::from_uuid(row.try_get(0)?);
        if let Some(Voids { hold: of, .. }) = voids.get(&hold) {
            book.put_work(of.customer_key(), hold, entry(row, 1)?);
        }
    }
    Ok(())
}

/// Writes the entries that the batch recorded or voided, in the order of their keys.
///
/// # Errors
/// [`StoreError`]; the transaction must be rolled back.
pub(super) async fn append(connection: &mut PgConnection, book: &Book) -> Result<(), StoreError> {
    let touched: Vec<(HoldId, &Work)> = book.touched_work().map(|(hold, work)| (hold, &**work)).collect();
    write(connection, &touched).await
}

async fn write(connection: &mut PgConnection, entries: &[(HoldId, &Work)]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let spans: Vec<_> = entries.iter().map(|(_, work)| work.counted_span()).collect();
    sqlx::query(
        "INSERT INTO work (hold_id, work_id, previous, voided, counts_from, counts_until, body)
         SELECT *
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bytea[])
         ON CONFLICT (hold_id, work_id) DO UPDATE
         SET voided = excluded.voided, counts_from = excluded.counts_from, counts_until = excluded.counts_until,
             body = excluded.body",
    )
    .bind(entries.iter().map(|(hold, _)| hold.uuid()).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, work)| work.id.uuid()).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, work)| work.previous.map(|id| id.uuid())).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, work)| !work.counts()).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| span.map(|span| span.from.micros())).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| span.map(|span| span.until.micros())).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, work)| encode(*work)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves the entries of older holds to their table, some holds a transaction. After an interruption it continues
/// where it was. Servers that start together take turns.
///
/// # Errors
/// [`StoreError`]; committed steps stay.
pub(super) async fn finish_step(connection: &mut PgConnection) -> Result<(), StoreError> {
    while move_some(connection).await? {}
    Ok(())
}

/// False once nothing is left to move.
async fn move_some(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let mut transaction = connection.begin().await?;
    let step: Option<Option<Uuid>> =
        sqlx::query_scalar("SELECT done_to FROM unfinished_step WHERE step = 'work' FOR UPDATE")
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(done_to) = step else { return Ok(false) };
    let older: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT hold_id, body
         FROM (
             SELECT hold_id, body, SUM(LENGTH(body)) OVER (ORDER BY hold_id) - LENGTH(body) AS bytes_before
             FROM (SELECT hold_id, body FROM hold WHERE hold_id > $1 ORDER BY hold_id LIMIT $2 FOR UPDATE) h
         ) older
         WHERE bytes_before < $3
         ORDER BY hold_id",
    )
    .bind(done_to.unwrap_or(Uuid::nil()))
    .bind(STEP_HOLDS)
    .bind(STEP_BYTES)
    .fetch_all(&mut *transaction)
    .await?;
    let last = older.last().map(|(id, _)| *id);
    let (mut moved, mut bodies) = (Vec::new(), Vec::new());
    let mut entries = Vec::new();
    for (id, body) in older {
        let (hold, work) = taken_apart(id, &body)?;
        if !work.is_empty() {
            moved.push(id);
            bodies.push(encode(&hold));
            entries.extend(work.into_iter().map(|entry| (hold.id, entry)));
        }
    }
    let entries: Vec<(HoldId, &Work)> = entries.iter().map(|(hold, entry)| (*hold, entry)).collect();
    write(&mut transaction, &entries).await?;
    if !moved.is_empty() {
        sqlx::query(
            "UPDATE hold h
             SET body = u.body
             FROM UNNEST($1::uuid[], $2::bytea[]) u(hold_id, body)
             WHERE h.hold_id = u.hold_id",
        )
        .bind(moved)
        .bind(bodies)
        .execute(&mut *transaction)
        .await?;
    }
    let step = match last {
        Some(last) => sqlx::query("UPDATE unfinished_step SET done_to = $1 WHERE step = 'work'").bind(last),
        None => sqlx::query("DELETE FROM unfinished_step WHERE step = 'work'"),
    };
    step.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(last.is_some())
}

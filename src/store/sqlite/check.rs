//! The engine's check of itself: SQLite's own check, the schema, positions, pointers, and columns that repeat a part
//! of a body.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;

use super::columns::{Sqlite, keyed_posting_columns, with_words};
use super::driver::fetch;
use super::journal::checksum_of;
use super::keys::place_of;
use crate::ledger::customer::CustomerState;
use crate::ledger::{LedgerNo, Timestamp};
use crate::store::checks::Faults;
use crate::store::error::StoreError;
use crate::store::migrations::SQLITE;
use crate::store::skew::{Path, Pointers};
use crate::store::sql::check::{
    PAGE, check_bodies, check_orders, check_records, check_strangers, check_tokens, readable,
};
use crate::store::sql::database::Sql;
use crate::store::sql::names;
use crate::store::sql::row::Row;
use crate::store::sql::rows::{POSTING_COLUMNS, PostingRow, body, posting_columns};

/// Returns the first faults; all reads are of one snapshot.
///
/// # Errors
/// [`StoreError`] where the database cannot be read; the lender of the connection ends the transaction.
pub(super) async fn check<S: Sql<Dialect = Sqlite> + Send>(sql: &mut S) -> Result<Vec<String>, StoreError> {
    let mut faults = Faults::default();
    sql.run("BEGIN", &[]).await?;
    // Where a page is too damaged even for SQLite's check, that is the fault.
    let lines = sql.all("PRAGMA integrity_check(20)", &[], |row| row.get::<String>(0)).await;
    for line in readable(lines)?.unwrap_or_else(|damage| vec![damage]) {
        faults.expect(line == "ok", || line);
    }
    // What SQLite itself finds damaged cannot be read reliably. The lender of the connection ends the transaction.
    if faults.are_none() {
        check_schema(sql, &mut faults).await?;
        check_journal(sql, &mut faults).await?;
        check_bodies(sql, &mut faults).await?;
        check_orders(sql, &mut faults).await?;
        check_tokens(sql, &mut faults).await?;
        check_records(sql, &mut faults).await?;
        check_strangers(sql, &mut faults).await?;
        sql.run("COMMIT", &[]).await?;
    }
    Ok(faults.into_lines())
}

/// The part of the schema that is compared: type and name of each object, and its SQL. Tables whose names begin with
/// `_litestream_`, and their indexes, are Litestream's own. A trigger on them is compared all the same: it could write
/// elsewhere.
const SCHEMA: &str = "
    SELECT type || ' ' || name, COALESCE(sql, '')
    FROM sqlite_schema
    WHERE name <> '_sqlx_migrations'
      AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
      AND (type NOT IN ('table', 'index') OR tbl_name NOT LIKE '\\_litestream\\_%' ESCAPE '\\')";

/// What the migrations create.
fn made() -> Result<BTreeSet<(String, String)>, StoreError> {
    let new = Connection::open_in_memory()?;
    for migration in SQLITE {
        new.execute_batch(migration.sql)?;
    }
    let mut schema = new.prepare(SCHEMA)?;
    Ok(fetch(&mut schema, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}

/// Tables, indexes, triggers and views must be those of the migrations. A missing trigger guards nothing, and a
/// changed view gives an auditor wrong sums.
async fn check_schema<S: Sql>(sql: &mut S, faults: &mut Faults) -> Result<(), StoreError> {
    let read = |row: &dyn Row| Ok((row.get::<String>(0)?, row.get::<String>(1)?));
    let stored: BTreeSet<_> = sql.all(SCHEMA, &[], read).await?.into_iter().collect();
    let expected = made()?;
    for (name, _) in expected.difference(&stored) {
        faults.expect(false, || format!("schema: {name} is not there as the migrations made it"));
    }
    for (name, _) in stored.difference(&expected) {
        faults.expect(false, || format!("schema: {name} is none that the migrations made"));
    }
    // A table that is missing cannot be read.
    let is_missing = |(name, _): &(String, String)| name.starts_with("table ");
    if expected.difference(&stored).any(is_missing) { Ok(()) } else { names::check(sql, faults).await }
}

/// A posting's row with the columns that this engine adds.
struct Checked {
    key: i64,
    row: PostingRow,
    pointers: Pointers,
    checksum: i64,
}

/// Checks checksums, positions and sequences without gaps, and pointers. Pointers must be those that the same
/// postings would get again.
async fn check_journal<S: Sql + Send>(sql: &mut S, faults: &mut Faults) -> Result<(), StoreError> {
    let mut paths: HashMap<i64, Path> = HashMap::new();
    let mut after = -1_i64;
    let mut place: (LedgerNo, u64) = (LedgerNo::MAIN, 0);
    while !faults.are_enough() {
        let text = concat!(
            "SELECT ",
            keyed_posting_columns!(),
            ", p.key, p.previous, p.jump, p.checksum FROM posting p",
            with_words!(),
            "WHERE p.key > $1 ORDER BY p.key LIMIT $2"
        );
        let read = |row: &dyn Row| {
            let key: i64 = row.get(POSTING_COLUMNS)?;
            let checked = || {
                let pointers =
                    Pointers { previous: row.get(POSTING_COLUMNS + 1)?, jump: row.get(POSTING_COLUMNS + 2)? };
                let checksum = row.get(POSTING_COLUMNS + 3)?;
                Ok(Checked { key, row: PostingRow::read(row, 0)?, pointers, checksum })
            };
            Ok((key, readable(checked())?))
        };
        let rows = sql.all(text, &[after.into(), PAGE.into()], read).await?;
        let Some((last, _)) = rows.last() else { return check_customers(sql, faults, &paths).await };
        after = *last;
        for (key, checked) in rows {
            match checked {
                Ok(checked) => check_posting(&checked, &mut place, &mut paths, faults)?,
                Err(damage) => faults.expect(false, || format!("posting key {key}: {damage}")),
            }
        }
    }
    Ok(())
}

fn check_posting(
    Checked { key, row, pointers, checksum }: &Checked,
    place: &mut (LedgerNo, u64),
    paths: &mut HashMap<i64, Path>,
    faults: &mut Faults,
) -> Result<(), StoreError> {
    let (ledger, position) = place_of(*key)?;
    let name = || format!("posting {} of ledger number {}", position.0, ledger.get());
    faults.expect(checksum_of(row, *key, *pointers) == *checksum, || {
        format!("{}: its checksum is not that of its columns", name())
    });
    if let Some(fault) = row.fault_of_words() {
        faults.expect(false, || format!("{}: {fault}", name()));
    }
    let before = if place.0 == ledger { place.1 } else { 0 };
    faults.expect(before.checked_add(1) == Some(position.0), || {
        format!("{}: the position before it is missing", name())
    });
    *place = (ledger, position.0);
    let path = paths.entry(row.customer).or_default();
    let expected = path.push(*key);
    faults.expect(u64::try_from(row.sequence) == Ok(path.sequence()), || {
        format!("{}: its customer has {} postings by then", name(), path.sequence())
    });
    faults.expect(expected == *pointers, || {
        format!("{}: its pointers are not those of its customer's history", name())
    });
    Ok(())
}

async fn check_customers<S: Sql>(
    sql: &mut S,
    faults: &mut Faults,
    paths: &HashMap<i64, Path>,
) -> Result<(), StoreError> {
    let mut after: Option<i64> = None;
    let mut count = 0_usize;
    loop {
        let text = "
            SELECT customer, customer_id, path, next_due, state
            FROM customer
            WHERE customer >= $1
              AND customer IS NOT $2
            ORDER BY customer
            LIMIT $3";
        let read = |row: &dyn Row| {
            let next_due = row.get::<Option<i64>>(3)?.map(Timestamp::from_micros);
            let due = body::<CustomerState>(row, 4, "its state").map(|state| state.next_due == next_due);
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<Vec<u8>>(2)?, readable(due)?))
        };
        let rows =
            sql.all(text, &[after.unwrap_or(i64::MIN).into(), after.into(), PAGE.into()], read).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.0);
        for (key, id, path, is_due) in rows {
            count = count.saturating_add(1);
            faults.expect(paths.get(&key).map(Path::encode).as_ref() == Some(&path), || {
                format!("customer {id}: its pointers do not lead to its postings")
            });
            faults.expect_readable(is_due, || format!("customer {id}"), "next_due is not that of its state");
        }
    }
    faults.expect(count == paths.len(), || {
        format!("{} customers have postings, {count} have rows", paths.len())
    });
    Ok(())
}

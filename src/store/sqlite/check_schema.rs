//! The schema's part of the engine's check of itself: tables, indexes, triggers and views are those of the
//! migrations, and so are the rows of the tables that only name things. A trigger that is gone guards nothing, and a
//! view over a wrong row tells an auditor wrong sums.

use std::collections::BTreeSet;

use rusqlite::Connection;
use sqlx::{Row, SqliteConnection};

use super::{MIGRATIONS, failed};
use crate::store::StoreError;
use crate::store::checks::Faults;

/// What is compared, a line a row. Each query gives texts: what it is, then the rest of it.
const QUERIES: &[&str] = &[
    "SELECT type || ' ' || name, COALESCE(sql, '')
     FROM sqlite_schema
     WHERE name <> '_sqlx_migrations'
       AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    "SELECT 'posting_kind ' || kind, name FROM posting_kind",
    "SELECT 'hold_state ' || state, name FROM hold_state",
    "SELECT 'lot_source ' || source, name FROM lot_source",
    "SELECT 'transfer_slot ' || kind || ' ' || slot, debit || ' to ' || credit FROM transfer_slot",
];

/// Compares with a database that was only just made.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub(super) async fn check(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let expected = made().map_err(failed)?;
    let mut stored = BTreeSet::new();
    for query in QUERIES {
        // A table that is gone is told by the rows of the schema; what it held cannot be read.
        if let Ok(rows) = sqlx::query(*query).fetch_all(&mut *snapshot).await {
            for row in rows {
                stored.insert((row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?));
            }
        }
    }
    for (name, _) in expected.difference(&stored) {
        faults.expect(false, || format!("schema: {name} is not there as the migrations made it"));
    }
    for (name, _) in stored.difference(&expected) {
        faults.expect(false, || format!("schema: {name} is none that the migrations made"));
    }
    Ok(())
}

/// What the migrations make.
fn made() -> rusqlite::Result<BTreeSet<(String, String)>> {
    let connection = Connection::open_in_memory()?;
    for migration in MIGRATIONS.iter() {
        connection.execute_batch(migration.sql.as_str())?;
    }
    let mut made = BTreeSet::new();
    for query in QUERIES {
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            made.insert((row.get(0)?, row.get(1)?));
        }
    }
    Ok(made)
}

//! Migrations of SQLite, recorded in `_sqlx_migrations` exactly as sqlx 0.9 did, because databases of earlier
//! versions have that table.
//!
//! # What it is
//! Each migration runs in one transaction with its line in the list. The line has the SHA-384 of the text.
//!
//! # Invariants
//! - A migration that has run is never run again, and its text is the one that ran.
//! - A database with a migration that this version does not know is left alone.
//!
//! # Failure
//! A migration that fails leaves the database as it was before it. A line of an interrupted migration (`success` is
//! false) refuses the start.
//!
//! # Cost
//! One read of the list where there is nothing to do.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use super::settings::refused;
use crate::store::error::StoreError;
use crate::store::migrations::{Migration, SQLITE};

/// SQLite stores this text in the schema, so it stays exactly as sqlx has it.
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
                ";

/// Runs the migrations that have not run yet.
///
/// # Errors
/// [`StoreError::Unusable`] for a database of a newer version, another schema, or an interrupted migration.
pub(super) fn apply_migrations(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let said = |error| refused(path, error);
    connection.execute_batch(TABLE).map_err(said)?;
    let done: Vec<(i64, bool, Vec<u8>)> = connection
        .prepare("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
        .and_then(|mut list| list.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
        .map_err(said)?;
    let shown = path.display();
    if let Some((version, ..)) = done.iter().find(|(_, success, _)| !success) {
        return Err(StoreError::Unusable(format!("{shown}: migration {version} was cut off half-way")));
    }
    let known = |version| SQLITE.iter().find(|migration| migration.version == version);
    if done.iter().any(|(version, ..)| known(*version).is_none()) {
        return Err(newer(path));
    }
    for migration in SQLITE {
        match done.iter().find(|(version, ..)| *version == migration.version) {
            Some((_, _, checksum)) if *checksum == migration.checksum() => {}
            Some((version, ..)) => {
                return Err(StoreError::Unusable(format!(
                    "{shown} has another schema {version} than this version of creditledger"
                )));
            }
            None => apply(connection, migration).map_err(said)?,
        }
    }
    Ok(())
}

macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000000000 AS INTEGER)"
    };
}

fn apply(connection: &mut Connection, migration: &Migration) -> rusqlite::Result<()> {
    let Migration { version, description, sql } = migration;
    let started: i64 = connection.query_row(concat!("SELECT ", now!()), [], |row| row.get(0))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    transaction.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (?, ?, TRUE, ?, -1)",
        params![version, description, migration.checksum()],
    )?;
    transaction.commit()?;
    connection
        .execute(
            concat!("UPDATE _sqlx_migrations SET execution_time = ", now!(), " - ? WHERE version = ?"),
            params![started, version],
        )
        .map(drop)
}

pub(super) fn newest() -> Option<i64> {
    SQLITE.last().map(|migration| migration.version)
}

pub(super) fn newer(path: &Path) -> StoreError {
    StoreError::Unusable(format!("{} was written by a newer version of creditledger", path.display()))
}

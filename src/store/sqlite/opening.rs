//! Opens a file: to serve, to read, to fill it from another database, or to migrate it.
//!
//! Everything that could make serving unsafe is checked first; what is wrong is reported in one line.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::checkpoints::checkpoint_fully;
use super::connection::WriteConnection;
use super::driver::ready;
use super::examine::{self, APPLICATION_ID};
use super::file;
use super::lock::{DatabaseFile, DatabaseLock, ToRead, in_use};
use super::migrate::{apply_migrations, newer, newest};
use super::readers::{OneConnection, Readers};
use super::reading::{self, Medium, Unchanged};
use super::settings::{configure, connect, refused};
use super::work;
use super::write::SqliteWriter;

use crate::ledger::Timestamp;
use crate::store::copy::unfinished;
use crate::store::error::StoreError;
use crate::store::sql::clock;
use crate::store::sql::copy::is_unfinished;
use crate::store::sql::figures::SqlFigures;
use crate::store::sql::names;
use crate::store::stamps::Stamps;

/// Older versions can corrupt a database when the write-ahead log is reset while another connection writes.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Opens the database to serve; creates and migrates it where needed.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for the operator; [`StoreError::Failed`] where the disk fails.
pub fn open(path: &Path, now: Timestamp) -> Result<(SqliteWriter, Readers), StoreError> {
    let lock = prepare(path)?;
    let mut connection = connect(path)?;
    refuse_unfinished(&mut connection, path)?;
    serve(lock, connection, path, now)
}

/// Opens the database to be filled from another one; creates and migrates it where needed.
pub fn open_for_copy(path: &Path) -> Result<(SqliteWriter, Readers), StoreError> {
    let lock = prepare(path)?;
    // The copy sets the creation time of main later.
    serve(lock, connect(path)?, path, Timestamp::default())
}

/// The lock comes first, so that it is dropped after the connection.
fn serve(
    lock: DatabaseLock,
    connection: Connection,
    path: &Path,
    now: Timestamp,
) -> Result<(SqliteWriter, Readers), StoreError> {
    configure(&connection).map_err(|error| refused(path, error))?;
    checkpoint_fully(&connection, path)?;
    let second = connect(path)?;
    configure(&second).map_err(|error| refused(path, error))?;
    let file = lock.file();
    file.remember_log();
    let connections =
        [connection, second].map(|connection| WriteConnection::new(connection, Arc::clone(&file)));
    let writer = SqliteWriter::new(connections, lock, path, now)?;
    let reader = Readers::open(path, Medium::Shared, writer.stamps(), Some(&file))?;
    Ok((writer, reader))
}

/// Opens the database read-only; a server may have it open. It must have this version's schema. `file` is the
/// descriptor of a caller who has the lock.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for the operator; [`StoreError::Failed`] where the disk fails.
pub fn open_to_read(
    path: &Path,
    medium: Medium,
    file: Option<&Arc<DatabaseFile>>,
) -> Result<Readers, StoreError> {
    let mut connection = reading::connect(path, medium).map_err(|error| refused(path, error))?;
    refuse_older(&mut connection, path)?;
    // This reader is never asked for a watermark, which only the writer could give.
    Readers::open(path, medium, Stamps::default(), file)
}

/// Refuses a database that is not ours or has not this version's schema, and an unfinished copy.
fn refuse_older(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    match schema_of(connection, path)? {
        Schema::Current => refuse_unfinished(connection, path),
        Schema::Older => Err(StoreError::Unusable(format!(
            "{} has an older schema; run \"creditledger migrate\" first",
            path.display()
        ))),
    }
}

/// The schema of a database that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    Current,
    /// It must be migrated first.
    Older,
}

/// Compares the schema of a file with that of this version.
///
/// # Errors
/// [`StoreError::Unusable`] for another program's database, and one of a newer version.
pub fn schema_of(connection: &Connection, path: &Path) -> Result<Schema, StoreError> {
    if !is_ours(connection, path)? {
        return Err(StoreError::Unusable(format!("{} is not a creditledger database", path.display())));
    }
    let stored: Option<i64> = connection
        .query_row("SELECT MAX(version) FROM _sqlx_migrations WHERE success", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    match stored.cmp(&newest()) {
        std::cmp::Ordering::Equal if !has_unfinished_step(connection, path)? => Ok(Schema::Current),
        std::cmp::Ordering::Greater => Err(newer(path)),
        std::cmp::Ordering::Equal | std::cmp::Ordering::Less => Ok(Schema::Older),
    }
}

/// Finds out how a file that is there can be read.
///
/// # Errors
/// [`StoreError::Unusable`] where there is none, or it cannot be read.
pub fn medium_of(path: &Path) -> Result<Medium, StoreError> {
    if path.is_file() {
        return reading::medium_of(path);
    }
    Err(StoreError::Unusable(match std::fs::metadata(path) {
        Ok(_) => format!("{} is not a file", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no database {}", path.display())
        }
        Err(error) => format!("cannot open {}: {error}", path.display()),
    }))
}

/// Looks at a file that a server may have open, and locks nothing. Returns its schema, `None` without a file or without
/// anything in it, and what reads it if that is this version's.
///
/// # Errors
/// As [`open_to_read`]; also where a server could not make or write the file.
pub fn look(path: &Path) -> Result<(Option<Schema>, Option<Readers>), StoreError> {
    file::check(path)?;
    if file::bytes_of(path) == 0 {
        examine::missing(path)?;
        return Ok((None, None));
    }
    let medium = medium_of(path)?;
    let connection = reading::connect(path, medium).map_err(|error| refused(path, error))?;
    match schema_of(&connection, path)? {
        Schema::Current => Ok((Some(Schema::Current), Some(open_to_read(path, medium, None)?))),
        Schema::Older => Ok((Some(Schema::Older), None)),
    }
}

/// SQLite and its version.
pub fn version() -> String {
    format!("SQLite {}", rusqlite::version())
}

/// A database that no server opens or changes while this exists.
#[derive(Debug)]
pub struct Alone {
    lock: DatabaseLock,
    pub medium: Medium,
    /// Where SQLite looks for no changes.
    unchanged: Option<Unchanged>,
}

impl Alone {
    /// Takes the database's lock, without which no server opens it. Where a file system has no locks and nothing can be
    /// written, it goes without.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where a server holds it, or the file does not exist; [`StoreError::Damaged`] where the
    /// file or its log lost a part.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        Self::try_take(path)?.ok_or_else(|| in_use(path))
    }

    /// The same; `None` where another creditledger has the file open.
    ///
    /// # Errors
    /// As [`Alone::take`].
    pub fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.is_file() {
            medium_of(path)?;
        }
        let (lock, no_locks) = match DatabaseLock::take_to_read(path)? {
            ToRead::Locked(lock) => (lock, None),
            ToRead::NoLocks { lock, why } => (lock, Some(why)),
            ToRead::InUse => return Ok(None),
        };
        let unchanged = Unchanged::since_now(path);
        examine::examine(&lock.file(), path)?;
        let medium = medium_of(path)?;
        match (medium, no_locks) {
            (Medium::Shared, Some(why)) => Err(why),
            (Medium::Shared, None) => Ok(Some(Self { lock, medium, unchanged: None })),
            (Medium::Frozen, _) => Ok(Some(Self { lock, medium, unchanged: Some(unchanged) })),
        }
    }

    /// The descriptor that connections must keep open.
    pub fn file(&self) -> Arc<DatabaseFile> {
        self.lock.file()
    }

    /// # Errors
    /// [`StoreError::Unusable`] where somebody wrote to it all the same.
    pub fn check_unchanged(&self) -> Result<(), StoreError> {
        self.unchanged.as_ref().map_or(Ok(()), Unchanged::check)
    }
}

/// Brings the schema up to date and does nothing else.
pub fn migrate(path: &Path) -> Result<(), StoreError> {
    let _lock = prepare(path)?;
    refuse_unfinished(&mut connect(path)?, path)
}

/// Keeps that an operator has confirmed this machine's clock, which shows `wall`. A server may have the file open.
///
/// # Errors
/// As [`open_to_read`].
pub fn confirm_clock(path: &Path, wall: Timestamp) -> Result<Timestamp, StoreError> {
    // Where no server has the file, it is examined as before a start; a server has done that. The lock goes last.
    let _alone = Alone::try_take(path)?;
    let mut connection = connect(path)?;
    refuse_older(&mut connection, path)?;
    configure(&connection).map_err(|error| refused(path, error))?;
    // A connection that is dropped keeps nothing.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| refused(path, error))?;
    let confirmed = ready(clock::confirm(&mut connection, wall))?;
    connection.execute_batch("COMMIT").map_err(|error| refused(path, error))?;
    Ok(confirmed)
}

/// Opens the figures of a file.
///
/// # Errors
/// [`StoreError`] where it cannot be opened.
pub fn open_figures(path: &Path) -> Result<SqlFigures<OneConnection>, StoreError> {
    Ok(SqlFigures(OneConnection::new(reading::connect(path, Medium::Shared)?, None)))
}

/// True where a migration was interrupted before the program had done its part of it.
fn has_unfinished_step(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT EXISTS (SELECT 1 FROM unfinished_step)", [], |row| row.get(0))
        .map_err(|error| refused(path, error))
}

/// An unfinished copy can only be completed.
fn refuse_unfinished(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    if ready(is_unfinished(connection))? { Err(unfinished(path.display())) } else { Ok(()) }
}

/// Locks the file, checks it and migrates it.
fn prepare(path: &Path) -> Result<DatabaseLock, StoreError> {
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        let found = rusqlite::version();
        return Err(StoreError::Unusable(format!(
            "SQLite {found} can damage databases; 3.51.3 or later is needed"
        )));
    }
    file::check(path)?;
    if !path.exists() {
        examine::missing(path)?;
    }
    let lock = DatabaseLock::take(path)?;
    examine::examine(&lock.file(), path)?;
    let mut connection = connect(path)?;
    let shown = path.display();
    if connection.is_readonly("main").map_err(|error| refused(path, error))? {
        return Err(StoreError::Unusable(format!("{shown} is read-only; a server must write to it")));
    }
    is_ours(&connection, path)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "{shown} lies where SQLite cannot keep a write-ahead log ({mode})"
        )));
    }
    apply_migrations(&mut connection, path)?;
    ready(names::complete(&mut connection, &shown.to_string()))?;
    // The part of a migration that SQL cannot do.
    work::finish_step(&mut connection)?;
    connection.close().map_err(|(_, error)| refused(path, error))?;
    Ok(lock)
}

/// True for a database of this program, false for an empty one.
fn is_ours(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let (application, tables): (i64, i64) = connection
        .query_row(
            "SELECT
                 (SELECT application_id FROM pragma_application_id),
                 (SELECT COUNT(*)
                  FROM sqlite_schema
                  WHERE tbl_name <> '_sqlx_migrations'
                    AND tbl_name NOT LIKE '\\_litestream\\_%' ESCAPE '\\')",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| refused(path, error))?;
    match (application, tables) {
        (application, _) if application == i64::from(APPLICATION_ID) => Ok(true),
        (0, 0) => Ok(false),
        _ => Err(StoreError::Unusable(format!("{} is another program's database", path.display()))),
    }
}

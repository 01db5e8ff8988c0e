//! Opens a file: to serve, to read, to fill it from another database, or to migrate it.
//!
//! Everything that could make serving unsafe is checked first; what is wrong is reported in one line.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::connection::WriteConnection;
use super::driver::ready;
use super::examine::{self, APPLICATION_ID};
use super::file;
use super::lock::{DatabaseFile, DatabaseLock};
use super::migrate::{apply_migrations, newer, newest};
use super::readers::{self, OneConnection, Readers};
use super::settings::{configure, connect, refused};
use super::work;
use super::write::SqliteWriter;

use crate::ledger::Timestamp;
use crate::store::copy::unfinished;
use crate::store::error::StoreError;
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
    let reader = Readers::open(path, writer.stamps(), Some(&file))?;
    Ok((writer, reader))
}

/// Opens the database read-only; a server may have it open. It must have this version's schema. `file` is the
/// descriptor of a caller who has the lock.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for the operator; [`StoreError::Failed`] where the disk fails.
pub fn open_to_read(path: &Path, file: Option<&Arc<DatabaseFile>>) -> Result<Readers, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unusable(format!("there is no database {}", path.display())));
    }
    let mut connection = readers::connect(path).map_err(|error| refused(path, error))?;
    if !is_ours(&connection, path)? {
        return Err(StoreError::Unusable(format!("{} is not a creditledger database", path.display())));
    }
    let stored: Option<i64> = connection
        .query_row("SELECT MAX(version) FROM _sqlx_migrations WHERE success", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    match stored.cmp(&newest()) {
        // This reader is never asked for a watermark, which only the writer could give.
        std::cmp::Ordering::Equal if !has_unfinished_step(&connection, path)? => {
            refuse_unfinished(&mut connection, path)?;
            Readers::open(path, Stamps::default(), file)
        }
        std::cmp::Ordering::Greater => Err(newer(path)),
        std::cmp::Ordering::Equal | std::cmp::Ordering::Less => Err(StoreError::Unusable(format!(
            "{} has an older schema; run \"creditledger migrate\" first",
            path.display()
        ))),
    }
}

/// Takes the database's lock, without which no server opens it.
///
/// # Errors
/// [`StoreError::Unusable`] where a server holds it, or the file does not exist; [`StoreError::Damaged`] where the file
/// or its log lost a part.
pub fn keep_servers_out(path: &Path) -> Result<DatabaseLock, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unusable(format!("there is no database {}", path.display())));
    }
    let lock = DatabaseLock::take_to_read(path)?;
    examine::examine(&lock.file(), path)?;
    Ok(lock)
}

/// Brings the schema up to date and does nothing else.
pub fn migrate(path: &Path) -> Result<(), StoreError> {
    let _lock = prepare(path)?;
    refuse_unfinished(&mut connect(path)?, path)
}

/// Opens the figures of a file.
///
/// # Errors
/// [`StoreError`] where it cannot be opened.
pub fn open_figures(path: &Path) -> Result<SqlFigures<OneConnection>, StoreError> {
    Ok(SqlFigures(OneConnection::new(readers::connect(path)?, None)))
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
                 (SELECT COUNT(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')",
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

/// Copies the whole log into the database and syncs it. After a failed sync, a commit can be readable in the log
/// without being on the disk. So nothing may be served before this.
fn checkpoint_fully(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let busy: bool = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    if busy {
        return Err(StoreError::Unusable(format!("another program keeps {} busy", path.display())));
    }
    Ok(())
}

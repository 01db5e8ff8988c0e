//! How connections to a file are opened and configured, and how errors while opening are reported.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::driver::failed;
use crate::store::error::StoreError;

/// FULL: a commit is on the disk before it is acknowledged.
const SYNCHRONOUS: &str = "FULL";
/// How long a statement waits for a lock. Only other programs (a shell, a backup) can hold one.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer. More is not better: a commit that splits a page of a tree walks through the whole cache.
/// SQLite's `balance_nonroot` borrows the number of the pending-byte page, and `pcache1Truncate` then cuts everything
/// above it. With 64 MB that took a tenth of the writer's time; with 16 MB it was the same for small commits. Batches
/// are as fast with 2 MB as with 16 MB: the other pages are in the system's cache.
const WRITER_CACHE_KIB: i64 = 4 * 1024;

/// # Errors
/// [`StoreError`] in one line for the operator.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| refused(path, error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| refused(path, error))?;
    Ok(connection)
}

/// Settings that each writing connection needs, whatever SQLite's compiled defaults are.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", SYNCHRONOUS)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // Otherwise sorters and statement journals would use files in /tmp.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // The writer checkpoints between batches; a checkpoint inside a commit would delay the answers.
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    // Every statement of a batch stays prepared, so its text is parsed once a process.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// An error while opening; one that an operator can repair is reported in one line.
pub(super) fn refused(path: &Path, error: rusqlite::Error) -> StoreError {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Unusable(format!("{shown} is not an SQLite database")),
        Some(ErrorCode::CannotOpen) => StoreError::Unusable(format!("cannot open {shown}: {error}")),
        Some(ErrorCode::ReadOnly) => {
            StoreError::Unusable(format!("{shown} is read-only; a server must write to it"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Unusable(format!("another program keeps {shown} busy"))
        }
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged(format!("{shown}: {error}")),
        Some(ErrorCode::DiskFull) => StoreError::Unusable(format!("the disk of {shown} is full")),
        _ => failed(error),
    }
}

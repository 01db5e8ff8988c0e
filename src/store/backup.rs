//! Backups of a SQLite database as files, and databases from them. PostgreSQL has means of its own, which are only looked
//! at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::audit::AuditStore;
use super::error::StoreError;
use super::open::{is_memory, sqlite_path};
use super::postgres::{self, Address};
use super::sql::audit::SqlAudit;
use super::sqlite;

pub use super::postgres::Archiving;
pub use super::sqlite::{Purpose, is_backup};

/// What a URL names, for whoever backs it up.
#[derive(Debug)]
pub enum Place {
    /// A SQLite database.
    File(PathBuf),
    /// A PostgreSQL database, without its password.
    Postgres(String),
}

/// Finds out what a URL names.
///
/// # Errors
/// [`StoreError::Unusable`] where it names neither.
pub fn place_of(url: &str) -> Result<Place, StoreError> {
    if let Some(address) = Address::of(url) {
        return Ok(Place::Postgres(address?.shown().to_owned()));
    }
    if is_memory(url) {
        return Err(StoreError::Unusable("memory: is gone with its server; it has no file".to_owned()));
    }
    sqlite_path(url).map(Place::File)
}

/// A file that was copied: whether its journal can be replayed by this version.
#[derive(Debug)]
pub enum CopiedFile {
    /// Of this version's schema.
    Current,
    /// Of an older version; it must be migrated before it can be replayed.
    Older,
}

/// Copies a database, which may be in use, into an empty file. Blocks the thread. `progress` gets the pages that are
/// copied, and how many there are.
///
/// # Errors
/// [`StoreError`]; the target is of no use then.
pub fn copy_file(
    from: &Path,
    to: &Path,
    purpose: Purpose,
    progress: impl FnMut(u64, u64),
) -> Result<CopiedFile, StoreError> {
    Ok(match sqlite::copy_file(from, to, purpose, progress)? {
        sqlite::Schema::Current => CopiedFile::Current,
        sqlite::Schema::Older => CopiedFile::Older,
    })
}

/// Opens a copy that nobody else knows yet, to check it. Nothing is made beside it.
///
/// # Errors
/// As [`super::open_to_read`].
pub fn open_copied(path: &Path) -> Result<Arc<dyn AuditStore>, StoreError> {
    Ok(Arc::new(SqlAudit(sqlite::open_to_read(path, sqlite::Medium::Frozen, None)?)))
}

/// What SQLite's own check finds in a file.
///
/// # Errors
/// [`StoreError`] where it cannot be read.
pub fn page_faults(path: &Path) -> Result<Vec<String>, StoreError> {
    sqlite::page_faults(path)
}

/// What already lies where a database is to be made, and would be mixed with it or lost.
pub fn in_the_way(database: &Path) -> Option<PathBuf> {
    sqlite::files_of(database).into_iter().find(|path| path.symlink_metadata().is_ok())
}

/// How a PostgreSQL server archives its log.
///
/// # Errors
/// [`StoreError`] where it cannot be asked.
pub async fn archiving(url: &str) -> Result<Archiving, StoreError> {
    match Address::of(url) {
        Some(address) => postgres::archiving(&address?).await,
        None => Err(StoreError::Unusable("only PostgreSQL archives its log".to_owned())),
    }
}

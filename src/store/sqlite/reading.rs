//! How a file is opened to be read: beside a server, or where nothing can be written.
//!
//! # What it is
//! SQLite reads a database with a log through an index in shared memory, the file `-shm`. It makes that file where it is
//! missing. On read-only media, or for another user, it cannot.
//!
//! # Invariants
//! - A file is read without its log only where the log holds no commit, and no rollback journal waits. So what is read is
//!   all that was committed.
//! - What is read in that way must not change meanwhile: SQLite looks for no lock then. [`Unchanged`] tells afterwards.
//!
//! # Failure
//! Where commits are in a log that cannot be read in its place, one line says what to do.
//!
//! # Cost
//! One small read; where that fails, the log is read once.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::file::{bytes_of, journal_path, log_path};
use super::log_file::Log;
use super::settings::{BUSY_TIMEOUT, refused};
use crate::store::error::StoreError;

/// Page cache of each connection.
const CACHE_KIB: i64 = 8 * 1024;
/// Prepared statements that each connection keeps: more than there are.
const STATEMENTS_MAX: usize = 128;

/// What SQLite may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Others may write; SQLite uses its locks and its shared memory.
    Shared,
    /// Nothing can be written here, and the file alone has everything.
    Frozen,
}

/// Finds out how a file can be read.
///
/// # Errors
/// [`StoreError::Unusable`] where it cannot.
pub fn medium_of(path: &Path) -> Result<Medium, StoreError> {
    let looked = connect(path, Medium::Shared)
        .and_then(|connection| connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(())));
    match looked {
        Ok(()) => Ok(Medium::Shared),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
                refuse_changes_beside(path)?;
                Ok(Medium::Frozen)
            }
            _ => Err(refused(path, error)),
        },
    }
}

/// Refuses a file beside which committed changes lie, or what a commit that was cut off must be undone from.
fn refuse_changes_beside(path: &Path) -> Result<(), StoreError> {
    let (log, journal) = (log_path(path), journal_path(path));
    let beside = match Log::read(&log, None) {
        Ok(found) if found.holds_data() => Some((log, "has changes that are not in it".to_owned())),
        Ok(_) if bytes_of(&journal) > 0 => Some((journal, "is of a change that was cut off".to_owned())),
        Ok(_) => None,
        Err(error) => Some((log, format!("cannot be read ({error})"))),
    };
    match beside {
        None => Ok(()),
        Some((file, what)) => Err(StoreError::Unusable(format!(
            "{} cannot be read where it lies: {} {what}, and nothing can be written beside them; copy both files, under \
             these names, to a directory that you can write to, and use them there",
            path.display(),
            file.display()
        ))),
    }
}

/// Opens a read-only connection.
pub fn connect(path: &Path, medium: Medium) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match medium {
        Medium::Shared => Connection::open_with_flags(path, flags)?,
        Medium::Frozen => {
            let name = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
            let uri = format!("file:{name}?mode=ro&immutable=1");
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
        }
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// A file and its log as they were at some moment, for a check that they still are.
#[derive(Debug)]
pub struct Unchanged {
    path: PathBuf,
    was: [Option<Metadata>; 2],
}

impl Unchanged {
    pub fn since_now(path: &Path) -> Self {
        Self { path: path.to_owned(), was: facts(path) }
    }

    /// # Errors
    /// [`StoreError::Unusable`] where somebody wrote to the file: what was read fits no moment.
    pub fn check(&self) -> Result<(), StoreError> {
        let same = |was: &Option<Metadata>, is: &Option<Metadata>| match (was, is) {
            (Some(was), Some(is)) => was.len() == is.len() && was.modified().ok() == is.modified().ok(),
            (was, is) => was.is_none() && is.is_none(),
        };
        if self.was.iter().zip(&facts(&self.path)).all(|(was, is)| same(was, is)) {
            return Ok(());
        }
        Err(StoreError::Unusable(format!(
            "{} changed while it was read; copy it, or repeat this once nobody writes to it",
            self.path.display()
        )))
    }
}

fn facts(path: &Path) -> [Option<Metadata>; 2] {
    [path.to_owned(), log_path(path)].map(|file| std::fs::metadata(file).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_while_it_was_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE song (title TEXT)").unwrap();
        let since = Unchanged::since_now(&path);
        assert!(since.check().is_ok());
        other.execute_batch("CREATE TABLE singer (name TEXT)").unwrap();
        assert!(since.check().unwrap_err().to_string().contains("changed while it was read"));
        // What is written to the log alone is a change too.
        let since = Unchanged::since_now(&path);
        std::fs::write(log_path(&path), "x").unwrap();
        assert!(since.check().is_err());
    }

    #[test]
    fn any_path_can_be_read_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["plain.db", "a b?mode=rw#c%41.db", "\u{fc}.db"] {
            let path = directory.path().join(name);
            Connection::open(&path).unwrap().execute_batch("CREATE TABLE song (title TEXT)").unwrap();
            let frozen = connect(&path, Medium::Frozen).unwrap();
            frozen.query_row("SELECT COUNT(*) FROM song", [], |_| Ok(())).unwrap();
        }
    }
}

//! The database file before it is opened: its path in the URL, and the lock that keeps a second server out.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Reads the path from `sqlite://path` or `sqlite:path`; `None` for the URL of another engine.
///
/// # Errors
/// [`StoreError::Unusable`] where the URL names no file.
pub fn path_of(url: &str) -> Option<Result<PathBuf, StoreError>> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Some(if path.is_empty() || path.starts_with(':') {
        Err(StoreError::Unusable(format!(
            "{url} names no file; write sqlite://./creditledger.db, or memory:"
        )))
    } else if path.contains('?') {
        Err(StoreError::Unusable(format!("{url} has options after \"?\"; only a path is understood")))
    } else {
        Ok(absolute(Path::new(path)))
    })
}

/// SQLite reads a name that begins with `file:` as a URI; an absolute path never does.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The path of the lock file.
fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Checks the file without opening it as a database.
///
/// # Errors
/// [`StoreError::Unusable`] for a missing directory, for something that is not a file, and for a read-only file.
pub fn check(database: &Path) -> Result<(), StoreError> {
    let shown = database.display();
    if let Some(directory) = database.parent()
        && !directory.is_dir()
    {
        let directory = directory.display();
        return Err(StoreError::Unusable(format!("cannot open {shown}: there is no directory {directory}")));
    }
    match std::fs::metadata(database) {
        Ok(facts) if !facts.is_file() => Err(StoreError::Unusable(format!("{shown} is not a file"))),
        Ok(facts) if facts.permissions().readonly() => {
            Err(StoreError::Unusable(format!("{shown} is read-only; a server must write to it")))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::Unusable(format!("cannot open {shown}: {error}"))),
    }
}

/// The lock of a database, held until it is dropped. SQLite lets several programs write to one file in turn. But each
/// server numbers postings from memory, so only one server may have the file open.
///
/// The lock is a file of its own. Locks on the database file would be lost when this process closes any other handle
/// of it. The lock file is never deleted, because deleting it would race with the next server.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// # Errors
    /// [`StoreError::Unusable`] where another process holds it, or the lock file cannot be created.
    pub fn take(database: &Path) -> Result<Self, StoreError> {
        let shown = database.display();
        let path = lock_path(database);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| {
                StoreError::Unusable(format!("cannot lock {shown}: {}: {error}", path.display()))
            })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(StoreError::Unusable(format!("another creditledger has {shown} open")))
            }
            Err(TryLockError::Error(error)) => {
                Err(StoreError::Unusable(format!("cannot lock {shown}: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_paths() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(path_of("sqlite://./a.db").unwrap().unwrap(), here.join("a.db"));
        assert_eq!(path_of("sqlite:a.db").unwrap().unwrap(), here.join("a.db"));
        assert_eq!(path_of("sqlite:///tmp/a b.db").unwrap().unwrap(), Path::new("/tmp/a b.db"));
        assert!(path_of("sqlite:file:a.db").unwrap().unwrap().is_absolute());
        for bad in ["sqlite:", "sqlite://", "sqlite::memory:", "sqlite://a.db?mode=ro"] {
            assert!(path_of(bad).unwrap().is_err(), "{bad}");
        }
        assert!(path_of("postgres://host/db").is_none());
    }
}

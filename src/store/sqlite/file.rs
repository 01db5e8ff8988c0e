//! The database file before it is opened: its path in the URL, and that of its log.

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
        Err(StoreError::Unusable(
            "the database URL names no file; write sqlite://./creditledger.db, or memory:".to_owned(),
        ))
    } else if path.contains('?') {
        Err(StoreError::Unusable(
            "the database URL has options after \"?\"; only a path is understood".to_owned(),
        ))
    } else {
        Ok(absolute(Path::new(path)))
    })
}

/// SQLite reads a name that begins with `file:` as a URI; an absolute path never does.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The path of the database's log. SQLite follows symbolic links, and puts the log beside the file itself.
pub fn log_path(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// The path of what an interrupted change is undone from, in a database without a log.
pub fn journal_path(database: &Path) -> PathBuf {
    beside(database, "-journal")
}

/// A database's file, and those that can lie beside it.
pub fn files_of(database: &Path) -> [PathBuf; 4] {
    let index = beside(database, "-shm");
    [database.to_owned(), log_path(database), index, journal_path(database)]
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let real = database.canonicalize().or_else(|_| {
        // A link to a file that is missing.
        let link = std::fs::read_link(database)?;
        std::io::Result::Ok(database.parent().map_or_else(|| link.clone(), |directory| directory.join(&link)))
    });
    let mut name = real.unwrap_or_else(|_| database.to_path_buf()).into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// Bytes of the database's log; 0 without one. Costs a look at the directory.
pub fn wal_bytes(database: &Path) -> u64 {
    bytes_of(&log_path(database))
}

/// Bytes of a file; 0 without one.
pub(super) fn bytes_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |facts| facts.len())
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

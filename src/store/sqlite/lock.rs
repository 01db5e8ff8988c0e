//! The lock that keeps a second server out of a database file, and the descriptor that carries it.
//!
//! # What it is
//! A descriptor of the main file with `flock` on it. The lock belongs to the file itself, not to its name: a symbolic
//! link, a hard link and a bind mount name the same database.
//!
//! # Invariants
//! - The descriptor is opened before the first connection and closed after the last one. A process that closes any
//!   descriptor of a file loses all of its POSIX locks on that file, and SQLite's locks are of that kind.
//! - So nothing else here opens the main file. Whoever asks about it uses `stat`, or reads through this descriptor.
//! - A descriptor that got no lock is never closed: this process may be the one that has the file open.
//! - Dropping the lock lets the next server in. The descriptor stays until the last connection is closed.
//!
//! # Failure
//! A file that is locked, or has several hard links, is refused. A file that was deleted or replaced while it is open
//! is told by [`DatabaseFile::check_place`], and nothing more is acknowledged. Where a file system has no locks, a reader
//! decides whether it can do without.
//!
//! # Cost
//! A look at the place is two `stat`s, about 2 us.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::file;
use crate::store::StoreError;

/// The lock of a database. SQLite lets several programs write to one file in turn. But each server numbers postings
/// from memory, so only one server may have the file open.
#[derive(Debug)]
pub struct DatabaseLock {
    file: Arc<DatabaseFile>,
    _of_earlier_versions: Option<File>,
}

impl DatabaseLock {
    /// Locks a database, and makes an empty file where there is none.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where another server has it, or the file cannot be opened.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // As SQLite makes its files.
            options.mode(0o644);
        }
        Self::lock(path, &options)
    }

    /// Locks a database that exists, to read it.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where the file cannot be opened, or has several hard links.
    pub fn take_to_read(path: &Path) -> Result<ToRead, StoreError> {
        let descriptor = open_file(path, OpenOptions::new().read(true))?;
        match descriptor.try_lock() {
            Ok(()) => Ok(ToRead::Locked(Self::of(descriptor, path)?)),
            Err(TryLockError::WouldBlock) => {
                std::mem::forget(descriptor);
                Ok(ToRead::InUse)
            }
            Err(TryLockError::Error(error)) => {
                Ok(ToRead::NoLocks { lock: Self::of(descriptor, path)?, why: cannot_lock(path, &error) })
            }
        }
    }

    fn lock(path: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        let descriptor = open_file(path, options)?;
        if let Err(refused) = locked(&descriptor, path) {
            // Closing it would drop the locks of connections that this process has.
            std::mem::forget(descriptor);
            return Err(refused);
        }
        Self::of(descriptor, path)
    }

    fn of(descriptor: File, path: &Path) -> Result<Self, StoreError> {
        let facts = descriptor.metadata().map_err(|error| cannot_lock(path, &error))?;
        let names = names(&facts);
        if names > 1 {
            return Err(StoreError::Unusable(format!(
                "{} has {names} names (hard links), but its log lies beside only one of them; remove the others",
                path.display()
            )));
        }
        let file =
            DatabaseFile { descriptor, path: path.to_owned(), is: identity(&facts), log: OnceLock::new() };
        Ok(Self { file: Arc::new(file), _of_earlier_versions: lock_beside(path)? })
    }

    /// The locked file, for those that must keep its descriptor open.
    pub fn file(&self) -> Arc<DatabaseFile> {
        Arc::clone(&self.file)
    }
}

/// What became of the wish to lock a file that is only read.
#[derive(Debug)]
pub enum ToRead {
    Locked(DatabaseLock),
    /// Another creditledger has it.
    InUse,
    /// The file system has no locks, as some that are read-only. `lock` holds the descriptor and locks nothing.
    NoLocks {
        lock: DatabaseLock,
        why: StoreError,
    },
}

/// The refusal of a file that another program has.
pub fn in_use(path: &Path) -> StoreError {
    StoreError::Unusable(format!("another creditledger has {} open", path.display()))
}

fn open_file(path: &Path, options: &OpenOptions) -> Result<File, StoreError> {
    options
        .open(path)
        .map_err(|error| StoreError::Unusable(format!("cannot open {}: {error}", path.display())))
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        // Where this fails, the lock ends with the descriptor.
        let _ = self.file.descriptor.unlock();
    }
}

/// The device and the number of a file.
type Identity = (u64, u64);

/// The descriptor of a database's main file. Each connection keeps it open.
#[derive(Debug)]
pub struct DatabaseFile {
    descriptor: File,
    path: PathBuf,
    is: Identity,
    /// Its log with its path, once there is one.
    log: OnceLock<(PathBuf, Identity)>,
}

impl DatabaseFile {
    /// Reads the beginning of the file, as far as it goes, and its length.
    ///
    /// # Errors
    /// The error of the disk.
    pub fn begin(&self, bytes: usize) -> std::io::Result<(Vec<u8>, u64)> {
        let mut file = &self.descriptor;
        file.seek(SeekFrom::Start(0))?;
        let mut begin = Vec::with_capacity(bytes);
        file.take(bytes as u64).read_to_end(&mut begin)?;
        Ok((begin, self.descriptor.metadata()?.len()))
    }

    /// Remembers the log, which stays the same file while connections are open.
    pub fn remember_log(&self) {
        let path = file::log_path(&self.path);
        if let Ok(facts) = std::fs::metadata(&path) {
            // It is remembered once, when the database is opened.
            let _ = self.log.set((path, identity(&facts)));
        }
    }

    /// # Errors
    /// [`StoreError::Unusable`] where the path names another file by now, or none: what is written now would be lost.
    pub fn check_place(&self) -> Result<(), StoreError> {
        check_identity(&self.path, self.is)?;
        self.log.get().map_or(Ok(()), |(path, is)| check_identity(path, *is))
    }
}

fn check_identity(path: &Path, is: Identity) -> Result<(), StoreError> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(facts) if identity(&facts) == is => Ok(()),
        Ok(_) => Err(StoreError::Unusable(format!(
            "{shown} was replaced while the server had it open; what it wrote after that would be lost"
        ))),
        Err(error) => Err(StoreError::Unusable(format!(
            "{shown} was deleted while the server had it open; what it wrote after that would be lost ({error})"
        ))),
    }
}

fn locked(descriptor: &File, path: &Path) -> Result<(), StoreError> {
    match descriptor.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(in_use(path)),
        Err(TryLockError::Error(error)) => Err(cannot_lock(path, &error)),
    }
}

/// Versions up to 0.1 lock a file beside the database, which they never delete. Where it is, it is held too, so that
/// such a version and this one never have the database open at once.
fn lock_beside(path: &Path) -> Result<Option<File>, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    match OpenOptions::new().read(true).open(&name) {
        Ok(file) => locked(&file, path).map(|()| Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_lock(path, &error)),
    }
}

fn cannot_lock(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unusable(format!("cannot lock {}: {error}", path.display()))
}

#[cfg(unix)]
fn identity(facts: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (facts.dev(), facts.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    (0, 0)
}

#[cfg(unix)]
fn names(facts: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    facts.nlink()
}

#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}

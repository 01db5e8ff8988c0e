//! From a database URL to an engine.

use std::sync::Arc;

use super::memory::Memory;
use super::sqlite;
use super::{AuditStore, ReadStore, StoreError, WriteStore};
use crate::ledger::Timestamp;

/// An open engine: the writing side for the one writer, the reading sides for everybody.
pub struct Engine {
    /// Owned by the writer task.
    pub writer: Box<dyn WriteStore>,
    /// Shared by all readers.
    pub reader: Arc<dyn ReadStore>,
    /// What `verify` reads.
    pub audit: Arc<dyn AuditStore>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Opens the engine that the URL names, made and migrated where needed: `sqlite://path`, `sqlite:path`, or `memory:`
/// for one that forgets. `now` dates the main ledger of a new database.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for a person; others where the disk fails.
pub async fn open(url: &str, now: Timestamp) -> Result<Engine, StoreError> {
    if is_memory(url) {
        return Ok(Memory::new(now).engine());
    }
    let (writer, reader) = sqlite::open(&sqlite_path(url)?, now).await?;
    let reader = Arc::new(reader);
    Ok(Engine { writer: Box::new(writer), reader: Arc::clone(&reader) as Arc<dyn ReadStore>, audit: reader })
}

/// Opens the reading sides alone, without taking the database from a server that has it.
///
/// # Errors
/// As [`open`]; also for a database that does not exist or has another schema.
pub async fn open_to_read(url: &str) -> Result<(Arc<dyn ReadStore>, Arc<dyn AuditStore>), StoreError> {
    if is_memory(url) {
        return Err(StoreError::Unusable(
            "memory: is gone with its server; there is nothing to read".to_owned(),
        ));
    }
    let reader = Arc::new(sqlite::open_to_read(&sqlite_path(url)?).await?);
    Ok((Arc::clone(&reader) as Arc<dyn ReadStore>, reader))
}

/// Opens a database to be checked, and keeps servers out of it until the guard is dropped: rows that change while they
/// are compared with the journal would look like faults.
///
/// # Errors
/// As [`open_to_read`]; also while a server has the database open.
pub async fn open_to_check(url: &str) -> Result<(Arc<dyn ReadStore>, Arc<dyn AuditStore>, Alone), StoreError> {
    let alone = if is_memory(url) { None } else { Some(sqlite::keep_servers_out(&sqlite_path(url)?)?) };
    let (reader, audit) = open_to_read(url).await?;
    Ok((reader, audit, Alone { _lock: alone }))
}

/// While it is there, no server opens the database.
#[derive(Debug)]
pub struct Alone {
    _lock: Option<sqlite::DatabaseLock>,
}

/// Makes the database where it is missing, and brings its schema up to date.
///
/// # Errors
/// As [`open`].
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    if is_memory(url) {
        return Ok(());
    }
    sqlite::migrate(&sqlite_path(url)?).await
}

fn is_memory(url: &str) -> bool {
    url == "memory:" || url == "memory://"
}

fn sqlite_path(url: &str) -> Result<std::path::PathBuf, StoreError> {
    sqlite::path_of(url).unwrap_or_else(|| {
        Err(StoreError::Unusable(
            "the database URL must begin with sqlite: (such as sqlite://./creditledger.db) or be memory:"
                .to_owned(),
        ))
    })
}

//! Filling a database from another one: what an engine must be able to do for `creditledger copy`, and how it is opened.

use std::sync::Arc;

use async_trait::async_trait;

use super::open::{is_memory, sqlite_path};
use super::postgres::{self, Address};
use super::{AuditStore, Recorded, StoreError, StoredLedger, WriteStore, sqlite};
use crate::ledger::card::CardChange;
use crate::ledger::{Book, Timestamp};

/// A writing side that takes in the journal of another database. [`CopyStore::begin_copy`] comes first; then the
/// ledgers, then their journals in the order of the positions: [`CopyStore::load_journal`], [`Book::post`] for each
/// posting, [`WriteStore::append`]. [`CopyStore::end_copy`] comes last. Whoever calls it sees to that order.
#[async_trait]
pub trait CopyStore: WriteStore {
    /// Marks the database as an unfinished copy, which nothing but [`open_for_copy`] opens, in a transaction of its
    /// own. Does nothing where the mark is there already.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] (`not_empty`) for a database that has no mark, but a posting, or a ledger besides main;
    /// others where the disk fails.
    async fn begin_copy(&mut self, now: Timestamp) -> Result<(), StoreError>;

    /// Makes a ledger with this number, id, time and request, in a transaction of its own; main, which is there
    /// already, is given its time.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn copy_ledger(&mut self, ledger: &StoredLedger) -> Result<(), StoreError>;

    /// Adds changes of rate cards of another database, as they are, in a transaction of its own. They follow on the last
    /// one here.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn copy_cards(&mut self, changes: &[CardChange]) -> Result<(), StoreError>;

    /// Opens a transaction and loads the customers and holds that postings of another database move, as far as they
    /// exist. The postings are of one ledger, and follow on its last position without gaps: the append that follows
    /// gives them just these positions. The book's stamp is the latest time of theirs; no later stamp of this
    /// database may ever fall behind it.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is closed.
    async fn load_journal(&mut self, postings: &[Recorded]) -> Result<Book, StoreError>;

    /// Takes the mark away, in a transaction of its own: from here on it is a database like any other.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_copy(&mut self) -> Result<(), StoreError>;
}

/// A database that is filled from another one.
pub struct CopyTarget {
    /// Fills it.
    pub writer: Box<dyn CopyStore>,
    /// Reads what is committed. Its [`AuditStore::integrity`], which may take a snapshot, is called once: after the last
    /// posting was written.
    pub audit: Arc<dyn AuditStore>,
}

impl std::fmt::Debug for CopyTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyTarget").finish_non_exhaustive()
    }
}

/// Opens a database to be filled from another one, made and migrated where needed, and keeps servers out of it.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for a person; others where the disk fails.
pub async fn open_for_copy(url: &str) -> Result<CopyTarget, StoreError> {
    if is_memory(url) {
        return Err(unusable("memory: is gone with its server; nothing can be copied to it"));
    }
    if let Some(address) = Address::of(url) {
        let (writer, audit) = postgres::open_for_copy(address?).await?;
        return Ok(CopyTarget { writer: Box::new(writer), audit: Arc::new(audit) });
    }
    let (writer, reader) = sqlite::open_for_copy(&sqlite_path(url)?).await?;
    Ok(CopyTarget { writer: Box::new(writer), audit: Arc::new(reader) })
}

/// Checks what can be said about the two ends of a copy without opening them.
///
/// # Errors
/// [`StoreError::Unusable`] where an end is no database that can be copied, or both are the same.
pub fn check_urls(from: &str, to: &str) -> Result<(), StoreError> {
    if is_memory(from) || is_memory(to) {
        return Err(unusable("memory: is gone with its server; it cannot be copied, nor copied to"));
    }
    if place(from)? == place(to)? {
        return Err(unusable("--from and --to name the same database"));
    }
    Ok(())
}

/// Where a database is, however it is named. A host may have several names; a database that is copied to itself is
/// refused all the same, for not being empty.
fn place(url: &str) -> Result<std::path::PathBuf, StoreError> {
    if let Some(address) = Address::of(url) {
        return Ok(address?.place().into());
    }
    let path = sqlite_path(url)?;
    // A file that does not exist yet is no other one; its directory may still be named in several ways.
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let directory = path.parent().and_then(|directory| directory.canonicalize().ok());
    Ok(match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path,
    })
}

/// What an unfinished copy is refused with by all but the copy itself. A copy that was cut off goes on; one whose rows
/// were compared and differ has a source that contradicts itself, and would come to the same end each time.
pub(super) fn unfinished(shown: impl std::fmt::Display) -> StoreError {
    StoreError::Unusable(format!(
        "{shown} is an unfinished copy; run the same \"creditledger copy\" again to finish it; where that finds a \
         difference, \"creditledger verify\" tells what is wrong with the source"
    ))
}

/// What a database is refused with that is neither empty nor an unfinished copy.
pub(super) fn not_empty() -> StoreError {
    unusable("the target is not empty, and no unfinished copy either: copy to a new database")
}

fn unusable(what: &str) -> StoreError {
    StoreError::Unusable(what.to_owned())
}

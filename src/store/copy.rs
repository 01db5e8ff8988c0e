//! Filling a database from another one: what an engine must be able to do for `creditledger copy`, and how it is opened.

use std::sync::Arc;

use async_trait::async_trait;

use super::audit::{AuditStore, StoredLedger};
use super::error::StoreError;
use super::recorded::Recorded;
use crate::ledger::card::CardChange;
use crate::ledger::{Book, Timestamp};

/// A writing side that takes in the journal of another database. [`CopyStore::begin_copy`] comes first; then the
/// ledgers, then their journals in the order of the positions: [`CopyStore::load_journal`], [`Book::post`] for each
/// posting, [`CopyStore::append`]. [`CopyStore::end_copy`] comes last. Whoever calls it sees to that order.
#[async_trait]
pub trait CopyStore: Send {
    /// Marks the database as an unfinished copy, which nothing but [`super::open_for_copy`] opens, in a transaction of its
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

    /// Appends the book's journal at the positions that it had, and commits.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored.
    async fn append(&mut self, book: &Book) -> Result<(), StoreError>;

    /// Closes the transaction and stores nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn abandon(&mut self) -> Result<(), StoreError>;

    /// Takes the mark away, in a transaction of its own: from here on it is a database like any other.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_copy(&mut self) -> Result<(), StoreError>;

    /// Closes the target in order; the last call.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn close(&mut self) -> Result<(), StoreError>;
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

pub(super) fn unusable(what: &str) -> StoreError {
    StoreError::Unusable(what.to_owned())
}

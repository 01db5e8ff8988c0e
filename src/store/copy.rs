//! Filling a database from another one: the writing side that `creditledger copy` needs.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::audit::{AuditStore, StoredLedger};
use super::error::StoreError;
use super::orders::{StorefrontRoom, WithPayload};
use super::recorded::Recorded;
use super::records::AuditRecord;
use super::tokens::StoredToken;
use crate::ledger::card::CardChange;
use crate::ledger::{Book, Timestamp};

/// A writing side that takes in the journal of another database. The caller keeps this order:
/// [`CopyStore::begin_copy`], the ledgers, then their journals by position, the orders of storefronts, the tokens and the
/// audit log, and [`CopyStore::end_copy`] last. For each part of a journal: [`CopyStore::load_journal`], [`Book::post`] for each
/// posting, [`CopyStore::append`].
#[async_trait]
pub trait CopyStore: Send {
    /// Marks the database as an unfinished copy, in its own transaction. Only [`super::open_for_copy`] opens a marked
    /// database. Does nothing where the mark exists.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] (`not_empty`) for an unmarked database that has a posting, a rate card change, an order
    /// of a storefront, a token, an audit
    /// record, or a ledger besides main.
    async fn begin_copy(&mut self, now: Timestamp) -> Result<(), StoreError>;

    /// Creates a ledger with its number, id, time and request, in its own transaction. Main exists already; only its
    /// time is set.
    async fn copy_ledger(&mut self, ledger: &StoredLedger) -> Result<(), StoreError>;

    /// Adds the changes of rate cards of another database unchanged, in its own transaction. They follow the last
    /// revision here.
    async fn copy_cards(&mut self, changes: &[CardChange]) -> Result<(), StoreError>;

    /// Opens a transaction and loads the customers and holds that postings of another database move, as far as they
    /// exist. The postings are of one ledger and follow its last position without gaps, because the next append uses
    /// just these positions. The book's stamp is the latest time of the postings; no later stamp of this database may
    /// fall behind it.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is closed.
    async fn load_journal(&mut self, postings: &[Recorded]) -> Result<Book, StoreError>;

    /// Appends the book's journal at the positions that it had in the source, and commits.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored.
    async fn append(&mut self, book: &Book) -> Result<(), StoreError>;

    /// Puts orders of storefronts in place of those from behind `after` up to the last of them, or up to the end where
    /// the page is empty; in its own transaction.
    async fn copy_storefront_orders(
        &mut self,
        after: Option<Uuid>,
        page: &[WithPayload],
    ) -> Result<(), StoreError>;

    /// Puts the rooms of all storefronts in place of those that are there, in its own transaction.
    async fn copy_storefront_rooms(&mut self, rooms: &[StorefrontRoom]) -> Result<(), StoreError>;

    /// Puts tokens in place of those from behind `after` up to the last of them, or up to the end where the page is
    /// empty; in its own transaction.
    async fn copy_tokens(&mut self, after: Option<Uuid>, page: &[StoredToken]) -> Result<(), StoreError>;

    /// Puts records of the audit log in place of those from behind `after` up to the last of them, or up to the end where
    /// the page is empty; in its own transaction.
    async fn copy_records(&mut self, after: Option<Uuid>, page: &[AuditRecord]) -> Result<(), StoreError>;

    /// Closes the transaction and stores nothing.
    async fn abandon(&mut self) -> Result<(), StoreError>;

    /// Removes the mark, in its own transaction. From here on servers may open the database.
    async fn end_copy(&mut self) -> Result<(), StoreError>;

    /// Closes the target; the last call.
    async fn close(&mut self) -> Result<(), StoreError>;
}

/// A database that is filled from another one.
pub struct CopyTarget {
    pub writer: Box<dyn CopyStore>,
    /// Reads what is committed. Its [`AuditStore::integrity`] may take a snapshot, so it is called once, after the
    /// last posting was written.
    pub audit: Arc<dyn AuditStore>,
}

impl std::fmt::Debug for CopyTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyTarget").finish_non_exhaustive()
    }
}

/// The error with which everything but the copy refuses an unfinished copy. A copy that was cut off can go on. If its
/// rows were compared and differ, the source contradicts itself, and every attempt fails in the same way.
pub(super) fn unfinished(shown: impl std::fmt::Display) -> StoreError {
    StoreError::Unusable(format!(
        "{shown} is an unfinished copy; run the same \"creditledger copy\" again to finish it; where that finds a \
         difference, \"creditledger verify\" tells what is wrong with the source"
    ))
}

/// The error for a target that is neither empty nor an unfinished copy.
pub(super) fn not_empty() -> StoreError {
    unusable("the target is not empty, and no unfinished copy either: copy to a new database")
}

pub(super) fn unusable(what: &str) -> StoreError {
    StoreError::Unusable(what.to_owned())
}

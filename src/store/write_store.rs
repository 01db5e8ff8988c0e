//! What the writing side of an engine can do: load what a batch names, append what was decided.

use std::sync::Arc;

use async_trait::async_trait;

use super::alerts::{DefaultAlertsSet, NewDefaultAlerts};
use super::cards::CardsChanged;
use super::error::StoreError;
use super::recorded::Ledger;
use super::words::Erased;
use crate::ledger::card::{CardRequest, Cards};
use crate::ledger::{Book, CustomerId, LedgerId, LedgerNo, Request, RequestKey, Timestamp};

/// A ledger to be made.
#[derive(Clone, Debug)]
pub struct NewLedger {
    /// Its id.
    pub id: LedgerId,
    /// The id that makes the command repeatable.
    pub request: RequestKey,
}

/// What came of creating a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerCreated {
    /// It is there now, or was made by this very request before (`replayed`).
    Created {
        /// The ledger.
        ledger: Ledger,
        /// True for a repeat.
        replayed: bool,
    },
    /// It was made by another request.
    Exists,
    /// The request id made another ledger.
    RequestIdReused,
    /// The database has as many ledgers as it can number.
    TooMany,
}

/// A writing side, owned by one writer task. `load` opens a transaction, `append` commits it.
#[async_trait]
pub trait WriteStore: Send {
    /// Opens a transaction and loads what the requests name: customers, earlier answers to the same request ids,
    /// holds, orders, and the watched holds of customers with something due or parked. The book's stamp is `clock`
    /// or just after the engine's last stamp, whichever is later. A fixed number of statements a command.
    ///
    /// `cards` is brought up to date first, where others have changed them: what is decided in the transaction knows
    /// every card that a hold which it sees can have pinned.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is closed.
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError>;

    /// Appends the book's journal, writes the touched rows, and commits durably.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored, unless the error says that the fate is unknown.
    async fn append(&mut self, book: &Book) -> Result<(), StoreError>;

    /// Inside the transaction that `load` opened: whether an earlier append of `book`, whose answer was lost, has been
    /// stored after all. `load` has waited for whatever held its customers, so the answer is final, except for
    /// customers that do not exist: for those a later append clashes.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is closed.
    async fn was_stored(&mut self, book: &Book) -> Result<bool, StoreError> {
        // Engines that never are unsure.
        let _ = book;
        Ok(false)
    }

    /// Closes the transaction and stores nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn abandon(&mut self) -> Result<(), StoreError>;

    /// Makes a ledger, in a transaction of its own.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError>;

    /// Adds a rate card or sets a default, in a transaction of its own, and brings `cards` up to date with it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError>;

    /// Sets the thresholds of a ledger's customers without their own, in a transaction of its own; the next batch is
    /// decided by them, on whichever server.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError>;

    /// Erases what was said about a customer, in a transaction of its own: texts of its postings that lie aside, and of
    /// the rows that repeat them. The journal, its checksums, balances and replay stay as they are. Nothing is erased of
    /// a customer that does not exist.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is erased.
    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError>;

    /// Housekeeping between batches, such as a checkpoint of the log. Called after every commit; cheap when there is
    /// nothing to do.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn tidy(&mut self) -> Result<(), StoreError>;

    /// Closes the engine's writing side in order; the last call.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn close(&mut self) -> Result<(), StoreError>;
}

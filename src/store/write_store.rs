//! The writing side of an engine: it loads what a batch names, and appends what was decided.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::alerts::{DefaultAlertsSet, NewDefaultAlerts};
use super::cards::CardsChanged;
use super::error::StoreError;
use super::recorded::Ledger;
use super::words::Erased;
use crate::ledger::card::{CardRequest, Cards};
use crate::ledger::{Book, CustomerId, CustomerKey, LedgerId, LedgerNo, Request, RequestKey, Timestamp};

/// A ledger to be created.
#[derive(Clone, Debug)]
pub struct NewLedger {
    pub id: LedgerId,
    /// The idempotency key of the command.
    pub request: RequestKey,
}

/// The result of creating a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerCreated {
    /// The ledger was created now, or earlier by the same request (`replayed`).
    Created {
        ledger: Ledger,
        /// True where an earlier request with this id did it.
        replayed: bool,
    },
    /// Another request created it.
    Exists,
    /// The request id created another ledger.
    RequestIdReused,
    /// The database has as many ledgers as it can number.
    TooMany,
}

/// A writing side, owned by one writer task. `load` opens a transaction, `append` commits it.
#[async_trait]
pub trait WriteStore: Send {
    /// Opens a transaction and loads what the requests name: customers, holds, orders, and earlier answers to the
    /// same request ids. Holds of these customers that are due or wait for credits are loaded too. The book's stamp
    /// is `clock`, or just after the engine's last stamp where that is later. The number of statements a command is
    /// bounded.
    ///
    /// `cards` is first brought up to date with changes of other servers. So the batch knows every rate card that a
    /// loaded hold can have pinned.
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

    /// How long the commit of the last successful append took; `None` for engines that do not commit to anything.
    fn last_commit(&self) -> Option<Duration> {
        None
    }

    /// Finds out, inside the transaction that `load` opened, whether an earlier append of `book` was stored although
    /// its answer was lost. `load` has waited for every transaction that had locked its customers, so the answer is
    /// final. The exception is a customer that does not exist yet: a late commit makes the next append clash.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is closed.
    async fn was_stored(&mut self, book: &Book) -> Result<bool, StoreError> {
        // Engines whose commits always answer.
        let _ = book;
        Ok(false)
    }

    /// Which of these customers somebody else has locked now, found without waiting.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn locked(&mut self, customers: &[CustomerKey]) -> Result<BTreeSet<CustomerKey>, StoreError> {
        // Engines with one writer.
        let _ = customers;
        Ok(BTreeSet::new())
    }

    /// Closes the transaction and stores nothing.
    async fn abandon(&mut self) -> Result<(), StoreError>;

    /// Creates a ledger, in its own transaction.
    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError>;

    /// Adds a rate card or sets a default, in its own transaction, and brings `cards` up to date with it.
    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError>;

    /// Sets a ledger's default thresholds, in its own transaction. Every server decides its next batch by them.
    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError>;

    /// Erases the texts about a customer (who, why), in its own transaction: those of its postings, and those of rows
    /// that repeat them. Only texts kept separately from the journal can be erased, so checksums, balances and replay
    /// stay as they are. Does nothing for a customer that does not exist.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is erased.
    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError>;

    /// Housekeeping between batches, such as a checkpoint of the log. Called after every batch; cheap when there is
    /// nothing to do.
    async fn tidy(&mut self) -> Result<(), StoreError>;

    /// Checks that the database is still where it was opened. Called between batches, several times a second.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where it was deleted or replaced: nothing more may be acknowledged.
    async fn check_place(&mut self) -> Result<(), StoreError> {
        // Engines whose database is no file.
        Ok(())
    }

    /// Closes the writing side; the last call.
    async fn close(&mut self) -> Result<(), StoreError>;
}

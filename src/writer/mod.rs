//! The writer: gathers commands into batches, decides them, and answers after the commit, never before.

use std::time::Instant;

use crate::ledger::book::Answer;
use crate::ledger::{Rejection, Request};
use crate::store::{LedgerCreated, NewLedger};

/// Why a command has no outcome of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; nothing was done.
    #[error("the server is overloaded; try again")]
    Overloaded,
    /// The server is going down; nothing was done.
    #[error("the server is shutting down; try again")]
    ShuttingDown,
    /// The caller's deadline passed before the command was decided; nothing was done.
    #[error("the deadline passed before the command was run; nothing was done")]
    DeadlineExceeded,
    /// The storage failed; the same request id finds out what became of the command.
    #[error("the outcome is unknown; the same request_id finds out")]
    Unknown,
}

/// What became of one command.
pub type Outcome = Result<Answer, Rejection>;

/// The way to the writer task; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {}

impl Writer {
    /// Submits one command and waits for its fate.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, request: Request, deadline: Option<Instant>) -> Result<Outcome, SubmitError> {
        let _ = (request, deadline);
        Err(SubmitError::ShuttingDown)
    }

    /// Submits many commands at once; they keep their order, and outcome `i` belongs to request `i`.
    ///
    /// # Errors
    /// [`SubmitError`] for all of them where none was queued; else one each.
    pub async fn submit_bulk(
        &self,
        requests: Vec<Request>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Result<Outcome, SubmitError>>, SubmitError> {
        let _ = (requests, deadline);
        Err(SubmitError::ShuttingDown)
    }

    /// Makes a ledger.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn create_ledger(&self, ledger: NewLedger) -> Result<LedgerCreated, SubmitError> {
        let _ = ledger;
        Err(SubmitError::ShuttingDown)
    }
}

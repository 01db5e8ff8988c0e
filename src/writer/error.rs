//! Why a command has no outcome of its own: the writer could not decide it, or cannot say what became of it.

use crate::ledger::decide::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full. Nothing was done.
    #[error("the server is overloaded; try again")]
    Overloaded,
    /// The server is shutting down. Nothing was done.
    #[error("the server is shutting down; try again")]
    ShuttingDown,
    /// The caller's deadline passed before the command was decided. Nothing was done.
    #[error("the deadline passed before the command was run; nothing was done")]
    DeadlineExceeded,
    /// The storage failed, and nobody knows whether the command is stored. A repeat with the same request id finds
    /// out.
    #[error("the outcome is unknown; the same request_id finds out")]
    Unknown,
    /// The storage is not available, for example because another program keeps it busy. Nothing was done.
    #[error("the storage is not available at the moment; nothing was done")]
    StorageUnavailable,
    /// Another program keeps the customer's row locked. Nothing was done.
    #[error("the customer is locked by another program at the moment; nothing was done")]
    Locked,
    /// The command hit a fault of this program. Nothing was done.
    #[error("the command could not be stored; nothing was done")]
    Internal,
}

/// The result of a submitted command.
pub type Submitted = Result<Outcome, SubmitError>;

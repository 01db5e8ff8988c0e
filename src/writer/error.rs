//! Why a command has no outcome of its own.

use crate::ledger::decide::Outcome;

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
    /// The storage could not be read, as while another program keeps it busy; nothing was done.
    #[error("the storage is not available at the moment; nothing was done")]
    StorageUnavailable,
    /// The command met a fault of this program; nothing was done.
    #[error("the command could not be stored; nothing was done")]
    Internal,
}

/// What a submitted command comes to.
pub type Submitted = Result<Outcome, SubmitError>;

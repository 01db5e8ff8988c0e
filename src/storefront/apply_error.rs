//! Why an order could not be followed to its end.

use crate::ledger::Rejection;
use crate::query::ReadError;
use crate::store::StoreError;
use crate::writer::SubmitError;

/// Why it is not known what an order came to. The row is due until it is.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The command was not decided.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The kept orders could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger refused it, for a reason that waiting does not remove.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

//! Why a question has no answer.

use std::fmt::Display;

use crate::store::StoreError;
use crate::writer::SubmitError;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the ledger does not exist")]
    LedgerNotFound,
    #[error("the customer does not exist in this ledger")]
    CustomerNotFound,
    /// No such hold, or the incident has none.
    #[error("there is no such hold")]
    HoldNotFound,
    #[error("there is no such lot")]
    LotNotFound,
    /// The customer has no such posting, or none that answered the request.
    #[error("there is no such posting")]
    PostingNotFound,
    #[error("there is no such purchase")]
    PurchaseNotFound,
    /// The hold, or the incident, was never settled.
    #[error("there is no settlement")]
    SettlementNotFound,
    /// The page token was issued for another list or filter.
    #[error("the page_token does not belong to this list and filter")]
    PageToken,
    /// What is due of the customer could not be applied, so there is no current answer.
    #[error("what is due of the customer cannot be applied at the moment: {0}")]
    NotCurrent(#[from] SubmitError),
    #[error(transparent)]
    Storage(#[from] StoreError),
}

impl ReadError {
    pub(super) fn damaged(what: impl Display) -> Self {
        Self::Storage(StoreError::Damaged(what.to_string()))
    }
}

//! Why a question has no answer.

use std::fmt::Display;

use crate::store::StoreError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such ledger.
    #[error("the ledger does not exist")]
    LedgerNotFound,
    /// No such customer in the ledger.
    #[error("the customer does not exist in this ledger")]
    CustomerNotFound,
    /// No such hold, or no hold for the incident.
    #[error("there is no such hold")]
    HoldNotFound,
    /// No such lot in the ledger.
    #[error("there is no such lot")]
    LotNotFound,
    /// No such posting of the customer, or none that answered the request.
    #[error("there is no such posting")]
    PostingNotFound,
    /// No such purchase.
    #[error("there is no such purchase")]
    PurchaseNotFound,
    /// The hold, or the incident, was never settled.
    #[error("there is no settlement")]
    SettlementNotFound,
    /// The page token was not given for this list and filter.
    #[error("the page_token does not belong to this list and filter")]
    PageToken,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StoreError),
}

impl ReadError {
    /// What is stored cannot be what was written.
    pub(super) fn damaged(what: impl Display) -> Self {
        Self::Storage(StoreError::Damaged(what.to_string()))
    }
}

//! What is asked about payments that are nobody's yet.

use crate::ledger::codec::asked;
use crate::ledger::ids::PostingId;
use crate::ledger::payment::Payment;

/// See [`super::Command::KeepPayment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepPayment {
    /// What the storefront told.
    pub payment: Payment,
}
asked!(KeepPayment { 1 => payment, + 60 => reason, + 61 => by });

/// See [`super::Command::ClosePayment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosePayment {
    /// The posting that kept it.
    pub payment: PostingId,
}
asked!(ClosePayment { 1 => payment, + 2 => reason, + 3 => by });

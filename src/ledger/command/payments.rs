//! What is asked about payments that are nobody's yet.

use crate::ledger::codec::record;
use crate::ledger::ids::{PostingId, Text};
use crate::ledger::payment::Payment;

/// See [`super::Command::KeepPayment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepPayment {
    /// What the storefront told.
    pub payment: Payment,
}
record!(KeepPayment { 1 => payment });

/// See [`super::Command::ClosePayment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosePayment {
    /// The posting that kept it.
    pub payment: PostingId,
    /// What became of it.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(ClosePayment { 1 => payment, 2 => reason, 3 => by });

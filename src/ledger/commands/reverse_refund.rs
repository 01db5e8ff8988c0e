//! ReverseRefund: undoes a refund.

use super::context::Context;
use super::customer_command::CustomerCommand;
use super::draft::Draft;
use super::keys::{Keys, PurchaseRef};
use super::refunding::undo;
use crate::ledger::fingerprint::asked;
use crate::ledger::ids::PostingId;
use crate::ledger::lot::RefundState;
use crate::ledger::reject::Rejection;

/// Undoes a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseRefund {
    pub purchase: PurchaseRef,
    /// The posting that recorded the refund.
    pub refund: PostingId,
}
asked!(ReverseRefund { 1 => purchase, 2 => refund, + 3 => reason, + 4 => by });

impl CustomerCommand for ReverseRefund {
    fn keys(&self) -> Keys<'_> {
        Keys::purchase(&self.purchase)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let lot = at.purchase(&self.purchase)?;
        let place = lot.refunds.iter().position(|refund| refund.id == self.refund);
        undo(at, lot, place.ok_or(Rejection::RefundNotFound)?, RefundState::Reversed)
    }
}

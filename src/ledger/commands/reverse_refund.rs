//! ReverseRefund: undoes a refund.

use super::prelude::*;
use super::refunding::undo;
use crate::ledger::ids::PostingId;
use crate::ledger::lot::RefundState;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseRefund {
    pub purchase: PurchaseRef,
    /// The posting that recorded the refund.
    pub refund: PostingId,
}
hashed!(ReverseRefund { 1 => purchase, 2 => refund, + 3 => reason, + 4 => by });

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

//! ResolveChargeback: notes what the bank decided on a chargeback.

use super::prelude::*;
use super::refunding::undo;
use crate::ledger::lot::RefundState;

/// Ends the dispute about a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveChargeback {
    pub purchase: PurchaseRef,
    /// True where the money comes back.
    pub won: bool,
}
hashed!(ResolveChargeback { 1 => purchase, 2 => won, + 3 => reason, + 4 => by });

impl CustomerCommand for ResolveChargeback {
    fn keys(&self) -> Keys<'_> {
        Keys::purchase(&self.purchase)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let lot = at.purchase(&self.purchase)?;
        let place = lot.refunds.iter().position(|refund| refund.state == RefundState::Disputed);
        let state = if self.won { RefundState::Won } else { RefundState::Lost };
        undo(at, lot, place.ok_or(Rejection::PurchaseNotDisputed)?, state)
    }
}

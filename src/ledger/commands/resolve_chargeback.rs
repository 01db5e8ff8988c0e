//! ResolveChargeback: notes what the bank decided on a chargeback.

use super::context::Context;
use super::customer_command::CustomerCommand;
use super::draft::Draft;
use super::keys::{Keys, PurchaseRef};
use super::refunding::undo;
use crate::ledger::fingerprint::asked;
use crate::ledger::lot::RefundState;
use crate::ledger::reject::Rejection;

/// Ends the dispute about a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveChargeback {
    pub purchase: PurchaseRef,
    /// True where the money comes back.
    pub won: bool,
}
asked!(ResolveChargeback { 1 => purchase, 2 => won, + 3 => reason, + 4 => by });

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

//! RefundPurchase: gives a purchase back, in whole or in part.

use super::prelude::*;
use super::refunding::{OnShortfall, credits_of_refund, take_back};
use crate::ledger::lot::RefundState;
use crate::ledger::money::Money;

/// Gives credits of a purchase, and their money, back to the storefront.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundPurchase {
    pub purchase: PurchaseRef,
    /// More than zero.
    pub credits: Credits,
    /// The money that went back; by default the credits' share of the price.
    pub price: Option<Money>,
    /// What had been given back of the price when the caller looked.
    pub expected_refunded: Option<Money>,
    /// What happens where less is left.
    pub on_shortfall: OnShortfall,
}
hashed!(RefundPurchase {
    1 => purchase, 2 => credits, 3 => price, 4 => on_shortfall, + 5 => reason, + 6 => by,
    7 => expected_refunded,
});

impl CustomerCommand for RefundPurchase {
    fn keys(&self) -> Keys<'_> {
        Keys::purchase(&self.purchase)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let lot = at.purchase(&self.purchase)?;
        if self.expected_refunded.is_some_and(|expected| Some(expected) != lot.refunded_price()) {
            return Err(Rejection::PurchaseChanged);
        }
        take_back(at, lot, self.credits, self.price, self.on_shortfall, RefundState::Refunded)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::PurchaseRefunded, credits_of_refund(posting)))
    }
}

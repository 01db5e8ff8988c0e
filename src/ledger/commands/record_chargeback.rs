//! RecordChargeback: notes that the customer's bank took the money of a purchase back.

use super::prelude::*;
use super::refunding::{OnShortfall, credits_of_refund, take_back};
use crate::ledger::lot::RefundState;
use crate::ledger::money::Money;

/// Records a chargeback: a refund whose missing credits the customer owes. Until the bank decides, the purchase is in
/// dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChargeback {
    pub purchase: PurchaseRef,
    /// How many credits; by default all that is not given back yet.
    pub credits: Option<Credits>,
    /// The money that the bank took; by default the credits' share of the price.
    pub price: Option<Money>,
}
hashed!(RecordChargeback { 1 => purchase, 2 => credits, 3 => price, + 4 => reason, + 5 => by });

impl CustomerCommand for RecordChargeback {
    fn keys(&self) -> Keys<'_> {
        Keys::purchase(&self.purchase)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let lot = at.purchase(&self.purchase)?;
        if lot.dispute().is_some() {
            return Err(Rejection::PurchaseDisputed);
        }
        let credits = self.credits.unwrap_or_else(|| lot.refundable());
        take_back(at, lot, credits, self.price, OnShortfall::Receivable, RefundState::Disputed)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::PurchaseDisputed, credits_of_refund(posting)))
    }
}

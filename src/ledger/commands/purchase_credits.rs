//! PurchaseCredits: records a purchase made in a storefront.

use super::lots::credits_of_lot;
use super::prelude::*;
use crate::ledger::ids::{OrderId, Storefront};
use crate::ledger::lot::{Lot, LotSource};
use crate::ledger::money::Money;
use crate::ledger::reject::Original;

/// Records a purchase. It is accepted from closed customers too: the money is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseCredits {
    pub storefront: Storefront,
    /// The storefront's order; unique with it in a ledger.
    pub order: OrderId,
    /// More than zero.
    pub credits: Credits,
    pub price: Option<Money>,
    /// When what is left falls due; by default never.
    pub expires_at: Option<Timestamp>,
}
hashed!(PurchaseCredits { 1 => storefront, 2 => order, 3 => credits, 4 => price, 5 => expires_at, + 60 => reason, + 61 => by });

impl CustomerCommand for PurchaseCredits {
    fn keys(&self) -> Keys<'_> {
        Keys::order(&self.storefront, &self.order)
    }

    /// The same order with the same content answers it.
    fn earlier(&self, at: &Context<'_>) -> Result<Option<Arc<Posting>>, Rejection> {
        let scope = (at.customer.ledger, self.storefront.clone(), self.order.clone());
        let Some(earlier) = at.book.order(&scope) else { return Ok(None) };
        let is_same = |lot: &Arc<Lot>| {
            (lot.credits, lot.price, lot.expires_at) == (self.credits, self.price, self.expires_at)
        };
        if earlier.customer == at.customer.key() && earlier.detail.lot.as_ref().is_some_and(is_same) {
            return Ok(Some(Arc::clone(earlier)));
        }
        Err(Rejection::OrderAlreadyRecorded { original: Original::of(earlier) })
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        at.must_be_later("expires_at", self.expires_at)?;
        let mut draft = at.draft();
        draft.storefront = Some(self.storefront.clone());
        let repaid = self.credits.min(draft.balances().owed);
        draft.shift(Slot::First, self.credits.less_at_least_zero(repaid))?;
        draft.shift(Slot::Second, repaid)?;
        let lot = Lot {
            repaid,
            price: self.price,
            storefront: Some(self.storefront.clone()),
            order: Some(self.order.clone()),
            ..draft.new_lot(LotSource::Purchase, self.credits, self.expires_at)
        };
        draft.open_lot(lot)?;
        Ok(draft)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::PurchaseCompleted, credits_of_lot(posting)))
    }
}

//! ClosePayment: takes a payment out of the suspense account, or notes that a person closed a waiting order.

use super::prelude::*;
use crate::ledger::ids::PostingId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosePayment {
    /// The posting that kept it; of an order its id.
    pub payment: PostingId,
    /// True for an order of a storefront, which is kept outside of the journal: the posting notes who closed it, and why.
    pub is_order: bool,
}
hashed!(ClosePayment { 1 => payment, + 2 => reason, + 3 => by, 4 => is_order });

impl CustomerCommand for ClosePayment {
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let mut draft = at.draft();
        if self.is_order {
            draft.detail.closed_order = Some(self.payment);
            return Ok(draft);
        }
        if !at.customer.state.payments.iter().any(|(id, _)| *id == self.payment) {
            return Err(Rejection::PaymentNotFound);
        }
        draft.detail.closed_payment = Some(self.payment);
        Ok(draft)
    }
}

//! ClosePayment: takes a payment out of the suspense account.

use super::prelude::*;
use crate::ledger::ids::PostingId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosePayment {
    /// The posting that kept it.
    pub payment: PostingId,
}
hashed!(ClosePayment { 1 => payment, + 2 => reason, + 3 => by });

impl CustomerCommand for ClosePayment {
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        if !at.customer.state.payments.iter().any(|(id, _)| *id == self.payment) {
            return Err(Rejection::PaymentNotFound);
        }
        let mut draft = at.draft();
        draft.detail.closed_payment = Some(self.payment);
        Ok(draft)
    }
}

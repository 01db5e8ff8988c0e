//! KeepPayment: keeps a payment that matches no customer. Its customer is the suspense account.

use super::prelude::*;
use crate::ledger::payment::Payment;

/// Keeps a payment in the suspense account. Nothing moves: what was bought is credited by a purchase of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepPayment {
    /// As the storefront reported it.
    pub payment: Payment,
}
hashed!(KeepPayment { 1 => payment, + 60 => reason, + 61 => by });

impl CustomerCommand for KeepPayment {
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        if at.customer.state.payments.len() >= Payment::WAITING_MAX {
            return Err(Rejection::TooManyPayments { max: Payment::WAITING_MAX });
        }
        let mut draft = at.draft();
        draft.detail.payment = Some(Arc::new(self.payment.clone()));
        Ok(draft)
    }
}

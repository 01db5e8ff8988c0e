//! Payments that wait in the suspense account, and how they leave it. Nothing moves: what was bought is credited by a
//! purchase of its own.

use std::sync::Arc;

use super::Context;
use crate::ledger::command::{ClosePayment, KeepPayment};
use crate::ledger::payment::Payment;
use crate::ledger::posting::Posting;
use crate::ledger::reject::Rejection;

pub(super) fn keep(at: &Context<'_>, command: &KeepPayment) -> Result<Arc<Posting>, Rejection> {
    if at.customer.state.payments.len() >= Payment::WAITING_MAX {
        return Err(Rejection::TooManyPayments { max: Payment::WAITING_MAX });
    }
    let mut draft = at.draft();
    draft.detail.payment = Some(Arc::new(command.payment.clone()));
    draft.finish(at.entry)
}

pub(super) fn close(at: &Context<'_>, command: &ClosePayment) -> Result<Arc<Posting>, Rejection> {
    if !at.customer.state.payments.iter().any(|(id, _)| *id == command.payment) {
        return Err(Rejection::PaymentNotFound);
    }
    let mut draft = at.draft();
    draft.detail.closed_payment = Some(command.payment);
    draft.finish(at.entry)
}

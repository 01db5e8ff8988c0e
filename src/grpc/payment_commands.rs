//! Payments that are nobody's yet: listed, and assigned.

use prost::Message as _;
use tonic::{Request, Status};

use crate::ledger::{LedgerId, PostingId};
use crate::query::KeptPayment;
use crate::storefront::{ApplyError, PaymentApplier};

use super::command::Accepted;
use super::context::Reason;
use super::parse::{Amount, parse};
use super::wire::{
    AssignPaymentRequest, AssignPaymentResponse, ListUnmatchedPaymentsRequest, ListUnmatchedPaymentsResponse,
    UnmatchedPayment,
};
use super::{Api, Deadline, PAGE_BYTES_MAX, convert};

impl Api {
    /// A page of the payments that wait.
    pub(super) async fn unmatched_payments(
        &self,
        request: ListUnmatchedPaymentsRequest,
    ) -> Result<ListUnmatchedPaymentsResponse, Status> {
        let (ledger, page) = parse(request, |message, fields| {
            let ListUnmatchedPaymentsRequest { ledger_id, page_size, page_token } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let page = fields.page(page_size, page_token);
            Some((ledger?, page?))
        })?;
        let no = self.ledger(&ledger).await?;
        let listed = self.reader.kept_payments(no, &page).await?;
        let (payments, next_page_token) =
            listed.show(PAGE_BYTES_MAX, |kept| show(kept, &ledger), UnmatchedPayment::encoded_len);
        Ok(ListUnmatchedPaymentsResponse { payments, next_page_token })
    }

    /// Records a payment as a customer's purchase.
    pub(super) async fn assign_payment(
        &self,
        request: Request<AssignPaymentRequest>,
    ) -> Result<AssignPaymentResponse, Status> {
        let deadline = Deadline::of(&request);
        let (scope, payment, credits) = parse(request.into_inner(), |message, fields| {
            let AssignPaymentRequest { context, payment_id, credits } = message;
            let scope = fields.context(context, Reason::Optional);
            let payment = fields.made_id("payment_id", &payment_id, PostingId::from_uuid);
            let credits = fields.optional_credits("credits", credits.as_deref(), Amount::Positive);
            Some((scope?, payment?, credits?))
        })?;
        let ledger_id = scope.ledger.unwrap_or_else(LedgerId::main);
        let ledger = self.ledger(&ledger_id).await?;
        let applier = PaymentApplier::new(self.writer.clone(), std::sync::Arc::clone(&self.reader));
        let customer = scope.customer.clone();
        let request = (scope.request, scope.said);
        let assigned = applier.assign(ledger, payment, scope.customer, credits, request, deadline).await;
        let answer = assigned.map_err(|error| match error {
            ApplyError::Submit(error) => Status::from(error),
            ApplyError::Read(error) => error.into(),
            ApplyError::Rejected(error) => error.into(),
        })?;
        Ok(Accepted { ledger, ledger_id, customer, answer }.into())
    }
}

fn show(kept: &KeptPayment, ledger: &LedgerId) -> UnmatchedPayment {
    let payment = &kept.payment;
    UnmatchedPayment {
        payment_id: kept.posting.id.to_string(),
        ledger_id: ledger.to_string(),
        event: payment.event.code().into(),
        storefront: payment.storefront.to_string(),
        order_id: payment.order.to_string(),
        customer: payment.customer.to_string(),
        products: payment.products.iter().map(ToString::to_string).collect(),
        credits: payment.credits.map(|credits| credits.to_string()).unwrap_or_default(),
        price: payment.price.as_ref().map(convert::money),
        reason: payment.reason.to_string(),
        received_at: Some(convert::time(kept.posting.recorded_at)),
    }
}

//! PurchaseService: purchases and grants, their refunds and chargebacks, and orders of storefronts that wait.

use tonic::{Request, Status};

use crate::ledger::commands::{
    GrantCredits, OnShortfall, PurchaseCredits, PurchaseRef, RecordChargeback, RefundPurchase, ReportTopUp,
    ResolveChargeback, ReverseRefund,
};
use crate::ledger::fingerprint::Said;
use crate::ledger::ids::TopUpId;
use crate::ledger::lot::LotSource;
use crate::ledger::payment::suspense;
use crate::ledger::top_up::TopUpAnswer;
use crate::ledger::{Command, LedgerId, LotId, OrderId, PostingId, Storefront};
use crate::query::{LotFilter, OwnedLot, PurchaseTarget as Asked, ReadError};
use crate::storefront::ApplyError;
use crate::storefront::desk::{RETRIED_MAX, WaitingOrder};

use super::api::{Call, Deadline, Reply, show_page};
use super::command::{AcceptedCommand, CommandMessage};
use super::context::{Keeps, Reason};
use super::convert;
use super::ledger_service::read_lots;
use super::parse::{Amount, Fields, complete};
use super::wire::*;

impl Call {
    pub(super) async fn get_purchase(&self, message: GetPurchaseRequest) -> Reply<GetPurchaseResponse> {
        let read = |message, fields: &mut Fields| {
            let GetPurchaseRequest { ledger_id: _, target } = message;
            read_purchase(fields, target).map(|purchase| match purchase {
                PurchaseRef::Id(id) => Asked::Id(id),
                PurchaseRef::Order(storefront, order) => Asked::Order(storefront, order),
            })
        };
        let (ledger, target) = self.read(message, read).await?;
        let OwnedLot { lot, customer, unused } = self.reader.purchase(ledger.no, &target).await?;
        Ok(GetPurchaseResponse {
            purchase: Some(convert::purchase(&lot, &ledger.id, &customer, Some(&unused))),
        })
    }

    pub(super) async fn list_purchases(&self, message: ListPurchasesRequest) -> Reply<ListPurchasesResponse> {
        let (ledger, (customer, filter, page)) = self.read(ListLotsRequest::from(message), read_lots).await?;
        let filter = LotFilter { source: Some(LotSource::Purchase), ..filter };
        let listed = self.reader.owned_lots(ledger.no, customer.as_ref(), filter, &page).await?;
        let show = |owned: &OwnedLot| {
            convert::purchase(&owned.lot, &ledger.id, &owned.customer, Some(&owned.unused))
        };
        let (purchases, next_page_token) = show_page(listed, show);
        Ok(ListPurchasesResponse { purchases, next_page_token })
    }

    pub(super) async fn list_unmatched_payments(
        &self,
        message: ListUnmatchedPaymentsRequest,
    ) -> Reply<ListUnmatchedPaymentsResponse> {
        let read = |message, fields: &mut Fields| {
            let ListUnmatchedPaymentsRequest { ledger_id: _, page_size, page_token } = message;
            fields.page(page_size, page_token)
        };
        let (ledger, page) = self.read(message, read).await?;
        let listed = self.payments.waiting(ledger.no, &page).await?;
        let (payments, next_page_token) = show_page(listed, |waiting| show_payment(waiting, &ledger.id));
        Ok(ListUnmatchedPaymentsResponse { payments, next_page_token })
    }

    /// Records a payment as a customer's purchase.
    pub(super) async fn assign_payment(
        &self,
        request: Request<AssignPaymentRequest>,
    ) -> Reply<AssignPaymentResponse> {
        let deadline = Deadline::of(&request);
        let (scope, payment, credits) = self.parse(request.into_inner(), |message, fields| {
            let AssignPaymentRequest { context, payment_id, credits } = message;
            let scope = fields.context(context, Reason::Optional);
            let payment = fields.made_id("payment_id", &payment_id, PostingId::from_uuid);
            let credits = fields.optional_credits("credits", credits, Amount::Positive);
            Some((scope?, payment?, credits?))
        })?;
        let ledger = self.ledger(scope.ledger_or_main()).await?;
        let customer = scope.customer.clone();
        let request = (scope.request, scope.said);
        let assigned =
            self.payments.assign(ledger.no, payment, scope.customer, credits, request, deadline).await;
        let answer = assigned.map_err(status_of)?;
        let outcome = AcceptedCommand { ledger, customer, answer, called: self.called.clone() }.outcome();
        Ok(AssignPaymentResponse { outcome: Some(outcome) })
    }

    /// Closes a payment that waits.
    pub(super) async fn dismiss_payment(
        &self,
        request: Request<DismissPaymentRequest>,
    ) -> Reply<DismissPaymentResponse> {
        let read = |message, fields: &mut Fields| {
            let DismissPaymentRequest { context: _, payment_id } = message;
            fields.made_id("payment_id", &payment_id, PostingId::from_uuid)
        };
        let (command, payment) = self.read_ledger_command(request, Keeps::Why, read).await?;
        let actor = self.called.actor();
        let said = Said { by: command.by, reason: command.reason, actor, ..Said::default() };
        let request = (command.request, said);
        let closed = self.payments.dismiss(command.ledger.no, payment, request, command.deadline).await;
        let answer = closed.map_err(status_of)?;
        let (ledger, customer, called) = (command.ledger, suspense(), self.called.clone());
        let outcome = AcceptedCommand { ledger, customer, answer, called }.outcome();
        Ok(DismissPaymentResponse { outcome: Some(outcome) })
    }

    /// Tries payments that wait again.
    pub(super) async fn retry_payments(
        &self,
        request: Request<RetryPaymentsRequest>,
    ) -> Reply<RetryPaymentsResponse> {
        let read = |message, fields: &mut Fields| {
            let RetryPaymentsRequest { ledger_id: _, storefront, payment_ids, after_payment_id } = message;
            let storefront = if storefront.is_empty() {
                Some(None)
            } else {
                fields.take("storefront", Storefront::parse(&storefront)).map(Some)
            };
            let ids = if payment_ids.len() > RETRIED_MAX {
                fields.refuse("payment_ids", format!("must be at most {RETRIED_MAX}"))
            } else {
                fields.each("payment_ids", payment_ids, |fields, id| {
                    fields.made_id("", &id, PostingId::from_uuid)
                })
            };
            let after = if after_payment_id.is_empty() {
                Some(None)
            } else {
                fields.made_id("after_payment_id", &after_payment_id, PostingId::from_uuid).map(Some)
            };
            Some((storefront?, ids?, after?))
        };
        let (ledger, (storefront, ids, after)) = self.read(request.into_inner(), read).await?;
        let after = after.map(PostingId::uuid);
        let retried = self.payments.retry(ledger.no, storefront.as_ref(), &ids, after).await;
        let (retried, last) = retried.map_err(status_of)?;
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(RetryPaymentsResponse {
            settled: count(retried.settled),
            waiting: count(retried.waiting),
            last_payment_id: last.map(|last| last.to_string()).unwrap_or_default(),
        })
    }
}

fn status_of(error: ApplyError) -> Status {
    match error {
        ApplyError::Submit(error) => error.into(),
        ApplyError::Read(error) => error.into(),
        ApplyError::Store(error) => ReadError::Storage(error).into(),
        ApplyError::Rejected(error) => error.into(),
    }
}

fn show_payment(waiting: &WaitingOrder, ledger: &LedgerId) -> UnmatchedPayment {
    let WaitingOrder { row, worth, products } = waiting;
    let waits = row.kept.waits.as_ref();
    UnmatchedPayment {
        payment_id: row.place.id.to_string(),
        ledger_id: ledger.to_string(),
        event: waits.map_or(0, |waits| waits.event.code().into()),
        storefront: row.place.storefront.to_string(),
        order_id: row.kept.order_id().map(|id| id.to_string()).unwrap_or_default(),
        customer: row.customer().map(ToString::to_string).unwrap_or_default(),
        products: products.clone(),
        credits: convert::or_empty(worth.credits.as_ref()),
        price: worth.price.as_ref().map(convert::money),
        reason: waits.map(|waits| waits.why.to_string()).unwrap_or_default(),
        received_at: waits.map(|waits| convert::time(waits.since)),
    }
}

impl CommandMessage for PurchaseCreditsRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, storefront, order_id, credits, price, expires_at } = self;
        complete!(Command::PurchaseCredits {
            storefront: fields.take("storefront", Storefront::parse(&storefront)),
            order: fields.take("order_id", OrderId::parse(&order_id)),
            credits: fields.credits("credits", &credits, Amount::Positive),
            price: fields.money("price", price),
            expires_at: fields.time("expires_at", expires_at),
        })
    }
}

impl CommandMessage for GrantCreditsRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, credits, expires_at } = self;
        complete!(Command::GrantCredits {
            credits: fields.credits("credits", &credits, Amount::Positive),
            expires_at: fields.time("expires_at", expires_at),
        })
    }
}

/// The purchase that a request names.
fn read_purchase(fields: &mut Fields, target: Option<PurchaseTarget>) -> Option<PurchaseRef> {
    use purchase_target::Target;
    match target.and_then(|target| target.target) {
        Some(Target::PurchaseId(id)) => fields.within("target", |fields| {
            fields.made_id("purchase_id", &id, |id| PurchaseRef::Id(LotId::from_uuid(id)))
        }),
        Some(Target::Order(StorefrontOrder { storefront, order_id })) => fields.within("target", |fields| {
            fields.within("order", |fields| {
                let storefront = fields.take("storefront", Storefront::parse(&storefront));
                let order = fields.take("order_id", OrderId::parse(&order_id));
                Some(PurchaseRef::Order(storefront?, order?))
            })
        }),
        None => fields.refuse("target", "must be a purchase_id or an order"),
    }
}

impl CommandMessage for RefundPurchaseRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, credits, price, on_shortfall, expected_refunded_price } = self;
        complete!(Command::RefundPurchase {
            purchase: read_purchase(fields, target),
            credits: fields.credits("credits", &credits, Amount::Positive),
            price: fields.money("price", price),
            expected_refunded: fields.money("expected_refunded_price", expected_refunded_price),
            on_shortfall: fields.known("on_shortfall", on_shortfall).map(|policy| match policy {
                ShortfallPolicy::Unspecified | ShortfallPolicy::Reject => OnShortfall::Reject,
                ShortfallPolicy::Receivable => OnShortfall::Receivable,
                ShortfallPolicy::WriteOff => OnShortfall::WriteOff,
            }),
        })
    }
}

impl CommandMessage for ReverseRefundRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, refund_id } = self;
        complete!(Command::ReverseRefund {
            purchase: read_purchase(fields, target),
            refund: fields.made_id("refund_id", &refund_id, PostingId::from_uuid),
        })
    }
}

impl CommandMessage for RecordChargebackRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, credits, price } = self;
        complete!(Command::RecordChargeback {
            purchase: read_purchase(fields, target),
            credits: fields.optional_credits("credits", credits, Amount::Positive),
            price: fields.money("price", price),
        })
    }
}

impl CommandMessage for ResolveChargebackRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, outcome } = self;
        let purchase = read_purchase(fields, target);
        let won = match fields.known("outcome", outcome) {
            Some(ChargebackOutcome::Won) => Some(true),
            Some(ChargebackOutcome::Lost) => Some(false),
            Some(ChargebackOutcome::Unspecified) => fields.refuse("outcome", "must be WON or LOST"),
            None => None,
        };
        complete!(Command::ResolveChargeback { purchase: purchase, won: won })
    }
}

impl CommandMessage for ReportTopUpRequest {
    /// A decline must state its reason.
    fn reason(&self) -> Reason {
        if self.report() == TopUpReport::Declined { Reason::Required } else { Reason::Optional }
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, top_up_id, report, pending_until } = self;
        let top_up = fields.made_id("top_up_id", &top_up_id, TopUpId::from_uuid);
        let until = fields.time("pending_until", pending_until);
        let answer = match (fields.known("report", report), until) {
            (Some(TopUpReport::Pending), Some(Some(until))) => Some(TopUpAnswer::Pending(until)),
            (Some(TopUpReport::Pending), Some(None)) => {
                fields.refuse("pending_until", "must be set with PENDING")
            }
            (Some(TopUpReport::Declined), Some(None)) => Some(TopUpAnswer::Declined),
            (Some(TopUpReport::Declined), Some(Some(_))) => {
                fields.refuse("pending_until", "must not be set with DECLINED")
            }
            (Some(TopUpReport::Unspecified), _) => fields.refuse("report", "must be PENDING or DECLINED"),
            (Some(TopUpReport::Pending | TopUpReport::Declined) | None, None) | (None, Some(_)) => None,
        };
        complete!(Command::ReportTopUp { top_up: top_up, answer: answer })
    }
}

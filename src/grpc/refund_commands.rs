//! Reading and answering the commands about purchases that are given back.

use crate::ledger::command::{
    OnShortfall, PurchaseRef, RecordChargeback, RefundPurchase, ResolveChargeback, ReverseRefund,
};
use crate::ledger::{Command, LotId, OrderId, PostingId, Storefront};

use super::command::{Accepted, CommandMessage};
use super::convert;
use super::parse::{Amount, Fields, Scope};
use super::wire::*;

/// The purchase that a request names.
macro_rules! purchase_ref {
    ($fields:expr, $target:expr, $module:ident) => {
        match $target {
            Some($module::Target::PurchaseId(id)) => {
                $fields.made_id("purchase_id", &id, |id| PurchaseRef::Id(LotId::from_uuid(id)))
            }
            Some($module::Target::Order(order)) => read_order($fields, &order),
            None => $fields.refuse("target", "must be a purchase_id or an order"),
        }
    };
}

fn read_order(fields: &mut Fields, order: &StorefrontOrder) -> Option<PurchaseRef> {
    let StorefrontOrder { storefront, order_id } = order;
    fields.within("order", |fields| {
        let storefront = fields.take("storefront", Storefront::parse(storefront));
        let order = fields.take("order_id", OrderId::parse(order_id));
        Some(PurchaseRef::Order(storefront?, order?))
    })
}

impl CommandMessage for RefundPurchaseRequest {
    fn read(self, fields: &mut Fields) -> Option<(Scope, Command)> {
        let Self {
            ledger_id,
            request_id,
            customer_id,
            target,
            credits,
            price,
            on_shortfall,
            reason,
            by,
            expected_refunded_price,
        } = self;
        let scope = fields.scope(&ledger_id, &request_id, &customer_id);
        let purchase = purchase_ref!(fields, target, refund_purchase_request);
        let credits = fields.credits("credits", &credits, Amount::Positive);
        let price = fields.money("price", price);
        let expected_refunded = fields.money("expected_refunded_price", expected_refunded_price);
        let on_shortfall = fields.known("on_shortfall", on_shortfall).map(|policy| match policy {
            ShortfallPolicy::Unspecified | ShortfallPolicy::Reject => OnShortfall::Reject,
            ShortfallPolicy::Receivable => OnShortfall::Receivable,
            ShortfallPolicy::WriteOff => OnShortfall::WriteOff,
        });
        let reason = fields.text("reason", &reason);
        let by = fields.text("by", &by);
        let command = RefundPurchase {
            purchase: purchase?,
            credits: credits?,
            price: price?,
            expected_refunded: expected_refunded?,
            on_shortfall: on_shortfall?,
        };
        Some((scope?.said(by?, reason?), Command::RefundPurchase(command)))
    }
}

impl CommandMessage for ReverseRefundRequest {
    fn read(self, fields: &mut Fields) -> Option<(Scope, Command)> {
        let Self { ledger_id, request_id, customer_id, target, refund_id, reason, by } = self;
        let scope = fields.scope(&ledger_id, &request_id, &customer_id);
        let purchase = purchase_ref!(fields, target, reverse_refund_request);
        let refund = fields.made_id("refund_id", &refund_id, PostingId::from_uuid);
        let reason = fields.required_text("reason", &reason);
        let by = fields.text("by", &by);
        let command = ReverseRefund { purchase: purchase?, refund: refund? };
        Some((scope?.said(by?, reason?), Command::ReverseRefund(command)))
    }
}

impl CommandMessage for RecordChargebackRequest {
    fn read(self, fields: &mut Fields) -> Option<(Scope, Command)> {
        let Self { ledger_id, request_id, customer_id, target, credits, price, reason, by } = self;
        let scope = fields.scope(&ledger_id, &request_id, &customer_id);
        let purchase = purchase_ref!(fields, target, record_chargeback_request);
        let credits = fields.optional_credits("credits", credits.as_deref(), Amount::Positive);
        let price = fields.money("price", price);
        let reason = fields.text("reason", &reason);
        let by = fields.text("by", &by);
        let command = RecordChargeback { purchase: purchase?, credits: credits?, price: price? };
        Some((scope?.said(by?, reason?), Command::RecordChargeback(command)))
    }
}

impl CommandMessage for ResolveChargebackRequest {
    fn read(self, fields: &mut Fields) -> Option<(Scope, Command)> {
        let Self { ledger_id, request_id, customer_id, target, outcome, reason, by } = self;
        let scope = fields.scope(&ledger_id, &request_id, &customer_id);
        let purchase = purchase_ref!(fields, target, resolve_chargeback_request);
        let won = match fields.known("outcome", outcome) {
            Some(ChargebackOutcome::Won) => Some(true),
            Some(ChargebackOutcome::Lost) => Some(false),
            Some(ChargebackOutcome::Unspecified) => fields.refuse("outcome", "must be WON or LOST"),
            None => None,
        };
        let reason = fields.text("reason", &reason);
        let by = fields.text("by", &by);
        let command = ResolveChargeback { purchase: purchase?, won: won? };
        Some((scope?.said(by?, reason?), Command::ResolveChargeback(command)))
    }
}

/// All of them are answered alike.
macro_rules! answers {
    ($($response:ident),* $(,)?) => {
        $(impl From<Accepted> for $response {
            fn from(accepted: Accepted) -> Self {
                let purchase = accepted.answer.purchase.as_ref();
                Self {
                    purchase: purchase.map(|lot| convert::purchase(lot, &accepted.customer)),
                    posting: Some(accepted.posting()),
                    replayed: accepted.answer.replayed,
                    balance: Some(accepted.balance()),
                    activated_holds: accepted.activated_holds(),
                    expired_credits: accepted.expired_credits(),
                }
            }
        })*
    };
}
answers!(RefundPurchaseResponse, ReverseRefundResponse, RecordChargebackResponse, ResolveChargebackResponse);

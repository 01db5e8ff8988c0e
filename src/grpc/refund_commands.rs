//! Reading the commands about purchases that are given back.

use crate::ledger::commands::{
    OnShortfall, PurchaseRef, RecordChargeback, RefundPurchase, ResolveChargeback, ReverseRefund,
};
use crate::ledger::{Command, LotId, OrderId, PostingId, Storefront};

use super::command::CommandMessage;
use super::context::Reason;
use super::parse::{Amount, Fields};
use super::wire::*;

/// The purchase that a request names.
pub fn read_purchase(fields: &mut Fields, target: Option<PurchaseTarget>) -> Option<PurchaseRef> {
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
        let purchase = read_purchase(fields, target);
        let credits = fields.credits("credits", &credits, Amount::Positive);
        let price = fields.money("price", price);
        let expected_refunded = fields.money("expected_refunded_price", expected_refunded_price);
        let on_shortfall = fields.known("on_shortfall", on_shortfall).map(|policy| match policy {
            ShortfallPolicy::Unspecified | ShortfallPolicy::Reject => OnShortfall::Reject,
            ShortfallPolicy::Receivable => OnShortfall::Receivable,
            ShortfallPolicy::WriteOff => OnShortfall::WriteOff,
        });
        let command = RefundPurchase {
            purchase: purchase?,
            credits: credits?,
            price: price?,
            expected_refunded: expected_refunded?,
            on_shortfall: on_shortfall?,
        };
        Some(Command::RefundPurchase(command))
    }
}

impl CommandMessage for ReverseRefundRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, refund_id } = self;
        let purchase = read_purchase(fields, target);
        let refund = fields.made_id("refund_id", &refund_id, PostingId::from_uuid);
        let command = ReverseRefund { purchase: purchase?, refund: refund? };
        Some(Command::ReverseRefund(command))
    }
}

impl CommandMessage for RecordChargebackRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, credits, price } = self;
        let purchase = read_purchase(fields, target);
        let credits = fields.optional_credits("credits", credits.as_deref(), Amount::Positive);
        let price = fields.money("price", price);
        let command = RecordChargeback { purchase: purchase?, credits: credits?, price: price? };
        Some(Command::RecordChargeback(command))
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
        let command = ResolveChargeback { purchase: purchase?, won: won? };
        Some(Command::ResolveChargeback(command))
    }
}

//! Lines and payments of a shop, and Stripe's objects for them.

use creditledger::ledger::Credits;
use serde_json::{Value, json};

use super::payloads::{self, with};
use crate::history::Sold;

/// What one line came to.
#[derive(Clone, Debug)]
pub struct Item {
    pub product: &'static str,
    pub credits: i64,
    pub quantity: i64,
    pub listed: i64,
    pub discount: i64,
    pub tax: i64,
    pub gross: i64,
    pub tax_within: bool,
}

/// A payment, from when it was paid.
pub struct Payment {
    pub sold: Sold,
    pub intent: String,
    pub charge: String,
    /// Where the payment is of an invoice and the API is old.
    pub invoice: Option<String>,
    pub livemode: bool,
    pub total: i64,
    pub mixed: bool,
    pub refunds: Vec<Refund>,
    pub dispute: Option<Dispute>,
    /// A partial dispute: nothing is refunded beside it.
    pub partly_disputed: bool,
}

pub struct Refund {
    pub id: String,
    pub amount: i64,
    pub made: u64,
    pub status: &'static str,
}

pub struct Dispute {
    pub id: String,
    pub amount: i64,
    pub status: &'static str,
}

impl Dispute {
    pub fn is_taken(&self) -> bool {
        matches!(self.status, "needs_response" | "under_review" | "lost")
    }
}

impl Payment {
    /// All refunds that did not fail.
    pub fn refunded_sum(&self) -> i64 {
        self.refunds.iter().filter(|refund| refund.status != "failed").map(|refund| refund.amount).sum()
    }

    pub fn gone(&self) -> Credits {
        let done = self.refunds.iter().filter(|refund| refund.status == "succeeded");
        let taken =
            self.dispute.as_ref().filter(|dispute| dispute.is_taken()).map_or(0, |dispute| dispute.amount);
        let back = (done.map(|refund| refund.amount).sum::<i64>() + taken).min(self.total);
        let bought = self.sold.bought.units();
        // In a mixed cart all goes back, or nothing.
        Credits::from_units((2 * bought * back + self.total) / (2 * self.total))
    }

    pub fn refund_object(&self, refund: &Refund) -> Value {
        let Refund { id, amount, made, status } = refund;
        let fields = json!({
            "id": id, "amount": amount, "created": made, "status": status, "charge": self.charge,
            "payment_intent": self.intent,
        });
        with(payloads::refund(), fields)
    }

    pub fn charge_object(&self) -> Value {
        let sum = self.refunded_sum();
        let fields = json!({
            "id": self.charge, "amount": self.total, "amount_captured": self.total, "amount_refunded": sum,
            "livemode": self.livemode, "payment_intent": self.intent, "refunded": sum == self.total,
        });
        let mut charge = with(payloads::charge(), fields);
        if let Some(invoice) = &self.invoice {
            charge["invoice"] = json!(invoice);
        }
        charge
    }

    pub fn dispute_object(&self) -> Value {
        let Dispute { id, amount, status } = self.dispute.as_ref().unwrap();
        let moved =
            json!({"id": "txn_9", "object": "balance_transaction", "amount": -amount, "currency": "eur"});
        let moves = if status.starts_with("warning") { json!([]) } else { json!([moved]) };
        let fields = json!({
            "id": id, "amount": amount, "status": status, "charge": self.charge, "payment_intent": self.intent,
            "livemode": self.livemode, "balance_transactions": moves,
        });
        with(payloads::dispute(), fields)
    }
}

pub fn session_line(item: &Item) -> Value {
    let mut line = with(
        payloads::item(),
        json!({
            "id": format!("li_{}", item.product), "quantity": item.quantity, "amount_subtotal": item.listed,
            "amount_discount": item.discount, "amount_tax": item.tax, "amount_total": item.gross,
        }),
    );
    line["price"]["id"] = json!(item.product);
    line
}

pub fn invoice_of(id: &str, subscription: &str, intent: &str, items: &[Item], old_api: bool) -> Value {
    let lines: Vec<Value> = items.iter().map(|item| invoice_line(item, subscription, old_api)).collect();
    let total: i64 = items.iter().map(|item| item.gross).sum();
    let mut invoice = with(
        payloads::invoice(),
        json!({"id": id, "total": total, "amount_due": total, "amount_paid": total}),
    );
    invoice["lines"]["data"] = json!(lines);
    if old_api {
        let fields = json!({
            "subscription": subscription, "payment_intent": intent, "charge": null, "paid": true,
            "paid_out_of_band": false, "subscription_details": {"metadata": {}},
        });
        return with(invoice, fields);
    }
    let details = json!({"metadata": {}, "subscription": subscription});
    with(
        invoice,
        json!({"parent": {"quote_details": null, "subscription_details": details, "type": "subscription_details"}}),
    )
}

pub fn invoice_line(item: &Item, subscription: &str, old_api: bool) -> Value {
    let mut line = with(
        payloads::line(),
        json!({"id": format!("il_{}", item.product), "amount": item.listed, "quantity": item.quantity}),
    );
    if item.discount > 0 {
        line["discount_amounts"] = json!([{"amount": item.discount, "discount": "di_1"}]);
        line["pretax_credit_amounts"] =
            json!([{"amount": item.discount, "discount": "di_1", "type": "discount"}]);
    }
    let taxable = item.gross - item.tax;
    if old_api {
        let taxes = json!([{
            "amount": item.tax, "inclusive": item.tax_within, "tax_rate": "txr_1",
            "taxability_reason": "standard_rated", "taxable_amount": taxable,
        }]);
        let mut price = payloads::item()["price"].take();
        price["id"] = json!(item.product);
        let plan = json!({"id": item.product, "object": "plan", "amount": 2_000, "product": "prod_1"});
        let fields = json!({
            "plan": plan, "price": price, "proration": false, "proration_details": {"credited_items": null},
            "subscription": subscription, "subscription_item": "si_1", "tax_rates": [], "type": "subscription",
            "tax_amounts": if item.tax > 0 { taxes } else { json!([]) },
        });
        return with(line, fields);
    }
    let taxes = json!([{
        "amount": item.tax, "tax_behavior": if item.tax_within { "inclusive" } else { "exclusive" },
        "tax_rate_details": {"tax_rate": "txr_1"}, "taxability_reason": "standard_rated",
        "taxable_amount": taxable, "type": "tax_rate_details",
    }]);
    let details = json!({
        "invoice_item": null, "proration": false, "proration_details": {"credited_items": null},
        "subscription": subscription, "subscription_item": "si_1",
    });
    let fields = json!({
        "parent": {"invoice_item_details": null, "subscription_item_details": details, "type": "subscription_item_details"},
        "pricing": {
            "price_details": {"price": item.product, "product": "prod_1"}, "type": "price_details",
            "unit_amount_decimal": "2000",
        },
        "taxes": if item.tax > 0 { taxes } else { json!([]) },
    });
    with(line, fields)
}

//! Stripe's objects with all the fields that real ones have, and events of them.

use serde_json::{Value, json};

use crate::history::Told;

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn session() -> Value {
    object(include_str!("session.json"))
}

/// A line of a session.
pub fn item() -> Value {
    object(include_str!("item.json"))
}

pub fn invoice() -> Value {
    object(include_str!("invoice.json"))
}

/// A line of an invoice, without what versions of the API tell in different ways.
pub fn line() -> Value {
    object(include_str!("line.json"))
}

pub fn charge() -> Value {
    object(include_str!("charge.json"))
}

pub fn refund() -> Value {
    object(include_str!("refund.json"))
}

pub fn dispute() -> Value {
    object(include_str!("dispute.json"))
}

/// A payment of an invoice.
pub fn invoice_payment(invoice: &str, intent: &str) -> Value {
    json!({
        "id": format!("inpay_{invoice}"), "object": "invoice_payment", "amount_paid": 2000,
        "amount_requested": 2000, "created": 1_700_000_000, "currency": "eur", "invoice": invoice,
        "is_default": true, "livemode": true, "status": "paid",
        "payment": {"type": "payment_intent", "payment_intent": intent},
        "status_transitions": {"canceled_at": null, "paid_at": 1_700_000_000},
    })
}

/// The object with other values of some fields.
pub fn with(mut object: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    for (name, value) in fields {
        object[name.as_str()] = value;
    }
    object
}

/// An event about an object, in test mode where the object is.
pub fn event(kind: &str, at: u64, object: Value) -> Told {
    let livemode = object.get("livemode").and_then(Value::as_bool).unwrap_or(true);
    event_in(livemode, kind, at, object)
}

pub fn event_in(livemode: bool, kind: &str, at: u64, object: Value) -> Told {
    let mut data = json!({});
    data["object"] = object;
    let body = json!({
        "id": format!("evt_{at}_{}", kind.replace('.', "_")), "object": "event", "api_version": "2025-09-30.clover",
        "created": at, "data": data, "livemode": livemode, "pending_webhooks": 1,
        "request": {"id": null, "idempotency_key": null}, "type": kind,
    });
    Told { topic: String::new(), body }
}

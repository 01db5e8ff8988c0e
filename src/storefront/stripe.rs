//! Stripe's events (<https://docs.stripe.com/api/events/types>). An order is the payment intent, which checkout
//! sessions, charges and disputes all name.

use serde_json::Value;

use super::amounts;
use super::json::{Bought, Item, bought, cut, text, text_at};
use super::shop::Shop;
use crate::ledger::payment::{Payment, PaymentEvent};
use crate::ledger::{Money, OpenText, OrderId, Text};

/// The payments in an event; `None` if it is not one of Stripe's.
pub(super) fn read(shop: &Shop, event: &Value) -> Option<Vec<Payment>> {
    let object = event.get("data")?.get("object")?;
    Some(match event.get("type")?.as_str()? {
        // A session that is paid later reports it with the second event.
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            if text(object.get("payment_status")) == "paid" { vec![paid(shop, object)?] } else { Vec::new() }
        }
        "charge.refunded" => {
            let price = money(object, "amount_refunded")?;
            let key = format!("refunded {}", price.minor_units);
            vec![Payment {
                cumulative: true,
                ..about(shop, object, PaymentEvent::Refunded, &key, Some(price))?
            }]
        }
        // An inquiry, whose status begins with "warning", moves no money.
        "charge.dispute.created" | "charge.dispute.closed"
            if text(object.get("status")).starts_with("warning") =>
        {
            Vec::new()
        }
        "charge.dispute.created" => {
            let key = format!("disputed {}", text(object.get("id")));
            vec![about(shop, object, PaymentEvent::Disputed, &key, Some(money(object, "amount")?))?]
        }
        "charge.dispute.closed" => {
            let outcome = match text(object.get("status")).as_str() {
                "won" => PaymentEvent::DisputeWon,
                "lost" => PaymentEvent::DisputeLost,
                _ => return Some(Vec::new()),
            };
            let key = format!("decided {}", text(object.get("id")));
            vec![about(shop, object, outcome, &key, None)?]
        }
        _ => Vec::new(),
    })
}

fn paid(shop: &Shop, session: &Value) -> Option<Payment> {
    let total = money(session, "amount_total")?;
    let lines = session.get("line_items").and_then(|lines| lines.get("data")).and_then(Value::as_array);
    let items: Vec<Item> = match lines {
        Some(lines) => lines
            .iter()
            .map(|line| Item {
                ids: [text_at(line, "price.id"), text_at(line, "price.product")].into(),
                quantity: line.get("quantity").and_then(Value::as_i64).unwrap_or(1),
                paid: money(line, "amount_total"),
            })
            .collect(),
        // Webhooks carry no line items: the session's metadata names the product.
        None => vec![Item {
            ids: vec![text_at(session, &shop.product)],
            quantity: text_at(session, &shop.quantity).parse().unwrap_or(1),
            paid: None,
        }],
    };
    let Bought { products, credits, paid } = bought(shop, &items);
    Some(Payment {
        customer: cut(&text_at(session, &shop.customer)),
        products,
        credits,
        ..about(shop, session, PaymentEvent::Paid, "paid", Some(paid.unwrap_or(total)))?
    })
}

fn about(
    shop: &Shop,
    object: &Value,
    event: PaymentEvent,
    key: &str,
    price: Option<Money>,
) -> Option<Payment> {
    let intent = text(object.get("payment_intent"));
    let order = if intent.is_empty() { text(object.get("id")) } else { intent };
    Some(Payment {
        event,
        storefront: shop.storefront.clone(),
        order: OrderId::parse(&order).ok()?,
        key: OpenText(cut(key)),
        customer: Text::EMPTY,
        products: Vec::new(),
        credits: None,
        price,
        cumulative: false,
        reason: Text::EMPTY,
    })
}

fn money(object: &Value, field: &str) -> Option<Money> {
    amounts::stripe(object.get("currency")?.as_str()?, object.get(field)?.as_i64()?)
}

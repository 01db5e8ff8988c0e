//! WooCommerce's webhooks (<https://woocommerce.github.io/woocommerce-rest-api-docs/#order-properties>): the topics
//! `order.created` and `order.updated`. Their payload is the order as it is now, with its refunds.

use serde_json::Value;

use super::amounts;
use super::json::{Bought, Item, bought, cut, text, text_at};
use super::shop::{Delivery, Shop};
use crate::ledger::payment::{Payment, PaymentEvent};
use crate::ledger::{OpenText, OrderId, Text};

/// The first delivery of a new webhook, which is not signed: `webhook_id=7`, as a form.
pub(super) fn is_ping(delivery: &Delivery<'_>) -> bool {
    let is_form = (delivery.header)("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let number = delivery.body.strip_prefix(b"webhook_id=");
    is_form && number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// The payments in a delivery of this topic; `None` if the payload is not one of WooCommerce's.
pub(super) fn read(shop: &Shop, topic: &str, order: &Value) -> Option<Vec<Payment>> {
    if !matches!(topic, "order.created" | "order.updated") {
        return Some(Vec::new());
    }
    let status = text(order.get("status"));
    let id = OrderId::parse(&text(order.get("id"))).ok()?;
    let currency = text(order.get("currency"));
    let refunds = order.get("refunds").and_then(Value::as_array).cloned().unwrap_or_default();
    // An order that was refunded as a whole was paid before, whether that was delivered or not.
    let is_paid = matches!(status.as_str(), "processing" | "completed" | "refunded")
        && !text(order.get("date_paid")).is_empty();
    let mut payments = Vec::new();
    if is_paid {
        let total = amounts::lenient(&currency, &text(order.get("total")))?;
        let lines = order.get("line_items")?.as_array()?;
        let items: Vec<Item> = lines
            .iter()
            .map(|line| Item {
                ids: ["variation_id", "product_id", "sku"].map(|id| text(line.get(id))).into(),
                quantity: line.get("quantity").and_then(Value::as_i64).unwrap_or(1),
                paid: amounts::lenient(&currency, &text(line.get("total"))),
            })
            .collect();
        let Bought { products, credits, paid } = bought(shop, &items);
        let customer = cut(&text_at(order, &shop.customer));
        let price = Some(paid.unwrap_or(total));
        payments.push(Payment {
            customer,
            products,
            credits,
            price,
            ..about(shop, &id, PaymentEvent::Paid, "paid")
        });
    }
    for refund in &refunds {
        // WooCommerce writes a refund as a negative amount.
        let amount = text(refund.get("total"));
        let price = amounts::lenient(&currency, amount.trim_start_matches('-'))?;
        let key = format!("refund {}", text(refund.get("id")));
        payments.push(Payment { price: Some(price), ..about(shop, &id, PaymentEvent::Refunded, &key) });
    }
    Some(payments)
}

fn about(shop: &Shop, order: &OrderId, event: PaymentEvent, key: &str) -> Payment {
    Payment {
        event,
        storefront: shop.storefront.clone(),
        order: order.clone(),
        key: OpenText(cut(key)),
        customer: Text::EMPTY,
        products: Vec::new(),
        credits: None,
        price: None,
        cumulative: false,
        reason: Text::EMPTY,
    }
}

//! Shopify's webhooks (<https://shopify.dev/docs/api/webhooks>): the topics `orders/paid` and `refunds/create`. A
//! repeated delivery names the same order or refund, so webhook ids need not be remembered.

use serde_json::Value;

use super::amounts;
use super::json::{Bought, Item, bought, cut, text, text_at};
use super::shop::Shop;
use crate::ledger::payment::{Payment, PaymentEvent};
use crate::ledger::{Money, OpenText, OrderId, Text};

/// The payments in a delivery of this topic; `None` if the payload is not one of Shopify's.
pub(super) fn read(shop: &Shop, topic: &str, body: &Value) -> Option<Vec<Payment>> {
    match topic {
        "orders/paid" => paid(shop, body).map(|payment| vec![payment]),
        "refunds/create" => refunded(shop, body),
        _ => Some(Vec::new()),
    }
}

fn paid(shop: &Shop, order: &Value) -> Option<Payment> {
    let currency = text(order.get("currency"));
    let total = amounts::lenient(&currency, &text(order.get("total_price")))?;
    let lines = order.get("line_items")?.as_array()?;
    let items: Vec<Item> = lines.iter().map(|line| item(line, &currency, line.get("quantity"))).collect();
    let Bought { products, credits, paid } = bought(shop, &items);
    Some(Payment {
        event: PaymentEvent::Paid,
        storefront: shop.storefront.clone(),
        order: OrderId::parse(&text(order.get("id"))).ok()?,
        key: OpenText(cut("paid")),
        customer: cut(&text_at(order, &shop.customer)),
        products,
        credits,
        price: Some(paid.unwrap_or(total)),
        cumulative: false,
        reason: Text::EMPTY,
    })
}

/// A line of an order, with what was paid for it: its price times its quantity, less its discount.
fn item(line: &Value, currency: &str, quantity: Option<&Value>) -> Item {
    let quantity = quantity.and_then(Value::as_i64).unwrap_or(1);
    let amount = |field| amounts::lenient(currency, &text(line.get(field)));
    let paid = amount("price").map(|price| {
        let discount = amount("total_discount").map_or(0, |discount| discount.minor_units);
        price.with(price.minor_units.saturating_mul(quantity).saturating_sub(discount).max(0))
    });
    Item { ids: ["variant_id", "product_id", "sku"].map(|id| text(line.get(id))).into(), quantity, paid }
}

fn refunded(shop: &Shop, refund: &Value) -> Option<Vec<Payment>> {
    let mut price: Option<Money> = None;
    for transaction in refund.get("transactions")?.as_array()? {
        let is_done =
            text(transaction.get("kind")) == "refund" && text(transaction.get("status")) == "success";
        if !is_done {
            continue;
        }
        let currency = text(transaction.get("currency"));
        let amount = amounts::lenient(&currency, &text(transaction.get("amount")))?;
        let sum = price.map_or(0, |price| price.minor_units);
        price = Some(amount.with(amount.minor_units.saturating_add(sum)));
    }
    // A return of goods without money moves no credits.
    let Some(price) = price else { return Some(Vec::new()) };
    let lines = refund.get("refund_line_items").and_then(Value::as_array).cloned().unwrap_or_default();
    let items: Vec<Item> = lines
        .iter()
        .filter_map(|line| Some(item(line.get("line_item")?, "", line.get("quantity"))))
        .collect();
    let Bought { products, credits, .. } = bought(shop, &items);
    Some(vec![Payment {
        event: PaymentEvent::Refunded,
        storefront: shop.storefront.clone(),
        order: OrderId::parse(&text(refund.get("order_id"))).ok()?,
        key: OpenText(cut(&format!("refund {}", text(refund.get("id"))))),
        customer: Text::EMPTY,
        products,
        credits,
        price: Some(price),
        cumulative: false,
        reason: Text::EMPTY,
    }])
}

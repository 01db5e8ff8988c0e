//! Shop money in Shopify's payloads, and the name of an order.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::storefront::json::{at, text};
use crate::storefront::order::Order;
use crate::storefront::vendors::Unreadable;
use crate::storefront::vendors::reading::{self, Scale};

/// An order of which only the id is known.
pub(super) fn named(value: Option<&Value>, what: &str) -> Result<Order, Unreadable> {
    Ok(Order { names: [(reading::id(value, what)?, 1)].into(), ..Order::default() })
}

/// An amount of shop money: that of the field's set, or the field itself, which is in the shop's currency. Left out, it
/// is 0; `None` where it is no amount, or the set has another currency.
pub(super) fn shop_money(scale: &Scale, object: &Value, field: &str) -> Option<Decimal> {
    let money = object.get(format!("{field}_set")).and_then(|set| set.get("shop_money"));
    let plain = object.get(field);
    match money {
        Some(money) if !scale.is(&text(money.get("currency_code"))) => None,
        Some(money) => reading::decimal(money.get("amount")),
        None if reading::is_silent(plain) => Some(Decimal::ZERO),
        None => reading::decimal(plain),
    }
}

/// The same in the customer's currency; 0 where no set tells it.
pub(super) fn presentment_money(object: &Value, field: &str) -> Decimal {
    reading::decimal(at(object, &format!("{field}_set.presentment_money.amount"))).unwrap_or_default()
}

/// Adds up a field of the entries of a list.
pub(super) fn sum(scale: &Scale, object: &Value, list: &str, field: &str) -> Option<Decimal> {
    reading::entries(object, list)
        .try_fold(Decimal::ZERO, |sum, entry| sum.checked_add(shop_money(scale, entry, field)?))
}

//! Shopify's webhooks, read into facts (<https://shopify.dev/docs/api/webhooks/latest>). The payloads are those of the
//! REST resources Order, Refund and Dispute (<https://shopify.dev/docs/api/admin-rest/latest/resources/order>, `.../refund`,
//! `.../dispute`).
//!
//! | topic | |
//! |---|---|
//! | `orders/create`, `orders/paid`, `orders/updated`, `orders/cancelled`, `orders/fulfilled`, `orders/partially_fulfilled` | read: each is the whole order as it is now |
//! | `refunds/create` | read: a refund with its lines, transactions and adjustments |
//! | `disputes/create`, `disputes/update` | read |
//! | `orders/edited` | ignored: it tells what an edit changed without prices; `orders/updated` follows with the order |
//! | `orders/delete` | ignored: only orders that are closed or cancelled can be deleted, which moves no money |
//! | `order_transactions/create` | ignored: a transaction does not name its refund; the order or refund has it as well |
//! | `orders/risk_assessment_changed`, `orders/shopify_protect_eligibility_changed`, `orders/link_requested` | ignored: no money |
//! | `returns/*`, `reverse_deliveries/*`, `fulfillments/*`, `fulfillment_orders/*` | ignored: goods; their money comes as a refund |
//! | `checkouts/*`, `draft_orders/*`, `tender_transactions/create`, `payment_terms/*`, `payment_schedules/due` | ignored: the order tells what was paid |
//! | `subscription_contracts/*`, `subscription_billing_attempts/*` | ignored: each paid billing attempt makes an order |
//! | all others | ignored: no money |
//!
//! | field of an order | |
//! |---|---|
//! | `id` | the only name. No delivery names an order by `checkout_token`; `name` (`#1001`) is repeated where a shop changes its prefix or is moved |
//! | `updated_at` | the version, also of the refunds in it |
//! | `financial_status` | `paid`, `partially_refunded`, `refunded`: paid. `pending`, `authorized`, `partially_paid`: open. `voided`, `expired`: void. Another one waits |
//! | `cancelled_at` | void where it was not paid. Paid, and nothing of it went back: waits |
//! | `currency`, `*_set.shop_money` | the shop's money; `presentment_currency` and `presentment_money` are ignored, except for the rate of a refund |
//! | `total_price`, `current_total_price`, `total_outstanding` | what was paid at first: the total before edits and refunds; less, where an edit came before the payment |
//! | `taxes_included` | whether `price`, discounts and a refund's `subtotal` have the tax in them |
//! | `line_items[]` | `quantity`, `current_quantity`, `price`, `discount_allocations`, `tax_lines`; `total_discount` only without allocations, since it misses those of the whole order |
//! | `shipping_lines`, `total_tip_received`, `original_total_duties_set`, `original_total_additional_fees_set` | part of the total, for goods that are not credits |
//! | `line_items[].gift_card` | ignored: a gift card that is bought is other goods. One that is paid with is a transaction, so it lowers no price |
//! | `refunds[]` | read as `refunds/create` |
//! | `payment_terms`, `payment_gateway_names`, `total_cash_rounding_*` | ignored: `financial_status` decides |
//!
//! | part of a refund | |
//! |---|---|
//! | `transactions[]` of kind `refund` | the money. `success`: done; `pending`: pending; `failure`, `error`: undone. No such transaction: nothing moves |
//! | `refund_line_items[]` | the lines. Their shares are scaled to the money that went back; `restock_type` is ignored |
//! | `order_adjustments[]`, `refund_shipping_lines[]` | shipping, which is for other things; a `refund_discrepancy` is in the transactions' amount already |
//! | `duties`, `total_duties_set` | for other things |
//!
//! Units that an edit took out of a paid order are not counted, while the total stays what was paid. So what was paid
//! beyond lines and `elsewhere` is the customer's. Units of a refund with money are counted: the refund takes them back.
//!
//! An order that is edited upwards turns `partially_paid`. What was paid before stays, so an open order has no date: any
//! paid state is newer.
//!
//! A dispute's changes have no date but `finalized_on`, so it only moves forward until then.

mod dispute;
mod money;
mod order;
mod refund;

use serde_json::Value;

use super::Unreadable;
use crate::storefront::order::Order;
use crate::storefront::shop::Shop;

/// Reads a delivery of this topic; no orders where it does not touch money.
pub fn read(shop: &Shop, topic: &str, body: &Value) -> Result<Vec<Order>, Unreadable> {
    let order = match topic {
        "orders/create"
        | "orders/paid"
        | "orders/updated"
        | "orders/cancelled"
        | "orders/fulfilled"
        | "orders/partially_fulfilled" => order::read(shop, body)?,
        "refunds/create" => match refund::read_alone(body)? {
            Some(order) => order,
            None => return Ok(Vec::new()),
        },
        "disputes/create" | "disputes/update" => dispute::read(body)?,
        _ => return Ok(Vec::new()),
    };
    Ok(vec![order])
}

//! Reads a delivery: checks who signed it, and has its vendor's file read the facts.

use bytes::Bytes;
use serde_json::Value;

use super::intake::Reading;
use super::order::Order;
use super::shop::{Delivery, Refused, Shop, Vendor};
use super::signature;
use super::vendors::{Unreadable, generic, shopify, stripe, woocommerce};

/// Reads a delivery that is signed with a secret of the shop.
///
/// # Errors
/// [`Refused`] where it is not.
pub fn read(shop: &Shop, delivery: &Delivery<'_>) -> Result<Reading, Refused> {
    let topic = shop.vendor.topic_header().and_then(|header| (delivery.header)(header)).unwrap_or_default();
    let payload = Bytes::copy_from_slice(delivery.body);
    let content_type = (delivery.header)("content-type").unwrap_or_default();
    if shop.vendor == Vendor::WooCommerce && woocommerce::is_ping(&content_type, delivery.body) {
        return Ok(Reading { topic, orders: Ok(Vec::new()), payload: Bytes::new() });
    }
    if !signature::is_good(shop, delivery) {
        return Err(Refused::Signature);
    }
    Ok(Reading { orders: read_payload(shop, &topic, delivery.body), topic, payload })
}

/// Reads the facts of a signed payload.
///
/// # Errors
/// [`Unreadable`], why.
pub fn read_payload(shop: &Shop, topic: &str, payload: &[u8]) -> Result<Vec<Order>, Unreadable> {
    let body: Value =
        serde_json::from_slice(payload).map_err(|error| Unreadable(format!("it is not JSON: {error}")))?;
    match shop.vendor {
        Vendor::Stripe => stripe::read(shop, topic, &body),
        Vendor::Shopify => shopify::read(shop, topic, &body),
        Vendor::WooCommerce => woocommerce::read(shop, topic, &body),
        Vendor::Generic => generic::read(shop, topic, &body),
    }
}

//! Reads the payments that storefronts report, and puts them into the ledger.
//!
//! A vendor's file reads its payloads into [`Payment`]s, which are the same for all vendors; [`PaymentApplier`] applies
//! them. What cannot be applied waits in the ledger's suspense account, so that no payment is dropped.

pub mod amounts;
mod applier;
mod json;
mod shop;
mod shopify;
mod signature;
mod stripe;
mod woocommerce;

pub use crate::ledger::payment::Payment;
pub use applier::{Applied, ApplyError, PaymentApplier};
pub use shop::{Delivery, Mapped, Refused, Revenue, Shop, Vendor};

/// Reads the payments in a delivery; none where it is about something else.
pub fn read(shop: &Shop, delivery: &Delivery<'_>) -> Result<Vec<Payment>, Refused> {
    if shop.vendor == Vendor::WooCommerce && woocommerce::is_ping(delivery) {
        return Ok(Vec::new());
    }
    if !signature::is_good(shop, delivery) {
        return Err(Refused::Signature);
    }
    let content_type = (delivery.header)("content-type").unwrap_or_default();
    let is_json = content_type.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
    if !is_json {
        return Err(Refused::ContentType);
    }
    let body: serde_json::Value = serde_json::from_slice(delivery.body).map_err(|_| Refused::Payload)?;
    let payments = match shop.vendor {
        Vendor::Stripe => stripe::read(shop, &body),
        Vendor::Shopify => {
            shopify::read(shop, &(delivery.header)("x-shopify-topic").unwrap_or_default(), &body)
        }
        Vendor::WooCommerce => {
            woocommerce::read(shop, &(delivery.header)("x-wc-webhook-topic").unwrap_or_default(), &body)
        }
        Vendor::Generic => None,
    };
    payments.ok_or(Refused::Payload)
}

//! What storefronts tell of payments, in their own words, and how it comes into the ledger.
//!
//! A vendor's file reads its payloads into [`Payment`]s, which say the same for all vendors; [`PaymentApplier`] applies them. What
//! cannot be applied waits in the ledger's suspense account, so that nothing that was paid for is dropped.

pub mod amounts;
mod applier;
mod json;
mod shopify;
mod signature;
mod stripe;
mod woocommerce;

use std::collections::BTreeMap;

pub use crate::ledger::payment::Payment;
use crate::ledger::{Credits, LedgerId, Storefront, Timestamp};

pub use applier::{Applied, ApplyError, PaymentApplier};

/// A storefront that tells of payments.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Its id in the ledger; also the end of its webhook's path.
    pub storefront: Storefront,
    /// Whose payloads it sends.
    pub vendor: Vendor,
    /// The ledger of its customers.
    pub ledger: LedgerId,
    /// Secrets that its deliveries may be signed with; several while one is being replaced.
    pub secrets: Vec<String>,
    /// Where a payload names the customer, such as `client_reference_id` or `note_attributes.customer_id`.
    pub customer: String,
    /// Where a payload without line items names the product: `metadata.product`.
    pub product: String,
    /// Credits of one piece of each product, by product, price or variant id, or SKU.
    pub credits: BTreeMap<String, Credits>,
}

/// Vendors of storefronts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// <https://docs.stripe.com/webhooks>
    Stripe,
    /// <https://shopify.dev/docs/apps/build/webhooks>
    Shopify,
    /// <https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/>
    WooCommerce,
}

impl Vendor {
    /// By its name in the configuration.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "stripe" => Some(Self::Stripe),
            "shopify" => Some(Self::Shopify),
            "woocommerce" => Some(Self::WooCommerce),
            _ => None,
        }
    }
}

/// A delivery as it came in.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// Finds a header by its name in lower case.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Just as it was sent.
    pub body: &'a [u8],
    /// The time now.
    pub now: Timestamp,
}

impl std::fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A payload names people.
        f.debug_struct("Delivery").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Why a delivery is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not signed with a secret of ours, or not now.
    #[error("the signature is wrong")]
    Signature,
    /// It is signed, and not what the vendor sends.
    #[error("the payload is malformed")]
    Payload,
    /// It is not JSON.
    #[error("the content type is not application/json")]
    ContentType,
}

/// Reads a delivery: what it tells of payments, nothing where it is about something else.
///
/// # Errors
/// [`Refused`].
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
    let told = match shop.vendor {
        Vendor::Stripe => stripe::read(shop, &body),
        Vendor::Shopify => {
            shopify::read(shop, &(delivery.header)("x-shopify-topic").unwrap_or_default(), &body)
        }
        Vendor::WooCommerce => {
            woocommerce::read(shop, &(delivery.header)("x-wc-webhook-topic").unwrap_or_default(), &body)
        }
    };
    told.ok_or(Refused::Payload)
}

//! A storefront as it is set up, a delivery as it came in, and why one is refused.

use std::collections::BTreeMap;

use crate::ledger::{Credits, LedgerId, Storefront, Timestamp};

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

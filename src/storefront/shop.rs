//! A storefront as it is configured, a delivery as it arrived, and why one is refused.

use std::collections::BTreeMap;

use crate::ledger::{Credits, LedgerId, Storefront, Timestamp};

/// A storefront that reports payments.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Its id in the ledger; also the end of its webhook's path.
    pub storefront: Storefront,
    pub vendor: Vendor,
    /// The ledger of its customers.
    pub ledger: LedgerId,
    /// Secrets that its deliveries may be signed with; several while one is being replaced.
    pub secrets: Vec<String>,
    /// The path at which a payload names the customer, such as `client_reference_id` or `note_attributes.customer_id`.
    pub customer: String,
    /// The path at which a payload without line items names the product, such as `metadata.product`.
    pub product: String,
    /// Credits of one piece of each product, by product, price or variant id, or SKU.
    pub credits: BTreeMap<String, Credits>,
}

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
    /// The header that has its signature.
    #[must_use]
    pub const fn signature_header(self) -> &'static str {
        match self {
            Self::Stripe => "stripe-signature",
            Self::Shopify => "x-shopify-hmac-sha256",
            Self::WooCommerce => "x-wc-webhook-signature",
        }
    }

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

#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// Finds a header by its name in lower case.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The bytes as they were sent: the signature covers them.
    pub body: &'a [u8],
    pub now: Timestamp,
}

impl std::fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A payload names people, so only its size is shown.
        f.debug_struct("Delivery").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Why a delivery is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not signed with a secret of the shop, or not recently.
    #[error("the signature is wrong")]
    Signature,
    /// It is signed, but is not what the vendor sends.
    #[error("the payload is malformed")]
    Payload,
    #[error("the content type is not application/json")]
    ContentType,
}

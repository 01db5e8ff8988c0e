//! A storefront as it is configured, a delivery as it arrived, and why one is refused.

use std::collections::BTreeMap;

use crate::hidden::Hidden;
use crate::ledger::{Credits, LedgerId, Money, Storefront, Timestamp};

/// A storefront that reports payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shop {
    /// Its id in the ledger; also the end of its webhook's path.
    pub storefront: Storefront,
    pub vendor: Vendor,
    /// The ledger of its customers.
    pub ledger: LedgerId,
    /// Secrets that its deliveries may be signed with; several while one is being replaced. Each is printable text.
    pub secrets: Vec<Hidden<String>>,
    /// The path at which a payload names the customer, such as `client_reference_id` or `note_attributes.customer_id`.
    pub customer: String,
    /// The path at which a payload without line items names the product, such as `metadata.product`. May be empty.
    pub product: String,
    /// The path at which a payload without line items tells how many, such as `metadata.quantity`. May be empty.
    pub quantity: String,
    /// Whether the price of credits is what was paid without tax or with it.
    pub revenue: Revenue,
    /// Whether payments in the vendor's test mode count like others.
    pub accept_test_payments: bool,
    /// What one piece of each product is worth, by product, price or variant id, or SKU. No key is empty.
    pub mapping: BTreeMap<String, Mapped>,
}

/// What one piece of a product is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// More than zero.
    pub credits: Credits,
    /// What one piece costs, where the settings name it; at least zero.
    pub price: Option<Money>,
}

/// What counts as the price of credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revenue {
    /// What was paid without tax.
    #[default]
    Net,
    /// What was paid with tax.
    Gross,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// <https://docs.stripe.com/webhooks>
    Stripe,
    /// <https://shopify.dev/docs/apps/build/webhooks>
    Shopify,
    /// <https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/>
    WooCommerce,
    /// A shop of one's own, signed as <https://www.standardwebhooks.com> says.
    Generic,
}

impl Vendor {
    pub const ALL: [Self; 4] = [Self::Stripe, Self::Shopify, Self::WooCommerce, Self::Generic];

    /// Its name in the settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Shopify => "shopify",
            Self::WooCommerce => "woocommerce",
            Self::Generic => "generic",
        }
    }

    /// The header that has its signature.
    #[must_use]
    pub const fn signature_header(self) -> &'static str {
        match self {
            Self::Stripe => "stripe-signature",
            Self::Shopify => "x-shopify-hmac-sha256",
            Self::WooCommerce => "x-wc-webhook-signature",
            Self::Generic => "webhook-signature",
        }
    }

    /// The header that names the event, where it is not in the body.
    #[must_use]
    pub const fn topic_header(self) -> Option<&'static str> {
        match self {
            Self::Stripe | Self::Generic => None,
            Self::Shopify => Some("x-shopify-topic"),
            Self::WooCommerce => Some("x-wc-webhook-topic"),
        }
    }

    /// True where an order is told with the lines that it has now: a line that an edit took out is not told any more.
    #[must_use]
    pub const fn leaves_lines_out(self) -> bool {
        match self {
            Self::WooCommerce | Self::Generic => true,
            // Shopify tells such a line with a quantity of 0. At Stripe nothing is edited once it is to be paid.
            Self::Stripe | Self::Shopify => false,
        }
    }

    /// Where its payloads without line items tell how many, unless the settings say otherwise.
    #[must_use]
    pub const fn quantity_path(self) -> &'static str {
        match self {
            Self::Stripe => "metadata.quantity",
            Self::Shopify | Self::WooCommerce | Self::Generic => "",
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
}

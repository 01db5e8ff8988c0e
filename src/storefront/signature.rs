//! Authenticates deliveries: an HMAC over the body as it was sent, compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::shop::{Delivery, Shop, Vendor};
use crate::ledger::Timestamp;

/// The greatest age of a Stripe signature, and the greatest difference of the clocks.
const TOLERANCE_SECONDS: u64 = 300;

/// True if one of the shop's secrets signed it, and recently where the vendor signs a time.
pub(super) fn is_good(shop: &Shop, delivery: &Delivery<'_>) -> bool {
    match shop.vendor {
        Vendor::Stripe => is_stripes(shop, delivery).is_some(),
        Vendor::Shopify => is_in_header(shop, delivery, "x-shopify-hmac-sha256"),
        Vendor::WooCommerce => is_in_header(shop, delivery, "x-wc-webhook-signature"),
    }
}

/// `t=1492774577,v1=5257a8...`: the HMAC of `t`, a point and the body
/// (<https://docs.stripe.com/webhooks#verify-manually>).
fn is_stripes(shop: &Shop, delivery: &Delivery<'_>) -> Option<()> {
    let header = (delivery.header)("stripe-signature")?;
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let (_, time) = parts().find(|(name, _)| *name == "t")?;
    let signed_at = Timestamp::default().plus_seconds(time.parse().ok()?).micros();
    let apart = delivery.now.micros().abs_diff(signed_at);
    let is_now = apart <= TOLERANCE_SECONDS.saturating_mul(Timestamp::MICROS_PER_SECOND.unsigned_abs());
    let mut signatures = parts().filter(|(name, _)| *name == "v1").filter_map(|(_, hex)| bytes_of(hex));
    let signs = |signature: &[u8]| signed_by(shop, &[time.as_bytes(), b".", delivery.body], signature);
    (is_now && signatures.any(|signature| signs(&signature))).then_some(())
}

fn is_in_header(shop: &Shop, delivery: &Delivery<'_>, name: &str) -> bool {
    let signature = (delivery.header)(name).and_then(|text| STANDARD.decode(text.trim()).ok());
    signature.is_some_and(|signature| signed_by(shop, &[delivery.body], &signature))
}

fn signed_by(shop: &Shop, parts: &[&[u8]], signature: &[u8]) -> bool {
    shop.secrets.iter().filter(|secret| !secret.is_empty()).any(|secret| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        for part in parts {
            mac.update(part);
        }
        mac.verify_slice(signature).is_ok()
    })
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

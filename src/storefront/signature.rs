//! Authenticates deliveries: an HMAC over the body as it was sent, compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::shop::{Delivery, Shop, Vendor};
use crate::ledger::Timestamp;

/// The greatest age of a Stripe signature, and the greatest difference of the clocks.
const TOLERANCE_SECONDS: u64 = 300;

/// Signatures of one delivery that are compared. Stripe sends one for each secret, of which it keeps two at most.
const SIGNATURES_MAX: usize = 8;

/// True if one of the shop's secrets signed it, and recently where the vendor signs a time.
pub(super) fn is_good(shop: &Shop, delivery: &Delivery<'_>) -> bool {
    let Some(given) = (delivery.header)(shop.vendor.signature_header()) else { return false };
    match shop.vendor {
        Vendor::Stripe => is_stripes(shop, delivery, &given).is_some(),
        Vendor::Shopify | Vendor::WooCommerce => {
            let signature = STANDARD.decode(given.trim());
            signature.is_ok_and(|signature| signed_by(shop, &[delivery.body], &[signature]))
        }
        // Its format is not read yet, so none of its deliveries is accepted.
        Vendor::Generic => false,
    }
}

/// `t=1492774577,v1=5257a8...`: the HMAC of `t`, a point and the body
/// (<https://docs.stripe.com/webhooks#verify-manually>).
fn is_stripes(shop: &Shop, delivery: &Delivery<'_>, header: &str) -> Option<()> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let (_, time) = parts().find(|(name, _)| *name == "t")?;
    let signed_at = Timestamp::default().plus_seconds(time.parse().ok()?).micros();
    let apart = delivery.now.micros().abs_diff(signed_at);
    let is_now = apart <= TOLERANCE_SECONDS.saturating_mul(Timestamp::MICROS_PER_SECOND.unsigned_abs());
    let signatures = parts().filter(|(name, _)| *name == "v1").take(SIGNATURES_MAX.saturating_add(1));
    let signatures: Vec<_> = signatures.filter_map(|(_, hex)| bytes_of(hex)).collect();
    let is_few = signatures.len() <= SIGNATURES_MAX;
    let text: [&[u8]; 3] = [time.as_bytes(), b".", delivery.body];
    (is_now && is_few && signed_by(shop, &text, &signatures)).then_some(())
}

/// Whether one of the secrets made one of the signatures. The body is hashed once for each secret.
fn signed_by(shop: &Shop, parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
    if signatures.is_empty() {
        return false;
    }
    shop.secrets.iter().filter(|secret| !secret.is_empty()).any(|secret| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        for part in parts {
            mac.update(part);
        }
        signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ledger::{LedgerId, Storefront};
    use crate::storefront::Revenue;

    fn signature(secret: &str, text: &str) -> String {
        use std::fmt::Write as _;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    }

    #[test]
    fn few_signatures_are_compared_with_each_secret() {
        let shop = Shop {
            storefront: Storefront::parse("stripe").unwrap(),
            vendor: Vendor::Stripe,
            ledger: LedgerId::main(),
            secrets: vec!["old".to_owned(), String::new(), "new".to_owned()],
            customer: String::new(),
            product: String::new(),
            quantity: String::new(),
            revenue: Revenue::Net,
            accept_test_payments: false,
            mapping: BTreeMap::new(),
        };
        let is_taken = |signatures: &[String]| {
            let header = format!("t=5,{}", signatures.join(","));
            let header = |name: &str| (name == "stripe-signature").then(|| header.clone());
            let now = Timestamp::default().plus_seconds(5);
            is_good(&shop, &Delivery { header: &header, body: b"{}", now })
        };
        let wrong = format!("v1={}", "0".repeat(64));
        for secret in ["old", "new"] {
            let right = format!("v1={}", signature(secret, "5.{}"));
            for place in [0, 3, SIGNATURES_MAX - 1] {
                let mut few = vec![wrong.clone(); SIGNATURES_MAX];
                few[place] = right.clone();
                assert!(is_taken(&few), "{secret}: at {place} of {SIGNATURES_MAX}");
                few.push(wrong.clone());
                assert!(!is_taken(&few), "{secret}: one more than are compared");
            }
        }
        assert!(!is_taken(&[]));
        assert!(!is_taken(&[format!("v1={}", signature("", "5.{}"))]), "an empty secret signs nothing");
    }
}

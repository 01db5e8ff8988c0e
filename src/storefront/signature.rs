//! Authenticates deliveries: an HMAC over the body as it was sent, compared in constant time.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::shop::{Delivery, Shop, Vendor};
use crate::ledger::Timestamp;

/// The greatest age of a signature that has a time, and the greatest difference of the clocks.
const TOLERANCE_SECONDS: u64 = 300;

/// Signatures of one delivery that are compared. Stripe sends one for each secret, of which it keeps two at most.
const SIGNATURES_MAX: usize = 8;

/// True if one of the shop's secrets signed it, and recently where the vendor signs a time.
pub(super) fn is_good(shop: &Shop, delivery: &Delivery<'_>) -> bool {
    let Some(given) = (delivery.header)(shop.vendor.signature_header()) else { return false };
    match shop.vendor {
        Vendor::Stripe => is_stripes(shop, delivery, &given).is_some(),
        Vendor::Generic => is_standard(shop, delivery, &given).is_some(),
        Vendor::Shopify | Vendor::WooCommerce => {
            let signature = STANDARD.decode(given.trim());
            signature.is_ok_and(|signature| signed_by(plain_keys(shop), &[delivery.body], &[signature]))
        }
    }
}

/// `t=1492774577,v1=5257a8...`: the HMAC of `t`, a point and the body
/// (<https://docs.stripe.com/webhooks#verify-manually>).
fn is_stripes(shop: &Shop, delivery: &Delivery<'_>, header: &str) -> Option<()> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let (_, time) = parts().find(|(name, _)| *name == "t")?;
    let is_now = is_now(time, delivery.now)?;
    let signatures = parts().filter(|(name, _)| *name == "v1").take(SIGNATURES_MAX.saturating_add(1));
    let signatures: Vec<_> = signatures.filter_map(|(_, hex)| bytes_of(hex)).collect();
    let is_few = signatures.len() <= SIGNATURES_MAX;
    let text: [&[u8]; 3] = [time.as_bytes(), b".", delivery.body];
    (is_now && is_few && signed_by(plain_keys(shop), &text, &signatures)).then_some(())
}

/// `v1,K5oZfzN9... v1,...`: the HMAC of the message's id, its time and the body, with points between them
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>). An id with a point
/// could move the borders between them, so it is refused.
fn is_standard(shop: &Shop, delivery: &Delivery<'_>, header: &str) -> Option<()> {
    let id = (delivery.header)("webhook-id").filter(|id| !id.is_empty() && !id.contains('.'))?;
    let time = (delivery.header)("webhook-timestamp")?;
    let is_now = is_now(&time, delivery.now)?;
    // Signatures of other schemes, such as `v1a`, are passed over.
    let signatures = header.split(' ').filter_map(|part| part.strip_prefix("v1,"));
    let signatures: Vec<_> = signatures.take(SIGNATURES_MAX.saturating_add(1)).collect();
    let is_few = signatures.len() <= SIGNATURES_MAX;
    let signatures: Vec<_> = signatures.into_iter().filter_map(|text| STANDARD.decode(text).ok()).collect();
    let text: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", delivery.body];
    (is_now && is_few && signed_by(standard_keys(shop), &text, &signatures)).then_some(())
}

/// Whether a time in seconds since 1970 is near enough; `None` where it is no such time.
fn is_now(time: &str, now: Timestamp) -> Option<bool> {
    let seconds = time.bytes().all(|byte| byte.is_ascii_digit()).then(|| time.parse().ok())??;
    let apart = now.micros().abs_diff(Timestamp::default().plus_seconds(seconds).micros());
    Some(apart <= TOLERANCE_SECONDS.saturating_mul(Timestamp::MICROS_PER_SECOND.unsigned_abs()))
}

/// The secrets as they are.
fn plain_keys(shop: &Shop) -> impl Iterator<Item = Cow<'_, [u8]>> {
    shop.secrets.iter().map(|secret| Cow::Borrowed(secret.reveal().as_bytes()))
}

/// The secrets as Standard Webhooks write them: `whsec_` and base64. Others are taken as they are.
fn standard_keys(shop: &Shop) -> impl Iterator<Item = Cow<'_, [u8]>> {
    shop.secrets.iter().map(|secret| secret.reveal()).filter_map(|secret| {
        match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok().map(Cow::Owned),
            None => Some(Cow::Borrowed(secret.as_bytes())),
        }
    })
}

/// Whether one of the keys made one of the signatures. The body is hashed once for each key.
fn signed_by<'a>(keys: impl Iterator<Item = Cow<'a, [u8]>>, parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
    if signatures.is_empty() {
        return false;
    }
    keys.filter(|key| !key.is_empty()).any(|key| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return false };
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

    fn shop(vendor: Vendor, secrets: &[&str]) -> Shop {
        Shop {
            storefront: Storefront::parse("shop").unwrap(),
            vendor,
            ledger: LedgerId::main(),
            secrets: secrets.iter().map(|secret| crate::hidden::Hidden::new((*secret).to_owned())).collect(),
            customer: String::new(),
            product: String::new(),
            quantity: String::new(),
            revenue: Revenue::Net,
            accept_test_payments: false,
            mapping: BTreeMap::new(),
        }
    }

    #[test]
    fn standard_webhooks_are_signed_by_id_time_and_body() {
        // The example of the specification's own libraries.
        const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        const TIME: &str = "1614265330";
        const BODY: &str = r#"{"test": 2432232314}"#;
        const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        const SENT: i64 = 1_614_265_330;
        let is_taken = |secrets: &[&str], headers: [&str; 3], body: &str, now: i64| {
            let shop = shop(Vendor::Generic, secrets);
            let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
            let header = |name: &str| {
                let at = names.iter().position(|known| *known == name);
                at.map(|at| headers[at].to_owned()).filter(|value| value != "absent")
            };
            let now = Timestamp::default().plus_seconds(now);
            is_good(&shop, &Delivery { header: &header, body: body.as_bytes(), now })
        };
        let wrong = format!("v1,{}=", "A".repeat(43));
        let several = format!("{wrong} v1a,{} {SIGNATURE}", "B".repeat(88));
        let many = format!("{}{SIGNATURE}", format!("{wrong} ").repeat(SIGNATURES_MAX));
        let (of_another_scheme, bare) = (SIGNATURE.replace("v1,", "v1a,"), SIGNATURE.replace("v1,", ""));
        let good: [(&[&str], &str, i64); 5] = [
            (&[SECRET], SIGNATURE, SENT),
            (&["whsec_b2xk", SECRET], SIGNATURE, SENT),
            (&[SECRET], &several, SENT),
            (&[SECRET], SIGNATURE, SENT + 300),
            (&[SECRET], SIGNATURE, SENT - 300),
        ];
        for (secrets, signature, now) in good {
            assert!(is_taken(secrets, [ID, TIME, signature], BODY, now), "{secrets:?} {signature} {now}");
        }
        type Case<'a> = (&'a str, &'a [&'a str], [&'a str; 3], &'a str, i64);
        let bad: [Case; 19] = [
            ("another secret", &["whsec_b2xk"], [ID, TIME, SIGNATURE], BODY, SENT),
            ("the secret as text", &[&SECRET[6..]], [ID, TIME, SIGNATURE], BODY, SENT),
            ("a secret that is no base64", &["whsec_???"], [ID, TIME, SIGNATURE], BODY, SENT),
            ("no secret", &[], [ID, TIME, SIGNATURE], BODY, SENT),
            ("an empty secret", &["whsec_", ""], [ID, TIME, SIGNATURE], BODY, SENT),
            ("another id", &[SECRET], ["msg_2", TIME, SIGNATURE], BODY, SENT),
            ("no id", &[SECRET], ["absent", TIME, SIGNATURE], BODY, SENT),
            ("an empty id", &[SECRET], ["", TIME, SIGNATURE], BODY, SENT),
            ("another time", &[SECRET], [ID, "1614265331", SIGNATURE], BODY, SENT),
            ("no time", &[SECRET], [ID, "absent", SIGNATURE], BODY, SENT),
            ("a time that is none", &[SECRET], [ID, "+1614265330", SIGNATURE], BODY, SENT),
            ("an old one", &[SECRET], [ID, TIME, SIGNATURE], BODY, SENT + 301),
            ("one of the future", &[SECRET], [ID, TIME, SIGNATURE], BODY, SENT - 301),
            ("another body", &[SECRET], [ID, TIME, SIGNATURE], r#"{"test":2432232314}"#, SENT),
            ("no signature", &[SECRET], [ID, TIME, "absent"], BODY, SENT),
            ("an empty signature", &[SECRET], [ID, TIME, ""], BODY, SENT),
            ("a signature of another scheme", &[SECRET], [ID, TIME, &of_another_scheme], BODY, SENT),
            ("a signature without scheme", &[SECRET], [ID, TIME, &bare], BODY, SENT),
            ("more signatures than are compared", &[SECRET], [ID, TIME, &many], BODY, SENT),
        ];
        for (what, secrets, headers, body, now) in bad {
            assert!(!is_taken(secrets, headers, body, now), "{what}");
        }

        let signed = |secret: &[u8], id: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
            mac.update(format!("{id}.{TIME}.{BODY}").as_bytes());
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        let plain = signed(b"plain text", ID);
        assert!(is_taken(&["plain text"], [ID, TIME, &plain], BODY, SENT), "a secret that is plain text");
        let dotted = signed(b"plain text", "msg.1");
        assert!(!is_taken(&["plain text"], ["msg.1", TIME, &dotted], BODY, SENT), "an id with a point");
        let empty = signed(b"", ID);
        assert!(!is_taken(&["whsec_", ""], [ID, TIME, &empty], BODY, SENT), "an empty secret signs nothing");
    }

    #[test]
    fn few_signatures_are_compared_with_each_secret() {
        let shop = shop(Vendor::Stripe, &["old", "", "new"]);
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

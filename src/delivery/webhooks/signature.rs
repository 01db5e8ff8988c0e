//! Signatures after the Standard Webhooks specification: HMAC-SHA256 over id, timestamp and body (`v1`), one for each
//! secret that is valid, so that a receiver may change over whenever it likes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::ledger::{Text, Timestamp};
use crate::store::webhooks::Endpoint;

/// What secrets begin with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret may have: as the specification has it.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A new secret from random bytes.
#[must_use]
pub fn new_secret(random: [u64; 4]) -> Text {
    let bytes: Vec<u8> = random.iter().flat_map(|part| part.to_be_bytes()).collect();
    Text::parse(&format!("{PREFIX}{}", STANDARD.encode(bytes))).unwrap_or_default()
}

/// Reads a secret that a caller gives.
///
/// # Errors
/// What is wrong with it.
pub fn parse_secret(text: &str) -> Result<Text, &'static str> {
    let wrong = "must be whsec_ and the base64 of 24 to 64 bytes";
    key_of(text).filter(|key| BYTES.contains(&key.len())).ok_or(wrong)?;
    Text::parse(text).map_err(|_| wrong)
}

fn key_of(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()
}

/// The header `webhook-signature`: the current secret first, then the one before while it is valid.
#[must_use]
pub fn signatures(endpoint: &Endpoint, id: &str, seconds: i64, body: &[u8], now: Timestamp) -> String {
    let old = endpoint.old_secret.as_ref().filter(|old| old.until > now).map(|old| &old.secret);
    let signed =
        std::iter::once(&endpoint.secret).chain(old).filter_map(|secret| sign(secret, id, seconds, body));
    signed.collect::<Vec<_>>().join(" ")
}

fn sign(secret: &Text, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(secret.as_str())?).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_signature_of_the_specification() {
        // The example of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        let secret = Text::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn secrets_are_checked() {
        assert!(parse_secret(new_secret([1, 2, 3, u64::MAX]).as_str()).is_ok());
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        assert!(parse_secret(&of(24)).is_ok() && parse_secret(&of(64)).is_ok());
        for bad in
            ["", "whsec_", &of(23), &of(65), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!", "whsek_AAAA"]
        {
            assert!(parse_secret(bad).is_err(), "{bad}");
        }
    }
}

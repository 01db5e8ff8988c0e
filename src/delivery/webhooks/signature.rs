//! Signatures of the Standard Webhooks specification: HMAC-SHA256 over id, timestamp and body (`v1`). Each valid secret
//! makes one, so that a receiver may change to a new secret at any time while both are valid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::delivery::secret::key_of;
use crate::ledger::{Text, Timestamp};
use crate::store::webhooks::Endpoint;

/// The header `webhook-signature`: the current secret first, then the previous one while it is valid.
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
}

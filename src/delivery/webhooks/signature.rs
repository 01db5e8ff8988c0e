//! Signatures of the Standard Webhooks specification: HMAC-SHA256 over id, timestamp and body (`v1`). Each valid secret
//! makes one, so that a receiver may change to a new secret at any time while both are valid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::delivery::secret::key_of;
use crate::delivery::signing_secrets::Signing;
use crate::hidden::Hidden;
use crate::ledger::{Text, Timestamp};

/// The header `webhook-signature`: the current secret first, then the previous one while it is valid. `None` where the
/// current secret cannot sign: nothing is sent unsigned.
pub fn signatures(signing: &Signing, id: &str, seconds: i64, body: &[u8], now: Timestamp) -> Option<String> {
    let signed = sign(&signing.current, id, seconds, body)?;
    let old = signing.old.as_ref().filter(|(_, until)| *until > now);
    Some(match old.and_then(|(old, _)| sign(old, id, seconds, body)) {
        Some(old) => format!("{signed} {old}"),
        None => signed,
    })
}

fn sign(secret: &Hidden<Text>, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(secret.reveal().as_str())?).ok()?;
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
        let secret = Hidden::new(Text::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(sign(&Hidden::default(), "msg", 0, b""), None);
    }
}

//! The secrets that sign messages to an endpoint: `whsec_` and base64, as Standard Webhooks specifies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hidden::Hidden;
use crate::ledger::Text;

const PREFIX: &str = "whsec_";
/// Allowed bytes of the decoded secret, from the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A new secret from random bytes.
pub(super) fn new_secret(random: [u64; 4]) -> Hidden<Text> {
    let bytes: Vec<u8> = random.iter().flat_map(|part| part.to_be_bytes()).collect();
    Hidden::new(Text::parse(&format!("{PREFIX}{}", STANDARD.encode(bytes))).unwrap_or_default())
}

/// Checks a secret that a caller gives. The error says what is wrong with it.
pub fn parse_secret(text: &str) -> Result<Hidden<Text>, &'static str> {
    let wrong = "must be whsec_ and the base64 of 24 to 64 bytes";
    key_of(text).filter(|key| BYTES.contains(&key.len())).ok_or(wrong)?;
    Text::parse(text).map(Hidden::new).map_err(|_| wrong)
}

/// The decoded key; `None` for a text that is no secret.
pub(super) fn key_of(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_checked() {
        assert!(parse_secret(new_secret([1, 2, 3, u64::MAX]).reveal().as_str()).is_ok());
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        assert!(parse_secret(&of(24)).is_ok() && parse_secret(&of(64)).is_ok());
        for bad in
            ["", "whsec_", &of(23), &of(65), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!", "whsek_AAAA"]
        {
            assert!(parse_secret(bad).is_err(), "{bad}");
        }
    }
}

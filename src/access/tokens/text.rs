//! The text of a token: what it is made of, and how one that cannot be a token is told without a look at any.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Every token begins with it, so that people and scanners of secrets know what it is.
pub const PREFIX: &str = "clt_";
/// 32 random bytes in base64url without padding.
const RANDOM_CHARS: usize = 43;
/// 3 bytes of a SHA-256 in base64url.
const CHECK_CHARS: usize = 4;
const CHARS: usize = PREFIX.len() + RANDOM_CHARS + CHECK_CHARS;

/// A token: `clt_`, 43 characters of base64url (32 random bytes), and 4 more that are the base64url of the first 3 bytes
/// of the SHA-256 of all before them. So a text that was mistyped or cut off is told from a token that is not known,
/// and a scanner of secrets can tell a token from other text, both without asking this server.
pub struct TokenText(String);

impl TokenText {
    /// The token of these random bits.
    pub(super) fn new(random: [u64; 4]) -> Self {
        let bytes: Vec<u8> = random.iter().flat_map(|part| part.to_be_bytes()).collect();
        let mut text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let check = check_of(&text);
        text.push_str(&check);
        Self(text)
    }

    /// The text, for the one who asked for the token and nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenText(..)")
    }
}

fn check_of(before: &str) -> String {
    let hash = Sha256::digest(before.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.first_chunk::<3>().unwrap_or(&[0; 3]))
}

/// The SHA-256 of a text that may be a token; `None` for one that cannot.
pub(super) fn sha256_of(text: &str) -> Option<[u8; 32]> {
    if text.len() != CHARS || !text.starts_with(PREFIX) {
        return None;
    }
    let (before, check) = text.split_at_checked(CHARS - CHECK_CHARS)?;
    (check_of(before) == check).then(|| Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u64; 4] = [0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f, u64::MAX, 7];

    #[test]
    fn the_shape_is_the_documented_one_for_ever() {
        let token = TokenText::new(ONE);
        assert_eq!(token.reveal(), "clt_AAECAwQFBgcICQoLDA0OD___________AAAAAAAAAAc0UG9");
        assert_eq!(token.reveal().len(), CHARS);
        assert_eq!(sha256_of(token.reveal()), Some(token.sha256()));
        assert_eq!(format!("{token:?}"), "TokenText(..)");
    }

    #[test]
    fn what_cannot_be_a_token_is_told_without_a_look_at_any() {
        let text = TokenText::new(ONE).0;
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'x' { b'y' } else { b'x' };
            assert_eq!(sha256_of(std::str::from_utf8(&changed).unwrap()), None, "place {place}");
            assert_eq!(sha256_of(&text[..place]), None, "cut at {place}");
        }
        let long = "clt_".to_owned() + &"A".repeat(1 << 20);
        let umlauts = format!("clt_{}", "ü".repeat(23)) + "A";
        for bad in ["", "clt_", "Bearer", &format!("{text}x"), &format!(" {text}"), &long, &umlauts] {
            assert_eq!(sha256_of(bad), None, "{}", bad.get(..20).unwrap_or_default());
        }
    }
}

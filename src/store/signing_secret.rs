//! The signing secret of an endpoint as its row has it: in the clear, or sealed by a key that the database does not have.
//!
//! # What it is
//! A row without a key has the secret's text. A sealed secret stands in the same field, as bytes that begin with
//! the byte `SEALED`. No text begins with it, so a value says itself what it is, and no migration is needed.
//!
//! # Invariants
//! - A secret in the clear has the bytes that every version has written. Old databases are read as they are.
//! - Builds that know no sealed secrets refuse the whole row, because a control character is no part of a text. They do
//!   not take the bytes for a secret, and send nothing unsigned.
//! - The engine does not look inside: who opens and seals is `delivery`.

use crate::hidden::Hidden;
use crate::ledger::Text;
use crate::ledger::codec::{Codec, DecodeError, Decoder, Encoder};

/// The first byte of a sealed secret: a control character, and the version of what follows.
const SEALED: u8 = 1;

/// Names the key that sealed a secret, and tells nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A secret that only the holder of a key can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub key: KeyId,
    pub nonce: [u8; 12],
    /// The encrypted text and its tag.
    pub text: Hidden<Vec<u8>>,
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredSecret {
    /// Whoever can read the database can read it. Empty for an endpoint that signs nothing.
    Clear(Hidden<Text>),
    Sealed(Sealed),
}

impl StoredSecret {
    /// Of an endpoint that signs nothing.
    pub const NONE: Self = Self::Clear(Hidden::new(Text::EMPTY));

    pub const fn clear(secret: Text) -> Self {
        Self::Clear(Hidden::new(secret))
    }
}

impl Codec for Hidden<Text> {
    fn put(&self, out: &mut Encoder) {
        self.reveal().put(out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Text::take(input).map(Self::new)
    }

    fn left_out() -> Option<Self> {
        Text::left_out().map(Self::new)
    }
}

impl Codec for StoredSecret {
    fn put(&self, out: &mut Encoder) {
        match self {
            Self::Clear(text) => text.put(out),
            Self::Sealed(Sealed { key, nonce, text }) => {
                let length = text.reveal().len().saturating_add(1 + key.0.len() + nonce.len());
                u64::try_from(length).unwrap_or(u64::MAX).put(out);
                out.push(SEALED);
                out.extend_from_slice(&key.0);
                out.extend_from_slice(nonce);
                out.extend_from_slice(text.reveal());
            }
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let length = usize::try_from(u64::take(input)?).map_err(|_| DecodeError::Range)?;
        let bytes = input.bytes(length)?;
        let Some((&SEALED, rest)) = bytes.split_first() else {
            let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Text)?;
            return Text::parse(text).map(Self::clear).map_err(|_| DecodeError::Text);
        };
        let (key, rest) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let (nonce, text) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        Ok(Self::Sealed(Sealed { key: KeyId(*key), nonce: *nonce, text: Hidden::new(text.to_vec()) }))
    }

    fn left_out() -> Option<Self> {
        Some(Self::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::codec::{decode, encode};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_secret_in_the_clear_is_the_text_of_every_version() {
        let text = Text::parse(SECRET).unwrap();
        let stored = StoredSecret::clear(text.clone());
        assert_eq!(encode(&stored), encode(&text));
        assert_eq!(decode::<StoredSecret>(&encode(&text)), Ok(stored.clone()));
        assert!(StoredSecret::NONE.is_default() && !stored.is_default());
        assert!(!format!("{stored:?}").contains("whsec_"));
    }

    #[test]
    fn a_sealed_secret_is_no_text_to_older_builds() {
        let text = Hidden::new(vec![7; 54]);
        let stored = StoredSecret::Sealed(Sealed { key: KeyId([65; 8]), nonce: [66; 12], text });
        let bytes = encode(&stored);
        assert_eq!(decode::<StoredSecret>(&bytes), Ok(stored));
        assert_eq!(decode::<Text>(&bytes), Err(DecodeError::Text));
        for end in 0..bytes.len() {
            assert!(decode::<StoredSecret>(&bytes[..end]).is_err(), "{end}");
        }
        assert_eq!(decode::<StoredSecret>(&[3, SEALED, 2, 3]), Err(DecodeError::Truncated));
        assert_eq!(decode::<StoredSecret>(&[2, 2, b'a']), Err(DecodeError::Text));
        assert_eq!(decode::<StoredSecret>(&[0xff, 0xff, 0xff, 0xff, 0x7f]), Err(DecodeError::Truncated));
    }
}

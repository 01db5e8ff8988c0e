//! Seals the signing secrets of endpoints with a key that is not in the database, and opens them again.
//!
//! # What it is
//! ChaCha20-Poly1305 with a random nonce. The row's identity, its ledger and the endpoint's id, is authenticated with
//! the text, so that a sealed secret that is moved to another row does not open there. The stored value names its key by
//! a hash, so that a key can be replaced while values under the old one are still there.
//!
//! # Invariants
//! - What is stored anew is sealed with the current key. Without a key it is stored in the clear, as it always was.
//! - A secret that does not open is an error, never an empty or another secret.
//! - No error shows a key or a secret.
//!
//! # Failure
//! Without the key nothing is sent to the endpoint: [`super::webhooks::WebhookTransport`] does not serve it, and its
//! cursor stays. A server that has the key takes it over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::clock;
use crate::hidden::Hidden;
use crate::ledger::{LedgerNo, Text};
use crate::store::StoreError;
use crate::store::signing_secret::{KeyId, Sealed, StoredSecret};
use crate::store::webhooks::Endpoint;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What is hashed before a key, so that its id is good for nothing else.
const KEY_ID: &[u8] = b"creditledger sealing key id 1";
/// What is authenticated before the row's identity, so that other kinds of secrets can never be mistaken for these.
const PURPOSE: &[u8] = b"creditledger signing secret of an endpoint 1";

/// A key that seals.
pub struct SealingKey {
    id: KeyId,
    key: LessSafeKey,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SealingKey").field(&self.id).finish()
    }
}

impl SealingKey {
    /// Reads a key: the base64 of 32 bytes. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let wrong = "must be the base64 of 32 random bytes, as `openssl rand -base64 32` prints them";
        let bytes = STANDARD.decode(text).map_err(|_| wrong)?;
        if bytes.len() != KEY_BYTES {
            return Err(wrong);
        }
        let hash = Sha256::new().chain_update(KEY_ID).chain_update(&bytes).finalize();
        let (id, _) = hash.split_first_chunk().ok_or(wrong)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| wrong)?;
        Ok(Self { id: KeyId(*id), key: LessSafeKey::new(key) })
    }

    pub const fn id(&self) -> KeyId {
        self.id
    }
}

/// The keys of a server.
#[derive(Debug, Default)]
pub struct SealingKeys {
    /// Seals what is stored from now on.
    current: Option<SealingKey>,
    /// Open what they sealed.
    old: Vec<SealingKey>,
}

/// Why a stored secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    #[error("it is sealed with the key {0}, which this server does not have")]
    NoKey(KeyId),
    /// The bytes are damaged, or were moved from another row.
    #[error("it is sealed with the key {0}, and is damaged or belongs to another endpoint")]
    Damaged(KeyId),
}

impl SealingKeys {
    /// `current` seals; it and the old ones open.
    #[must_use]
    pub const fn new(current: SealingKey, old: Vec<SealingKey>) -> Self {
        Self { current: Some(current), old }
    }

    /// The key that seals.
    pub fn current(&self) -> Option<KeyId> {
        self.current.as_ref().map(SealingKey::id)
    }

    /// The secret as it is to be stored in the row of this endpoint.
    pub(super) fn seal(
        &self,
        ledger: LedgerNo,
        endpoint: Uuid,
        secret: Hidden<Text>,
    ) -> Result<StoredSecret, StoreError> {
        let failed = |what: &str| StoreError::Failed(format!("a secret cannot be sealed: {what}").into());
        let Some(SealingKey { id, key }) = &self.current else { return Ok(StoredSecret::Clear(secret)) };
        let mut nonce = [0; NONCE_LEN];
        clock::fill_random(&mut nonce).map_err(|error| failed(&error.to_string()))?;
        let mut text = secret.reveal().as_str().as_bytes().to_vec();
        let sealed = key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            row(ledger, endpoint),
            &mut text,
        );
        sealed.map_err(|_| failed("it is too long"))?;
        Ok(StoredSecret::Sealed(Sealed { key: *id, nonce, text: Hidden::new(text) }))
    }

    /// The secret of this endpoint that is stored so.
    pub(super) fn open(
        &self,
        ledger: LedgerNo,
        endpoint: Uuid,
        stored: &StoredSecret,
    ) -> Result<Hidden<Text>, NotOpened> {
        let Sealed { key: id, nonce, text } = match stored {
            StoredSecret::Clear(secret) => return Ok(secret.clone()),
            StoredSecret::Sealed(sealed) => sealed,
        };
        let mut keys = self.current.iter().chain(&self.old);
        let key = keys.find(|key| key.id == *id).ok_or(NotOpened::NoKey(*id))?;
        let mut text = text.reveal().clone();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.key.open_in_place(nonce, row(ledger, endpoint), &mut text);
        let opened = opened.ok().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let secret = opened.and_then(|text| Text::parse(text).ok());
        secret.map(Hidden::new).ok_or(NotOpened::Damaged(*id))
    }

    /// What an endpoint's messages are signed with.
    pub fn secret_of(&self, endpoint: &Endpoint) -> Result<Hidden<Text>, NotOpened> {
        self.open(endpoint.ledger, endpoint.id, &endpoint.secret)
    }

    /// True for a secret that is stored as this server would store it now.
    pub(super) fn is_current(&self, stored: &StoredSecret) -> bool {
        match (stored, self.current()) {
            (StoredSecret::Clear(secret), current) => current.is_none() || secret.reveal().is_empty(),
            (StoredSecret::Sealed(sealed), Some(current)) => sealed.key == current,
            // A server without a key leaves it as it is.
            (StoredSecret::Sealed(_), None) => true,
        }
    }
}

/// The identity of a row, which is authenticated with its secret.
fn row(ledger: LedgerNo, endpoint: Uuid) -> Aad<Vec<u8>> {
    Aad::from([PURPOSE, &ledger.get().to_be_bytes(), endpoint.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::parse(&STANDARD.encode([byte; KEY_BYTES])).unwrap()
    }

    fn secret() -> Hidden<Text> {
        Hidden::new(Text::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap())
    }

    const ROW: (LedgerNo, Uuid) = (LedgerNo::MAIN, Uuid::from_u128(7));

    #[test]
    fn a_secret_opens_in_its_row_with_its_key_and_nowhere_else() {
        let keys = SealingKeys::new(key(1), vec![]);
        let stored = keys.seal(ROW.0, ROW.1, secret()).unwrap();
        assert_eq!(keys.open(ROW.0, ROW.1, &stored), Ok(secret()));
        let id = key(1).id();
        let moved = Err(NotOpened::Damaged(id));
        assert_eq!(keys.open(ROW.0, Uuid::from_u128(8), &stored), moved);
        assert_eq!(keys.open(LedgerNo::new(2).unwrap(), ROW.1, &stored), moved);
        for other in [SealingKeys::default(), SealingKeys::new(key(2), vec![key(3)])] {
            assert_eq!(other.open(ROW.0, ROW.1, &stored), Err(NotOpened::NoKey(id)));
        }
        // The key after a rotation.
        let rotated = SealingKeys::new(key(2), vec![key(3), key(1)]);
        assert_eq!(rotated.open(ROW.0, ROW.1, &stored), Ok(secret()));
        assert!(keys.is_current(&stored) && !rotated.is_current(&stored));
        assert!(SealingKeys::default().is_current(&stored));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let keys = SealingKeys::new(key(1), vec![]);
        let StoredSecret::Sealed(sealed) = keys.seal(ROW.0, ROW.1, secret()).unwrap() else { panic!() };
        let length = sealed.text.reveal().len();
        assert_eq!(length, secret().reveal().as_str().len() + 16);
        for bit in 0..(length + NONCE_LEN) * 8 {
            let (mut nonce, mut text) = (sealed.nonce, sealed.text.reveal().clone());
            match bit / 8 {
                byte if byte < length => text[byte] ^= 1 << (bit % 8),
                byte => nonce[byte - length] ^= 1 << (bit % 8),
            }
            let changed = StoredSecret::Sealed(Sealed { key: sealed.key, nonce, text: Hidden::new(text) });
            assert_eq!(keys.open(ROW.0, ROW.1, &changed), Err(NotOpened::Damaged(sealed.key)), "{bit}");
        }
    }

    #[test]
    fn no_two_seals_are_equal_and_none_has_the_secret() {
        let keys = SealingKeys::new(key(1), vec![]);
        let seal = || match keys.seal(ROW.0, ROW.1, secret()).unwrap() {
            StoredSecret::Sealed(Sealed { nonce, text, .. }) => (nonce, text.reveal().clone()),
            StoredSecret::Clear(_) => panic!("it is not sealed"),
        };
        let (first, second) = (seal(), seal());
        assert!(first.0 != second.0 && first.1 != second.1);
        assert!(!first.1.windows(6).any(|part| part == b"whsec_"));
        assert_eq!(
            SealingKeys::default().seal(ROW.0, ROW.1, secret()).unwrap(),
            StoredSecret::Clear(secret())
        );
    }

    #[test]
    fn keys_are_checked_and_not_shown() {
        let of = |bytes: usize| STANDARD.encode(vec![b'k'; bytes]);
        for bad in ["", "key", &of(31), &of(33), &of(16), &format!("{} ", of(32)), "k\u{e9}"] {
            let told = SealingKey::parse(bad).unwrap_err();
            assert!(bad.is_empty() || bad == "key" || !told.contains(bad), "{told}");
        }
        let shown = format!("{:?}", SealingKeys::new(SealingKey::parse(&of(32)).unwrap(), vec![key(2)]));
        assert!(!shown.contains("kkkk") && !shown.contains("a2tr") && !shown.contains("107"), "{shown}");
        assert_ne!(key(1).id(), key(2).id());
    }
}

//! Tokens that were verified, so that the next call with one costs no signature. They are named by their SHA-256, so the
//! token itself is nowhere.
//!
//! There are two tables, of which the older is dropped when the newer is full. What is used moves to the newer. So a token
//! costs the same to look up and to add however many there are, and those in use stay.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::algorithm::{Algorithm, PublicKey};
use crate::access::{Caller, Ledgers};
use crate::ledger::Timestamp;

/// Tokens in both tables.
const COUNT_MAX: usize = 16_384;
/// Bytes of both tables.
const BYTES_MAX: usize = 16 << 20;
/// More than an entry takes without what its token is long.
const ENTRY_BYTES: usize = 512;
/// More than a ledger takes in the bounds of a caller.
const LEDGER_BYTES: usize = 256;

/// The SHA-256 of a token.
pub(super) type Digest = [u8; 32];

/// A token that was verified.
#[derive(Clone, Debug)]
pub(super) struct KnownToken {
    pub caller: Arc<Caller>,
    pub until: Timestamp,
    /// The place of its provider.
    pub provider: usize,
    pub kid: Option<Arc<str>>,
    pub algorithm: Algorithm,
    /// The key that has signed it.
    pub key: Arc<PublicKey>,
    /// The set in which the key was last seen.
    pub generation: u64,
    /// At most so many bytes are kept for it.
    bytes: usize,
}

impl KnownToken {
    /// A token of this many bytes.
    pub fn new(
        token_bytes: usize,
        caller: &Arc<Caller>,
        until: Timestamp,
        provider: usize,
        kid: Option<&str>,
        (key, generation): (Arc<PublicKey>, u64),
    ) -> Self {
        let ledgers = match caller.bounds.ledgers() {
            Ledgers::All => 0,
            Ledgers::Only(ledgers) => ledgers.len(),
        };
        // What a caller and a kid have of texts comes from the token; ledgers may come from the settings.
        let bytes =
            ENTRY_BYTES.saturating_add(token_bytes).saturating_add(ledgers.saturating_mul(LEDGER_BYTES));
        let (caller, algorithm) = (Arc::clone(caller), key.algorithm());
        Self { caller, until, provider, kid: kid.map(Into::into), algorithm, key, generation, bytes }
    }
}

/// The tokens that are remembered.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    newer: HashMap<Digest, KnownToken>,
    newer_bytes: usize,
    older: HashMap<Digest, KnownToken>,
}

impl Known {
    pub fn get(&self, digest: &Digest) -> Option<KnownToken> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tables.newer.get(digest) {
            return Some(known.clone());
        }
        let known = tables.older.remove(digest)?;
        tables.put(*digest, known.clone());
        Some(known)
    }

    pub fn put(&self, digest: Digest, known: KnownToken) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(digest, known);
    }

    pub fn forget(&self, digest: &Digest) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tables.newer.remove(digest) {
            tables.newer_bytes = tables.newer_bytes.saturating_sub(known.bytes);
        }
        tables.older.remove(digest);
    }
}

impl Tables {
    fn put(&mut self, digest: Digest, known: KnownToken) {
        let bytes = self.newer_bytes.saturating_add(known.bytes);
        if self.newer.len() >= COUNT_MAX / 2 || bytes > BYTES_MAX / 2 {
            self.older = std::mem::take(&mut self.newer);
            self.newer_bytes = 0;
        }
        self.newer_bytes = self.newer_bytes.saturating_add(known.bytes);
        if let Some(before) = self.newer.insert(digest, known) {
            self.newer_bytes = self.newer_bytes.saturating_sub(before.bytes);
        }
    }
}

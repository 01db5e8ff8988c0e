//! Customers' rows that the writer remembers, so that a busy customer is not read and decoded in every batch.
//!
//! Remembering is sound because nobody else writes to the file: the lock keeps other servers out. If another program
//! changes a row all the same, the update's sequence does not match, and the writer stops instead of overwriting. A
//! batch takes out what it needs and puts it back after the commit. What a failed batch has taken is read again, so
//! nothing here was ever part of an open transaction.

use std::sync::Arc;

use crate::ledger::{Customer, CustomerKey, CustomerMap, Timestamp};
use crate::store::skew;

/// Customers in a generation. Two of them take at most about 25 MB.
const GENERATION_MAX: usize = 16_384;

/// The part of a loaded customer that the core does not keep, from load to append.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The path from which its next posting gets its pointers.
    pub path: skew::Path,
    /// The sequence in its row, which guards the update; 0 where there is no row yet.
    pub stored_sequence: u64,
    /// The indexed column as stored, so that it is written only when it changes.
    pub next_due: Option<Timestamp>,
}

/// A customer as it was committed.
#[derive(Debug)]
pub(super) struct Remembered {
    pub customer: Arc<Customer>,
    pub loaded: Loaded,
}

/// Customers of the latest batches. When the younger generation is full, the older one is dropped as a whole. An
/// order of single entries would cost more than it saves.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: CustomerMap<Remembered>,
    old: CustomerMap<Remembered>,
}

impl Recent {
    /// Removes and returns a customer, if it is remembered.
    pub fn take(&mut self, key: CustomerKey) -> Option<Remembered> {
        self.young.remove(&key).or_else(|| self.old.remove(&key))
    }

    /// Remembers a customer that was just committed.
    pub fn put(&mut self, key: CustomerKey, remembered: Remembered) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, remembered);
    }
}

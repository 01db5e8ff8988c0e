//! What the writer remembers of customers' rows, so that a busy customer is read and decoded once and not in every
//! batch.
//!
//! It is sound because nobody else writes to the file: the lock keeps other servers out, and every update names the
//! sequence that it goes on from, so a row that another program moved all the same stops the writer instead of being
//! overwritten. A batch takes what it needs out and puts it back once it is committed: what a batch that failed has
//! taken is read anew, and nothing in here was ever part of an open transaction.

use std::sync::Arc;

use crate::ledger::{Customer, CustomerKey, CustomerMap, Timestamp};
use crate::store::skew;

/// Customers in a generation. Two of them take at most about 25 MB.
const GENERATION_MAX: usize = 16_384;

/// What of a loaded customer the core does not keep, from load to append.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Where its next posting points.
    pub path: skew::Path,
    /// The sequence in its row, which guards the update; 0 where there is no row yet.
    pub stored_sequence: u64,
    /// The indexed column as it stands, so that it is written only when it changes.
    pub next_due: Option<Timestamp>,
}

/// A customer as it is committed.
#[derive(Debug)]
pub(super) struct Remembered {
    pub customer: Arc<Customer>,
    pub loaded: Loaded,
}

/// Customers that were in the latest batches. The older generation is forgotten as a whole when the younger one is
/// full: keeping an order of single entries would cost more than it saves.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: CustomerMap<Remembered>,
    old: CustomerMap<Remembered>,
}

impl Recent {
    /// Takes a customer out, where it is remembered.
    pub fn take(&mut self, key: CustomerKey) -> Option<Remembered> {
        self.young.remove(&key).or_else(|| self.old.remove(&key))
    }

    /// Remembers a customer as it was just committed.
    pub fn put(&mut self, key: CustomerKey, remembered: Remembered) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, remembered);
    }
}

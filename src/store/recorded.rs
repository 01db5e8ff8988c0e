//! Ledgers, and postings with their places in a ledger's feed.

use std::sync::Arc;

use crate::ledger::{LedgerId, LedgerNo, Posting, Timestamp};

/// A ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Its number in this database.
    pub no: LedgerNo,
    /// Its id.
    pub id: LedgerId,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A place in a ledger's feed: 1, 2, 3, ... without gaps. 0 is before the first: a posting that has no place yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A posting with its place in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place; 0 where it was committed a moment ago and has none yet. What a feed gives always has one.
    pub position: Position,
    /// The posting.
    pub posting: Arc<Posting>,
}

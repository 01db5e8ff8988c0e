//! Ledgers, and postings with their positions in a ledger's feed.

use std::sync::Arc;

use crate::ledger::{LedgerId, LedgerNo, Posting, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The number by which other rows of this database refer to it.
    pub no: LedgerNo,
    pub id: LedgerId,
    pub created_at: Timestamp,
}

/// A position in a ledger's feed: 1, 2, 3, ... without gaps. 0 means that a posting has no position yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A posting with its position in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// 0 where the posting was committed a moment ago and has no position yet. A feed returns only postings with a
    /// position.
    pub position: Position,
    pub posting: Arc<Posting>,
}

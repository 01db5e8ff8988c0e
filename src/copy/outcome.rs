//! The outcome of a copy: what was copied, or why it stopped.

use std::fmt;

use crate::ledger::LedgerId;
use crate::ledger::book::Broken;
use crate::store::{Position, StoreError};

/// Why a copy stopped. Once it has begun, the target stays an unfinished copy, and the same copy goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the two databases failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source is not sound; the target was not touched.
    #[error("the source is damaged: {0}; nothing was copied")]
    Damaged(String),
    /// A posting that does not fit what the postings before it gave.
    #[error("the source is wrong: ledger {ledger}, position {}: {broken}; the copy has stopped there", position.0)]
    Broken {
        ledger: LedgerId,
        /// In that ledger of the source.
        position: Position,
        broken: Broken,
    },
    /// The journal of the source has a gap.
    #[error("the source is wrong: ledger {ledger} has no posting at position {}; the copy has stopped there", position.0)]
    Missing {
        ledger: LedgerId,
        /// Where a posting should be.
        position: Position,
    },
    /// What the target holds was not copied from this source.
    #[error("the target is an unfinished copy of another database: {0}")]
    OtherSource(String),
    /// What was copied is not what the source has.
    #[error(
        "the copy is not equal to its source: {0}; \"creditledger verify\" tells whether the source is right"
    )]
    Differs(String),
    /// The source has new postings or ledgers.
    #[error(
        "the source has grown meanwhile: stop its servers and run the same copy again, it goes on where it stopped"
    )]
    Grown,
}

/// What was copied and compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub ledgers: u64,
    pub postings: u64,
    pub customers: u64,
    pub holds: u64,
    pub work: u64,
    pub lots: u64,
    pub orders: u64,
    pub storefront_orders: u64,
    pub tokens: u64,
    pub audit_records: u64,
    pub card_changes: u64,
    /// SHA-256 of the journal, the same in every engine.
    pub journal_sha256: String,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ledgers,
            postings,
            customers,
            holds,
            work,
            lots,
            orders,
            storefront_orders,
            tokens,
            audit_records,
            card_changes,
            journal_sha256,
        } = self;
        write!(f, "{} of {}, ", count(*postings, "posting"), count(*ledgers, "ledger"))?;
        write!(f, "{}, {}, ", count(*customers, "customer"), count(*holds, "hold"))?;
        write!(f, "{}, {}", count(*lots, "lot"), count(*orders, "order"))?;
        if *work > 0 {
            write!(f, ", {work} {} of work", if *work == 1 { "entry" } else { "entries" })?;
        }
        if *storefront_orders > 0 {
            write!(f, ", {} of storefronts", count(*storefront_orders, "kept order"))?;
        }
        if *tokens > 0 {
            write!(f, ", {}", count(*tokens, "token"))?;
        }
        if *audit_records > 0 {
            write!(f, ", {}", count(*audit_records, "audit record"))?;
        }
        if *card_changes > 0 {
            write!(f, ", {} of rate cards", count(*card_changes, "change"))?;
        }
        write!(f, "; journal sha256 {journal_sha256}")
    }
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

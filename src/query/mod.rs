//! The reading side: what callers ask about ledgers, customers, holds, lots and the journal.
//!
//! # What it is
//! A [`Reader`] over a [`ReadStore`](crate::store::ReadStore). Each question is a method of it, in the file of its subject.
//! Lists are pages: a [`PageRequest`] in, a [`Listed`] out, whose token names the last key and the filter that it is for.
//!
//! # Invariants
//! - A question is one or a few short read transactions; none waits for the writer, none is open while a caller reads.
//! - A list goes on after a key, never at an offset: what is added or removed meanwhile is neither repeated nor skipped.
//! - Ledgers and versions of rate cards never change, so what was read once is kept.
//! - What is asked as of a time is read after the watermark of that time; until it has passed, answers are provisional.
//!
//! # Failure
//! [`ReadError`]: what is asked about is not there, a token is not this list's, or the storage failed. What cannot be what
//! was written is [`StoreError::Damaged`], never a default.
//!
//! # Cost
//! A page looks at 10,000 rows at most, so that a rare filter gives short pages instead of long reads. A customer's posting
//! as of a time is a logarithmic number of reads. A revenue report reads the ledger's journal from its beginning. The last
//! page of a statement reads all postings of its period. A reconciliation keeps 16 bytes for each order.

mod balances;
mod cards;
mod class_stats;
mod customers;
mod error;
mod holds;
mod info;
mod ledgers;
mod lots;
mod page;
mod payments;
mod postings;
mod reader;
mod reconcile;
mod revenue;
mod statement;
mod what_if;

pub use crate::store::{
    At, ClassStats, ClassStatsFilter, HoldFilter, Ledger, LotFilter, OwnedLot, Position, Recorded, StoreError,
};
pub use balances::BalanceAt;
pub use customers::{CustomerFilter, CustomerRecord};
pub use error::ReadError;
pub use holds::{HoldQuery, HoldTarget};
pub use info::ServerInfo;
pub use ledgers::TrialBalance;
pub use lots::{LotRecord, PurchaseTarget};
pub(crate) use page::keyed;
pub use page::{Keyed, Listed, PageRequest};
pub use payments::KeptPayment;
pub use postings::{PostingFilter, PostingTarget, TransferRecord};
pub use reader::Reader;
pub use reconcile::{Findings, ListedOrder, Reconciliation};
pub use revenue::{Revenue, RevenueReport};
pub use statement::{Period, Statement, StatementEnd, Subtotal, worth};
pub use what_if::{Difference, WhatIf};

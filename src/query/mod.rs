//! The reading side: what callers ask about ledgers, customers, holds, lots and the journal.
//!
//! # What it is
//! A [`Reader`] over a [`ReadStore`](crate::store::ReadStore). Each question is a method of it, in the file of its
//! subject. A list takes a [`PageRequest`] and returns a [`Listed`]. Its token names the last key and the filter.
//!
//! # Invariants
//! - A question is one or a few short read transactions, none of which stays open between pages. A read waits for the
//!   writer only where its customer is due (`due`).
//! - A list continues after a key, never at an offset: rows added or removed meanwhile cause no repeats and no gaps.
//! - Ledgers and versions of rate cards never change, so they are read once and kept.
//! - A question as of a time first asks the store for the watermark. Until the watermark has passed that time,
//!   answers are provisional.
//!
//! # Failure
//! [`ReadError`]: the subject does not exist, a token is of another list, the writer refuses to apply
//! what is due, or the storage failed. A value that cannot
//! have been written is [`StoreError::Damaged`], never a default.
//!
//! # Cost
//! A page reads at most 10,000 rows, so a rare filter gives short pages instead of long reads. A read of
//! postings ends after 2 MiB of them, whatever the rows hold. A customer's posting
//! as of a time takes a logarithmic number of reads. A revenue report reads the ledger's journal from its beginning.
//! The last page of a statement reads all postings of its period. A reconciliation keeps 16 bytes for each order.

mod balances;
mod cards;
mod class_stats;
mod customers;
mod due;
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

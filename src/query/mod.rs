//! The reading side: what callers ask about ledgers, customers, holds, lots and the journal.
//!
//! Every method is one or a few short read transactions over a [`ReadStore`]; none of them waits for the writer.

mod balances;
mod cards;
mod class_stats;
mod customers;
mod holds;
mod info;
mod ledgers;
mod lots;
mod page;
mod payments;
mod postings;
mod reconcile;
mod revenue;
mod statement;
mod what_if;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use crate::ledger::card::Cards;
use crate::ledger::{LedgerId, LedgerNo};
use crate::store::{CommitNotifier, ReadStore};

pub use crate::store::{
    At, ClassStats, ClassStatsFilter, HoldFilter, Ledger, LotFilter, OwnedLot, Position, Recorded, StoreError,
};
pub use balances::BalanceAt;
pub use customers::{CustomerFilter, CustomerRecord};
pub use holds::{HoldQuery, HoldTarget};
pub use info::ServerInfo;
pub use ledgers::TrialBalance;
pub use lots::{LotRecord, PurchaseTarget};
pub use page::{Keyed, Listed, PageRequest};
pub use payments::KeptPayment;
pub use postings::{PostingFilter, PostingTarget, TransferRecord};
pub use reconcile::{Findings, ListedOrder, Reconciliation};
pub use revenue::{Revenue, RevenueReport};
pub use statement::{Period, Statement, StatementEnd, Subtotal, worth};
pub use what_if::{Difference, WhatIf};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such ledger.
    #[error("the ledger does not exist")]
    LedgerNotFound,
    /// No such customer in the ledger.
    #[error("the customer does not exist in this ledger")]
    CustomerNotFound,
    /// No such hold, or no hold for the incident.
    #[error("there is no such hold")]
    HoldNotFound,
    /// No such lot in the ledger.
    #[error("there is no such lot")]
    LotNotFound,
    /// No such posting of the customer, or none that answered the request.
    #[error("there is no such posting")]
    PostingNotFound,
    /// No such purchase.
    #[error("there is no such purchase")]
    PurchaseNotFound,
    /// The hold, or the incident, was never settled.
    #[error("there is no settlement")]
    SettlementNotFound,
    /// The page token was not given for this list and filter.
    #[error("the page_token does not belong to this list and filter")]
    PageToken,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StoreError),
}

impl ReadError {
    /// What is stored leaves the bounds that the writer keeps.
    fn damaged(what: &str) -> Self {
        Self::Storage(StoreError::Damaged(format!("{what} leave their bounds")))
    }
}

/// Answers questions from a store; shared by all who ask.
pub struct Reader {
    store: Arc<dyn ReadStore>,
    notifier: CommitNotifier,
    /// Ledgers by id. They are never renamed or removed, so what was found once stays right.
    ledgers: RwLock<HashMap<LedgerId, LedgerNo>>,
    /// Only ever caught up.
    cards: RwLock<Arc<Cards>>,
}

impl Reader {
    /// Reads from `store`; `cards` is what every ledger has from the start.
    #[must_use]
    pub fn new(store: Arc<dyn ReadStore>, notifier: CommitNotifier, cards: Arc<Cards>) -> Self {
        Self { store, notifier, ledgers: RwLock::new(HashMap::new()), cards: RwLock::new(cards) }
    }

    /// Changes whenever some ledger's journal may have grown: what followers wait for.
    #[must_use]
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.notifier.growth.subscribe()
    }

    /// False while the database cannot be reached.
    #[must_use]
    pub fn reachable(&self) -> watch::Receiver<bool> {
        self.notifier.reachable.clone()
    }
}

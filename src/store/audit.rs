//! Every row as it is stored: what `verify` compares with the journal, and `copy` with its source.

use async_trait::async_trait;

use super::alerts::StoredDefaultAlerts;
use super::error::StoreError;
use super::recorded::{Ledger, Position, Recorded};
use crate::ledger::book::OrderScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::{
    Balances, Credits, CustomerId, CustomerKey, HoldId, LedgerNo, LotId, PostingId, RequestKey, Timestamp,
};

/// A customer's row, as it is stored: what `verify` compares with the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCustomer {
    /// The key it is found by.
    pub key: CustomerKey,
    /// Its ledger.
    pub ledger: LedgerNo,
    /// Its id.
    pub id: CustomerId,
    /// The sequence of its last posting.
    pub sequence: u64,
    /// Its balances.
    pub balances: Balances,
    /// When something falls due, as the sweeper finds it.
    pub next_due: Option<Timestamp>,
    /// The encoding of its [`crate::ledger::customer::CustomerState`].
    pub state: Vec<u8>,
    /// The encoding of its profile.
    pub profile: Option<Vec<u8>>,
}

/// A hold's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHold {
    /// The id it is found by.
    pub id: HoldId,
    /// The customer under which it stands.
    pub customer: CustomerKey,
    /// The encoding of the [`Hold`].
    pub body: Vec<u8>,
}

/// An entry of work's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWork {
    /// The hold under which it stands.
    pub hold: HoldId,
    /// The id it is found by.
    pub id: WorkId,
    /// The encoding of the [`crate::ledger::work::Work`].
    pub body: Vec<u8>,
}

/// A lot's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLot {
    /// The id it is found by.
    pub id: LotId,
    /// The customer under which it stands.
    pub customer: CustomerKey,
    /// The encoding of the [`Lot`].
    pub body: Vec<u8>,
}

/// An order's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOrder {
    /// Where it was bought, with the order's number there.
    pub scope: OrderScope,
    /// The posting that recorded it; `None` where there is none at its place.
    pub posting: Option<PostingId>,
}

/// A ledger's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLedger {
    /// The ledger.
    pub ledger: Ledger,
    /// The request that made it; none made `main`.
    pub request: Option<RequestKey>,
    /// The thresholds of its customers without their own, from the first to those that hold now.
    pub default_alerts: Vec<StoredDefaultAlerts>,
}

/// What `verify` and `copy` read: the journal, and every row as it is stored. Pages are in the order of the keys; a page
/// with fewer than `limit` rows is the last one.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// The engine's check of itself: its files, its own columns and pointers. One line a fault, the first ones only;
    /// empty where all is well. Where other servers may write meanwhile, an engine takes a snapshot here, and later
    /// calls read that: begin with this one. Calls before it read what is committed at the time.
    async fn integrity(&self) -> Result<Vec<String>, StoreError>;

    /// All ledgers, by number.
    async fn stored_ledgers(&self) -> Result<Vec<StoredLedger>, StoreError>;

    /// All changes of rate cards, ascending.
    async fn stored_card_changes(&self) -> Result<Vec<CardChange>, StoreError>;

    /// A ledger's postings after a position, ascending. Every committed posting has its place here.
    async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// The position of the last posting that [`AuditStore::journal`] gives; 0 where it gives none.
    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError>;

    /// Customers of all ledgers.
    async fn stored_customers(
        &self,
        after: Option<CustomerKey>,
        limit: usize,
    ) -> Result<Vec<StoredCustomer>, StoreError>;

    /// Holds of all ledgers.
    async fn stored_holds(&self, after: Option<HoldId>, limit: usize) -> Result<Vec<StoredHold>, StoreError>;

    /// Entries of work of all holds, by hold and in the order of recording.
    async fn stored_work(
        &self,
        after: Option<(HoldId, WorkId)>,
        limit: usize,
    ) -> Result<Vec<StoredWork>, StoreError>;

    /// Lots of all ledgers.
    async fn stored_lots(&self, after: Option<LotId>, limit: usize) -> Result<Vec<StoredLot>, StoreError>;

    /// Orders of all ledgers.
    async fn stored_orders(
        &self,
        after: Option<&OrderScope>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError>;

    /// Balances of all system accounts, each in its own unit.
    async fn stored_accounts(&self) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError>;
}

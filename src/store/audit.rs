//! Reads every row as it is stored: `verify` compares the rows with the journal, `copy` with its source.

use async_trait::async_trait;
use uuid::Uuid;

use super::alerts::StoredDefaultAlerts;
use super::error::StoreError;
use super::orders::{OrdersMark, StorefrontRoom, WithPayload};
use super::read_store::Page;
use super::recorded::{Ledger, Position, Recorded};
use super::records::{AuditRecord, RecordRoom};
use super::tokens::StoredToken;
use crate::ledger::book::OrderScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::unused::Unused;
use crate::ledger::{
    Balances, Credits, CustomerId, CustomerKey, HoldId, LedgerNo, LotId, PostingId, RequestKey, Timestamp,
};

/// A customer's row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCustomer {
    pub key: CustomerKey,
    pub ledger: LedgerNo,
    pub id: CustomerId,
    pub sequence: u64,
    pub balances: Balances,
    /// When something of the customer falls due; the sweeper searches by this column.
    pub next_due: Option<Timestamp>,
    /// The encoding of its [`crate::ledger::customer::CustomerState`].
    pub state: Vec<u8>,
    pub profile: Option<Vec<u8>>,
}

/// A hold's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHold {
    pub id: HoldId,
    pub customer: CustomerKey,
    /// The encoding of the `Hold`.
    pub body: Vec<u8>,
}

/// An entry of work's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWork {
    /// The hold that the entry belongs to.
    pub hold: HoldId,
    pub id: WorkId,
    /// The encoding of the [`crate::ledger::work::Work`].
    pub body: Vec<u8>,
}

/// A lot's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLot {
    pub id: LotId,
    pub customer: CustomerKey,
    /// The encoding of the `Lot`.
    pub body: Vec<u8>,
    /// What left the lot unused, by the row's columns.
    pub unused: Unused,
}

/// An order's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOrder {
    /// The storefront and its order number.
    pub scope: OrderScope,
    /// The posting that recorded it; `None` where the row names no posting that exists.
    pub posting: Option<PostingId>,
}

/// A ledger's row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLedger {
    pub ledger: Ledger,
    /// The request that created it; `None` for `main`.
    pub request: Option<RequestKey>,
    /// Every version of its default thresholds, oldest first.
    pub default_alerts: Vec<StoredDefaultAlerts>,
}

/// What `verify` and `copy` read: the journal, and every row as it is stored. Pages are in key order; a page with
/// fewer than `limit` rows is the last one.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// The engine's check of itself: its files, its own columns and pointers. Returns the first faults, one line
    /// each; empty where all is well. An engine that several servers write to takes a snapshot here, and later calls
    /// read that snapshot. So call this first: earlier calls read what is committed at the time.
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
    ) -> Result<Page<Recorded, Position>, StoreError>;

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

    /// Orders of storefronts with their payloads, as [`OrderTx::all`](super::OrderTx::all): only an empty page is the
    /// end.
    async fn storefront_orders(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<WithPayload>, StoreError>;

    /// The rooms of all storefronts, by ledger and storefront.
    async fn storefront_rooms(&self) -> Result<Vec<StorefrontRoom>, StoreError>;

    /// Differs from an earlier one where any order of a storefront has changed since.
    async fn storefront_mark(&self) -> Result<OrdersMark, StoreError>;

    /// Tokens of the server's own, by id.
    async fn stored_tokens(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<StoredToken>, StoreError>;

    /// Differs from an earlier one where any token has changed since, but for its use.
    async fn token_revision(&self) -> Result<u64, StoreError>;

    /// Records of the audit log, oldest first.
    async fn stored_records(&self, after: Option<Uuid>, limit: usize)
    -> Result<Vec<AuditRecord>, StoreError>;

    /// What these records take up, and the last one: it differs from an earlier one where any record has come or gone.
    async fn record_mark(&self) -> Result<(RecordRoom, Option<Uuid>), StoreError>;

    /// Balances of all system accounts, each in its own unit.
    async fn stored_accounts(&self) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError>;
}

//! The audit log: rows of what was refused, rejected, or changed without a posting. The module `access` gives the rows
//! their meaning; an engine only keeps them.
//!
//! # What it is
//! A record is a row with an opaque body. Its id has the time in front, so the oldest record has the smallest id. One
//! row has the number of all records and the bytes of their bodies.
//!
//! # Invariants
//! - That row is right after every transaction; `verify` compares it.
//! - Transactions that add or remove records run one after another, on whichever server: they lock that row first.
//!
//! # Failure
//! A dropped transaction stores nothing. When a method fails, the transaction can only be dropped. A record that is
//! added twice is there once.
//!
//! # Cost
//! A record is one row and an entry in one or two indexes.

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StoreError;
use crate::ledger::actor::{Actor, Peer};
use crate::ledger::codec::{coded_enum, record};
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, PostingId, Timestamp};

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// A UUIDv7 of the record's time.
    pub id: Uuid,
    pub body: RecordBody,
}

/// What a record says. Empty texts say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBody {
    pub kind: RecordKind,
    /// When it happened; the first time, where it counts several.
    pub at: Timestamp,
    /// The last time, where it counts several.
    pub until: Option<Timestamp>,
    /// How often it happened.
    pub count: u64,
    /// Who called, where that is known.
    pub actor: Option<Actor>,
    /// The address at the other end of the connection, where one is known and `actor` does not have it.
    pub peer: Option<Peer>,
    /// Such as `HoldService/PlaceHold`.
    pub method: OpenText,
    pub request: OpenText,
    pub ledger: Option<LedgerId>,
    pub customer: Option<CustomerId>,
    /// The reason of the error.
    pub reason: OpenText,
    /// What was changed, such as the id of a token.
    pub about: OpenText,
}
record!(RecordBody {
    1 => kind, 2 => at, 3 => until, 4 => count, 5 => actor, 6 => peer, 7 => method, 8 => request, 9 => ledger,
    10 => customer, 11 => reason, 12 => about,
});

impl RecordBody {
    /// The name of the caller, where it is known.
    pub fn subject(&self) -> Option<&str> {
        self.actor.as_ref().map(|actor| actor.subject.0.as_str())
    }
}

coded_enum!(
    /// What a record is about.
    RecordKind {
        /// Callers that did not show who they are, counted by peer and minute.
        Unauthenticated = 1 / "UNAUTHENTICATED",
        /// A caller that may not do what it asked for.
        PermissionDenied = 2 / "PERMISSION_DENIED",
        /// A change that was rejected.
        Rejected = 3 / "REJECTED",
        /// Records that were left out, because more came than could be written.
        LeftOut = 4 / "LEFT_OUT",
        LedgerCreated = 5 / "LEDGER_CREATED",
        RateCardCreated = 6 / "RATE_CARD_CREATED",
        DefaultRateCardSet = 7 / "DEFAULT_RATE_CARD_SET",
        DefaultAlertsSet = 8 / "DEFAULT_ALERTS_SET",
        TokenCreated = 9 / "TOKEN_CREATED",
        TokenRevoked = 10 / "TOKEN_REVOKED",
        EndpointCreated = 11 / "ENDPOINT_CREATED",
        EndpointUpdated = 12 / "ENDPOINT_UPDATED",
        EndpointDeleted = 13 / "ENDPOINT_DELETED",
        EventRedelivered = 14 / "EVENT_REDELIVERED",
        PaymentAssigned = 15 / "PAYMENT_ASSIGNED",
        PaymentDismissed = 16 / "PAYMENT_DISMISSED",
        PaymentsRetried = 17 / "PAYMENTS_RETRIED",
    }
);

impl RecordKind {
    /// The kinds up to this one are of what was not done, so that callers can make many of them. Those behind it are of
    /// changes.
    pub const LAST_NOT_DONE: Self = Self::LeftOut;

    /// Whether something was changed.
    pub fn is_change(self) -> bool {
        self > Self::LAST_NOT_DONE
    }
}

/// Which records a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    pub subject: Option<OpenText>,
    pub kind: Option<RecordKind>,
}

impl RecordFilter {
    /// The ids that its times allow: from the first to below the second.
    pub(super) fn ids(&self, before: Option<Uuid>) -> (Uuid, Uuid) {
        let first = |time: Timestamp| PostingId::new(time, 0, 0).uuid();
        let end = self.until.map_or(Uuid::max(), first);
        (self.from.map_or(Uuid::nil(), first), before.map_or(end, |before| before.min(end)))
    }
}

/// What all records take up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRoom {
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Records before an id, newest first. Where the filter has a subject, its kind is not looked at: the caller does.
    async fn records(
        &self,
        filter: &RecordFilter,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError>;

    async fn room(&self) -> Result<RecordRoom, StoreError>;

    /// Opens a transaction.
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn RecordTx>, StoreError>;
}

/// A transaction over the rows.
#[async_trait]
pub trait RecordTx: Send {
    /// Adds records; those that are there stay as they are.
    async fn add(&mut self, records: &[AuditRecord]) -> Result<(), StoreError>;

    /// Removes the oldest records with ids below `before`, at most `limit`; returns what they took up. With `but_changes`
    /// records of changes stay.
    async fn prune(
        &mut self,
        before: Uuid,
        limit: usize,
        but_changes: bool,
    ) -> Result<RecordRoom, StoreError>;

    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

//! Tokens of the server's own: rows, and transactions over them. The module `access` gives the rows their meaning; an
//! engine only keeps them.
//!
//! # What it is
//! A token is a row with its hash, found by its id. All of them are read at once, because there are few.
//!
//! # Invariants
//! - Two tokens never share an id, a hash or a request.
//! - Each change of a token raises the revision in its transaction, except the time of its last use.
//!
//! # Failure
//! A dropped transaction stores nothing. When a method fails, the transaction can only be dropped. A row that cannot be
//! read is told as such in its place among the others.
//!
//! # Cost
//! Reads run on reading connections and take no lock. On SQLite a transaction takes its turn with the writer.

use async_trait::async_trait;
use uuid::Uuid;

use super::error::{Readable, StoreError};
use crate::ledger::actor::Role;
use crate::ledger::codec::record;
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, RequestKey, Timestamp};

/// A token, without the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// A UUIDv7 that the caller makes.
    pub id: Uuid,
    /// The SHA-256 of the token's text.
    pub sha256: [u8; 32],
    /// The request that made it.
    pub request: RequestKey,
    /// From this moment on it is refused.
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// The hour of its last use.
    pub used_at: Option<Timestamp>,
    pub body: TokenBody,
}

/// What never changes of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBody {
    /// The name of the caller.
    pub name: OpenText,
    pub role: Role,
    /// The ledgers that it may name; `None` for all.
    pub ledgers: Option<Vec<LedgerId>>,
    pub customer: Option<CustomerId>,
    pub created_at: Timestamp,
    /// A hash of the content of the request that made it.
    pub fingerprint: u64,
}
record!(TokenBody { 1 => name, 2 => role, 3 => ledgers, 4 => customer, 5 => created_at, 6 => fingerprint });

impl StoredToken {
    /// Whether it is accepted at a time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// How many tokens are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    pub all: u64,
    /// Those that are neither revoked nor expired.
    pub live: u64,
}

#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Differs from an earlier one where any token was made, revoked or removed since.
    async fn revision(&self) -> Result<u64, StoreError>;

    /// Tokens after an id, by id.
    async fn tokens(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<StoredToken>>, StoreError>;

    /// Opens a transaction. Engines with a clock of their own ignore `now`, the caller's clock.
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn TokenTx>, StoreError>;
}

/// A transaction over the rows.
#[async_trait]
pub trait TokenTx: Send {
    /// The time of the transaction, from a clock that all servers share.
    fn now(&self) -> Timestamp;

    /// Raises the revision; whoever changes a token calls it first. Its row stays locked until the end of the
    /// transaction, so that changes run one after another, on whichever server.
    async fn raise_revision(&mut self) -> Result<(), StoreError>;

    async fn token(&mut self, id: Uuid) -> Result<Option<StoredToken>, StoreError>;

    /// The token that a request made.
    async fn token_of(&mut self, request: &RequestKey) -> Result<Option<StoredToken>, StoreError>;

    /// As of the transaction's time.
    async fn counts(&mut self) -> Result<TokenCounts, StoreError>;

    /// Inserts a token, or changes whether and when the stored one is revoked.
    async fn put(&mut self, token: &StoredToken) -> Result<(), StoreError>;

    /// Removes the oldest tokens that are revoked or expired, as many as this.
    async fn delete_dead(&mut self, count: u64) -> Result<(), StoreError>;

    /// Keeps that a token was used at a time, unless a later one is kept.
    async fn used(&mut self, id: Uuid, at: Timestamp) -> Result<(), StoreError>;

    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

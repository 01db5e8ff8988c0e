//! Where events are sent, how far each endpoint has come, and what it did not take: rows, and transactions over them. What
//! they mean is the matter of delivery; an engine only keeps them.

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StoreError;
use super::recorded::Position;
use crate::ledger::codec::{coded_enum, record};
use crate::ledger::event::EventType;
use crate::ledger::{CustomerId, LedgerNo, RequestKey, Text, Timestamp};

/// An endpoint, with how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// The ledger whose events it is told.
    pub ledger: LedgerNo,
    /// Where they are sent; [`EMAIL_URL`] for the customers' own addresses.
    pub url: Text,
    /// Which; all where empty.
    pub types: Vec<EventType>,
    /// What people call it.
    pub description: Text,
    /// What messages are signed with: `whsec_` and base64.
    pub secret: Text,
    /// The secret before, for as long as messages are signed with it too.
    pub old_secret: Option<OldSecret>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Set while nothing is sent to it.
    pub disabled: Option<Disabled>,
    /// All events of postings up to this position were delivered, or are kept aside.
    pub done: Position,
    /// And so many of the posting after it.
    pub taken: u32,
    /// The server that sends to it.
    pub holder: Option<Uuid>,
    /// Until when others leave it to that server.
    pub held_until: Timestamp,
    /// Rises with every change that its sender did not make.
    pub version: u64,
}
record!(Endpoint {
    1 => id, 2 => ledger, 3 => url, 4 => types, 5 => description, 6 => secret, 7 => old_secret, 8 => created_at,
    9 => disabled, 10 => done, 11 => taken, 12 => holder, 13 => held_until, 14 => version,
});

/// The URL of the endpoint that stands for e-mail. Callers cannot make such a one: theirs are https.
pub const EMAIL_URL: &str = "mailto:";

impl Endpoint {
    /// True for the one that stands for e-mail.
    pub fn is_email(&self) -> bool {
        self.url.as_str() == EMAIL_URL
    }
}

/// A secret that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSecret {
    /// As [`Endpoint::secret`].
    pub secret: Text,
    /// Until when messages are signed with it.
    pub until: Timestamp,
}
record!(OldSecret { 1 => secret, 2 => until });

/// Why nothing is sent to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why: what an operator or the endpoint said.
    pub reason: Text,
}
record!(Disabled { 1 => at, 2 => reason });

impl crate::ledger::codec::Codec for Position {
    fn put(&self, out: &mut crate::ledger::codec::Encoder) {
        self.0.put(out);
    }

    fn take(
        input: &mut crate::ledger::codec::Decoder<'_>,
    ) -> Result<Self, crate::ledger::codec::DecodeError> {
        u64::take(input).map(Self)
    }

    fn is_default(&self) -> bool {
        self.0 == 0
    }

    fn left_out() -> Option<Self> {
        Some(Self(0))
    }
}

/// An event that an endpoint did not take at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The endpoint.
    pub endpoint: Uuid,
    /// The place of the event's posting in the feed.
    pub position: Position,
    /// The event's place among those of its posting, from 0.
    pub place: u32,
    /// What happened.
    pub event: EventType,
    /// The event's id.
    pub event_id: Text,
    /// Whose event it is.
    pub customer: CustomerId,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again; `None` while an earlier event of the customer is in the way, and once it was given up.
    pub next_at: Option<Timestamp>,
    /// When it was given up.
    pub dead_at: Option<Timestamp>,
    /// When it was tried last.
    pub tried_at: Option<Timestamp>,
    /// The HTTP status of the last answer, or for e-mail the SMTP code; 0 where there was none.
    pub status: u32,
    /// What went wrong last.
    pub error: Text,
}
record!(Delivery {
    1 => endpoint, 2 => position, 3 => place, 4 => event, 5 => event_id, 6 => customer, 7 => attempts, 8 => next_at,
    9 => dead_at, 10 => tried_at, 11 => status, 12 => error,
});

impl Delivery {
    /// Its place in the feed.
    pub const fn at(&self) -> (Position, u32) {
        (self.position, self.place)
    }
}

coded_enum!(
    /// What may be asked about endpoints: the scope of a request id, with the ledger.
    Method {
        /// To make one.
        Create = 1 / "CREATE",
        /// To change one.
        Update = 2 / "UPDATE",
        /// To remove one.
        Delete = 3 / "DELETE",
        /// To send an event again.
        Redeliver = 4 / "REDELIVER",
    }
);

/// A request about an endpoint that had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// A hash of what was asked for.
    pub fingerprint: u64,
    /// The endpoint.
    pub endpoint: Uuid,
}
record!(Asked { 1 => fingerprint, 2 => endpoint });

/// The scope of a request id.
pub type AskedScope = (LedgerNo, Method, RequestKey);

/// Keeps the rows.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Opens a transaction. `now` is the caller's clock, which engines with one of their own do without. One of this
    /// server waits for the one before; dropped, nothing of it is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError>;
}

/// A transaction over the rows. All methods fail with [`StoreError`], and nothing is stored then.
#[async_trait]
pub trait WebhookTx: Send {
    /// The time, the same for all servers.
    fn now(&self) -> Timestamp;

    /// A request that had its effect.
    async fn asked(&mut self, scope: &AskedScope) -> Result<Option<Asked>, StoreError>;

    /// Keeps a request; a second one with the same scope is refused.
    async fn put_asked(&mut self, scope: &AskedScope, asked: Asked) -> Result<(), StoreError>;

    /// All endpoints, by id.
    async fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError>;

    /// One endpoint, which nobody else changes until the end of the transaction.
    async fn endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError>;

    /// One endpoint as it is now, for who only looks: nobody waits for the end of the transaction.
    async fn peek_endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        // Engines whose transactions wait for each other anyway.
        self.endpoint(id).await
    }

    /// Makes or replaces an endpoint.
    async fn put_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError>;

    /// Removes an endpoint and its deliveries.
    async fn delete_endpoint(&mut self, id: Uuid) -> Result<(), StoreError>;

    /// Deliveries of an endpoint in the order of the feed, those after `after`: given up, or not.
    async fn deliveries(
        &mut self,
        endpoint: Uuid,
        dead: bool,
        after: Option<(Position, u32)>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Makes or replaces a delivery.
    async fn put_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError>;

    /// Removes a delivery, given up or not.
    async fn delete_delivery(&mut self, endpoint: Uuid, at: (Position, u32)) -> Result<(), StoreError>;

    /// Servers that send, and until when each counts as there.
    async fn relays(&mut self) -> Result<Vec<(Uuid, Timestamp)>, StoreError>;

    /// Makes or replaces a server's row; `None` removes it.
    async fn put_relay(&mut self, relay: Uuid, there_until: Option<Timestamp>) -> Result<(), StoreError>;

    /// All requests that had their effect, for a copy.
    async fn all_asked(&mut self) -> Result<Vec<(AskedScope, Asked)>, StoreError>;

    /// Stores it.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

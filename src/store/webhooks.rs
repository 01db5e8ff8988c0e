//! Webhook endpoints, how far each has got, and the events that it did not take: rows, and transactions over them.
//! Delivery gives them their meaning; an engine only keeps them.

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StoreError;
use super::recorded::Position;
use super::signing_secret::StoredSecret;
use crate::ledger::codec::{coded_enum, record};
use crate::ledger::event::EventType;
use crate::ledger::{CustomerId, LedgerNo, RequestKey, Text, Timestamp};

/// An endpoint and its progress through the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub id: Uuid,
    /// The ledger whose events it receives.
    pub ledger: LedgerNo,
    /// The address of the endpoint; [`EMAIL_URL`] for the customers' own addresses.
    pub url: Text,
    /// The event types that it receives; all where empty.
    pub types: Vec<EventType>,
    /// A name for people.
    pub description: Text,
    /// The key that signs messages; empty for e-mail.
    pub secret: StoredSecret,
    /// The secret before the last change, while messages are still signed with it too.
    pub old_secret: Option<OldSecret>,
    pub created_at: Timestamp,
    /// Set while nothing is sent to it.
    pub disabled: Option<Disabled>,
    /// The cursor: all events of postings up to this position were delivered, or have a [`Delivery`] row.
    pub done: Position,
    /// The number of events of the next posting that were handled too.
    pub taken: u32,
    /// The server that holds the lease on sending to it.
    pub holder: Option<Uuid>,
    /// The end of that server's lease; until then other servers leave the endpoint alone.
    pub held_until: Timestamp,
    /// Rises with every change that was not made by its sender.
    pub version: u64,
}
record!(Endpoint {
    1 => id, 2 => ledger, 3 => url, 4 => types, 5 => description, 6 => secret, 7 => old_secret, 8 => created_at,
    9 => disabled, 10 => done, 11 => taken, 12 => holder, 13 => held_until, 14 => version,
});

/// The URL of the endpoint that stands for e-mail. Callers cannot register it: their URLs are https.
pub const EMAIL_URL: &str = "mailto:";

impl Endpoint {
    pub fn is_email(&self) -> bool {
        self.url.as_str() == EMAIL_URL
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSecret {
    pub secret: StoredSecret,
    /// Messages are signed with it until this time.
    pub until: Timestamp,
}
record!(OldSecret { 1 => secret, 2 => until });

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    pub at: Timestamp,
    /// The reason that an operator or the endpoint gave.
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

/// An event that an endpoint has not taken yet, or that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub endpoint: Uuid,
    /// The position of the event's posting in the feed.
    pub position: Position,
    /// The index of the event among those of its posting, from 0.
    pub place: u32,
    pub event: EventType,
    pub event_id: Text,
    pub customer: CustomerId,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The time of the next attempt. `None` while an earlier event of the same customer is waiting, and once the
    /// event was given up.
    pub next_at: Option<Timestamp>,
    /// When it was given up.
    pub dead_at: Option<Timestamp>,
    /// The time of the last attempt.
    pub tried_at: Option<Timestamp>,
    /// The status of the last answer: HTTP, or SMTP for e-mail; 0 where there was no answer.
    pub status: u32,
    /// The error of the last attempt.
    pub error: Text,
}
record!(Delivery {
    1 => endpoint, 2 => position, 3 => place, 4 => event, 5 => event_id, 6 => customer, 7 => attempts, 8 => next_at,
    9 => dead_at, 10 => tried_at, 11 => status, 12 => error,
});

impl Delivery {
    /// The key by which it is ordered: the place of its event in the feed.
    pub const fn at(&self) -> (Position, u32) {
        (self.position, self.place)
    }
}

coded_enum!(
    /// What a request can do with endpoints. Part of the scope of a request id, with the ledger.
    Method {
        Create = 1 / "CREATE",
        Update = 2 / "UPDATE",
        Delete = 3 / "DELETE",
        Redeliver = 4 / "REDELIVER",
    }
);

/// A request about an endpoint that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// A hash of the request's content: a repeat has the same one.
    pub fingerprint: u64,
    pub endpoint: Uuid,
}
record!(Asked { 1 => fingerprint, 2 => endpoint });

/// The scope in which a request id is unique.
pub type AskedScope = (LedgerNo, Method, RequestKey);

#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Opens a transaction. Engines with a clock of their own ignore `now`, the caller's clock. A transaction waits
    /// for the one before it on this server. A dropped transaction stores nothing.
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError>;

    /// Opens a transaction that only reads. It waits for none that writes, and keeps none waiting.
    async fn read(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError>;
}

/// A transaction over the rows. When a method fails, nothing is stored.
#[async_trait]
pub trait WebhookTx: Send {
    /// The time of the transaction, from a clock that all servers share.
    fn now(&self) -> Timestamp;

    /// An earlier request with this id that took effect.
    async fn asked(&mut self, scope: &AskedScope) -> Result<Option<Asked>, StoreError>;

    /// Stores a request; a second one with the same scope is refused.
    async fn put_asked(&mut self, scope: &AskedScope, asked: Asked) -> Result<(), StoreError>;

    /// All endpoints, by id.
    async fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError>;

    /// One endpoint, locked until the end of the transaction.
    async fn endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError>;

    /// One endpoint without a lock, for reads that precede no change, and for transactions that only read.
    async fn peek_endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        // For engines that run one transaction at a time: the lock costs nothing.
        self.endpoint(id).await
    }

    /// Creates or replaces an endpoint.
    async fn put_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError>;

    /// Removes an endpoint and its deliveries.
    async fn delete_endpoint(&mut self, id: Uuid) -> Result<(), StoreError>;

    /// Deliveries of an endpoint after `after`, in the order of the feed: those given up, or those not.
    async fn deliveries(
        &mut self,
        endpoint: Uuid,
        dead: bool,
        after: Option<(Position, u32)>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Creates or replaces a delivery.
    async fn put_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError>;

    async fn delete_delivery(&mut self, endpoint: Uuid, at: (Position, u32)) -> Result<(), StoreError>;

    /// The servers that send, and until when each counts as alive.
    async fn relays(&mut self) -> Result<Vec<(Uuid, Timestamp)>, StoreError>;

    /// Creates or replaces a server's row; `None` removes it.
    async fn put_relay(&mut self, relay: Uuid, there_until: Option<Timestamp>) -> Result<(), StoreError>;

    /// All requests that took effect, for a copy.
    async fn all_asked(&mut self) -> Result<Vec<(AskedScope, Asked)>, StoreError>;

    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

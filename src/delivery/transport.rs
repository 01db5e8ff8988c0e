//! The interface between delivery and the ways to send: a [`Transport`] for each way, and how a message can fail.

use std::sync::Arc;

use async_trait::async_trait;

use super::notice::Notice;
use crate::ledger::LedgerId;
use crate::store::StoreError;
use crate::store::webhooks::Endpoint;

/// Characters of an error text that are kept.
const ERROR_CHARS: usize = 200;

/// A way to send events. It serves some of the endpoints.
#[async_trait]
pub trait Transport: Send + Sync {
    /// True for an endpoint that it sends to. Each endpoint has one transport at most.
    fn serves(&self, endpoint: &Endpoint) -> bool;

    /// True where the servers share its endpoints evenly. Otherwise the first server that finds one free keeps it.
    fn is_shared_evenly(&self) -> bool;

    /// How many messages are sent to one endpoint at a time, at least 1.
    fn messages_at_a_time(&self) -> usize;

    /// Makes the endpoints that are the server's own, and seals secrets. The relay calls it before each look at the
    /// endpoints, so a failure is tried again.
    async fn prepare_endpoints(&self) -> Result<(), StoreError>;

    /// The sender of an endpoint as it is now.
    fn sender(&self, endpoint: &Endpoint, ledger: &LedgerId) -> Arc<dyn Sender>;
}

/// Sends messages to one endpoint.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Makes a message of an event and hands it over, within a bounded time.
    async fn send(&self, notice: &Notice) -> Result<(), SendFailure>;
}

/// `None` where this server has no transport for the endpoint.
pub(super) fn transport_of<'a>(
    transports: &'a [Arc<dyn Transport>],
    endpoint: &Endpoint,
) -> Option<&'a Arc<dyn Transport>> {
    transports.iter().find(|transport| transport.serves(endpoint))
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFailure {
    /// The status of the answer; 0 without one.
    pub status: u16,
    pub error: String,
    /// Seconds that the endpoint asks to wait.
    pub retry_after: Option<i64>,
    pub consequence: Consequence,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The message is tried again.
    TryAgain,
    /// The event is given up at once, because it would fail every time.
    GiveUp,
    /// The endpoint wants no more events and is disabled.
    DisableEndpoint,
}

impl SendFailure {
    /// A failure without an answer, after which the message is tried again.
    #[must_use]
    pub fn without_answer(error: &str) -> Self {
        Self { status: 0, error: cut(error), retry_after: None, consequence: Consequence::TryAgain }
    }

    /// True where the endpoint wants no more events.
    pub fn disables_endpoint(&self) -> bool {
        self.consequence == Consequence::DisableEndpoint
    }
}

/// Cuts an error text to the length that is kept, in one line.
pub fn cut(error: &str) -> String {
    error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_CHARS).collect()
}

//! What differs between the ways to send: a [`Transport`] for each of them, and how a message can fail.

use std::sync::Arc;

use async_trait::async_trait;

use super::notice::Notice;
use crate::ledger::LedgerId;
use crate::store::StoreError;
use crate::store::webhooks::Endpoint;

/// Of what went wrong, so much is kept.
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

    /// Makes the endpoints that are the server's own. The relay calls it before each look at the endpoints.
    ///
    /// # Errors
    /// [`StoreError`]; the next look tries again.
    async fn make_endpoints(&self) -> Result<(), StoreError>;

    /// What sends to an endpoint, as the endpoint is now.
    fn sender(&self, endpoint: &Endpoint, ledger: &LedgerId) -> Arc<dyn Sender>;
}

/// Sends messages to one endpoint.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Makes a message of an event and hands it over, within a bounded time.
    ///
    /// # Errors
    /// [`Failure`] where it was not taken.
    async fn send(&self, notice: &Notice) -> Result<(), Failure>;
}

/// The transport of an endpoint; `None` where this server has none for it.
pub(super) fn transport_of<'a>(
    transports: &'a [Arc<dyn Transport>],
    endpoint: &Endpoint,
) -> Option<&'a Arc<dyn Transport>> {
    transports.iter().find(|transport| transport.serves(endpoint))
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status of the answer; 0 without one.
    pub status: u16,
    /// In words.
    pub error: String,
    /// How many seconds the endpoint asks to wait.
    pub retry_after: Option<i64>,
    /// What follows.
    pub consequence: Consequence,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It is tried again.
    TryAgain,
    /// It is given up at once: it would fail every time.
    GiveUp,
    /// The endpoint wants no more events.
    DisableEndpoint,
}

impl Failure {
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

/// As much as is kept, in one line.
pub fn cut(error: &str) -> String {
    error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_CHARS).collect()
}

//! The gRPC surface: wire messages in and out, and nothing that decides.
//!
//! A call passes `limits` (deadline, overload, span), is parsed by its service into the core's types (`parse`),
//! goes to the writer or the reader, and is answered through `convert` or, where it is refused, `status`.

mod batch_service;
mod batch_stream;
mod besides;
mod card_messages;
mod card_requests;
pub mod codec;
mod command;
mod connect;
mod connection;
mod context;
mod convert;
mod customer_service;
mod event;
mod event_stream;
mod hold_commands;
mod hold_service;
mod journal_stream;
mod json;
mod ledger_service;
mod limits;
mod notification_service;
mod parse;
mod payment_commands;
mod postings;
mod purchase_service;
mod rate_card_service;
mod reconcile;
mod refund_commands;
mod serve;
mod statements;
mod status;
mod top_up;
mod trace;
mod webhooks;
pub mod wire;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::delivery::EventFeeds;
use crate::delivery::webhooks::{Policy, Webhooks};
use crate::ledger::{LedgerId, LedgerNo};
use crate::query::{ReadError, Reader};
use crate::writer::Writer;

pub use besides::{Besides, Handler};
pub use card_messages::rate_card as rate_card_message;
pub use convert::time as convert_time;
pub use serve::{Limits, serve};
pub use status::{DOMAIN, name as reason_name, reason_of};
pub use webhooks::message;

/// Pages stop here, so that they fit the 4 MiB that clients take by default.
const PAGE_BYTES_MAX: usize = 3 << 20;

/// What all services share; cheap to clone. Each service is an `impl` of its generated trait for this.
#[derive(Clone)]
pub struct Api {
    writer: Writer,
    reader: Arc<Reader>,
    feeds: Arc<EventFeeds>,
    webhooks: Arc<Webhooks>,
    /// Where webhooks may be sent.
    policy: Policy,
    /// True once the server goes down: streams without an end stop then.
    closing: watch::Sender<bool>,
    /// What is served on the same listener besides gRPC.
    besides: Option<Besides>,
}

impl Api {
    /// The services over a writer, a reader and the events of the same store; `policy` says which URLs are taken.
    #[must_use]
    pub fn new(
        writer: Writer,
        reader: Arc<Reader>,
        feeds: Arc<EventFeeds>,
        webhooks: Arc<Webhooks>,
        policy: Policy,
    ) -> Self {
        Self { writer, reader, feeds, webhooks, policy, closing: watch::Sender::new(false), besides: None }
    }

    /// Serves something else as well.
    #[must_use]
    pub fn with(self, besides: Besides) -> Self {
        Self { besides: Some(besides), ..self }
    }

    /// The ledger that a call is about, which its span names from now on.
    async fn ledger(&self, id: &LedgerId) -> Result<LedgerNo, ReadError> {
        tracing::Span::current().record("ledger", id.as_str());
        self.reader.ledger(id).await
    }
}

/// When the caller stops waiting; the call's layer puts it among a request's extensions.
#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

impl Deadline {
    /// The deadline of a call, where it has one.
    fn of<T>(request: &tonic::Request<T>) -> Option<Instant> {
        request.extensions().get::<Self>().map(|deadline| deadline.0)
    }
}

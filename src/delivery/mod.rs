//! Sends events out: to followers of a stream, to webhook endpoints, and to customers by e-mail.
//!
//! # What it is
//! An event is not stored: it follows from its posting. A [`Notice`] is an event with everything its receivers get. The
//! feed of a ledger gives its postings in one order, and a [`Cursor`] is a place in that order. While a ledger has
//! followers, one task reads its feed for all of them (`hub`); a [`Watch`] catches up by itself first.
//!
//! An endpoint is a stored cursor. The [`Relay`] of a server runs a worker for each endpoint that it holds a lease of
//! (`leases`). A worker sends through a [`Transport`]: [`webhooks`] or [`mail`]. What an endpoint does not take goes to
//! its retry queue (`retry_queue`), and is tried again on a schedule (`schedule`). The transports import this
//! mechanism. It does not import them, and they do not import one another.
//!
//! # Invariants
//! - An event is sent at least once, and may be sent more than once. Its id is the same each time.
//! - The events of a customer reach an endpoint in their order, apart from those that were given up. While one waits in
//!   the retry queue, the later ones of its customer wait behind it.
//! - A cursor is stored only when each event before it was taken or is stored in the retry queue.
//! - One server holds an endpoint at a time, and only the holder stores its cursor. A server that lost an endpoint may
//!   still finish a round.
//!
//! # Failure
//! A server that dies loses its leases. Another one goes on from the stored cursors and sends again what was not stored
//! yet. A worker that meets a storage error ends, and the next look at the endpoints starts another one. An event that
//! an endpoint does not take is tried ten times within about three days, then it is given up and listed. A failure that
//! would repeat every time gives it up at once. An endpoint that answers 410 is disabled. An endpoint whose signing
//! secret is sealed with a key that this server does not have is left to other servers (`sealing`).
//!
//! # Cost
//! A server reads each feed once for all followers. A posting without events costs no further read. An event costs one
//! message for each endpoint. A cursor that moves is stored once a second, or after 1,000 events. From 1,000 events in
//! its retry queue on, the cursor of an endpoint stays where it is.

mod chains;
mod endpoints;
mod feeds;
mod hub;
mod leases;
pub mod mail;
mod measured;
mod notice;
mod progress;
mod relay;
mod retry_queue;
mod schedule;
mod sealing;
mod secret;
mod signing_secrets;
mod thread;
mod transport;
mod watch;
pub mod webhooks;
mod worker;

pub use crate::store::webhooks::{Delivery, Endpoint};
pub use crate::store::{Position, StoreError};
pub use endpoints::{ENDPOINTS_MAX, EndpointChanged, Endpoints, EventPlace, NewEndpoint, Patch};
pub use feeds::EventFeeds;
pub use notice::{Cursor, Notice};
pub use progress::{Progress, Sending};
pub use relay::{LOOK_SECONDS, Relay};
pub use sealing::{NotOpened, SealingKey, SealingKeys};
pub use secret::parse_secret;
pub use signing_secrets::SigningSecrets;
pub use thread::DeliveryThread;
pub use transport::Transport;
pub use watch::{Filter, Watch, WatchError};

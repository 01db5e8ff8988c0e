//! The gRPC surface: translates wire messages to and from the core's types, and decides nothing.
//!
//! # What it is
//! One listener serves gRPC, gRPC-Web, Connect and the plain HTTP routes of storefronts. A call passes these stages:
//!
//! | stage | file | what it does |
//! |---|---|---|
//! | HTTP routes | `http_routes` | answers what is below one path, and passes the rest |
//! | names | `browser` | refuses calls under a name that is not the server's, and tells browsers which pages may call |
//! | Connect | `connect` | turns JSON and Connect into gRPC, and refuses other content types |
//! | measure | `measure` | takes the time of the call, where somebody asks for metrics |
//! | identity | `identify` | asks who calls, whether it has called too often, and whether its role may call the method |
//! | guard | `limits` | counts the call, opens its span, sets its deadline |
//! | intake | `intake` | gives each message room as it arrives, and weighs it before it is decoded |
//! | service | `services` | generated: calls the function of `Call` that has the method's name |
//! | reading | `context`, `parse`, `reserved` | the message becomes types of the core; all violations are reported at once |
//! | outgoing | `outgoing` | takes the answer from a reader that does not read it |
//! | answer | `convert`, `status` | what the writer or the reader gave becomes a message; a refusal becomes a status |
//!
//! A new command needs its proto and an `impl CommandMessage` in the file of its service. `build.rs` generates the
//! rest.
//!
//! # Invariants
//! - Types of prost and tonic do not leave this folder, except to the client in `app`.
//! - Postings are made by the writer alone: a handler that is dropped leaves no transaction open.
//! - A response to a command is sent after its commit.
//! - Every error has exactly one reason; only `status` knows which code a reason has.
//!
//! # Failure
//! - A call beyond `calls_max`, `batches_max` or `streams_max` is refused at once as OVERLOADED. A stream counts until
//!   it ends, and so does a large answer until it is read. A batch counts among the calls until its request is complete. Health checks are
//!   not counted; watches of the health have places of their own.
//! - A caller that is silent in the middle of its request, or does not read its answer, is cut off.
//! - A call whose deadline has passed is answered DEADLINE_EXCEEDED, one millisecond before tonic would cancel it. A
//!   command that was queued by then may still run: a repeat with its request id finds out.
//! - If the writer ends or the database cannot be reached, the health service reports NOT_SERVING. While the clock is
//!   implausible, it does so for the name `creditledger.clock` alone.
//! - At shutdown no new connection is accepted, endless streams end with SHUTTING_DOWN, and other calls are finished.
//!
//! # Cost
//! A message is unpacked and decoded only once there is room in a budget for what it becomes (`intake`, `room`). Sizes are bounded by
//! [`Limits`]: requests, batch requests, responses, headers, streams of a connection. A page ends at 3 MiB, so that it
//! fits the 4 MiB that clients take by default. Messages start with buffers of 1 KiB (`codec`), and small frames of one
//! connection are written together (`connection`). `incoming` bounds the connections and their TLS handshakes. Each request
//! has the other end of its connection in its extensions, a `tls::Peer`.

mod access_service;
mod addresses;
mod api;
mod audit_log;
mod audited;
mod batch;
mod browser;
mod called;
mod card_requests;
pub mod codec;
mod command;
mod connect;
mod connection;
mod context;
mod convert;
mod customer_service;
mod event_stream;
mod gzip;
mod hold_commands;
mod hold_service;
mod http_routes;
mod identify;
mod incoming;
mod intake;
mod journal_stream;
mod json;
mod ledger_service;
mod limits;
mod measure;
mod methods;
mod notification_service;
mod outgoing;
mod parse;
mod postings;
mod purchase_service;
mod rate_card_service;
mod reconcile;
mod reserved;
mod room;
mod serve;
mod services;
mod stage;
mod statements;
mod status;
mod top_up;
mod trace;
mod violations;
mod webhook_body;
mod webhooks;
pub mod wire;

pub use access_service::show as access_token_message;
pub use api::{Api, Identities};
pub use convert::{rate_card as rate_card_message, time as convert_time};
pub use http_routes::{Handler, HttpRoutes};
pub use incoming::Listener;
pub use serve::{LIVENESS, Limits, serve};
pub use status::{DOMAIN, name as reason_name};
pub use webhook_body::message;

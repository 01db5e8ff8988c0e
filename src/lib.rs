//! `creditledger`: prepaid support credits in an append-only double-entry ledger, as a gRPC service.
//!
//! # The walk of a command
//! 1. [`grpc`] receives a call, checks its fields, and makes a [`ledger::Request`] of them. No wire type goes further.
//! 2. [`writer::Writer::submit`] puts the request into a bounded queue. A writer task takes all waiting ones as a
//!    batch.
//! 3. The engine of the [`store`] loads what the batch's commands name, in a fixed number of statements.
//! 4. The [`ledger`] decides each command in turn: a posting, or a rejection. It is pure, and asks no clock.
//! 5. The [`store`] appends the postings in one commit. Only then is each caller answered.
//! 6. [`delivery`] follows the feed of postings, and sends their events to streams, webhooks and mailboxes.
//!
//! Reads go from [`grpc`] to [`query`], past the writer. [`storefront`] and [`http`] bring in the payments that shops
//! report.
//! [`access`] says who calls. [`audit`] checks a database by replaying it, and [`copy`] moves one to another engine.
//! [`app`] is the command line over all of them, with [`config`], [`metrics`] and [`telemetry`]; [`net`] connects to other servers,
//! [`tls`] secures connections, [`cards`] reads rate cards, [`clock`] alone knows the time, and [`hidden`] keeps secrets
//! out of logs.

pub mod access;
pub mod app;
pub mod audit;
pub mod cards;
pub mod clock;
pub mod config;
pub mod copy;
pub mod delivery;
pub mod grpc;
pub mod hidden;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod net;
pub mod query;
pub mod store;
pub mod storefront;
pub mod telemetry;
pub mod tls;
pub mod writer;

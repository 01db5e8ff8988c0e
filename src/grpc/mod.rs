//! The gRPC surface: wire messages in and out, and nothing that decides.
//!
//! A call passes `limits` (deadline, overload, span), is parsed by its service into the core's types (`parse`),
//! goes to the writer or the reader, and is answered through `convert` or, where it is refused, `status`.

mod api;
mod batch;
mod card_requests;
pub mod codec;
mod command;
mod connect;
mod connection;
mod context;
mod convert;
mod customer_service;
mod event_stream;
mod hold_commands;
mod hold_service;
mod http_routes;
mod journal_stream;
mod json;
mod ledger_service;
mod limits;
mod notification_service;
mod parse;
mod postings;
mod purchase_service;
mod rate_card_service;
mod reconcile;
mod serve;
mod services;
mod stage;
mod statements;
mod status;
mod top_up;
mod trace;
mod webhook_body;
mod webhooks;
pub mod wire;

pub use api::Api;
pub use convert::{rate_card as rate_card_message, time as convert_time};
pub use http_routes::{Handler, HttpRoutes};
pub use serve::{Limits, serve};
pub use status::{DOMAIN, name as reason_name, reason_of};
pub use webhook_body::message;

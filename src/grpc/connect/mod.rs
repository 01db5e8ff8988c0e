//! The Connect protocol (<https://connectrpc.com/docs/protocol>) on the paths and the port of gRPC: JSON for curl,
//! browsers and callers without a gRPC library.
//!
//! # What it is
//! A stage before the services. A call of gRPC or gRPC-Web passes after one look at its content type. A call of Connect
//! becomes one of gRPC: its message is put into a frame, and the answer and the status are translated back.
//!
//! | request | what is called |
//! |---|---|
//! | POST, `application/json` or `application/proto` | a unary method |
//! | POST, `application/connect+json` or `application/connect+proto` | a method that streams its answers, with one message |
//! | GET, `?encoding=json&message=...` (also `base64=1`, `compression=gzip`, `connect=v1`) | a unary method without side effects |
//!
//! Headers: `connect-protocol-version` (only 1), `connect-timeout-ms` (the deadline), `content-encoding` and
//! `accept-encoding` (gzip), for streams `connect-content-encoding` (gzip; answers are not compressed).
//!
//! JSON is the mapping of proto3. Fields are written as `customerId` and read as that or as `customer_id`. A field with
//! its default (false, 0, an empty text or list) is left out: a message has one JSON, here and in webhooks. Numbers of
//! 64 bits are written as texts; enumerations by their names.
//!
//! # Invariants
//! - Deadlines, overload, traces and limits are those of gRPC: the later stages see no difference except the mark
//!   [`ByConnect`].
//! - Only methods without side effects are called by GET.
//! - No web page can have a form executed: other content types and HTTP methods are refused on every path.
//! - A message is read exactly or not at all: unknown fields, fields given twice and values out of range are refused.
//!
//! # Failure
//! On every path, before anything runs, other HTTP methods get 405 (with `allow`) and other content types get 415 (with
//! `accept-post`). These answers are not in the form of Connect. All other failures are Connect errors; their details
//! have the reason that every error has:
//!
//! | what | code | reason |
//! |---|---|---|
//! | broken JSON, bad base64, gzip, envelope, query or header of Connect | `invalid_argument` | MALFORMED_REQUEST |
//! | an unknown field, one given twice, a value of the wrong type or size | `invalid_argument` | INVALID_FIELD, all with their names |
//! | a body, or what it is unpacked to, beyond the bound of a message (4 MiB; batch service 16 MiB) | `resource_exhausted` | MESSAGE_TOO_LARGE |
//! | an unknown method, one that streams its requests, an unknown compression | `unimplemented` | UNIMPLEMENTED |
//!
//! An answer that ends without a status was cut off: its caller gets `internal`.
//!
//! # Cost
//! A body is read up to the bound of a message; that bound also holds for JSON and for what gzip unpacks. A list or map
//! of JSON has at most 100,000 elements. A call counts as one from its headers on, so its body is read behind the
//! limits. A call of gRPC is passed on without an allocation.

mod answer;
mod call;
mod content;
mod error;
mod frame;
mod query;
mod request;
mod stage;

pub use call::ByConnect;
pub use stage::Connect;

#[cfg(test)]
mod tests;

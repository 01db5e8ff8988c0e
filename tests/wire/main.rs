//! The gRPC surface over a real socket, on the in-memory engine; races on SQLite too.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

mod bad_bytes;
mod bad_input;
mod bad_values;
mod batches;
mod bulk;
mod errors;
mod gate;
mod holds;
mod http2;
mod journal;
mod pressure;
mod protocols;
mod races;
mod raw;
mod reads;
mod reasons;
mod served;
mod states;
mod world;

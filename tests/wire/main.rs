//! The gRPC surface over a real socket, on the in-memory engine.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

mod bulk;
mod errors;
mod holds;
mod reads;
mod served;

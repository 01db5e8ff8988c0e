//! The gRPC surface over a real socket, on the in-memory engine.

mod bulk;
mod errors;
mod holds;
mod reads;
mod served;

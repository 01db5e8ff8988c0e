//! The gRPC surface: wire messages in and out, and nothing that decides.

pub mod wire;

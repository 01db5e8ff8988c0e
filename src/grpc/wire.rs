//! The messages, clients and servers of `creditledger.v1`, generated from `proto/`; their comments stand there.

#![allow(missing_docs, rustdoc::all, clippy::all, clippy::pedantic, clippy::as_conversions)]

tonic::include_proto!("creditledger.v1");

/// The compiled protos, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

//! `creditledger`: prepaid support credits in an append-only double-entry ledger, as a gRPC service.
pub mod app;
pub mod audit;
pub mod cards;
pub mod clock;
pub mod config;
pub mod copy;
pub mod delivery;
pub mod grpc;
pub mod http;
pub mod ledger;
pub mod query;
pub mod store;
pub mod storefront;
pub mod telemetry;
pub mod writer;

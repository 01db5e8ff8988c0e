//! The gRPC surface over a real socket, on each engine. What never reaches the store, or needs one of its own, runs on
//! one engine.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

#[path = "../common/authority.rs"]
#[allow(dead_code)] // shared with the tests of the program
mod authority;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/signer.rs"]
mod signer;

mod access;
mod alerts;
mod audit_log;
mod bad_bytes;
mod bad_input;
mod bad_values;
mod batches;
mod bounds;
mod browsers;
mod bulk;
mod callers;
mod cards;
mod connect;
mod connect_bad;
mod contexts;
mod contract;
mod credentials;
mod due;
mod errors;
mod events;
mod faults;
mod faulty;
mod full_card;
mod gate;
mod holds;
mod http2;
mod journal;
mod lookups;
mod multi;
mod mutual_tls;
mod own_customer;
mod paging;
mod plain;
mod pressure;
mod promises;
mod protocols;
mod quotas;
mod races;
mod raw;
mod reads;
mod reasons;
mod reconcile;
mod reference;
mod served;
mod silence;
mod statements;
mod states;
mod tls;
mod top_ups;
mod types;
mod work_lists;
mod world;

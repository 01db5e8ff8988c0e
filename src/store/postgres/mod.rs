//! The PostgreSQL engine: several servers write at once, each with a few lanes; a sequencer gives positions.
//!
//! The order of a batch keeps it right: lock the customers' rows in sorted order, read in a later statement what the
//! batch names, decide, write every table in the order of its keys, commit. What the servers share is in the database,
//! so a server may die at any point, and another goes on.

mod audit;
mod check;
mod check_feed;
mod check_schema;
mod connect;
mod errors;
mod read;
mod read_customers;
mod read_holds;
mod read_lots;
mod read_postings;
mod rows;
mod sequencer;

pub use audit::PgAudit;
pub use connect::Address;
pub use read::PgReader;

/// Reading connections.
const READERS_MAX: u32 = 8;

/// Stands in for the one of the writing side.
fn random_id() -> u128 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8).into()
}

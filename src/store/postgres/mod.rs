//! The PostgreSQL engine: several servers write at once, each with a few lanes; a sequencer gives positions.
//!
//! # What it is
//! A batch first locks its customers' rows in sorted order. Later statements read what it names, and it is decided.
//! Then it writes every table in key order, and commits. Readers have a pool of connections of their own.
//!
//! # Invariants
//! - Two writers never update one balance: the row is locked before it is read, and updated only where its sequence
//!   is still the one that was read.
//! - Everything that the servers share is in the database, so a server may die at any point, and another goes on.
//! - A reader that has seen a position never misses one below it; see `sequencer`.
//!
//! # Failure
//! Conflicts, time-outs and lost connections ask for another attempt of the whole batch. After a commit without an
//! answer, the next attempt takes the locks and looks whether the batch was stored.
//!
//! # Cost
//! The number of round trips of a batch does not depend on its size.

mod append;
mod archiving;
mod audit;
mod check;
mod check_feed;
mod check_schema;
mod columns;
mod connect;
mod copy;
mod dialect;
mod driver;
mod errors;
mod history;
mod hosts;
mod lists;
mod load;
mod lots;
mod migrating;
mod opening;
mod orders;
mod pooler;
mod read;
mod rows;
mod schema;
mod sequencer;
mod side;
mod snapshot;
mod steps;
mod tend;
mod url;
mod words;
mod work;
mod write;

#[cfg(test)]
#[path = "../../../tests/common/postgres.rs"]
mod test_server;

pub use archiving::{Archiving, archiving};
pub use connect::Address;
pub use copy::PgCopier;
pub use opening::{confirm_clock, look, migrate, open, open_figures, open_for_copy, open_to_read};
pub use write::PgWriter;

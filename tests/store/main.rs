//! The storage engines: one conformance suite for all of them, and what is SQLite's own.

#[path = "../common/desk.rs"]
#[allow(dead_code)] // shared with the tests of the core
mod desk;
#[path = "../common/random.rs"]
mod random;

mod budget;
mod conformance;
mod open;
mod properties;
mod random_steps;
mod reads;
mod rig;
mod schema;
mod writer;

//! The storage engines: one conformance suite for all of them, and what is SQLite's own.

#![allow(clippy::unwrap_used)] // in a test a panic is a finding

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

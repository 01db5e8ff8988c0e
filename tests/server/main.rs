//! The real binary as a process: settings, start and end, bad databases, crashes, the commands for people.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

#[path = "../common/desk.rs"]
#[allow(dead_code, clippy::needless_pass_by_value)] // shared with the tests of the core
mod desk;

mod commands;
mod copy;
mod crash;
mod database;
mod life;
mod process;
mod replay;
mod settings;
mod traces;

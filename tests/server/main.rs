//! The real binary as a process: settings, start and end, bad databases, crashes, the commands for people.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

mod commands;
mod crash;
mod database;
mod life;
mod process;
mod replay;
mod settings;
mod traces;

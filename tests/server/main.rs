//! The real binary as a process: settings, start and end, bad databases, crashes, the commands for people.

mod commands;
mod crash;
mod database;
mod life;
mod process;
mod replay;
mod settings;
mod traces;

//! The pure core, tested without storage: tables of (state, command, outcome) and properties over random sequences.

#[path = "../common/desk.rs"]
mod desk;
#[path = "../common/random.rs"]
mod random;

mod charges;
mod commands;
mod estimates;
mod events;
mod expiry;
mod idempotency;
mod life;
mod lots;
mod properties;


//! The pure core, tested without storage: tables of (state, command, outcome) and properties over random sequences.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed
#![allow(clippy::needless_pass_by_value)] // commands are written where they are used

#[path = "../common/desk.rs"]
mod desk;
#[path = "../common/random.rs"]
mod random;

mod alert_margins;
mod alerts;
mod allocations;
mod charges;
mod commands;
mod debts;
mod estimates;
mod events;
mod expiry;
mod first_rules;
mod idempotency;
mod life;
mod lines;
mod lots;
mod parked;
mod policies;
mod pricing;
mod properties;
mod refunds;
mod reopened;
mod top_up_failures;
mod top_up_months;
mod top_up_refunds;
mod top_ups;
mod undone;
mod unused;
mod work;

//! What shops report, and how the ledger follows. `README.md` beside this file says it to shop owners.
//!
//! # What it is
//! Deliveries are state, not deltas. A vendor's file ([`vendors`]) reads a delivery into the facts of an order
//! ([`order::Order`]). They are joined with what is known, and stored before the delivery is answered ([`Intake`]).
//! Afterwards a [`Worker`] brings the ledger to what the facts come to ([`Applier`]). What only a person can tell waits,
//! and is listed, assigned, dismissed or tried again ([`desk`]).
//!
//! # Invariants
//! - Any set of deliveries, in any order, any of them repeated, cut off anywhere, ends in the same book, and that book
//!   shows the target of the facts. What people recorded by hand stays.
//! - A signed delivery is answered 2xx once what matters of it is stored. Nothing paid for is dropped; nothing is credited
//!   that was not paid.
//!
//! # Failure
//! A server that stops between an answer and its commands finds the order due when it starts again.

pub mod amounts;
mod applier;
mod apply_error;
mod change;
pub mod desk;
mod intake;
pub(crate) mod json;
mod kept;
mod ledger_book;
pub mod order;
mod orders;
mod others;
mod queue;
mod read;
mod seeds;
mod shop;
mod signature;
mod start;
pub mod vendors;
mod work;
mod worker;

pub use applier::Applier;
pub use apply_error::ApplyError;
pub use change::{ORDER_BYTES_MAX, WAITING_MAX};
pub use intake::{Intake, IntakeError, Reading};
pub use orders::Orders;
pub use queue::Queue;
pub use read::{read, read_payload};
pub use shop::{Delivery, Mapped, Refused, Revenue, Shop, Vendor};
pub use start::Storefronts;
pub use worker::Worker;

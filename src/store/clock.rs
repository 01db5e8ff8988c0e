//! What a database knows of the time, so that a start can tell whether its clock is plausible.
//!
//! # What it is
//! One row: when servers last found the clock plausible, whether one doubts it, and what an operator confirmed. The
//! module `clock` decides by it. No journal gives the row, so `copy` does not copy it.
//!
//! # Invariants
//! A heartbeat is a time at which the clock was plausible, or that an operator has confirmed.
//!
//! # Failure
//! A server whose heartbeat cannot be stored goes on. The next start then measures from an earlier one.
//!
//! # Cost
//! One row that is read every few seconds, and written once a minute.

use async_trait::async_trait;

use super::error::StoreError;
use crate::clock::plausible::Known;
use crate::ledger::Timestamp;

#[async_trait]
pub trait ClockStore: Send + Sync {
    /// What is known, and what the clock shows. Engines with a clock of their own ignore `wall`, the caller's clock.
    async fn known(&self, wall: Timestamp) -> Result<(Known, Timestamp), StoreError>;

    /// Keeps that the clock was plausible at this time.
    async fn beat(&self, at: Timestamp) -> Result<(), StoreError>;

    /// Keeps that the clock was stepped, until the next heartbeat.
    async fn doubt(&self) -> Result<(), StoreError>;
}

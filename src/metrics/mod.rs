//! What a server measures about itself: one table of instruments, and handles to record with.
//!
//! # What it is
//! [`INSTRUMENTS`] is the table. [`Metrics`] is a handle that every layer takes and that is off by default. Layers
//! record through it; this module imports none of them. `telemetry` connects it with readers: Prometheus asks, and a
//! collector is sent to.
//!
//! # Invariants
//! - An instrument is made from its row of the table and from nothing else.
//! - The number of series is bounded: attributes have values of this program, or the table says how many are kept.
//! - No attribute names a customer or a caller.
//! - What could not be read is left out, never given as zero.
//!
//! # Failure
//! Recording never fails and never waits for a reader.
//!
//! # Cost
//! A call costs two looks at the clock and one bound histogram: a lock that only a reader contends for, and no look-up of
//! attributes. The writer records per batch. Off, a handle costs one branch.

mod calls;
mod handle;
mod samples;
mod table;

pub use calls::{CallSystem, Calls};
pub use handle::{Instruments, Metrics, Stage};
pub use samples::{Sample, Samples};
pub use table::*;

//! The times of calls, and the rate that follows from them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::app::failure::Failure;

#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// From the first call to the last.
    pub elapsed: Duration,
    /// In microseconds, one for each call.
    pub times_us: Histogram<u64>,
}

impl Measured {
    pub fn calls(&self) -> usize {
        usize::try_from(self.times_us.len()).unwrap_or(usize::MAX)
    }

    /// Commands a second, where each call has `each` commands.
    pub fn per_second(&self, each: usize) -> u64 {
        per_second(self.calls().saturating_mul(each), self.elapsed)
    }
}

/// The rate a second.
pub(super) fn per_second(count: usize, elapsed: Duration) -> u64 {
    let count = u128::try_from(count).unwrap_or(u128::MAX);
    let rate = count.saturating_mul(1_000_000).div_euclid(elapsed.as_micros().max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// An empty histogram: times up to a minute, in three digits.
///
/// # Errors
/// Never with these bounds.
pub(super) fn no_times() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, 60_000_000, 3)
        .map_err(|error| Failure::Other(format!("times cannot be counted: {error}")))
}

pub(super) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

//! Rounds of the same calls, whose rates are compared with those of other rounds that took turns with them.

use hdrhistogram::Histogram;

use super::measure::{Measured, no_times};
use crate::app::failure::Failure;

/// Rounds of the same kind.
pub(super) struct Rounds {
    per_second: Vec<u64>,
    /// The times of all calls.
    pub times_us: Histogram<u64>,
}

impl Rounds {
    pub fn none() -> Result<Self, Failure> {
        Ok(Self { per_second: Vec::new(), times_us: no_times()? })
    }

    pub fn take(&mut self, measured: &Measured) {
        self.per_second.push(measured.per_second(1));
        // All histograms have the same bounds.
        self.times_us += &measured.times_us;
    }

    /// The median rate.
    pub fn per_second(&self) -> u64 {
        median(&self.per_second)
    }
}

/// The value in the middle; 0 of none.
pub(super) fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    let middle = values.len().div_euclid(2);
    let upper = values.get(middle).copied().unwrap_or_default();
    let lower = if values.len().is_multiple_of(2) { middle.checked_sub(1) } else { None };
    let lower = lower.and_then(|place| values.get(place)).copied().unwrap_or(upper);
    upper.midpoint(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!([&[][..], &[7], &[9, 1, 5], &[4, 1, 9, 6]].map(median), [0, 7, 5, 5]);
    }
}

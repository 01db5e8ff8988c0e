//! Retries of a batch: bounded in time, with a random exponential back-off, so that servers do not collide again.

use std::time::{Duration, Instant};

use crate::clock;

/// The longest first pause; each next one may be twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Clashes after which the conflicting row is taken for a fault of this program.
const CLASHES_MAX: u32 = 5;

#[derive(Debug)]
pub(super) struct Retry {
    until: Instant,
    pauses: u32,
    clashes: u32,
}

impl Retry {
    pub fn new(within: Duration) -> Self {
        Self { until: Instant::now() + within, pauses: 0, clashes: 0 }
    }

    /// True where this clash is one too many.
    pub fn clashed_too_often(&mut self) -> bool {
        self.clashes = self.clashes.saturating_add(1);
        self.clashes > CLASHES_MAX
    }

    /// Waits before the next attempt; false where no time is left for one.
    pub async fn pause(&mut self) -> bool {
        let longest = PAUSE_MIN.saturating_mul(1 << self.pauses.min(10)).min(PAUSE_MAX);
        self.pauses = self.pauses.saturating_add(1);
        // Without randomness two servers may collide again; nothing worse happens.
        let share = clock::random().unwrap_or(u64::MAX) >> 44;
        let pause =
            longest.mul_f64(f64::from(u32::try_from(share).unwrap_or(1 << 20)) / f64::from(1_u32 << 20));
        if Instant::now() + pause >= self.until {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

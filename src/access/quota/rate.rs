//! One rate: so much a second, of which some seconds may be saved up.
//!
//! It is the generic cell rate algorithm: one number says when all that was spent will have come back. So a rate takes
//! eight bytes besides its settings, needs no task of its own, and spends with one exchange.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NANOS: u128 = 1_000_000_000;

/// What may be spent a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// At least 1.
    pub per_second: u64,
    /// Nanoseconds whose worth may be saved up; at least a second's.
    burst: u64,
}

/// What was spent at a pace. Times are nanoseconds since one start.
#[derive(Debug, Default)]
pub struct Spent {
    /// When all that was spent has come back.
    whole_at: AtomicU64,
}

impl Pace {
    pub fn new(per_second: u64, burst_seconds: u32) -> Self {
        let burst = Duration::from_secs(burst_seconds.max(1).into());
        Self { per_second: per_second.max(1), burst: nanos(burst) }
    }

    /// How long it takes until this has come back.
    fn time_of(self, amount: u64) -> u64 {
        let time = u128::from(amount).saturating_mul(NANOS).div_ceil(u128::from(self.per_second.max(1)));
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// How much too early it is to spend this cost.
    fn late(self, now: u64, cost: u64, whole_at: u64) -> Result<(), Duration> {
        let then = whole_at.max(now).saturating_add(cost.min(self.burst));
        match then.saturating_sub(now.saturating_add(self.burst)) {
            0 => Ok(()),
            nanos => Err(Duration::from_nanos(nanos)),
        }
    }
}

impl Spent {
    /// Spends an amount, if it is there. One that is more than can be saved up needs only that all is saved up, so that it
    /// is not impossible for ever. It is spent whole, and who comes next waits until what is missing has come back.
    ///
    /// # Errors
    /// How long it takes until the amount is there, if nothing else is spent meanwhile. Nothing was spent.
    pub fn spend(&self, pace: Pace, now: u64, amount: u64) -> Result<(), Duration> {
        let cost = pace.time_of(amount);
        let spend = |whole_at: u64| {
            pace.late(now, cost, whole_at).is_ok().then(|| whole_at.max(now).saturating_add(cost))
        };
        let spent = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        spent.map(drop).or_else(|whole_at| pace.late(now, cost, whole_at))
    }

    /// Whether an amount is there, without spending it.
    ///
    /// # Errors
    /// As [`Self::spend`].
    pub fn has(&self, pace: Pace, now: u64, amount: u64) -> Result<(), Duration> {
        pace.late(now, pace.time_of(amount), self.whole_at())
    }

    /// Spends an amount, whether it is there or not.
    pub fn owe(&self, pace: Pace, now: u64, amount: u64) {
        let cost = pace.time_of(amount);
        let add = |whole_at: u64| Some(whole_at.max(now).saturating_add(cost));
        let _ = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// When it will be as if nothing had ever been spent.
    pub fn whole_at(&self) -> u64 {
        self.whole_at.load(Ordering::Relaxed)
    }
}

/// What tells how long ago a start was. It is no clock on the wall: one that is set would let all pass, or nobody.
#[derive(Debug)]
pub enum Since {
    Started(Instant),
    /// As a test says, in nanoseconds.
    #[cfg(test)]
    Set(AtomicU64),
}

impl Since {
    pub fn now() -> Self {
        Self::Started(Instant::now())
    }

    pub fn nanos(&self) -> u64 {
        match self {
            Self::Started(start) => nanos(start.elapsed()),
            #[cfg(test)]
            Self::Set(nanos) => nanos.load(Ordering::Relaxed),
        }
    }

    #[cfg(test)]
    pub fn advance(&self, time: Duration) {
        let Self::Set(now) = self else { panic!("the time is not the test's") };
        now.fetch_add(nanos(time), Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_is_saved_up_may_be_spent_at_once_and_the_rest_at_the_pace() {
        let (pace, spent) = (Pace::new(10, 2), Spent::default());
        for _ in 0..20 {
            spent.spend(pace, 5 * SECOND, 1).unwrap();
        }
        let wait = spent.spend(pace, 5 * SECOND, 1).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        // A moment before it is refused, and by then it passes.
        let then = 5 * SECOND + nanos(wait);
        assert_eq!(spent.spend(pace, then - 1, 1), Err(Duration::from_nanos(1)));
        spent.spend(pace, then, 1).unwrap();
        assert!(spent.spend(pace, then, 1).is_err());
        // A long rest saves up no more than the burst.
        let rested = 1_000 * SECOND;
        assert!(spent.spend(pace, rested, 20).is_ok() && spent.spend(pace, rested, 1).is_err());
    }

    #[test]
    fn what_is_larger_than_the_burst_passes_once_all_is_saved_up_and_is_paid_after() {
        let (pace, spent) = (Pace::new(10, 1), Spent::default());
        spent.spend(pace, 0, 1).unwrap();
        assert_eq!(spent.spend(pace, 0, 50), Err(Duration::from_millis(100)));
        spent.spend(pace, SECOND / 10, 50).unwrap();
        // 40 are missing, and have to come back first.
        assert_eq!(spent.has(pace, SECOND / 10, 1), Err(Duration::from_millis(4_100)));
        assert_eq!(spent.spend(pace, SECOND / 10, 1), Err(Duration::from_millis(4_100)));
        for _ in 0..2 {
            spent.has(pace, SECOND / 5 + 4 * SECOND, 1).unwrap();
        }
        spent.owe(pace, 100 * SECOND, 30);
        assert_eq!(spent.spend(pace, 100 * SECOND, 1), Err(Duration::from_millis(2_100)));
    }

    #[test]
    fn over_any_time_no_more_passes_than_the_burst_and_the_pace() {
        // A fixed generator: this is about sums, and not about one order of things.
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for (per_second, burst_seconds) in [(1, 1), (3, 7), (1_000, 2), (1_000_000_000, 1)] {
            let (pace, spent) = (Pace::new(per_second, burst_seconds), Spent::default());
            let (mut now, mut passed) = (0, 0_u64);
            for _ in 0..10_000 {
                now += next(SECOND / 50);
                let amount = 1 + next(per_second);
                if spent.spend(pace, now, amount).is_ok() {
                    passed += amount;
                }
            }
            let most = u128::from(per_second) * (u128::from(now) + u128::from(burst_seconds) * NANOS) / NANOS;
            assert!(u128::from(passed) <= most, "{passed} of {most}");
            assert!(u128::from(passed) > most / 2, "{passed} of {most}");
        }
    }

    #[test]
    fn the_largest_numbers_do_not_wrap() {
        let (pace, spent) = (Pace::new(1, 1), Spent::default());
        spent.spend(pace, 0, u64::MAX).unwrap();
        assert!(spent.spend(pace, u64::MAX / 2, 1).is_err());
        spent.owe(pace, u64::MAX, u64::MAX);
        assert_eq!(spent.whole_at(), u64::MAX);
    }
}

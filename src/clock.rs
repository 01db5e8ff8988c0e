//! The only place that asks for the time or for randomness: imports of it show what depends on either.

pub mod boot;
pub mod plausible;
pub mod watch;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plausible::Judged;
use watch::Watch;

use crate::ledger::Timestamp;

/// The watch over this machine's clock, where it dates what is stored. A process has one clock, so it is the process's.
static WATCH: RwLock<Option<Arc<Watch>>> = RwLock::new(None);

/// Has every reading of this machine's clock judged from now on; `None` takes the clock for right.
pub fn follow(watch: Option<Arc<Watch>>) {
    *WATCH.write().unwrap_or_else(PoisonError::into_inner) = watch;
}

/// The time: the wall clock where it is plausible.
pub fn now() -> Timestamp {
    judged().map_or_else(wall, |judged| judged.now)
}

/// The latest time at which something may have fallen due: [`now`], unless the clock is implausible.
pub fn due_until() -> Timestamp {
    judged().map_or_else(wall, |judged| judged.due_until)
}

/// What the watch makes of the wall clock; `None` where nobody watches it.
pub fn judged() -> Option<Judged> {
    let watch = WATCH.read().unwrap_or_else(PoisonError::into_inner);
    watch.as_ref().map(|watch| watch.read(wall()))
}

/// The wall clock as it is, in microseconds; a clock before 1970 reads as 1970. It is for what others have dated, or
/// judge by their clocks, such as tokens of providers and signatures. Everything else asks [`now`].
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// 64 random bits.
///
/// # Errors
/// Where the system has no source of randomness.
pub fn random() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

/// Fills bytes with random ones.
///
/// # Errors
/// Where the system has no source of randomness.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}

/// A clock that can be waited for. Tests replace it to drive code through hours without sleeping.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Waits until it is `at` or later.
    async fn sleep_until(&self, at: Timestamp);
}

/// The longest sleep before the clock is asked again, because it may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The clock of this process: [`now`].
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

#[async_trait::async_trait]
impl Clock for System {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep_until(at, now).await;
    }
}

/// The wall clock as it is: [`wall`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Wall;

#[async_trait::async_trait]
impl Clock for Wall {
    fn now(&self) -> Timestamp {
        wall()
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep_until(at, wall).await;
    }
}

/// Sleeps for as long as `now` says at first, and less where it is moved on meanwhile. It sleeps at least once, so that a
/// caller whose time has come still lets others run.
async fn sleep_until(at: Timestamp, now: impl Fn() -> Timestamp) {
    let micros = at.micros().saturating_sub(now().micros());
    let mut left = Duration::from_micros(micros.try_into().unwrap_or(0));
    loop {
        let part = left.min(SLEEP_MAX);
        tokio::time::sleep(part).await;
        left = left.saturating_sub(part);
        if left.is_zero() || now() >= at {
            return;
        }
    }
}

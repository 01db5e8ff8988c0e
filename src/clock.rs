//! The only place that asks for the time or for randomness: imports of it show what depends on either.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::ledger::Timestamp;

/// The wall clock, in microseconds; a clock before 1970 reads as 1970.
pub fn now() -> Timestamp {
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

/// The wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

#[async_trait::async_trait]
impl Clock for System {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let micros = at.micros().saturating_sub(now().micros());
        tokio::time::sleep(std::time::Duration::from_micros(micros.try_into().unwrap_or(0))).await;
    }
}

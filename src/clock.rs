//! The only place that asks for the time or for randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::ledger::Timestamp;

/// The wall clock, in microseconds; a clock before 1970 reads as 1970.
#[must_use]
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

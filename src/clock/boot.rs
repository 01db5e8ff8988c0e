//! The time since the machine started: the measure that no setting of the clock moves.

use std::time::Duration;

/// The time since the machine started, with the time during which it was suspended.
#[cfg(target_os = "linux")]
pub fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// The time since it was first asked for. Other systems do not count a suspension, so that looks like a step.
#[cfg(not(target_os = "linux"))]
pub fn since_boot() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

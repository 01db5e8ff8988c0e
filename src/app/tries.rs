//! Calls that are repeated until they are answered.

use std::time::Duration;

use super::call::CallError;

/// Tries of a call, and the pause before the first repeat. Each pause is twice the one before, up to a bound. Together
/// they last about ten seconds, enough to restart a server.
const TRIES_MAX: u32 = 12;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The tries of one call.
pub(super) struct Tries {
    count: u32,
    wait: Duration,
}

impl Tries {
    pub const fn new() -> Self {
        Self { count: 1, wait: FIRST_WAIT }
    }

    /// Waits before another try; false if another try would not help.
    pub async fn may_repeat(&mut self, error: &CallError) -> bool {
        if !error.passing || self.count >= TRIES_MAX {
            return false;
        }
        tracing::debug!(%error, tries = self.count, "trying again");
        tokio::time::sleep(error.wait.unwrap_or(self.wait).min(WAIT_MAX)).await;
        self.wait = self.wait.saturating_mul(2).min(WAIT_MAX);
        self.count = self.count.saturating_add(1);
        true
    }
}

/// Repeats a call until there is an answer, with pauses between tries.
pub(super) async fn ask<T>(question: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
    let mut tries = Tries::new();
    loop {
        match question().await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                if !tries.may_repeat(&error).await {
                    return Err(error);
                }
            }
        }
    }
}

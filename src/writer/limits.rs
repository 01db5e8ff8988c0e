//! Bounds of the writer.

use std::time::Duration;

/// Bounds of the writer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commands that may wait; one more is refused at once as overloaded.
    pub queue_commands_max: usize,
    /// Commands in one commit, at least 2: a single one and one of a bulk, so that neither starves. Above about
    /// 1,000 the tail latency grows faster than the speed.
    pub batch_commands_max: usize,
    /// How long a batch is tried again where other servers are in the way or the database is away; then its callers
    /// are told that it is not available.
    pub retry_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_commands_max: 32_768, batch_commands_max: 1_000, retry_for: Duration::from_secs(5) }
    }
}

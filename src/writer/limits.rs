//! Bounds of the writer.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commands that may wait. One more is refused at once as overloaded.
    pub queue_commands_max: usize,
    /// Commands in one commit, at least 2: one single and one bulk command, so that neither kind starves. Above about
    /// 1,000 the tail latency grows faster than the throughput.
    pub batch_commands_max: usize,
    /// How many open holds a customer may have. Each of its commands reads those that wait for credits.
    pub open_holds_max: u32,
    /// How long a batch is retried after conflicts with other servers, or while the database is away. Then its
    /// callers get `SubmitError::StorageUnavailable`.
    pub retry_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_commands_max: 32_768,
            batch_commands_max: 1_000,
            open_holds_max: 1_000,
            retry_for: Duration::from_secs(5),
        }
    }
}

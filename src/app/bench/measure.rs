//! Makes many calls with so many in flight, and takes their times.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::app::Failure;
use crate::app::call::CallError;

/// The times of some calls.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// From the first to the last.
    pub elapsed: Duration,
    /// Of each call, in microseconds.
    pub times_us: Histogram<u64>,
}

impl Measured {
    /// So many of them in a second, where each call did `each`.
    pub fn per_second(&self, each: usize) -> u64 {
        let done = u128::from(self.times_us.len()).saturating_mul(u128::try_from(each).unwrap_or(u128::MAX));
        let rate = done.saturating_mul(1_000_000).div_euclid(self.elapsed.as_micros().max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// Makes calls number 0 to `count` - 1, `in_flight` at a time.
///
/// # Errors
/// The first call that failed: a benchmark with failures measures nothing.
pub(super) async fn measure<F, Fut>(count: usize, in_flight: usize, call: F) -> Result<Measured, Failure>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), CallError>> + Send,
{
    let none = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)
        .map_err(|error| Failure::Other(format!("times cannot be counted: {error}")))?;
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers: JoinSet<Result<Histogram<u64>, CallError>> = JoinSet::new();
    let start = Instant::now();
    for _ in 0..in_flight {
        let (next, call, mut times_us) = (Arc::clone(&next), call.clone(), none.clone());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(times_us);
                }
                let start = Instant::now();
                call(number).await?;
                times_us.saturating_record(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        });
    }
    let mut times_us = none;
    while let Some(worker) = workers.join_next().await {
        let worker = worker.map_err(|error| Failure::Other(format!("a worker has failed: {error}")))??;
        times_us.add(&worker).map_err(|error| Failure::Other(format!("times cannot be counted: {error}")))?;
    }
    Ok(Measured { elapsed: start.elapsed(), times_us })
}

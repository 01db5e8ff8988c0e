//! Makes calls for a time, so many in flight, and takes their times.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::app::call::CallError;
use crate::app::failure::Failure;

/// How calls are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// So many at a time.
    pub in_flight: usize,
    /// No call begins later than this; at least one is made.
    pub lasts: Duration,
    /// No more than these.
    pub most: usize,
}

/// Which call it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Its number among all, from 0, without gaps.
    pub number: usize,
    /// Who makes it, below the number in flight.
    pub worker: usize,
    /// Its number among those of this one, which are made one after the other.
    pub nth: usize,
}

/// The times of some calls.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// From the first to the last.
    pub elapsed: Duration,
    /// Of each call, in microseconds.
    pub times_us: Histogram<u64>,
}

impl Measured {
    /// How many they were.
    pub fn calls(&self) -> usize {
        usize::try_from(self.times_us.len()).unwrap_or(usize::MAX)
    }

    /// So many commands in a second, where each call did `each`.
    pub fn per_second(&self, each: usize) -> u64 {
        per_second(self.calls().saturating_mul(each), self.elapsed)
    }
}

/// So many in a second.
pub(super) fn per_second(count: usize, elapsed: Duration) -> u64 {
    let count = u128::try_from(count).unwrap_or(u128::MAX);
    let rate = count.saturating_mul(1_000_000).div_euclid(elapsed.as_micros().max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// An empty histogram: times up to a minute, in three digits.
///
/// # Errors
/// Never with these bounds.
pub(super) fn no_times() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, 60_000_000, 3)
        .map_err(|error| Failure::Other(format!("times cannot be counted: {error}")))
}

/// The microseconds since then.
pub(super) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Makes the calls.
///
/// # Errors
/// The first call that failed: a benchmark with failures measures nothing.
pub(super) async fn measure<F, Fut>(load: Load, call: F) -> Result<Measured, Failure>
where
    F: Fn(Turn) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), CallError>> + Send,
{
    let Load { in_flight, lasts, most } = load;
    // One for all: a thousand of them would be most of the memory that a line is said to need.
    let times_us = Arc::new(Mutex::new(no_times()?));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers: JoinSet<Result<(), CallError>> = JoinSet::new();
    let start = Instant::now();
    for worker in 0..in_flight {
        let (next, call, times_us) = (Arc::clone(&next), call.clone(), Arc::clone(&times_us));
        workers.spawn(async move {
            for nth in 0.. {
                // Whoever starts late, behind those that had to be started first, leaves it to them.
                let late = start.elapsed() >= lasts && (nth, worker) != (0, 0);
                if late {
                    break;
                }
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= most {
                    break;
                }
                let begun = Instant::now();
                call(Turn { number, worker, nth }).await?;
                let took_us = micros_since(begun);
                lock(&times_us).saturating_record(took_us);
            }
            Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(|error| Failure::Other(format!("a worker has failed: {error}")))??;
    }
    let elapsed = start.elapsed();
    let times_us = lock(&times_us).clone();
    Ok(Measured { elapsed, times_us })
}

/// Whoever panicked is reported by the join; the times are not used then.
fn lock(times_us: &Mutex<Histogram<u64>>) -> MutexGuard<'_, Histogram<u64>> {
    times_us.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A load: which calls are made, to which customers, how many at a time and for how long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::caller::{CREATED_AT_ONCE, Caller, Crowd};
use super::measure::{Measured, micros_since, no_times};
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::grpc::wire::batch_command::Command;

/// Calls in flight where a load does not vary this.
pub(super) const IN_FLIGHT: usize = 64;
/// Batches in flight: the next one is parsed while one is committed.
pub(super) const BATCHES_IN_FLIGHT: usize = 2;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Nothing: a health check.
    Nothing,
    /// Reads a balance.
    Balance,
    /// Places a hold.
    Hold,
    /// Settles a hold that an earlier load placed.
    Settle,
    /// Places a hold or settles it, in turn, so that no customer has more open holds than there are workers. The text
    /// is the prefix of the incidents' ids.
    HoldAndSettle(&'static str),
    /// Places so many holds in one batch.
    Holds(usize),
    /// Settles so many holds in one batch.
    Settlements(usize),
    /// Creates customers and buys credits for each, in one batch.
    Customers,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub call: Call,
    pub crowd: Crowd,
    /// The number of the first incident.
    pub first: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// No call begins after this time. At least one is made.
    pub lasts: Duration,
    /// The most calls.
    pub most: usize,
}

/// One call of a load.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Its number among all calls, from 0, without gaps.
    number: usize,
    /// The worker that makes it, below the number in flight.
    worker: usize,
    /// Its number among the calls of its worker, which are made one after the other.
    nth: usize,
}

impl Call {
    /// Commands that one call sends; `None` where a call is no command.
    pub fn commands(self, crowd: Crowd) -> Option<usize> {
        match self {
            Self::Nothing | Self::Balance => None,
            Self::Hold | Self::Settle | Self::HoldAndSettle(_) => Some(1),
            Self::Holds(count) | Self::Settlements(count) => Some(count),
            Self::Customers => Some(CREATED_AT_ONCE.min(crowd.count).saturating_mul(2)),
        }
    }

    /// Incidents that one call opens.
    pub const fn opens(self) -> usize {
        match self {
            Self::Hold => 1,
            Self::Holds(count) => count,
            Self::Nothing
            | Self::Balance
            | Self::Settle
            | Self::HoldAndSettle(_)
            | Self::Settlements(_)
            | Self::Customers => 0,
        }
    }
}

impl Load {
    /// Single calls for some time.
    pub const fn single(call: Call, crowd: Crowd, first: usize, lasts: Duration) -> Self {
        Self { call, crowd, first, in_flight: IN_FLIGHT, lasts, most: usize::MAX }
    }

    /// A number of batches.
    pub const fn batches(call: Call, crowd: Crowd, first: usize, most: usize) -> Self {
        Self { call, crowd, first, in_flight: BATCHES_IN_FLIGHT, lasts: Duration::MAX, most }
    }

    /// All customers of a crowd.
    pub fn customers(crowd: Crowd) -> Self {
        Self::batches(Call::Customers, crowd, 0, crowd.count.div_ceil(CREATED_AT_ONCE))
    }

    async fn call(&self, caller: &Caller, turn: Turn) -> Result<(), CallError> {
        let Self { call, crowd, first, .. } = *self;
        let number = first.saturating_add(turn.number);
        match call {
            Call::Nothing => caller.check_health(number).await,
            Call::Balance => caller.balance(number, crowd.customer(number)).await,
            Call::Hold => caller.place(number, crowd.customer(number), incident(number)).await,
            Call::Settle => caller.settle(number, crowd.customer(number), incident(number)).await,
            Call::HoldAndSettle(name) => {
                let (pair, places) = (turn.nth.div_euclid(2), turn.nth.rem_euclid(2) == 0);
                let customer = crowd.customer(turn.worker.wrapping_mul(7_919).wrapping_add(pair));
                let incident = format!("{name}-{}-{pair}", turn.worker);
                if places {
                    caller.place(number, customer, incident).await
                } else {
                    caller.settle(number, customer, incident).await
                }
            }
            Call::Holds(count) | Call::Settlements(count) => {
                let first = first.saturating_add(turn.number.saturating_mul(count));
                let command = |number| {
                    let (customer, incident) = (crowd.customer(number), incident(number));
                    match call {
                        Call::Holds(_) => Command::PlaceHold(caller.hold(number, customer, incident)),
                        _ => Command::SettleHold(caller.settlement(number, customer, incident)),
                    }
                };
                let commands = (first..first.saturating_add(count)).map(command);
                caller.execute(turn.number, commands.collect()).await
            }
            Call::Customers => caller.create_customers(crowd, turn.number).await,
        }
    }
}

/// The id of the incident with this number.
pub(super) fn incident(number: usize) -> String {
    format!("i-{number}")
}

/// Creates all customers of a crowd.
pub(super) async fn create(caller: &Caller, crowd: Crowd) -> Result<(), Failure> {
    measure(caller, Load::customers(crowd)).await.map(|_| ())
}

/// Makes the calls of a load.
pub(super) async fn measure(caller: &Caller, load: Load) -> Result<Measured, Failure> {
    let caller = caller.clone();
    measure_over(load, move |_| caller.clone()).await
}

/// Makes the calls of a load, each with the caller for its incident's number.
///
/// # Errors
/// The first call that failed: a benchmark with failures measures nothing.
pub(super) async fn measure_over(
    load: Load,
    caller_of: impl Fn(usize) -> Caller + Clone + Send + 'static,
) -> Result<Measured, Failure> {
    // One histogram for all workers: a thousand of them would dominate the memory that is reported for a line.
    let times_us = Arc::new(Mutex::new(no_times()?));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers: JoinSet<Result<(), CallError>> = JoinSet::new();
    let start = Instant::now();
    for worker in 0..load.in_flight {
        let (next, caller_of, times_us) = (Arc::clone(&next), caller_of.clone(), Arc::clone(&times_us));
        workers.spawn(async move {
            for nth in 0.. {
                // No call begins after the time is over, except the very first one.
                let late = start.elapsed() >= load.lasts && (nth, worker) != (0, 0);
                if late {
                    break;
                }
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= load.most {
                    break;
                }
                let caller = caller_of(load.first.saturating_add(number));
                let begun = Instant::now();
                load.call(&caller, Turn { number, worker, nth }).await?;
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

/// A worker that panicked is reported by the join, and the times are not used then.
fn lock(times_us: &Mutex<Histogram<u64>>) -> MutexGuard<'_, Histogram<u64>> {
    times_us.lock().unwrap_or_else(PoisonError::into_inner)
}

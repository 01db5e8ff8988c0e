//! Measures webhooks: how fast a backlog is sent, and how much deliveries to an endpoint slow down holds.
//!
//! The holds are the same with and without an endpoint. They go to two ledgers. Only the watched one, which gets the
//! smaller part, has an endpoint now and then. That part is chosen for [`EVENTS_PER_SECOND`]. So the rate of events is
//! fixed, as it is for a server, and the cost to the other holds is measured. Rounds with and without an endpoint take
//! turns, because a machine's speed drifts.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::caller::{Caller, Crowd};
use super::load::{Call, Load, create, incident, measure_over};
use super::measure::{Measured, no_times, per_second};
use super::receiver::Receiver;
use super::resources::{Before, Used};
use super::rounds::{Rounds, median};
use crate::app::failure::Failure;
use crate::delivery::LOOK_SECONDS;

/// The target rate of events in the watched ledger: it stays above 2,000 when the holds slow down.
const EVENTS_PER_SECOND: usize = 2_200;
/// The share of the watched ledger is counted in these parts.
const PARTS: usize = 1_000;
/// Each turn has rounds without an endpoint, twice as many with one, and as many without: an even drift cancels out.
const TURNS: usize = 2;
const ROUNDS: usize = 2;
/// This many rounds last as long as a line.
const ROUNDS_OF_A_LINE: u32 = 4;
/// How long the first message of an endpoint, or the last ones, may take to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Webhooks {
    /// Events a second while nothing else runs.
    pub backlog_per_second: u64,
    /// The usage of that, and its number of events.
    pub backlog_used: (Used, usize),
    /// Holds without an endpoint.
    pub without: Rounds,
    /// Holds beside the deliveries.
    pub beside: Rounds,
    /// Events a second beside the holds, until the last one arrived: the median of the turns.
    pub events_per_second: u64,
    /// Microseconds from a posting to its message, beside the holds.
    pub lags_us: Histogram<u64>,
}

/// Measures with a watched ledger beside the caller's. Holds get the numbers from `next` on.
///
/// # Errors
/// [`Failure`] where a call fails or messages do not arrive.
pub(super) async fn measure_webhooks(
    caller: &Caller,
    crowd: Crowd,
    lasts: Duration,
    next: &mut usize,
) -> Result<Webhooks, Failure> {
    let receiver = Receiver::start()?;
    let watched = caller.with_own_ledger().await?;
    create(&watched, crowd).await?;
    let endpoint = watched.create_endpoint(&receiver.url(), true).await?;
    let backlog = backlog(&receiver, crowd.count, lasts).await;
    watched.delete_endpoint(endpoint).await?;
    let (backlog_per_second, backlog_used) = backlog?;
    forgotten().await;
    let mut holds =
        Holds { caller, watched: &watched, crowd, lasts: lasts / ROUNDS_OF_A_LINE, share: 0, next };
    let warm = holds.round().await?;
    let share = EVENTS_PER_SECOND.saturating_mul(PARTS);
    let all = usize::try_from(warm.per_second(1)).unwrap_or(usize::MAX).max(1);
    holds.share = share.div_ceil(all).min(PARTS);
    let (mut without, mut beside, mut events) = (Rounds::none()?, Rounds::none()?, Vec::new());
    let mut lags_us = no_times()?;
    for _ in 0..TURNS {
        holds.rounds(ROUNDS, &mut without).await?;
        let endpoint = watched.create_endpoint(&receiver.url(), false).await?;
        let rounds = holds.watched_rounds(&receiver, &mut beside, &mut events).await;
        watched.delete_endpoint(endpoint).await?;
        lags_us += &rounds?;
        forgotten().await;
        holds.rounds(ROUNDS, &mut without).await?;
    }
    let events_per_second = median(&events);
    Ok(Webhooks { backlog_per_second, backlog_used, without, beside, events_per_second, lags_us })
}

/// Waits until no server sends to a removed endpoint any more.
async fn forgotten() {
    let looked = u64::try_from(LOOK_SECONDS).unwrap_or_default();
    tokio::time::sleep(Duration::from_secs(looked).saturating_add(Duration::from_millis(200))).await;
}

/// Events a second from the first message on, until all have arrived or the time is over.
async fn backlog(
    receiver: &Receiver,
    events: usize,
    lasts: Duration,
) -> Result<(u64, (Used, usize)), Failure> {
    come(receiver, 1).await?;
    let (start, before) = (Instant::now(), Before::now());
    // It is no failure if there are more events than time.
    let _ = tokio::time::timeout(lasts, receiver.until(events)).await;
    let count = receiver.count();
    Ok((per_second(count, start.elapsed()), (before.used(), count)))
}

async fn come(receiver: &Receiver, count: usize) -> Result<(), Failure> {
    tokio::time::timeout(PATIENCE, receiver.until(count))
        .await
        .map_err(|_| Failure::Other(format!("only {} of {count} webhooks have come", receiver.count())))
}

/// Holds to both ledgers.
struct Holds<'a> {
    caller: &'a Caller,
    watched: &'a Caller,
    crowd: Crowd,
    lasts: Duration,
    /// How many of [`PARTS`] holds go to the watched ledger.
    share: usize,
    next: &'a mut usize,
}

impl Holds<'_> {
    async fn round(&mut self) -> Result<Measured, Failure> {
        let (caller, watched) = (self.caller.clone(), self.watched.clone());
        let (first, share) = (*self.next, self.share);
        let caller_of = move |number: usize| {
            let is_watched = watched_before(number.saturating_add(1), share) > watched_before(number, share);
            if is_watched { watched.clone() } else { caller.clone() }
        };
        let load = Load::single(Call::Hold, self.crowd, first, self.lasts);
        let measured = measure_over(load, caller_of).await?;
        *self.next = first.saturating_add(measured.calls());
        Ok(measured)
    }

    async fn rounds(&mut self, count: usize, rounds: &mut Rounds) -> Result<(), Failure> {
        for _ in 0..count {
            rounds.take(&self.round().await?);
        }
        Ok(())
    }

    /// Rounds with an endpoint that was just made. Returns how late its messages were.
    async fn watched_rounds(
        &mut self,
        receiver: &Receiver,
        beside: &mut Rounds,
        events: &mut Vec<u64>,
    ) -> Result<Histogram<u64>, Failure> {
        let before = receiver.count().saturating_add(1);
        // The first message shows that the server has seen the endpoint.
        let number = *self.next;
        *self.next = number.saturating_add(1);
        self.watched.place(number, self.crowd.customer(number), incident(number)).await?;
        come(receiver, before).await?;
        receiver.take_lags();
        let (first, start) = (*self.next, Instant::now());
        self.rounds(ROUNDS.saturating_mul(2), beside).await?;
        let watched =
            watched_before(*self.next, self.share).saturating_sub(watched_before(first, self.share));
        come(receiver, before.saturating_add(watched)).await?;
        events.push(per_second(watched, start.elapsed()));
        Ok(receiver.take_lags())
    }
}

/// How many of the holds before a number go to the watched ledger. They are spread evenly.
fn watched_before(number: usize, share: usize) -> usize {
    number.saturating_mul(share).div_euclid(PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_so_many_is_watched_of() {
        let watched: Vec<usize> =
            (0..10).filter(|number| watched_before(number + 1, 300) > watched_before(*number, 300)).collect();
        assert_eq!(watched, [3, 6, 9]);
        assert_eq!(watched_before(2_000, PARTS), 2_000);
    }
}

//! When an event that was not taken is tried again.

use crate::ledger::Timestamp;

/// Seconds before each attempt: at once, after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
const DELAYS: [i64; 10] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// A longer wait that an endpoint asks for is cut to this.
const WAIT_SECONDS_MAX: i64 = 86_400;
/// Each delay varies by up to this many percent, so that messages that failed together are not tried again together.
const JITTER_PERCENT: i64 = 10;

/// When to try again after `attempts` failed attempts, the last one at `now`; `None` where the event is given up.
/// `retry_after` is the wait in seconds that the endpoint asks for. `random` is any number.
pub fn next_attempt(
    now: Timestamp,
    attempts: u32,
    retry_after: Option<i64>,
    random: u64,
) -> Option<Timestamp> {
    let delay = *DELAYS.get(usize::try_from(attempts).ok()?)?;
    let percent =
        i64::try_from(random % 201).unwrap_or(100).saturating_sub(100).saturating_mul(JITTER_PERCENT);
    let micros = delay
        .saturating_mul(Timestamp::MICROS_PER_SECOND)
        .saturating_mul(percent.saturating_add(10_000))
        .div_euclid(10_000);
    let scheduled = Timestamp::from_micros(now.micros().saturating_add(micros));
    Some(retry_after.map_or(scheduled, |wait| scheduled.max(patience(now, wait))))
}

/// The end of the wait that an endpoint asks for, at most a day from `now`.
pub fn patience(now: Timestamp, retry_after: i64) -> Timestamp {
    now.plus_seconds(retry_after.clamp(0, WAIT_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delays_are_those_that_are_promised_give_or_take_a_tenth() {
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        for (attempts, delay) in (1..).zip(&DELAYS[1..]) {
            for random in [0, 100, 200, 201, u64::MAX] {
                let next = next_attempt(now, attempts, None, random).unwrap();
                let micros = next.micros() - now.micros();
                let (least, most) = (delay * 900_000, delay * 1_100_000);
                assert!((least..=most).contains(&micros), "{attempts} {random}: {micros}");
            }
            assert_eq!(next_attempt(now, attempts, None, 100), Some(now.plus_seconds(*delay)));
        }
        assert_eq!(next_attempt(now, 10, None, 0), None);
        assert_eq!(next_attempt(now, 10, Some(1), 0), None);
    }

    #[test]
    fn an_endpoint_may_ask_for_patience_but_not_for_ever() {
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        assert_eq!(next_attempt(now, 1, Some(60), 100), Some(now.plus_seconds(60)));
        assert_eq!(next_attempt(now, 2, Some(60), 100), Some(now.plus_seconds(300)), "the schedule is later");
        assert_eq!(next_attempt(now, 1, Some(i64::MAX), 100), Some(now.plus_seconds(86_400)));
    }
}

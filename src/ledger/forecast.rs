//! How long credits will last: what was used in the last weeks, carried on.

use super::credits::Credits;
use super::customer::Balances;
use super::time::{Day, Timestamp};

/// What was used lately, and when nothing will be left if that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Credits used a week, over the last 4 weeks.
    pub weekly_over_4: Credits,
    /// Credits used a week, over the last 12 weeks.
    pub weekly_over_12: Credits,
    /// Set aside for open incidents.
    pub held: Credits,
    /// Holds that are QUOTED, AWAITING_CREDITS or ACTIVE.
    pub open_holds: u32,
    /// The day on which available and held credits will be used up; `None` without usage, and beyond 100 years.
    pub runs_out_on: Option<Day>,
}

/// The credits that a customer had used by some moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub now: Credits,
    pub weeks_4_ago: Credits,
    pub weeks_12_ago: Credits,
}

/// Weeks of the shorter window.
pub const SHORT_WEEKS: i64 = 4;
/// Weeks of the longer one.
pub const LONG_WEEKS: i64 = 12;
const WEEK: i64 = 7 * 86_400 * Timestamp::MICROS_PER_SECOND;
const YEARS_MAX_IN_WEEKS: i64 = 5_200;

impl Forecast {
    /// The moment at which a window begins.
    pub fn begin(now: Timestamp, weeks: i64) -> Timestamp {
        Timestamp::from_micros(now.micros().saturating_sub(WEEK.saturating_mul(weeks)))
    }

    /// Carries the use of the last 4 weeks on, or where there was none in them, that of the last 12. For a customer
    /// who is younger than a window, the window is the customer's age. It is at least a week, so that the use of a
    /// first day is not taken for that of every day.
    pub fn new(balances: Balances, used: Used, created_at: Timestamp, now: Timestamp) -> Self {
        let age = now.micros().saturating_sub(created_at.micros()).max(WEEK);
        let weekly = |before: Credits, weeks: i64| {
            let span = age.min(WEEK.saturating_mul(weeks));
            let units = i128::from(used.now.less_at_least_zero(before).units());
            let scaled = units.checked_mul(i128::from(WEEK)).and_then(|it| it.checked_div(i128::from(span)));
            Credits::from_units(scaled.and_then(|units| i64::try_from(units).ok()).unwrap_or(i64::MAX))
        };
        let weekly_over_4 = weekly(used.weeks_4_ago, SHORT_WEEKS);
        let weekly_over_12 = weekly(used.weeks_12_ago, LONG_WEEKS);
        let weekly = if weekly_over_4.is_positive() { weekly_over_4 } else { weekly_over_12 };
        let left = balances.available.checked_add(balances.held).unwrap_or(Credits::MAX_BALANCE);
        Self {
            weekly_over_4,
            weekly_over_12,
            held: balances.held,
            open_holds: 0,
            runs_out_on: run_out(left, weekly, now),
        }
    }
}

fn run_out(left: Credits, weekly: Credits, now: Timestamp) -> Option<Day> {
    let micros = i128::from(left.units()).checked_mul(i128::from(WEEK))?;
    let micros = micros.checked_div(i128::from(weekly.units()))?;
    let micros =
        i64::try_from(micros).ok().filter(|micros| *micros <= WEEK.saturating_mul(YEARS_MAX_IN_WEEKS))?;
    Some(Timestamp::from_micros(now.micros().checked_add(micros)?).day())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn forecast(left: i64, used: [i64; 3], age_weeks: i64) -> (String, String, Option<i32>) {
        let [now, weeks_4_ago, weeks_12_ago] = used.map(Credits::whole);
        let balances = Balances { available: Credits::whole(left), ..Balances::default() };
        let created_at = Forecast::begin(NOW, age_weeks);
        let used = Used { now, weeks_4_ago, weeks_12_ago };
        let told = Forecast::new(balances, used, created_at, NOW);
        let days = told.runs_out_on.map(|day| day.days().saturating_sub(NOW.day().days()));
        (told.weekly_over_4.to_string(), told.weekly_over_12.to_string(), days)
    }

    #[test]
    fn usage_is_carried_on() {
        let told = |short: &str, long: &str, days| (short.to_owned(), long.to_owned(), days);
        // 8 in 4 weeks are 2 a week: 10 last for 5 weeks.
        assert_eq!(forecast(10, [20, 12, 8], 52), told("2", "1", Some(35)));
        assert_eq!(forecast(10, [20, 20, 8], 52), told("0", "1", Some(70)), "no use lately");
        assert_eq!(forecast(10, [20, 20, 20], 52), told("0", "0", None), "no use at all");
        assert_eq!(forecast(0, [20, 12, 8], 52), told("2", "1", Some(0)), "nothing is left");
        assert_eq!(forecast(12, [6, 0, 0], 2), told("3", "3", Some(28)), "two weeks old");
        assert_eq!(forecast(12, [6, 0, 0], 0), told("6", "6", Some(14)), "of today");
        assert_eq!(forecast(1_000_000, [1, 0, 0], 52).2, None, "longer than anybody looks ahead");
    }
}

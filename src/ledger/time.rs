//! Points in time and calendar days, as plain numbers that the core is given and never asks for.

use super::codec::through;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

through!(Timestamp as i64, |time| time.0, |micros| Some(Self(micros)));

impl Timestamp {
    /// 9999-12-31T23:59:59.999999Z, the latest that a timestamp on the wire can name.
    pub const MAX: Self = Self(253_402_300_799_999_999);
    pub const MICROS_PER_SECOND: i64 = 1_000_000;
    const MICROS_PER_DAY: i64 = 86_400 * Self::MICROS_PER_SECOND;

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This many seconds later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        let micros = seconds.saturating_mul(Self::MICROS_PER_SECOND);
        Self(self.0.saturating_add(micros)).min(Self::MAX)
    }

    /// This many days later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        self.plus_seconds(i64::from(days).saturating_mul(86_400))
    }

    /// The earlier of two moments; where there is only one, that one.
    pub fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// The start of its hour.
    #[must_use]
    pub fn hour(self) -> Self {
        const HOUR: i64 = 3_600 * Timestamp::MICROS_PER_SECOND;
        Self(self.0.saturating_sub(self.0.rem_euclid(HOUR)))
    }

    /// The UTC date.
    pub fn day(self) -> Day {
        let days = self.0.div_euclid(Self::MICROS_PER_DAY);
        Day(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }))
    }
}

/// A UTC calendar day, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

through!(Day as i64, |day| day.0.into(), |days| i32::try_from(days).ok().map(Self));

impl Day {
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    pub const fn days(self) -> i32 {
        self.0
    }

    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        Self(self.0.saturating_add_unsigned(days))
    }

    /// Its beginning in UTC.
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0).saturating_mul(Timestamp::MICROS_PER_DAY))
    }

    /// The first day of its month.
    #[must_use]
    pub fn month(self) -> Self {
        let (_, _, day) = self.civil();
        let before = u32::try_from(day.saturating_sub(1)).unwrap_or(0);
        Self(self.0.saturating_sub_unsigned(before))
    }

    /// The first day of the month after its own.
    #[must_use]
    pub fn next_month(self) -> Self {
        // The next month begins within 31 days, and the one after it does not.
        self.month().plus_days(31).month()
    }

    /// Year, month and day of the Gregorian calendar.
    pub fn civil(self) -> (i64, i64, i64) {
        // Counted from 0000-03-01, so that a leap day ends its year: 146,097 days are 400 years.
        let days = i64::from(self.0).saturating_add(719_468);
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let leaps = day_of_era.div_euclid(1_460).saturating_sub(day_of_era.div_euclid(36_524));
        let leaps = leaps.saturating_add(day_of_era.div_euclid(146_096));
        let year_of_era = day_of_era.saturating_sub(leaps).div_euclid(365);
        let before = year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era.div_euclid(4))
            .saturating_sub(year_of_era.div_euclid(100));
        let day_of_year = day_of_era.saturating_sub(before);
        // March is 0.
        let month = day_of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
        let first = month.saturating_mul(153).saturating_add(2).div_euclid(5);
        let day = day_of_year.saturating_sub(first).saturating_add(1);
        let year = era.saturating_mul(400).saturating_add(year_of_era);
        if month < 10 {
            (year, month.saturating_add(3), day)
        } else {
            (year.saturating_add(1), month.saturating_sub(9), day)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Day;

    #[test]
    fn months_begin_on_their_first_day() {
        // Days since 1970-01-01 of 2024-02-29, 2026-01-31, 2026-12-01 and 2000-02-01, and of what follows.
        for (day, month, next) in [
            (19_782, (2024, 2, 1), (2024, 3, 1)),
            (20_484, (2026, 1, 1), (2026, 2, 1)),
            (20_788, (2026, 12, 1), (2027, 1, 1)),
            (10_988, (2000, 2, 1), (2000, 3, 1)),
        ] {
            let day = Day::from_days(day);
            assert_eq!((day.month().civil(), day.next_month().civil()), (month, next), "{:?}", day.civil());
            assert_eq!(day.start().day(), day);
        }
    }
}

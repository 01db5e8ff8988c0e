//! Numbers, texts, times and money, as fields of wire messages.

use rust_decimal::Decimal;

use crate::ledger::{Day, Money, Timestamp};
use crate::storefront::amounts;

use super::super::wire;

/// A number for a signed field of 64 bits. No number is cut: those of the database are signed too, so ours are never
/// larger.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number for a field of 32 bits: a count whose bound is far below.
pub fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// `None` is an empty text.
pub fn or_empty(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

pub fn time(time: Timestamp) -> prost_types::Timestamp {
    let seconds = time.micros().div_euclid(Timestamp::MICROS_PER_SECOND);
    let micros = time.micros().rem_euclid(Timestamp::MICROS_PER_SECOND);
    // Below 10^9, which fits 32 bits.
    let nanos = i32::try_from(micros.saturating_mul(1_000)).unwrap_or(i32::MAX);
    prost_types::Timestamp { seconds, nanos }
}

/// As [`small`], for numbers that the core counts in 64 bits: seconds of one entry of work, a schema's version.
pub fn short(seconds: u64) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

pub fn day(day: Day) -> wire::Date {
    let (year, month, day) = day.civil();
    // Days are counted in 32 bits, so a year has fewer than 24.
    let part = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    wire::Date { year: part(year), month: part(month), day: part(day) }
}

/// An amount of money, with all the digits of its currency.
pub fn money(money: &Money) -> wire::Money {
    let code = money.currency.as_str();
    // Money is read only in currencies whose digits are known. ISO 4217 also keeps withdrawn currencies.
    let digits = amounts::digits(code).unwrap_or(0);
    let amount = Decimal::new(money.minor_units, digits).to_string();
    wire::Money { currency_code: code.to_owned(), amount }
}

/// Texts of ids.
pub fn names(ids: &[impl ToString]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Currency;

    #[test]
    fn money_shows_all_digits() {
        let shown = |code, minor_units| {
            money(&Money { currency: Currency::parse(code).unwrap(), minor_units }).amount
        };
        assert_eq!(shown("EUR", 1_990), "19.90");
        assert_eq!(shown("EUR", 5), "0.05");
        assert_eq!(shown("JPY", 1_500), "1500");
        assert_eq!(shown("KWD", 1_001), "1.001");
        assert_eq!((shown("EUR", -5), shown("JPY", -7)), ("-0.05".to_owned(), "-7".to_owned()));
    }

    #[test]
    fn days_and_times_are_shown_in_utc() {
        assert_eq!(day(Day::from_days(-1)), wire::Date { year: 1969, month: 12, day: 31 });
        assert_eq!(day(Day::from_days(20_778)), wire::Date { year: 2026, month: 11, day: 21 });
        let before = time(Timestamp::from_micros(-1));
        assert_eq!((before.seconds, before.nanos), (-1, 999_999_000));
    }
}

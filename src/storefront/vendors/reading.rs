//! Values of payloads: ids, times, counts and amounts, and how a sum of money is shared.

use std::cell::Cell;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

use super::Unreadable;
use crate::ledger::rounding::half_up;
use crate::ledger::{Currency, OpenText, Text, Timestamp};
use crate::storefront::amounts;
use crate::storefront::json::{cut, text};

/// The longest id that is read, in bytes.
const ID_BYTES_MAX: usize = 255;
/// The most whole units of a currency in one amount, and the most units of a product in a line.
const WHOLE_MAX: i64 = 1_000_000_000_000;
const QUANTITY_MAX: u64 = 1_000_000_000;

/// An id that the vendor gave.
pub(super) fn id(value: Option<&Value>, what: &str) -> Result<OpenText, Unreadable> {
    let id = text(value);
    if id.is_empty() {
        return Err(Unreadable(format!("{what} is missing")));
    }
    is_id(&id)
        .then(|| OpenText(cut(&id)))
        .ok_or_else(|| Unreadable(format!("{what} is longer than 255 bytes, or has control characters")))
}

/// The ids at these fields by which a product may be mapped. An id that is `0` names nothing.
pub(super) fn products(value: &Value, fields: [&str; 3]) -> Vec<OpenText> {
    let ids = fields.iter().map(|field| text(value.get(field)));
    ids.filter(|id| is_id(id) && id != "0").map(|id| OpenText(cut(&id))).collect()
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control)
}

/// A list with at most `max` entries.
pub(super) fn list<'a>(value: &'a Value, field: &str, max: usize) -> Result<&'a [Value], Unreadable> {
    let list = value.get(field).and_then(Value::as_array);
    let list = list.ok_or_else(|| Unreadable(format!("{field} is no list")))?;
    if list.len() > max {
        return Err(Unreadable(format!("{field} has more than {max} entries")));
    }
    Ok(list)
}

/// The entries of a list inside a part of an order; none where it is left out.
pub(super) fn entries<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// A time after RFC 3339; one without a zone is in UTC.
pub(super) fn time(value: Option<&Value>) -> Option<Timestamp> {
    let text = text(value);
    let time = text.parse::<jiff::Timestamp>().or_else(|_| format!("{text}Z").parse()).ok()?;
    Some(Timestamp::from_micros(time.as_microsecond()))
}

/// A whole number that is at least 0: `2`, `2.0` or `"2"`.
pub(super) fn count(value: Option<&Value>) -> Option<u64> {
    let number = decimal(value)?.normalize();
    if number.scale() > 0 {
        return None;
    }
    u64::try_from(number.mantissa()).ok().filter(|count| *count <= QUANTITY_MAX)
}

/// A plain decimal number, as a text or a number.
pub(super) fn decimal(value: Option<&Value>) -> Option<Decimal> {
    let text = text(value);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    let number = if is_plain { text.parse::<Decimal>().ok()? } else { return None };
    (number.abs() <= Decimal::from(WHOLE_MAX)).then_some(number)
}

/// True where nothing is told: the field is left out, `null` or empty.
pub(super) fn is_silent(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()))
}

/// What goes wrong first while a part of an order is read; the reader goes on with a harmless value.
#[derive(Default)]
pub(super) struct Problem(Cell<Option<String>>);

impl Problem {
    pub fn say(&self, problem: impl Into<String>) {
        let first = self.0.take().unwrap_or_else(|| problem.into());
        self.0.set(Some(first));
    }

    /// The value, or a default that the problem keeps from being used.
    pub fn or_say<T: Default>(&self, value: Option<T>, problem: impl FnOnce() -> String) -> T {
        value.unwrap_or_else(|| {
            self.say(problem());
            T::default()
        })
    }

    pub fn is_none(&self) -> bool {
        let problem = self.0.take();
        let is_none = problem.is_none();
        self.0.set(problem);
        is_none
    }

    pub fn text(self) -> Text {
        self.0.take().map_or(Text::EMPTY, |problem| cut(&problem))
    }
}

/// The currency of a shop, with what ISO 4217 says of its digits.
pub(super) struct Scale {
    pub currency: Currency,
    digits: u32,
    rounded: Cell<bool>,
}

impl Scale {
    pub fn of(code: &str) -> Option<Self> {
        let code = code.to_ascii_uppercase();
        let digits = amounts::digits(&code)?;
        Some(Self { currency: Currency::parse(&code)?, digits, rounded: Cell::new(false) })
    }

    pub fn is(&self, code: &str) -> bool {
        self.currency.as_str().eq_ignore_ascii_case(code)
    }

    /// An amount in the smallest unit, rounded half up.
    pub fn units(&self, amount: Decimal) -> Option<i64> {
        if amount.abs() > Decimal::from(WHOLE_MAX) {
            return None;
        }
        let rounded = amount.round_dp_with_strategy(self.digits, RoundingStrategy::MidpointAwayFromZero);
        if rounded != amount {
            self.rounded.set(true);
        }
        let mut units = rounded;
        units.rescale(self.digits);
        i64::try_from(units.mantissa()).ok()
    }

    /// The amount of a value; `None` where it is no amount.
    pub fn amount(&self, value: Option<&Value>) -> Option<i64> {
        self.units(decimal(value)?)
    }

    /// The amount of a value that may be left out, which is 0.
    pub fn amount_or_zero(&self, value: Option<&Value>) -> Option<i64> {
        if is_silent(value) { Some(0) } else { self.amount(value) }
    }

    /// Tells people of amounts that were rounded.
    pub fn note(&self) -> Text {
        if self.rounded.get() {
            cut(&format!("amounts with more digits than {} has were rounded half up", self.currency))
        } else {
            Text::EMPTY
        }
    }

    /// The amount for people.
    pub fn shown(&self, units: i64) -> String {
        format!("{} {}", Decimal::new(units, self.digits), self.currency)
    }
}

/// `amount x part / whole`, rounded half up; 0 where the whole is 0. All are at least 0.
pub(super) fn share(amount: i64, part: i64, whole: i64) -> i64 {
    let product = i128::from(amount).saturating_mul(i128::from(part));
    half_up(product, i128::from(whole)).unwrap_or(0)
}

/// Shares a sum in proportion to weights: the parts add up to it. Nothing where all weights are 0.
pub(super) fn shares(sum: i64, weights: &[i64]) -> Vec<i64> {
    let whole = weights.iter().fold(0_i64, |whole, weight| whole.saturating_add(*weight));
    let mut weight_before = 0_i64;
    let mut given = 0_i64;
    let next = weights.iter().map(|weight| {
        weight_before = weight_before.saturating_add(*weight);
        let all = share(sum, weight_before, whole);
        let part = all.saturating_sub(given);
        given = all;
        part
    });
    next.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_whole_however_they_are_written() {
        for (value, read) in [
            (json!(2), Some(2)),
            (json!("2"), Some(2)),
            (json!(2.0), Some(2)),
            (json!("2.00"), Some(2)),
            (json!(0), Some(0)),
            (json!(1.5), None),
            (json!("1.5"), None),
            (json!(-1), None),
            (json!("-"), None),
            (json!("1e3"), None),
            (json!(1e300), None),
            (json!(null), None),
            (json!("two"), None),
            (json!([2]), None),
        ] {
            assert_eq!(count(Some(&value)), read, "{value}");
        }
    }

    #[test]
    fn amounts_are_rounded_half_up_with_a_note() {
        for (value, units, is_rounded) in [
            (json!("19.9912"), Some(1_999), true),
            (json!("19.995"), Some(2_000), true),
            (json!("-0.005"), Some(-1), true),
            (json!("19.9900"), Some(1_999), false),
            (json!(10.99), Some(1_099), false),
            (json!("1000000000000.01"), None, false),
            (json!("1,50"), None, false),
            (json!("."), None, false),
            (json!(""), None, false),
        ] {
            let scale = Scale::of("eur").unwrap();
            assert_eq!(scale.amount(Some(&value)), units, "{value}");
            assert_eq!(!scale.note().as_str().is_empty(), is_rounded, "{value}");
        }
        assert_eq!(Scale::of("JPY").unwrap().amount(Some(&json!("1500.00"))), Some(1_500));
        assert!(Scale::of("ZZZ").is_none());
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(shares(100, &[1, 1, 1]), [33, 34, 33]);
        assert_eq!(shares(500, &[2_000, 0]), [500, 0]);
        assert_eq!(shares(500, &[0, 0]), [0, 0]);
        assert_eq!(shares(0, &[]), [0; 0]);
    }

    #[test]
    fn times_have_a_zone_or_are_utc() {
        let micros = |text: &str| time(Some(&json!(text))).map(Timestamp::micros);
        assert_eq!(micros("1970-01-01T01:00:01+01:00"), Some(1_000_000));
        assert_eq!(micros("1970-01-01T00:00:01"), Some(1_000_000));
        assert_eq!((micros(""), micros("yesterday"), micros("2026-11-28")), (None, None, None));
    }
}

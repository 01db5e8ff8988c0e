//! The unit of the ledger: credits, counted in ten-thousandths, never a float.

use std::fmt;

use rust_decimal::Decimal;

use super::codec::through;

/// An amount of credits: a signed count of ten-thousandths.
///
/// A command carries at most [`Credits::MAX_PER_COMMAND`]; a balance never exceeds [`Credits::MAX_BALANCE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

through!(Credits as i64, |credits| credits.0, |units| Some(Self(units)), Self::ZERO);

/// Why a text is not an amount of credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCreditsError {
    #[error("must not be empty")]
    Empty,
    /// Something other than digits, one point and (where allowed) a leading minus.
    #[error("must be a decimal number such as 2.5, without exponent, spaces or plus sign")]
    NotDecimal,
    /// More than four digits after the point.
    #[error("must have at most 4 fractional digits")]
    TooPrecise,
    #[error("must be at most 1000000000")]
    TooLarge,
}

impl Credits {
    pub const ZERO: Self = Self(0);
    const SCALE: u32 = 4;
    /// Ten-thousandths in one credit.
    pub const UNITS_PER_CREDIT: i64 = 10_000;
    /// The most that one command may name: 1,000,000,000 credits.
    pub const MAX_PER_COMMAND: Self = Self(1_000_000_000 * Self::UNITS_PER_CREDIT);
    /// The most that one customer's account may hold: 100,000,000,000 credits. It leaves room for the sums over all
    /// customers in the same 64 bits.
    pub const MAX_BALANCE: Self = Self(100_000_000_000 * Self::UNITS_PER_CREDIT);

    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// The count of ten-thousandths.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// Whole credits, for constants and tests.
    ///
    /// # Panics
    /// At compile time or in tests, when the amount does not fit 64 bits.
    #[allow(clippy::arithmetic_side_effects)] // a constant's overflow is a compile error
    pub const fn whole(credits: i64) -> Self {
        Self(credits * Self::UNITS_PER_CREDIT)
    }

    /// Reads a decimal such as `2.5`; a leading minus is read too, callers decide whether a negative is legal.
    pub fn parse(text: &str) -> Result<Self, ParseCreditsError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let units = parse_units(digits, Self::SCALE, Self::MAX_PER_COMMAND.0)?;
        Ok(Self(if negative { units.saturating_neg() } else { units }))
    }

    /// The sum, unless it leaves 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, unless it leaves 64 bits.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, or zero where it would be negative.
    #[must_use]
    pub fn less_at_least_zero(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    #[must_use]
    pub const fn negated(self) -> Self {
        // The least 64-bit number has no opposite; no amount comes near it.
        Self(self.0.saturating_neg())
    }

    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Reads unsigned decimal `digits` with at most `scale` fractional digits into units of 10^-`scale`, at most `max`.
///
/// Shared by credits and money, so that both accept and refuse the same texts.
pub fn parse_units(digits: &str, scale: u32, max: i64) -> Result<i64, ParseCreditsError> {
    if digits.is_empty() {
        return Err(ParseCreditsError::Empty);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let has_point = whole.len() != digits.len();
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || (has_point && fraction.is_empty()) {
        return Err(ParseCreditsError::NotDecimal);
    }
    if fraction.len() > usize::try_from(scale).unwrap_or(usize::MAX) {
        return Err(ParseCreditsError::TooPrecise);
    }
    let decimal = Decimal::from_str_exact(digits).map_err(|_| ParseCreditsError::TooLarge)?;
    // The bound is checked before the scale is raised, which drops digits where there is no room for more.
    if decimal > Decimal::new(max, scale) {
        return Err(ParseCreditsError::TooLarge);
    }
    let mut units = decimal;
    units.rescale(scale);
    i64::try_from(units.mantissa()).map_err(|_| ParseCreditsError::TooLarge)
}

impl fmt::Display for Credits {
    /// The shortest decimal: `2.5`, `1`, `-0.0001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every answer shows a dozen amounts, so they are written by hand and not through `Decimal`. The digits are
        // written from the last place to the first: at most 15, the point and 4.
        let mut text = [0; 20];
        let mut rest = self.0.unsigned_abs();
        for (place, byte) in (0..).zip(text.iter_mut().rev()) {
            *byte = if place == Self::SCALE {
                b'.'
            } else if place > Self::SCALE.saturating_add(1) && rest == 0 {
                break;
            } else {
                let digit = u8::try_from(rest.rem_euclid(10)).map_err(|_| fmt::Error)?;
                rest = rest.div_euclid(10);
                b'0' | digit
            };
        }
        let text = str::from_utf8(&text).map_err(|_| fmt::Error)?;
        let shown = text.trim_start_matches('\0').trim_end_matches('0').trim_end_matches('.');
        f.pad_integral(self.0 >= 0, "", shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_shortest_decimal() {
        let around = [0, 1, 9, 10, 100, 999, 1_000, 1_010, 9_999, 10_000, 10_001, 25_000, i64::MAX];
        for units in around.iter().flat_map(|units| [*units, -units]).chain([i64::MIN]) {
            let decimal = Decimal::new(units, Credits::SCALE).normalize();
            assert_eq!(Credits::from_units(units).to_string(), decimal.to_string());
            assert_eq!(format!("{:>9}", Credits::from_units(units)), format!("{decimal:>9}"));
        }
    }

    #[test]
    fn reads_and_writes_decimals() {
        for (text, units, shown) in [
            ("0", 0, "0"),
            ("2.5", 25_000, "2.5"),
            ("1.50", 15_000, "1.5"),
            ("0.0001", 1, "0.0001"),
            ("-3.25", -32_500, "-3.25"),
            ("007", 70_000, "7"),
            ("1000000000", 10_000_000_000_000, "1000000000"),
        ] {
            let credits = Credits::parse(text).unwrap();
            assert_eq!(credits.units(), units, "{text}");
            assert_eq!(credits.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_decimal() {
        use ParseCreditsError::{Empty, NotDecimal, TooLarge, TooPrecise};
        for (text, error) in [
            ("", Empty),
            ("-", Empty),
            ("1e3", NotDecimal),
            ("NaN", NotDecimal),
            (" 1", NotDecimal),
            ("1 ", NotDecimal),
            ("+1", NotDecimal),
            ("--1", NotDecimal),
            (".5", NotDecimal),
            ("1.", NotDecimal),
            ("1.2.3", NotDecimal),
            ("1,5", NotDecimal),
            ("٣", NotDecimal),
            ("1.00001", TooPrecise),
            ("1.0000000000000000000000000000000000001", TooPrecise),
            ("1000000000.0001", TooLarge),
            ("99999999999999999999999999", TooLarge),
            ("99999999999999999999999999999999999999999999999", TooLarge),
            ("9223372036854775808", TooLarge),
        ] {
            assert_eq!(Credits::parse(text), Err(error), "{text:?}");
        }
    }
}

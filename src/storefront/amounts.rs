//! Amounts of money as text, with the digits that ISO 4217 gives each currency.

use rust_decimal::Decimal;

use crate::ledger::credits::{ParseCreditsError, parse_units};
use crate::ledger::{Currency, Money};

/// The most whole units of a currency in one amount.
const WHOLE_MAX: i64 = 1_000_000_000_000;

/// How many digits a currency has behind the point; `None` for an unknown code.
pub fn digits(code: &str) -> Option<u32> {
    iso_currency::Currency::from_code(code).and_then(|known| known.exponent()).map(u32::from)
}

/// Reads a decimal amount of at least 0 and at most 10^12 whole units, in at most the currency's digits, as its smallest units.
///
/// # Errors
/// What is wrong with it, continuing "`amount` ...".
pub fn minor_units(text: &str, digits: u32) -> Result<i64, String> {
    let max = WHOLE_MAX.saturating_mul(10_i64.saturating_pow(digits));
    parse_units(text, digits, max).map_err(|error| match error {
        ParseCreditsError::TooPrecise => format!("must have at most {digits} fractional digits"),
        ParseCreditsError::TooLarge => format!("must be at most {WHOLE_MAX}"),
        ParseCreditsError::Empty | ParseCreditsError::NotDecimal => error.to_string(),
    })
}

/// An amount for people: `19.90 EUR`.
pub fn shown(money: Money) -> String {
    let digits = digits(money.currency.as_str()).unwrap_or(0);
    format!("{} {}", Decimal::new(money.minor_units, digits), money.currency)
}

/// An amount, of either sign, in the smallest unit as Stripe counts it
/// (<https://docs.stripe.com/currencies#special-cases>), which is not always the one of ISO 4217; and whether it had to be
/// rounded (half up).
pub(super) fn stripe(code: &str, amount: i64) -> Option<(Money, bool)> {
    let code = code.to_ascii_uppercase();
    digits(&code)?;
    let currency = Currency::parse(&code)?;
    let (minor_units, is_rounded) = match code.as_str() {
        // ISO 4217 gives it no digits, but Stripe counts it in hundredths.
        "ISK" | "UGX" => (amount.checked_add(50)?.div_euclid(100), amount.rem_euclid(100) != 0),
        // ISO 4217 gives it two digits, but Stripe counts it in wholes.
        "MGA" => (amount.checked_mul(100)?, false),
        _ => (amount, false),
    };
    Some((Money { currency, minor_units }, is_rounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_with_the_digits_of_their_currency() {
        let shown =
            |code, minor_units| shown(Money { currency: Currency::parse(code).unwrap(), minor_units });
        assert_eq!((shown("EUR", 1_990).as_str(), shown("JPY", 1_500).as_str()), ("19.90 EUR", "1500 JPY"));
    }

    #[test]
    fn stripe_counts_some_currencies_in_its_own_way() {
        let read =
            |code, amount| stripe(code, amount).map(|(money, is_rounded)| (money.minor_units, is_rounded));
        assert_eq!((read("usd", 1_990), read("jpy", 1_500)), (Some((1_990, false)), Some((1_500, false))));
        assert_eq!((read("isk", 50_000), read("isk", 50)), (Some((500, false)), Some((1, true))));
        assert_eq!((read("mga", 5), read("xxz", 5)), (Some((500, false)), None));
        assert_eq!(read("usd", -1), Some((-1, false)));
    }
}

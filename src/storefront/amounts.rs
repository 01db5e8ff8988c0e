//! Amounts of money as text, with the digits that ISO 4217 gives each currency.

use crate::ledger::credits::{ParseCreditsError, parse_units};
use crate::ledger::{Currency, Money};

/// The most whole units of a currency in one amount.
const WHOLE_MAX: i64 = 1_000_000_000_000;

/// How many digits a currency has behind the point; `None` for an unknown code.
pub fn digits(code: &str) -> Option<u32> {
    iso_currency::Currency::from_code(code).and_then(|known| known.exponent()).map(u32::from)
}

/// Reads a decimal amount, in at most the currency's digits, as its smallest units.
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

/// An amount as storefronts write it: extra zeros behind the currency's digits are ignored, and a code may be in lower
/// case.
pub(super) fn lenient(code: &str, amount: &str) -> Option<Money> {
    let code = code.to_ascii_uppercase();
    let digits = digits(&code)?;
    let kept = amount.split_once('.').map_or(amount, |(whole, fraction)| {
        let behind = usize::try_from(digits).unwrap_or(usize::MAX);
        let is_exact = fraction.bytes().skip(behind).all(|byte| byte == b'0');
        let length = whole.len().saturating_add(if behind == 0 { 0 } else { behind.saturating_add(1) });
        if is_exact { amount.get(..length).unwrap_or(amount) } else { amount }
    });
    Some(Money { currency: Currency::parse(&code)?, minor_units: minor_units(kept, digits).ok()? })
}

/// An amount in the smallest unit as Stripe counts it (<https://docs.stripe.com/currencies#special-cases>), which is
/// not always the one of ISO 4217.
pub(super) fn stripe(code: &str, amount: i64) -> Option<Money> {
    let code = code.to_ascii_uppercase();
    digits(&code)?;
    let currency = Currency::parse(&code)?;
    let minor_units = match code.as_str() {
        // ISO 4217 gives it no digits, but Stripe counts it in hundredths.
        "ISK" | "UGX" => (amount.rem_euclid(100) == 0).then(|| amount.div_euclid(100))?,
        // ISO 4217 gives it two digits, but Stripe counts it in wholes.
        "MGA" => amount.checked_mul(100)?,
        _ => amount,
    };
    (minor_units >= 0).then_some(Money { currency, minor_units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storefronts_write_more_zeros_than_a_currency_has() {
        let read = |code, amount| lenient(code, amount).map(|money| money.minor_units);
        assert_eq!(read("EUR", "19.90"), Some(1_990));
        assert_eq!(read("eur", "19.9"), Some(1_990));
        assert_eq!(read("EUR", "19.9000"), Some(1_990));
        assert_eq!(read("JPY", "1500.00"), Some(1_500));
        assert_eq!(read("KWD", "1.001"), Some(1_001));
        for (code, amount) in [("EUR", "19.901"), ("JPY", "1.5"), ("ZZZ", "1"), ("EUR", "-1"), ("EUR", "")] {
            assert_eq!(read(code, amount), None, "{code} {amount}");
        }
    }

    #[test]
    fn stripe_counts_some_currencies_in_its_own_way() {
        let read = |code, amount| stripe(code, amount).map(|money| money.minor_units);
        assert_eq!((read("usd", 1_990), read("jpy", 1_500)), (Some(1_990), Some(1_500)));
        assert_eq!((read("isk", 50_000), read("isk", 50)), (Some(500), None));
        assert_eq!((read("mga", 5), read("xxz", 5), read("usd", -1)), (Some(500), None, None));
    }
}

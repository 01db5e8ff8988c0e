//! Reads the values of arguments that have a form of their own.

use crate::grpc::wire;
use crate::ledger::credits::parse_units;

/// Reads a time, or a day, which stands for its beginning in UTC.
pub fn moment(text: &str) -> Result<prost_types::Timestamp, String> {
    let time = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    time.parse()
        .map_err(|_| "a day such as 2026-01-01 or a time such as 2026-01-01T12:00:00Z is needed".to_owned())
}

/// Reads a day. The server checks that the calendar has it.
pub(super) fn date(text: &str) -> Result<wire::Date, String> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse().ok());
    match [(); 3].map(|()| parts.next().flatten()) {
        [Some(year), Some(month), Some(day)] => Ok(wire::Date { year, month, day }),
        _ => Err("a day such as 2026-01-31 is needed".to_owned()),
    }
}

/// Reads minutes, whole or decimal, as seconds.
pub fn seconds(minutes: &str) -> Result<i32, String> {
    const DIGITS: u32 = 4;
    const PER_MINUTE: i64 = 10_i64.pow(DIGITS);
    // 366 days, the most that the server takes.
    const MINUTES_MAX: i64 = 527_040;
    let seconds = parse_units(minutes, DIGITS, MINUTES_MAX.saturating_mul(PER_MINUTE))
        .ok()
        .map(|units| units.saturating_mul(60))
        .filter(|units| units.rem_euclid(PER_MINUTE) == 0)
        .and_then(|units| i32::try_from(units.div_euclid(PER_MINUTE)).ok());
    seconds.ok_or_else(|| {
        format!("minutes such as 45 or 1.5 are needed, from 0 to {MINUTES_MAX}, that come to whole seconds")
    })
}

/// Reads an amount of money, such as `49.90 EUR`.
pub(super) fn money(text: &str) -> Result<wire::Money, String> {
    let (amount, currency) =
        text.split_once(' ').ok_or("an amount and a currency code such as \"49.90 EUR\" are needed")?;
    Ok(wire::Money { currency_code: currency.to_owned(), amount: amount.to_owned() })
}

/// Reads the state of a hold, such as `awaiting-credits`.
pub(super) fn hold_state(text: &str) -> Result<wire::HoldState, String> {
    let name = format!("HOLD_STATE_{}", text.to_ascii_uppercase().replace('-', "_"));
    wire::HoldState::from_str_name(&name)
        .ok_or_else(|| "a state such as quoted, awaiting-credits, active or settled is needed".to_owned())
}

/// Reads a threshold, `5` or `20%`. The server checks the number.
pub(super) fn threshold(text: &str) -> Result<wire::BalanceThreshold, String> {
    use wire::balance_threshold::Threshold;
    let threshold = match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.parse().map_err(|_| "whole percents such as 20% are needed")?;
            Threshold::PercentOfLastPurchase(percent)
        }
        None => Threshold::Credits(text.to_owned()),
    };
    Ok(wire::BalanceThreshold { threshold: Some(threshold) })
}

/// Reads the type of an event, such as `balance.low`.
pub(super) fn event_type(name: &str) -> Result<wire::EventType, String> {
    let wire_name = format!("EVENT_TYPE_{}", name.replacen('.', "_", 1).to_ascii_uppercase());
    let known = wire::EventType::from_str_name(&wire_name);
    known
        .filter(|known| *known != wire::EventType::Unspecified && name.contains('.'))
        .ok_or_else(|| "a type of event such as balance.low or hold.quoted is needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::EventType as Known;

    #[test]
    fn minutes_come_to_whole_seconds() {
        for (minutes, expected) in [("45", 2_700), ("1.5", 90), ("0.05", 3), ("0", 0), ("527040", 31_622_400)]
        {
            assert_eq!(seconds(minutes), Ok(expected), "{minutes}");
        }
        for bad in ["", "-1", "1e3", "0.01", "1.00001", "527040.1", "an hour"] {
            assert!(seconds(bad).unwrap_err().contains("whole seconds"), "{bad}");
        }
    }

    #[test]
    fn types_have_the_names_of_the_core() {
        for known in Known::ALL {
            assert_eq!(event_type(known.name()).map(i32::from), Ok(known.code().into()));
        }
        for bad in ["", "balance", "balance_low", "BALANCE.LOWER", "unspecified", "balance.low.er"] {
            assert!(event_type(bad).is_err(), "{bad}");
        }
        assert_eq!(event_type("hold.nearly_used"), Ok(wire::EventType::HoldNearlyUsed));
    }
}

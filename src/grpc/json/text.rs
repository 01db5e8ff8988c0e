//! Values that JSON writes as texts: times, durations, field masks, and numbers in quotes.

use prost_types::{Duration, Timestamp};

/// A time of RFC 3339 with `Z` or an offset, such as `2026-01-31T12:00:00.5+01:00`. The form is checked exactly, so
/// that a 60th second is not read as the 59th.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let is_shaped = |shape: &[u8], bytes: &[u8]| {
        bytes.len() == shape.len()
            && shape.iter().zip(bytes).all(|(shape, byte)| match shape {
                b'0' => byte.is_ascii_digit(),
                b'5' => (b'0'..=b'5').contains(byte),
                b'+' => matches!(byte, b'+' | b'-'),
                other => byte == other,
            })
    };
    let (moment, rest) = bytes.split_at_checked(19)?;
    let rest = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            rest.get(digits..)?
        }
        None => rest,
    };
    if !is_shaped(b"0000-00-00T00:50:50", moment) || !(rest == b"Z" || is_shaped(b"+00:50", rest)) {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    Some(Timestamp { seconds, nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()? })
}

/// Seconds with up to nine decimals and an `s`, such as `1.5s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |number| (true, number));
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: i32 = format!("{decimals:0<9}").parse().ok()?;
    Some(if negative { Duration { seconds: -seconds, nanos: -nanos } } else { Duration { seconds, nanos } })
}

/// The paths of a mask, each as in the proto: `productPurchaseDate` and `product_purchase_date` are the same.
pub(super) fn paths(text: &str) -> Vec<String> {
    let snake = |path: &str| {
        let mut snake = String::new();
        for c in path.chars() {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
        snake
    };
    if text.is_empty() { Vec::new() } else { text.split(',').map(snake).collect() }
}

/// A path of a mask in the form of JSON.
pub(super) fn camel(path: &str) -> String {
    let mut camel = String::new();
    let mut upper = false;
    for c in path.chars() {
        if c == '_' {
            upper = true;
        } else {
            camel.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    camel
}

/// A number in quotes.
pub(super) fn quoted_number(text: &str) -> Option<i64> {
    // The grammar of JSON: no plus, no leading zeros. Space around it does not belong to the number.
    let number: serde_json::Number = serde_json::from_str(text).ok()?;
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return None;
    }
    number.as_i64().or_else(|| whole(number.as_f64()?))
}

/// A number with a point or an exponent, if it is whole and a double represents it exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let is_exact = number.fract() == 0.0 && number.abs() < EXACT_MAX;
    is_exact.then(|| format!("{number:.0}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_exact_form() {
        let read = |text| time(text).map(|time| (time.seconds, time.nanos));
        assert_eq!(read("1970-01-01T00:00:01Z"), Some((1, 0)));
        assert_eq!(read("1970-01-01T01:00:01.5+01:00"), Some((1, 500_000_000)));
        assert_eq!(read("1969-12-31T23:59:59.999999999Z"), Some((-1, 999_999_999)));
        assert_eq!(read("0001-01-01T00:00:00Z"), Some((-62_135_596_800, 0)));
        for bad in [
            "",
            "now",
            "1970-01-01",
            "1970-01-01T00:00:01",
            "1970-01-01 00:00:01Z",
            "1970-01-01t00:00:01Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T24:00:00Z",
            "1970-02-30T00:00:00Z",
            "1970-01-01T00:00:01.Z",
            "1970-01-01T00:00:01.0123456789Z",
            "1970-01-01T00:00:01Z ",
            "1970-01-01T00:00:01+1:00",
            "11970-01-01T00:00:01Z",
            "1970-01-01T00:00:01Z[UTC]",
            "1970-01-01T00:00:01é",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_numbers_and_masks_are_read_exactly() {
        let read = |text| duration(text).map(|duration| (duration.seconds, duration.nanos));
        assert_eq!(read("1.5s"), Some((1, 500_000_000)));
        assert_eq!(read("-0.000000001s"), Some((0, -1)));
        for bad in ["", "s", "1", "1.s", ".5s", "+1s", "1.0000000000s", "1e3s", "99999999999999999999s"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(quoted_number("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(quoted_number("1e3"), Some(1_000));
        for bad in ["", " 1", "1 ", "+1", "01", "0x1", "1.5", "9223372036854775808", "1e300", "NaN", "1,5"] {
            assert_eq!(quoted_number(bad), None, "{bad}");
        }
        assert_eq!(whole(-3.0), Some(-3));
        assert_eq!(whole(9.3e15), None);
        assert_eq!(paths("name,terms.productPurchaseDate"), ["name", "terms.product_purchase_date"]);
        assert_eq!(paths("terms.product_purchase_date"), ["terms.product_purchase_date"]);
        assert_eq!(camel("terms.product_purchase_date"), "terms.productPurchaseDate");
        assert!(paths("").is_empty());
    }
}

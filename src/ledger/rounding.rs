//! Rounding to the nearest whole number, for prices and for shares of money.

/// `numerator / denominator` to the nearest whole number, halves up. Both are at least zero. `None` where the
/// denominator is zero or the result leaves 64 bits.
pub fn half_up(numerator: i128, denominator: i128) -> Option<i64> {
    let doubled = numerator.checked_mul(2)?.checked_add(denominator)?;
    i64::try_from(doubled.checked_div(denominator.checked_mul(2)?)?).ok()
}

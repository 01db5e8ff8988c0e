//! Bars of characters, for figures that are easier to compare by eye.

/// A bar in eighths of a character. The bar of `largest` would be `length` characters long.
pub(super) fn bar(value: u128, largest: u128, length: u128) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = value.saturating_mul(length).saturating_mul(8).div_euclid(largest.max(1));
    let (whole, part) = (eighths.div_euclid(8), eighths.rem_euclid(8));
    let part = usize::try_from(part).ok().and_then(|part| EIGHTHS.get(part)).copied().unwrap_or_default();
    format!("{}{part}", "█".repeat(usize::try_from(whole).unwrap_or_default()))
}

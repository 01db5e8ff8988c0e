//! A row of bars for each figure of the growth, to show at a glance where it bends.

use std::fmt::Write as _;

use crate::app::chart::bar;

/// The length of the longest bar.
const BAR_MAX: u128 = 40;

/// Plots one figure. Each step has a label, a value, and the value as text.
pub(super) fn plot(title: &str, steps: &[(String, u64, String)]) -> String {
    let largest = steps.iter().map(|(_, value, _)| *value).max().unwrap_or_default();
    let width = |of: fn(&(String, u64, String)) -> &String| {
        steps.iter().map(|step| of(step).chars().count()).max().unwrap_or_default()
    };
    let (labels, values) = (width(|step| &step.0), width(|step| &step.2));
    let mut text = format!("{title}\n");
    for (label, value, shown) in steps {
        let bar = bar((*value).into(), largest.into(), BAR_MAX);
        let line = format!("  {label:>labels$}  {shown:>values$}  {bar}");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_has_the_longest_bar() {
        let steps = [("1".to_owned(), 0, "0".to_owned()), ("10".to_owned(), 20, "20".to_owned())];
        assert_eq!(plot("holds/s", &steps), format!("holds/s\n   1   0\n  10  20  {}\n", "█".repeat(40)));
    }
}

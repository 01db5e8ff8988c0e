//! The summary of a replay, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::drive::Tally;
use super::totals::Totals;
use crate::app::chart;
use crate::app::failure::Failure;
use crate::ledger::{ClassId, Credits};

/// Classes in the chart. The other classes share one more bar.
const CLASSES_SHOWN: usize = 12;
/// The length of the longest bar.
const BAR_MAX: u128 = 40;
/// The most refusals that are shown.
const REFUSED_SHOWN: usize = 5;

/// The numbers of a replay.
#[derive(Clone, Debug)]
pub struct Summary {
    incidents: usize,
    settled: usize,
    totals: Totals,
    charged: Credits,
    written_off: Credits,
    by_class: Vec<(String, Credits)>,
    refused: BTreeMap<String, String>,
    calls: u64,
    elapsed: Duration,
    p50_us: u64,
    p99_us: u64,
    verified: bool,
    verdict: String,
}

impl Summary {
    /// From the numbers counted during the replay and the server's totals.
    ///
    /// # Errors
    /// [`Failure`] where the sum of charges overflows: a wrong number would be worse than none.
    pub fn new(
        incidents: usize,
        tally: Tally,
        totals: Totals,
        answered_us: &Histogram<u64>,
        elapsed: Duration,
    ) -> Result<Self, Failure> {
        let Tally { settled, charged: by_class, written_off, refused } = tally;
        Ok(Self {
            incidents,
            settled,
            totals,
            charged: sum(by_class.values())?,
            written_off,
            by_class: chart(by_class)?,
            refused,
            calls: answered_us.len(),
            elapsed,
            p50_us: answered_us.value_at_quantile(0.5),
            p99_us: answered_us.value_at_quantile(0.99),
            verified: false,
            verdict: "not run".to_owned(),
        })
    }

    /// Adds the result of the check of the book.
    #[must_use]
    pub fn verified(mut self, verified: bool, verdict: String) -> Self {
        self.verified = verified;
        self.verdict = verdict;
        self
    }

    /// True if every incident is settled and the book is right.
    pub const fn is_good(&self) -> bool {
        self.verified && self.settled == self.incidents
    }

    /// One JSON object, amounts of credits as decimal strings.
    pub fn json(&self) -> Value {
        json!({
            "incidents": self.incidents,
            "purchases": self.totals.purchases,
            "credits_purchased": self.totals.purchased.to_string(),
            "credits_charged": self.charged.to_string(),
            "credits_written_off": self.written_off.to_string(),
            "credits_available": self.totals.available.to_string(),
            "calls": self.calls,
            "calls_per_second": self.calls_per_second(),
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "verified": self.verified,
        })
    }

    fn calls_per_second(&self) -> u64 {
        let micros = self.elapsed.as_micros().max(1);
        let rate = u128::from(self.calls).saturating_mul(1_000_000).div_euclid(micros);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// The largest classes, the largest first, and then the rest together.
fn chart(by_class: BTreeMap<Option<ClassId>, Credits>) -> Result<Vec<(String, Credits)>, Failure> {
    let name =
        |class: Option<ClassId>| class.map_or_else(|| "(no class)".to_owned(), |class| class.to_string());
    let mut classes: Vec<_> = by_class.into_iter().map(|(class, credits)| (name(class), credits)).collect();
    classes.sort_by_key(|(_, credits)| std::cmp::Reverse(*credits));
    if classes.len() > CLASSES_SHOWN.saturating_add(1) {
        let rest = classes.split_off(CLASSES_SHOWN);
        classes.push((format!("{} others", rest.len()), sum(rest.iter().map(|(_, credits)| credits))?));
    }
    Ok(classes)
}

fn sum<'a>(mut amounts: impl Iterator<Item = &'a Credits>) -> Result<Credits, Failure> {
    amounts
        .try_fold(Credits::ZERO, |sum, credits| sum.checked_add(*credits))
        .ok_or_else(|| Failure::Other("the charges sum to more than can be counted".to_owned()))
}

/// The bar of an amount.
fn bar(credits: Credits, largest: Credits) -> String {
    let units = |credits: Credits| u128::from(credits.units().max(0).unsigned_abs());
    chart::bar(units(credits), units(largest), BAR_MAX)
}

/// A number of thousandths with at most three decimals.
fn thousandths(count: u128) -> String {
    format!("{}.{:03}", count.div_euclid(1_000), count.rem_euclid(1_000))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incidents, settled, totals, .. } = self;
        let all =
            if settled == incidents { "all settled".to_owned() } else { format!("only {settled} settled") };
        let mut left = |name: &str, what: String| writeln!(f, "{name:<14}{what}");
        left("incidents", format!("{incidents}, {all}"))?;
        left("purchases", totals.purchases.to_string())?;
        left("bought", format!("{} credits", totals.purchased))?;
        left("charged", format!("{} credits", self.charged))?;
        left("written off", format!("{} credits", self.written_off))?;
        left("left over", format!("{} credits", totals.available))?;
        if !self.by_class.is_empty() {
            writeln!(f, "\ncharged by class")?;
        }
        // The classes are sorted by size. The rest may be larger, but sets no scale.
        let largest = self.by_class.first().map(|(_, credits)| *credits).unwrap_or_default();
        let name = self.by_class.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (place, (class, credits)) in self.by_class.iter().enumerate() {
            let bar = if place < CLASSES_SHOWN { bar(*credits, largest) } else { String::new() };
            writeln!(f, "{}", format!("  {class:<name$}  {credits:>12}  {bar}").trim_end())?;
        }
        for (incident, words) in self.refused.iter().take(REFUSED_SHOWN) {
            writeln!(f, "\nnot settled: {incident}: {words}")?;
        }
        let mut calls = String::new();
        write!(calls, "{} in {} s", self.calls, thousandths(self.elapsed.as_millis()))?;
        write!(calls, ": {}/s", self.calls_per_second())?;
        write!(calls, ", p50 {} ms", thousandths(u128::from(self.p50_us)))?;
        write!(calls, ", p99 {} ms", thousandths(u128::from(self.p99_us)))?;
        writeln!(f, "\n{:<14}{calls}", "calls")?;
        write!(f, "{:<14}{}", "verify", self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(settled: usize) -> Summary {
        let mut answered_us = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        for micros in [500, 1_000, 1_500, 9_000] {
            answered_us.record(micros).unwrap();
        }
        let class = |name: &str, credits| (ClassId::parse(name).ok(), Credits::parse(credits).unwrap());
        let mut tally = Tally { settled, ..Tally::default() };
        tally.charged = (0..15).map(|n| class(&format!("small-{n:02}"), "0.5")).collect();
        tally.charged.extend([class("large", "10"), class("half", "5")]);
        let totals = Totals { purchases: 3, purchased: Credits::whole(30), available: Credits::whole(7) };
        Summary::new(2, tally, totals, &answered_us, Duration::from_millis(2)).unwrap()
    }

    #[test]
    fn machines_read_decimals_as_strings() {
        let json = summary(2).verified(true, "clean".into()).json();
        assert_eq!(
            json.to_string(),
            "{\"calls\":4,\"calls_per_second\":2000,\"credits_available\":\"7\",\"credits_charged\":\"22.5\",\
             \"credits_purchased\":\"30\",\"credits_written_off\":\"0\",\"incidents\":2,\"p50_us\":1000,\
             \"p99_us\":9007,\"purchases\":3,\"verified\":true}"
        );
    }

    #[test]
    fn people_read_a_chart() {
        let text = summary(2).verified(true, "clean".into()).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "incidents     2, all settled");
        assert!(lines.contains(&format!("  large               10  {}", "█".repeat(40)).as_str()), "{text}");
        assert!(lines.contains(&format!("  half                 5  {}", "█".repeat(20)).as_str()), "{text}");
        assert!(text.contains("  5 others           2.5\n"), "{text}");
        assert!(text.ends_with("verify        clean"), "{text}");
    }

    #[test]
    fn a_sum_that_cannot_be_counted_is_no_number() {
        assert_eq!(sum([Credits::whole(1), Credits::whole(2)].iter()).unwrap(), Credits::whole(3));
        let most = Credits::from_units(i64::MAX);
        assert!(sum([most, Credits::from_units(1)].iter()).is_err());
    }

    #[test]
    fn only_all_settled_and_verified_is_good() {
        assert!(summary(2).verified(true, String::new()).is_good());
        assert!(!summary(1).verified(true, String::new()).is_good());
        assert!(!summary(2).verified(false, String::new()).is_good());
        assert!(summary(1).to_string().starts_with("incidents     2, only 1 settled"));
    }
}

//! What a card charges, in exact fractions.

use std::collections::BTreeMap;

use crate::credits::{Amount, Refusal, half_up};

#[derive(Clone, Debug)]
pub enum Class {
    Timed { range: Option<(Amount, Amount)>, rate: Option<Amount> },
    Free,
    Quote,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emergency {
    Charged,
    Free,
    FreeUnlessKnown,
}

#[derive(Clone, Debug)]
pub struct Card {
    pub name: &'static str,
    pub per_hour: Amount,
    pub elapsed: bool,
    pub least_seconds: i64,
    pub increment: i64,
    /// Seconds under which work is flat, and what a solution costs.
    pub flat: Option<(i64, Amount)>,
    pub least: Amount,
    pub scale: u32,
    pub free_days: Option<i64>,
    pub emergency: Emergency,
    pub hold_only: bool,
    pub classes: BTreeMap<&'static str, Class>,
    /// `None` is free.
    pub lines: BTreeMap<&'static str, Option<Amount>>,
    pub packages: BTreeMap<&'static str, Amount>,
    /// In ten-thousandths.
    pub multipliers: BTreeMap<&'static str, Amount>,
}

pub const CREDIT: Amount = 10_000;
pub const QUOTE_DAYS: i64 = 14;

/// An entry of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seconds: i64,
    pub start: Option<i64>,
    pub line: Option<&'static str>,
    pub solutions: i64,
    pub labels: Vec<&'static str>,
    pub voided: bool,
}

/// What a price depends on besides the card and the time.
#[derive(Clone, Debug)]
pub struct Job {
    pub class: Option<&'static str>,
    pub package: Option<&'static str>,
    pub opened_day: i64,
    pub product_day: Option<i64>,
    pub labels: Vec<&'static str>,
    pub emergency: bool,
    pub known: bool,
    pub waived: bool,
    pub quote: Option<Amount>,
}

impl Card {
    pub fn class(&self, class: Option<&'static str>) -> Option<&Class> {
        self.classes.get(class?)
    }

    /// Whether nothing is charged, by class, window or emergency.
    pub fn is_free(&self, job: &Job) -> bool {
        let window = match (self.free_days, job.product_day) {
            (Some(days), Some(bought)) => job.opened_day <= bought + days,
            _ => false,
        };
        let emergency = job.emergency
            && match self.emergency {
                Emergency::Charged => false,
                Emergency::Free => true,
                Emergency::FreeUnlessKnown => !job.known,
            };
        matches!(self.class(job.class), Some(Class::Free)) || window || emergency
    }

    /// The charge, and whether the time was billable.
    pub fn charge(&self, job: &Job, before: &[Vec<Entry>], new: &[Entry]) -> Result<(Amount, bool), Refusal> {
        if matches!(self.class(job.class), Some(Class::Refused)) {
            return Err(Refusal::new("OUT_OF_SCOPE"));
        }
        if self.is_free(job) || job.waived {
            return Ok((0, false));
        }
        let new: Vec<Entry> = new.iter().filter(|entry| !entry.voided).cloned().collect();
        if matches!(self.class(job.class), Some(Class::Quote)) {
            return Ok((job.quote.ok_or(Refusal::new("QUOTE_REQUIRED"))?, true));
        }
        if let Some((under, each)) = self.flat {
            let solutions: i64 = new.iter().map(|entry| entry.solutions).sum();
            return if self.time(&new) < under {
                Ok((each * Amount::from(solutions.max(1)), true))
            } else {
                Ok((job.quote.ok_or(Refusal::new("QUOTE_REQUIRED"))?, true))
            };
        }
        // Both prices are by the labels of the new hold and its work.
        let labels = new.iter().flat_map(|entry| entry.labels.clone());
        let job = &Job { labels: job.labels.iter().copied().chain(labels).collect(), ..job.clone() };
        let mut all = before.to_vec();
        all.push(new);
        let before = if before.is_empty() { 0 } else { self.price(job, before) };
        Ok(((self.price(job, &all) - before).max(0), true))
    }

    fn time(&self, entries: &[Entry]) -> i64 {
        if !self.elapsed {
            return entries.iter().map(|entry| entry.seconds).sum();
        }
        let placed = || entries.iter().filter_map(|entry| Some((entry.start?, entry.seconds)));
        let loose: i64 =
            entries.iter().filter(|entry| entry.start.is_none()).map(|entry| entry.seconds).sum();
        let first = placed().map(|(start, _)| start).min().unwrap_or(0);
        let last = placed().map(|(start, seconds)| start + seconds).max().unwrap_or(0);
        last - first + loose
    }

    fn rate(&self, job: &Job, line: Option<&'static str>) -> Amount {
        if let Some(Some(rate)) = line.and_then(|line| self.lines.get(line)) {
            return *rate;
        }
        if let Some(Class::Timed { rate: Some(rate), .. }) = self.class(job.class) {
            return *rate;
        }
        job.package.and_then(|package| self.packages.get(package)).copied().unwrap_or(self.per_hour)
    }

    /// The price of all this time, hold by hold. The time of nothing is the card's least.
    fn price(&self, job: &Job, holds: &[Vec<Entry>]) -> Amount {
        let is_free =
            |entry: &Entry| entry.line.is_some_and(|line| matches!(self.lines.get(line), Some(None)));
        let billable: Vec<Vec<Entry>> =
            holds.iter().map(|hold| hold.iter().filter(|entry| !is_free(entry)).cloned().collect()).collect();
        // Settled without work, a hold costs the least; with work on free lines alone, nothing.
        if !holds.iter().zip(&billable).any(|(hold, billable)| hold.is_empty() || !billable.is_empty()) {
            return 0;
        }
        let recorded: i64 = billable.iter().map(|hold| self.time(hold)).sum();
        let mut time = recorded.max(self.least_seconds);
        if self.increment > 0 {
            time = time.div_euclid(self.increment) * self.increment
                + if time % self.increment > 0 { self.increment } else { 0 };
        }
        let last = billable.iter().flatten().next_back().and_then(|entry| entry.line);
        // Seconds x units an hour; what rounding adds goes to the last line.
        let mut sum = Amount::from(time - recorded) * self.rate(job, last);
        if self.elapsed {
            sum += Amount::from(recorded) * self.rate(job, last);
        } else {
            for entry in billable.iter().flatten() {
                sum += Amount::from(entry.seconds) * self.rate(job, entry.line);
            }
        }
        let factor = job
            .labels
            .iter()
            .filter_map(|label| self.multipliers.get(label))
            .max()
            .copied()
            .unwrap_or(CREDIT);
        let step: Amount = 10_i128.pow(4 - self.scale);
        let rounded = half_up(sum * factor, 3_600 * CREDIT * step) * step;
        rounded.max(self.least)
    }
}

fn named(names: &[&'static str], class: &Class) -> BTreeMap<&'static str, Class> {
    names.iter().map(|name| (*name, class.clone())).collect()
}

/// The presets, by the product's table, and a card of the tests with everything else.
pub fn cards() -> Vec<Card> {
    let prepaid = Card {
        name: "prepaid",
        per_hour: 2 * CREDIT,
        elapsed: false,
        least_seconds: 0,
        increment: 0,
        flat: None,
        least: CREDIT,
        scale: 2,
        free_days: Some(30),
        emergency: Emergency::Charged,
        hold_only: false,
        classes: named(&["sales", "licence-transfer"], &Class::Free),
        lines: BTreeMap::new(),
        packages: BTreeMap::new(),
        multipliers: BTreeMap::new(),
    };
    let ranged = |from, to| Class::Timed { range: Some((from * CREDIT, to * CREDIT)), rate: None };
    let mut prepaid = prepaid;
    prepaid.classes.insert("other", Class::Quote);
    prepaid.classes.insert("price-plans", ranged(1, 4));
    let half_hour = Card {
        name: "half-hour",
        elapsed: true,
        least_seconds: 1_800,
        increment: 1_800,
        least: 0,
        free_days: None,
        emergency: Emergency::FreeUnlessKnown,
        classes: named(&["own-price"], &Class::Quote),
        ..prepaid.clone()
    };
    let flat = Card {
        name: "flat-then-quoted",
        per_hour: 0,
        flat: Some((1_500, CREDIT)),
        least: 0,
        free_days: None,
        hold_only: true,
        classes: named(&["plan-change"], &Class::Free),
        ..prepaid.clone()
    };
    let lines = Card {
        name: "three-lines",
        free_days: None,
        classes: named(&["teaching"], &Class::Refused),
        lines: [("first", None), ("second", Some(2 * CREDIT)), ("administrators", Some(2 * CREDIT))].into(),
        ..prepaid.clone()
    };
    let own = Card {
        name: "own",
        per_hour: 3 * CREDIT,
        least: CREDIT / 2,
        free_days: Some(10),
        emergency: Emergency::Free,
        classes: [("sales", Class::Free), ("dear", Class::Timed { range: None, rate: Some(5 * CREDIT) })]
            .into(),
        lines: [("first", None), ("second", Some(4 * CREDIT))].into(),
        packages: [("gold", CREDIT)].into(),
        multipliers: [("night", 2 * CREDIT), ("rush", 15_000)].into(),
        ..prepaid.clone()
    };
    vec![prepaid, half_hour, flat, lines, own]
}

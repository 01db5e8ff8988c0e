//! Whether a card makes sense: everything that contradicts itself, and what is legal but probably not meant.

use super::{ClassRule, Factor, LineRule, RateCard, TimeBasis};
use crate::ledger::credits::Credits;
use crate::ledger::work::NewWork;

/// Something that is wrong with a card, or odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFault {
    /// The field of [`RateCard`], as the API names it.
    pub field: &'static str,
    /// Which of its entries, where it has some: a class, a package, a line, a label.
    pub entry: Option<String>,
    /// What is wrong with it, continuing "`field` ...".
    pub problem: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardFindings {
    /// Why the card cannot be used; all of them.
    pub faults: Vec<CardFault>,
    /// What is legal, but has an effect that is easily overlooked.
    pub warnings: Vec<CardFault>,
}

/// Entries of one kind in a card, which is held in memory and sent as a whole.
const ENTRIES_MAX: usize = 500;
/// Ten years, for quotes.
const QUOTE_DAYS_MAX: u32 = 3_660;
/// A hundred years, for free support.
const FREE_DAYS_MAX: u32 = 36_600;
const POSITIVE: &str = "must be more than 0";
const TOO_LONG: &str = "must be at most 366 days";

/// Checks a card as a whole.
pub fn check(card: &RateCard) -> CardFindings {
    let mut found = CardFindings::default();
    found.rates(card);
    found.time(card);
    found.flat(card);
    found.classes(card);
    found.bounds(card);
    found
}

impl CardFindings {
    fn fault(&mut self, field: &'static str, problem: impl Into<String>) {
        self.faults.push(CardFault { field, entry: None, problem: problem.into() });
    }

    fn fault_if(&mut self, wrong: bool, field: &'static str, problem: &str) {
        if wrong {
            self.fault(field, problem);
        }
    }

    fn fault_of(&mut self, field: &'static str, entry: &impl ToString, problem: impl Into<String>) {
        let entry = Some(entry.to_string());
        self.faults.push(CardFault { field, entry, problem: problem.into() });
    }

    fn warning(&mut self, field: &'static str, problem: impl Into<String>) {
        self.warnings.push(CardFault { field, entry: None, problem: problem.into() });
    }

    fn rates(&mut self, card: &RateCard) {
        let is_free = card.credits_per_hour.is_zero() && card.flat.is_none();
        self.fault_if(card.credits_per_hour < Credits::ZERO, "credits_per_hour", "must not be negative");
        self.fault_if(is_free, "credits_per_hour", "must be more than 0 on a card without a flat tier");
        for (package, _) in card.packages.iter().filter(|(_, rate)| !rate.is_positive()) {
            self.fault_of("packages", package, POSITIVE);
        }
        for (line, rule) in &card.lines {
            if matches!(rule, LineRule::CreditsPerHour(rate) if !rate.is_positive()) {
                self.fault_of("lines", line, "must be more than 0, or free");
            }
        }
        let is_legal = |factor: Factor| factor.units() > 0 && factor <= Factor::MAX;
        for (label, _) in card.multipliers.iter().filter(|(_, factor)| !is_legal(**factor)) {
            self.fault_of("multipliers", label, format!("{POSITIVE} and at most {}", Factor::MAX));
        }
        self.fault_if(card.minimum_credits < Credits::ZERO, "minimum_credits", "must not be negative");
        if card.charge_scale > 4 {
            self.fault("charge_scale", "must be at most 4");
        } else {
            let rounding = 10_i64.saturating_pow(4_u32.saturating_sub(card.charge_scale));
            if card.minimum_credits.units().rem_euclid(rounding) != 0 {
                let problem = format!("has more decimals than the {} of charge_scale", card.charge_scale);
                self.fault("minimum_credits", problem);
            }
        }
    }

    fn time(&mut self, card: &RateCard) {
        self.fault_if(card.increment_seconds > NewWork::SECONDS_MAX, "increment_seconds", TOO_LONG);
        self.fault_if(card.minimum_seconds > NewWork::SECONDS_MAX, "minimum_seconds", TOO_LONG);
        let is_elapsed = card.time_basis == TimeBasis::Elapsed;
        let has_lines = !card.lines.is_empty();
        self.fault_if(is_elapsed && has_lines, "lines", "cannot be told apart where elapsed time is charged");
    }

    fn flat(&mut self, card: &RateCard) {
        let Some(flat) = card.flat else { return };
        self.fault_if(flat.under_seconds == 0, "flat_under_seconds", POSITIVE);
        self.fault_if(flat.under_seconds > NewWork::SECONDS_MAX, "flat_under_seconds", TOO_LONG);
        if !flat.credits.is_positive() {
            self.fault("flat_credits", POSITIVE);
        } else if card.minimum_credits > flat.credits {
            let problem = format!("is above the flat price of {}, which is never charged", flat.credits);
            self.warning("minimum_credits", problem);
        }
        const UNUSED: &str = "has no effect beside a flat tier: above it the quote is the charge";
        let unused = [
            ("credits_per_hour", !card.credits_per_hour.is_zero()),
            ("increment_seconds", card.increment_seconds > 0),
            ("minimum_seconds", card.minimum_seconds > 0),
            ("packages", !card.packages.is_empty()),
        ];
        for (field, _) in unused.iter().filter(|(_, is_set)| *is_set) {
            self.warning(field, UNUSED);
        }
    }

    fn classes(&mut self, card: &RateCard) {
        for (class, rule) in &card.classes {
            let ClassRule::Timed { range, credits_per_hour } = rule else { continue };
            if credits_per_hour.is_some_and(|rate| !rate.is_positive()) {
                self.fault_of("classes", class, "must have credits_per_hour of more than 0");
            }
            let Some((min, max)) = range else { continue };
            if min > max {
                self.fault_of("classes", class, format!("has its range upside down: {min} to {max}"));
            } else if *min < Credits::ZERO {
                self.fault_of("classes", class, "has a negative range");
            } else if *max < card.minimum_credits {
                let problem = format!("ends its range below the minimum of {} credits", card.minimum_credits);
                let entry = Some(class.to_string());
                self.warnings.push(CardFault { field: "classes", entry, problem });
            }
        }
    }

    fn bounds(&mut self, card: &RateCard) {
        if card.quote_valid_days == 0 || card.quote_valid_days > QUOTE_DAYS_MAX {
            self.fault("quote_valid_days", format!("must be from 1 to {QUOTE_DAYS_MAX}"));
        }
        if card.free_support_days.is_some_and(|days| days > FREE_DAYS_MAX) {
            self.fault("free_support_days", format!("must be at most {FREE_DAYS_MAX}"));
        }
        let counts = [
            ("classes", card.classes.len()),
            ("packages", card.packages.len()),
            ("lines", card.lines.len()),
            ("multipliers", card.multipliers.len()),
        ];
        for (field, _) in counts.iter().filter(|(_, count)| *count > ENTRIES_MAX) {
            self.fault(field, format!("must have at most {ENTRIES_MAX} entries"));
        }
    }
}

//! A receipt in words: the steps of a calculation, so that a person can redo it by hand.

use super::codec::coded_enum;
use super::credits::Credits;
use super::time::Timestamp;

/// A calculation, in the order in which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub credits: Credits,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub rule: StepRule,
    /// What it did, so that a person can redo it by hand.
    pub text: String,
    /// The amount so far, to four decimals, where the step has one. `None` for steps about time.
    pub credits: Option<Credits>,
}

coded_enum!(
    StepRule {
        /// The class is free of charge.
        FreeClass = 1 / "FREE_CLASS",
        /// The incident was opened within the free-support window.
        FreeSupport = 2 / "FREE_SUPPORT",
        /// The charge was waived with a reason.
        Waived = 3 / "WAIVED",
        /// The confirmed quote is the charge.
        Quote = 4 / "QUOTE",
        /// The recorded time, or the part of it that one line spent.
        Time = 5 / "TIME",
        /// Raised to the least time.
        MinimumTime = 6 / "MINIMUM_TIME",
        /// Rounded up to started increments.
        Increment = 7 / "INCREMENT",
        /// Time times rate.
        Rate = 8 / "RATE",
        /// Raised to the least charge.
        MinimumCredits = 9 / "MINIMUM_CREDITS",
        /// Less what the incident was charged before.
        ChargedBefore = 10 / "CHARGED_BEFORE",
        /// Emergencies are free of charge.
        Emergency = 11 / "EMERGENCY",
        /// An emergency that is charged, because the knowledge base answers it.
        KbAnswered = 12 / "KB_ANSWERED",
        /// Time on a line that is free.
        FreeLine = 13 / "FREE_LINE",
        /// The time from the first start of work to its last end.
        Elapsed = 14 / "ELAPSED",
        /// A flat price for each solution of short work.
        Flat = 15 / "FLAT",
        /// Times the largest multiplier that applies.
        Multiplier = 16 / "MULTIPLIER",
        /// Rounded half up.
        Rounding = 17 / "ROUNDING",
        /// Time of earlier settlements, or the part of it that one line spent.
        TimeBefore = 18 / "TIME_BEFORE",
        /// Less the price of the time before.
        PriceBefore = 19 / "PRICE_BEFORE",
    }
);

/// Collects the steps of a calculation for a receipt. Most charges are calculated without one.
pub(super) struct Steps(Option<Vec<Step>>);

impl Steps {
    /// For a receipt.
    pub const fn kept() -> Self {
        Self(Some(Vec::new()))
    }

    /// For the amount alone: no text is made.
    pub const fn dropped() -> Self {
        Self(None)
    }

    /// A step about time.
    pub fn time(&mut self, rule: StepRule, text: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            steps.push(Step { rule, text: text(), credits: None });
        }
    }

    /// A step that comes to an amount.
    pub fn amount(&mut self, rule: StepRule, credits: Credits, text: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            steps.push(Step { rule, text: text(), credits: Some(credits) });
        }
    }
    pub fn into_vec(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}

/// `1 credit`, `2.5 credits`.
pub(super) fn amount_of(credits: Credits) -> String {
    let unit = if credits == Credits::whole(1) { "credit" } else { "credits" };
    format!("{credits} {unit}")
}

/// `1 h 15 min 30 s`, without the parts that are zero.
pub(super) fn duration(seconds: u64) -> String {
    let parts = [
        (seconds.div_euclid(3_600), "h"),
        (seconds.rem_euclid(3_600).div_euclid(60), "min"),
        (seconds.rem_euclid(60), "s"),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if shown.is_empty() { "0 min".to_owned() } else { shown.join(" ") }
}

/// `2026-01-01 10:00:00 UTC`.
pub(super) fn utc(time: Timestamp) -> String {
    let seconds = time.micros().div_euclid(Timestamp::MICROS_PER_SECOND);
    let (hour, minute, second) = (
        seconds.rem_euclid(86_400).div_euclid(3_600),
        seconds.rem_euclid(3_600).div_euclid(60),
        seconds.rem_euclid(60),
    );
    let (year, month, day) = time.day().civil();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

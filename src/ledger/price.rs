//! How time becomes credits: one calculation, each step on the receipt.

use super::card::{ClassRule, RateCard};
use super::codec::record;
use super::credits::Credits;
use super::ids::{ClassId, Text};
use super::reject::Rejection;
use super::time::Day;

/// What a price depends on besides the card. Stored with each settlement: with the pinned card it gives the receipt
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceInputs {
    /// The incident's class.
    pub class: Option<ClassId>,
    /// The UTC day on which the incident was opened.
    pub opened_on: Day,
    /// When the customer bought the product.
    pub product_purchased_on: Option<Day>,
    /// Seconds of work on the incident, all of its settlements together.
    pub seconds: u64,
    /// The total of a quote that the customer confirmed.
    pub confirmed_quote: Option<Credits>,
    /// What earlier settlements of the incident charged and did not give back.
    pub charged_before: Credits,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
}
record!(PriceInputs {
    1 => class, 2 => opened_on, 3 => product_purchased_on, 4 => seconds, 5 => confirmed_quote, 6 => charged_before,
    7 => waive_reason,
});

/// A calculation, in the order in which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What it comes to.
    pub credits: Credits,
    /// How.
    pub steps: Vec<Step>,
}

/// One step of a calculation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which rule.
    pub rule: StepRule,
    /// What it did, so that a person can redo it by hand.
    pub text: String,
    /// The amount so far, where the step has one. `None` for steps about time.
    pub credits: Option<Credits>,
}

super::codec::coded_enum!(
    /// The rules of a calculation, in their order.
    StepRule {
        /// The class is free of charge.
        FreeClass = 1 / "FREE_CLASS",
        /// The incident was opened within the free-support window.
        FreeSupport = 2 / "FREE_SUPPORT",
        /// The charge was waived with a reason.
        Waived = 3 / "WAIVED",
        /// The confirmed quote is the charge.
        Quote = 4 / "QUOTE",
        /// The recorded time.
        Time = 5 / "TIME",
        /// Raised to the least time.
        MinimumTime = 6 / "MINIMUM_TIME",
        /// Rounded up to started increments.
        Increment = 7 / "INCREMENT",
        /// Time times rate, rounded half up.
        Rate = 8 / "RATE",
        /// Raised to the least charge.
        MinimumCredits = 9 / "MINIMUM_CREDITS",
        /// Less what the incident was charged before.
        ChargedBefore = 10 / "CHARGED_BEFORE",
    }
);

/// What the card charges.
///
/// # Errors
/// [`Rejection::OutOfScope`], [`Rejection::QuoteRequired`], [`Rejection::AmountOutOfBounds`].
pub fn price(card: &RateCard, inputs: &PriceInputs) -> Result<Receipt, Rejection> {
    if let Some(step) = free_of_charge(card, inputs)? {
        return Ok(Receipt { credits: Credits::ZERO, steps: vec![step] });
    }
    if let (Some(ClassRule::QuoteRequired), Some(class)) = (card.rule(inputs.class.as_ref()), &inputs.class) {
        let quote =
            inputs.confirmed_quote.ok_or_else(|| Rejection::QuoteRequired { class: class.clone() })?;
        let text = format!("class {class} is charged at the confirmed quote of {quote} credits");
        return Ok(Receipt {
            credits: quote,
            steps: vec![Step { rule: StepRule::Quote, text, credits: Some(quote) }],
        });
    }
    let mut steps = Vec::new();
    let seconds = billable_seconds(card, inputs.seconds, &mut steps);
    let credits = by_rate(card, seconds, &mut steps)?;
    let credits = at_least_minimum(card, credits, &mut steps);
    let credits = less_charged_before(credits, inputs.charged_before, &mut steps);
    if credits > Credits::MAX_PER_COMMAND {
        return Err(Rejection::AmountOutOfBounds);
    }
    Ok(Receipt { credits, steps })
}

/// The step that makes the work free, if one does.
///
/// # Errors
/// [`Rejection::OutOfScope`] for a class that the card refuses.
pub fn free_of_charge(card: &RateCard, inputs: &PriceInputs) -> Result<Option<Step>, Rejection> {
    let step = |rule, text| Ok(Some(Step { rule, text, credits: Some(Credits::ZERO) }));
    if let Some(class) = &inputs.class {
        match card.classes.get(class) {
            Some(ClassRule::Refused) => return Err(Rejection::OutOfScope { class: class.clone() }),
            Some(ClassRule::Free) => {
                return step(StepRule::FreeClass, format!("class {class} is free of charge"));
            }
            Some(ClassRule::Timed { .. } | ClassRule::QuoteRequired) | None => {}
        }
    }
    if let (Some(days), Some(bought)) = (card.free_support_days, inputs.product_purchased_on)
        && inputs.opened_on <= bought.plus_days(days)
    {
        let text = format!("opened within {days} days of the product purchase");
        return step(StepRule::FreeSupport, text);
    }
    if !inputs.waive_reason.is_empty() {
        return step(StepRule::Waived, format!("waived: {}", inputs.waive_reason));
    }
    Ok(None)
}

fn billable_seconds(card: &RateCard, recorded: u64, steps: &mut Vec<Step>) -> u64 {
    let mut time = |rule, text| steps.push(Step { rule, text, credits: None });
    time(StepRule::Time, format!("{} recorded", duration(recorded)));
    let mut seconds = recorded;
    if seconds < card.minimum_seconds {
        seconds = card.minimum_seconds;
        time(StepRule::MinimumTime, format!("at least {}", duration(seconds)));
    }
    if let Some(started) = seconds.checked_next_multiple_of(card.increment_seconds)
        && started != seconds
    {
        seconds = started;
        let increment = duration(card.increment_seconds);
        time(StepRule::Increment, format!("rounded up to {} in started {increment}", duration(seconds)));
    }
    seconds
}

fn by_rate(card: &RateCard, seconds: u64, steps: &mut Vec<Step>) -> Result<Credits, Rejection> {
    let rate = card.credits_per_hour;
    let units = i128::from(seconds).saturating_mul(i128::from(rate.units()));
    let rounding = 10_i64.pow(4_u32.saturating_sub(card.charge_scale));
    let credits = half_up(units, i128::from(rounding).saturating_mul(3_600))
        .and_then(|multiple| multiple.checked_mul(rounding))
        .map(Credits::from_units)
        .ok_or(Rejection::AmountOutOfBounds)?;
    let text = format!(
        "{} at {rate} credits per hour, rounded half up to {} decimals: {credits} credits",
        duration(seconds),
        card.charge_scale
    );
    steps.push(Step { rule: StepRule::Rate, text, credits: Some(credits) });
    Ok(credits)
}

/// `numerator / denominator` to the nearest whole number, halves up. Both are at least zero; `None` where the denominator
/// is zero or the result leaves 64 bits.
#[must_use]
pub fn half_up(numerator: i128, denominator: i128) -> Option<i64> {
    let doubled = numerator.checked_mul(2)?.checked_add(denominator)?;
    i64::try_from(doubled.checked_div(denominator.checked_mul(2)?)?).ok()
}

fn at_least_minimum(card: &RateCard, credits: Credits, steps: &mut Vec<Step>) -> Credits {
    let minimum = card.minimum_credits;
    if credits >= minimum {
        return credits;
    }
    let text = format!("at least {minimum} credits");
    steps.push(Step { rule: StepRule::MinimumCredits, text, credits: Some(minimum) });
    minimum
}

fn less_charged_before(credits: Credits, before: Credits, steps: &mut Vec<Step>) -> Credits {
    if before.is_zero() {
        return credits;
    }
    let rest = credits.less_at_least_zero(before);
    let text = format!("less {before} credits charged for this incident before: {rest} credits");
    steps.push(Step { rule: StepRule::ChargedBefore, text, credits: Some(rest) });
    rest
}

/// `1 h 15 min 30 s`, without the parts that are zero.
fn duration(seconds: u64) -> String {
    let parts = [
        (seconds.div_euclid(3_600), "h"),
        (seconds.rem_euclid(3_600).div_euclid(60), "min"),
        (seconds.rem_euclid(60), "s"),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if shown.is_empty() { "0 min".to_owned() } else { shown.join(" ") }
}

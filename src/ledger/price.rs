//! How time becomes credits: one calculation, each step on the receipt.
//!
//! # What it is
//! One pipeline for all rules. It prices the work by the steps of the product. Where the incident was charged before,
//! the last step takes off what that comes to: by the first rules what was charged, by later ones the price of the time
//! before.
//!
//! # Invariants
//! - The steps and the charge follow from the card and the inputs alone, so a stored calculation gives its receipt
//!   again.
//! - What the rules of an earlier number come to never changes: `verify` prices stored calculations again.
//! - Both prices of a reopened incident are by the new hold's card, class, package and labels.
//!
//! # Failure
//! Refusals are [`Rejection`]s. No amount wraps: one beyond its bounds is refused.
//!
//! # Cost
//! One pass over the lines of the work, two for a reopened incident. Texts are made for receipts only.

use std::fmt;

use super::card::{ClassRule, EmergencyRule, Factor, FlatTier, LineRule, RateCard, TimeBasis};
use super::credits::Credits;
use super::ids::{ClassId, LineId, PackageId};
use super::job::{LineTime, PriceInputs, WorkTime};
use super::reject::Rejection;
use super::rounding::half_up;
use super::rules::Rules;
use super::steps::{Steps, amount_of, duration, utc};

pub use super::steps::{Receipt, Step, StepRule};

/// What the card charges, and how that comes about.
pub fn price(card: &RateCard, inputs: &PriceInputs) -> Result<Receipt, Rejection> {
    let mut steps = Steps::kept();
    let credits = calculate(card, inputs, &mut steps)?;
    Ok(Receipt { credits, steps: steps.into_vec() })
}

/// What the card charges.
///
/// # Errors
/// [`Rejection::OutOfScope`], [`Rejection::QuoteRequired`], [`Rejection::AmountOutOfBounds`].
pub fn charge(card: &RateCard, inputs: &PriceInputs) -> Result<Credits, Rejection> {
    calculate(card, inputs, &mut Steps::dropped())
}

/// The steps follow the product's rules in their order: free work, quote, flat tier, time, rate, multiplier, rounding
/// and minimum, then what the incident cost before.
fn calculate(card: &RateCard, inputs: &PriceInputs, steps: &mut Steps) -> Result<Credits, Rejection> {
    if let Some(rule) = free_of_charge(card, inputs)? {
        steps.amount(rule, Credits::ZERO, || why_free(card, inputs, rule));
        return Ok(Credits::ZERO);
    }
    if let (Some(ClassRule::QuoteRequired), Some(class)) = (card.rule(inputs.class.as_ref()), &inputs.class) {
        let quote = inputs.confirmed_quote.ok_or_else(|| quote_required(inputs))?;
        steps.amount(StepRule::Quote, quote, || {
            format!("class {class} is charged at the confirmed quote of {}", amount_of(quote))
        });
        return Ok(quote);
    }
    if inputs.circumstances.emergency && card.emergency == EmergencyRule::FreeUnlessKbAnswered {
        steps.time(StepRule::KbAnswered, || {
            "an emergency that the knowledge base answers is charged".to_owned()
        });
    }
    let credits = match card.flat {
        Some(flat) => by_tier(card, flat, inputs, steps)?,
        None => by_whole_time(card, inputs, steps)?,
    };
    if credits > Credits::MAX_PER_COMMAND { Err(Rejection::AmountOutOfBounds) } else { Ok(credits) }
}

/// The price under a card with a flat tier. The tier looks at the hold's own time and solutions, so the price is whole
/// whatever was charged before. The first rules looked at the whole incident.
fn by_tier(
    card: &RateCard,
    flat: FlatTier,
    inputs: &PriceInputs,
    steps: &mut Steps,
) -> Result<Credits, Rejection> {
    tell_time(card, inputs, steps);
    let Some(seconds) = billable_seconds(card, &inputs.time()) else { return Ok(no_line_is_charged(steps)) };
    if seconds >= flat.under_seconds {
        let quote = inputs.confirmed_quote.ok_or_else(|| quote_required(inputs))?;
        steps.amount(StepRule::Quote, quote, || {
            let (under, quote) = (duration(flat.under_seconds), amount_of(quote));
            format!("not less than {under}: charged at the confirmed quote of {quote}")
        });
        return Ok(quote);
    }
    let amount = by_solutions(flat, inputs, steps)?;
    let credits = rounded(card, inputs, amount, steps)?;
    Ok(match inputs.rules {
        Rules::First => less_charged_before(credits, inputs.charged_before, steps),
        Rules::Second | Rules::Third => credits,
    })
}

/// The price of the incident's whole time, less what it cost before.
fn by_whole_time(card: &RateCard, inputs: &PriceInputs, steps: &mut Steps) -> Result<Credits, Rejection> {
    tell_time(card, inputs, steps);
    if let Some(before) = &inputs.before {
        tell_time_before(card, before, steps);
    }
    let Some(credits) = price_of(card, inputs, &inputs.whole_time(), steps)? else {
        return Ok(no_line_is_charged(steps));
    };
    match (inputs.rules, &inputs.before) {
        (Rules::First, _) => Ok(less_charged_before(credits, inputs.charged_before, steps)),
        (Rules::Second | Rules::Third, Some(before)) => {
            less_price_before(card, inputs, before, credits, steps)
        }
        (Rules::Second | Rules::Third, None) => Ok(credits),
    }
}

/// What some time costs; `None` where no line of it is charged.
fn price_of(
    card: &RateCard,
    inputs: &PriceInputs,
    time: &WorkTime,
    steps: &mut Steps,
) -> Result<Option<Credits>, Rejection> {
    let Some(seconds) = billable_seconds(card, time) else { return Ok(None) };
    let amount = by_time(card, inputs, time, seconds, steps)?;
    rounded(card, inputs, amount, steps).map(Some)
}

/// An amount with its multiplier, rounded, and at least the minimum.
fn rounded(
    card: &RateCard,
    inputs: &PriceInputs,
    amount: Exact,
    steps: &mut Steps,
) -> Result<Credits, Rejection> {
    let amount = times_largest(card, inputs, amount, steps)?;
    let credits = amount.rounded(card.charge_scale)?;
    if !amount.is(credits) {
        steps.amount(StepRule::Rounding, credits, || {
            format!("rounded half up to {} decimals: {}", card.charge_scale, amount_of(credits))
        });
    }
    Ok(at_least_minimum(card, credits, steps))
}

fn no_line_is_charged(steps: &mut Steps) -> Credits {
    steps.amount(StepRule::FreeLine, Credits::ZERO, || "no time on any line that is charged".to_owned());
    Credits::ZERO
}

fn quote_required(inputs: &PriceInputs) -> Rejection {
    Rejection::QuoteRequired { class: inputs.class.clone() }
}

/// The rule that makes the work free, if one does.
///
/// # Errors
/// [`Rejection::OutOfScope`] for a class that the card refuses.
pub fn free_of_charge(card: &RateCard, inputs: &PriceInputs) -> Result<Option<StepRule>, Rejection> {
    if let Some(class) = &inputs.class {
        match card.classes.get(class) {
            Some(ClassRule::Refused) => return Err(Rejection::OutOfScope { class: class.clone() }),
            Some(ClassRule::Free) => return Ok(Some(StepRule::FreeClass)),
            Some(ClassRule::Timed { .. } | ClassRule::QuoteRequired) | None => {}
        }
    }
    if let (Some(days), Some(bought)) = (card.free_support_days, inputs.product_purchased_on)
        && inputs.opened_on <= bought.plus_days(days)
    {
        return Ok(Some(StepRule::FreeSupport));
    }
    let emergencies_are_free = match card.emergency {
        EmergencyRule::Charged => false,
        EmergencyRule::Free => true,
        EmergencyRule::FreeUnlessKbAnswered => !inputs.circumstances.kb_answered,
    };
    if inputs.circumstances.emergency && emergencies_are_free {
        return Ok(Some(StepRule::Emergency));
    }
    Ok((!inputs.waive_reason.is_empty()).then_some(StepRule::Waived))
}

/// What [`free_of_charge`] found, in words.
fn why_free(card: &RateCard, inputs: &PriceInputs, rule: StepRule) -> String {
    match (rule, &inputs.class, card.free_support_days) {
        (StepRule::FreeClass, Some(class), _) => format!("class {class} is free of charge"),
        (StepRule::FreeSupport, _, Some(days)) => {
            format!("opened within {days} days of the product purchase")
        }
        (StepRule::Waived, _, _) => format!("waived: {}", inputs.waive_reason),
        _ => "emergencies are free of charge".to_owned(),
    }
}

/// The seconds that are charged: those on lines that are not free, or the elapsed ones. `None` where all work was done
/// on lines that are free; work of no length is billable too.
fn billable_seconds(card: &RateCard, time: &WorkTime) -> Option<u64> {
    // Elapsed time is not divided by line, so no line of a card that charges it has a rule.
    if card.time_basis == TimeBasis::Elapsed {
        return Some(time.elapsed);
    }
    if time.lines.is_empty() {
        return Some(time.seconds);
    }
    let mut charged = time.lines.iter().filter(|time| !is_free(card, time)).map(|time| time.seconds);
    let first = charged.next()?;
    Some(charged.fold(first, u64::saturating_add))
}

/// Tells the recorded time, by line, or the time from the first start to the last end.
fn tell_time(card: &RateCard, inputs: &PriceInputs, steps: &mut Steps) {
    match (card.time_basis, &inputs.span) {
        (TimeBasis::Elapsed, Some(span)) => {
            let elapsed = span.seconds_elapsed();
            steps.time(StepRule::Elapsed, || {
                format!("{} elapsed, from {} to {}", duration(elapsed), utc(span.from), utc(span.until))
            });
            let unplaced = inputs.seconds.saturating_sub(span.seconds);
            if unplaced > 0 {
                steps.time(StepRule::Time, || format!("{} recorded without a start", duration(unplaced)));
            }
        }
        (TimeBasis::Sum, _) if !inputs.lines.is_empty() => {
            tell_lines(card, &inputs.lines, "recorded", StepRule::Time, steps);
        }
        (TimeBasis::Elapsed, None) | (TimeBasis::Sum, _) => {
            steps.time(StepRule::Time, || format!("{} recorded", duration(inputs.seconds)));
        }
    }
}

/// Tells the billable time of earlier settlements.
fn tell_time_before(card: &RateCard, before: &WorkTime, steps: &mut Steps) {
    match card.time_basis {
        TimeBasis::Sum if !before.lines.is_empty() => {
            tell_lines(card, &before.lines, "before", StepRule::TimeBefore, steps);
        }
        TimeBasis::Sum => steps.time(StepRule::TimeBefore, || format!("{} before", duration(before.seconds))),
        TimeBasis::Elapsed => {
            steps.time(StepRule::TimeBefore, || format!("{} elapsed before", duration(before.elapsed)));
        }
    }
}

fn tell_lines(card: &RateCard, lines: &[LineTime], when: &str, rule: StepRule, steps: &mut Steps) {
    for time in lines {
        let told = || {
            let on = time.line.as_ref().map_or(String::new(), |line| format!(" on line {line}"));
            format!("{} {when}{on}", duration(time.seconds))
        };
        if is_free(card, time) {
            steps.time(StepRule::FreeLine, || format!("{}, which is free", told()));
        } else {
            steps.time(rule, told);
        }
    }
}

fn is_free(card: &RateCard, time: &LineTime) -> bool {
    let rule = time.line.as_ref().and_then(|line| card.lines.get(line));
    matches!(rule, Some(LineRule::Free))
}

fn by_solutions(flat: FlatTier, inputs: &PriceInputs, steps: &mut Steps) -> Result<Exact, Rejection> {
    let solutions = inputs.solutions.max(1);
    let amount = Exact::of_flat(flat.credits, solutions);
    steps.amount(StepRule::Flat, amount.nearest()?, || {
        let unit = if solutions == 1 { "solution" } else { "solutions" };
        let (under, each) = (duration(flat.under_seconds), amount_of(flat.credits));
        format!("less than {under}: {each} for each of {solutions} {unit}")
    });
    Ok(amount)
}

/// Raises the billable time to the card's least time and to started increments; what that adds goes to the last line.
/// Then each line's time costs its rate.
fn by_time(
    card: &RateCard,
    inputs: &PriceInputs,
    time: &WorkTime,
    recorded: u64,
    steps: &mut Steps,
) -> Result<Exact, Rejection> {
    let mut seconds = recorded;
    if seconds < card.minimum_seconds {
        seconds = card.minimum_seconds;
        steps.time(StepRule::MinimumTime, || format!("at least {}", duration(seconds)));
    }
    if let Some(started) = seconds.checked_next_multiple_of(card.increment_seconds)
        && started != seconds
    {
        seconds = started;
        steps.time(StepRule::Increment, || {
            format!("rounded up to {} in started {}", duration(seconds), duration(card.increment_seconds))
        });
    }
    let rest = rate_without_line(card, inputs);
    let mut sum = Exact::ZERO;
    let mut cost = |seconds, (rate, whose): (Credits, Whose<'_>)| -> Result<(), Rejection> {
        let cost = Exact::of_time(seconds, rate);
        sum = sum.plus(cost)?;
        steps.amount(StepRule::Rate, sum.nearest()?, || {
            format!("{} at {rate} credits per hour{whose} = {}", duration(seconds), cost.shown())
        });
        Ok(())
    };
    if time.lines.is_empty() || card.time_basis == TimeBasis::Elapsed {
        cost(seconds, rest)?;
        return Ok(sum);
    }
    let added = seconds.saturating_sub(recorded);
    let mut charged = time.lines.iter().filter(|time| !is_free(card, time)).peekable();
    while let Some(time) = charged.next() {
        let is_last = charged.peek().is_none();
        let seconds = time.seconds.saturating_add(if is_last { added } else { 0 });
        let of_line = time.line.as_ref().and_then(|line| match card.lines.get(line) {
            Some(LineRule::CreditsPerHour(rate)) => Some((*rate, Whose::Line(line))),
            Some(LineRule::Free) | None => None,
        });
        cost(seconds, of_line.unwrap_or(rest))?;
    }
    Ok(sum)
}

#[derive(Clone, Copy)]
enum Whose<'a> {
    Card,
    Package(&'a PackageId),
    Class(&'a ClassId),
    Line(&'a LineId),
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card => Ok(()),
            Self::Package(package) => write!(f, ", the rate of package {package}"),
            Self::Class(class) => write!(f, ", the rate of class {class}"),
            Self::Line(line) => write!(f, ", the rate of line {line}"),
        }
    }
}

/// The rate of the class, else of the customer's package, else of the card.
fn rate_without_line<'a>(card: &RateCard, inputs: &'a PriceInputs) -> (Credits, Whose<'a>) {
    if let (Some(ClassRule::Timed { credits_per_hour: Some(rate), .. }), Some(class)) =
        (card.rule(inputs.class.as_ref()), &inputs.class)
    {
        return (*rate, Whose::Class(class));
    }
    let package = inputs.package.as_ref();
    match package.and_then(|package| Some((card.packages.get(package)?, package))) {
        Some((rate, package)) => (*rate, Whose::Package(package)),
        None => (card.credits_per_hour, Whose::Card),
    }
}

fn times_largest(
    card: &RateCard,
    inputs: &PriceInputs,
    amount: Exact,
    steps: &mut Steps,
) -> Result<Exact, Rejection> {
    let labels = inputs.circumstances.labels.iter();
    let applying = || labels.clone().filter_map(|label| Some((*card.multipliers.get(label)?, label)));
    // Of equal ones the first by name.
    let Some((factor, label)) = applying().rev().max_by_key(|(factor, _)| *factor) else { return Ok(amount) };
    let multiplied = amount.times(factor)?;
    steps.amount(StepRule::Multiplier, multiplied.nearest()?, || {
        let largest = if applying().count() > 1 { ", the largest that applies" } else { "" };
        format!("times {factor} for {label}{largest} = {}", multiplied.shown())
    });
    Ok(multiplied)
}

/// An amount before it is rounded: a fraction of ten-thousandths of a credit.
#[derive(Clone, Copy)]
struct Exact {
    numerator: i128,
}

impl Exact {
    const ZERO: Self = Self { numerator: 0 };
    /// Seconds in an hour, times the ten-thousandths of a factor.
    const DENOMINATOR: i128 = 36_000_000;

    fn of_time(seconds: u64, rate: Credits) -> Self {
        let units = i128::from(seconds).saturating_mul(i128::from(rate.units()));
        Self { numerator: units.saturating_mul(i128::from(Factor::ONE.units())) }
    }

    fn of_flat(credits: Credits, solutions: u32) -> Self {
        let units = i128::from(solutions).saturating_mul(i128::from(credits.units()));
        Self { numerator: units.saturating_mul(Self::DENOMINATOR) }
    }

    fn plus(self, other: Self) -> Result<Self, Rejection> {
        let numerator = self.numerator.checked_add(other.numerator);
        numerator.map(|numerator| Self { numerator }).ok_or(Rejection::AmountOutOfBounds)
    }

    fn times(self, factor: Factor) -> Result<Self, Rejection> {
        // The denominator has room for one factor, which is 1 until here.
        let per_unit = self.numerator.checked_div(i128::from(Factor::ONE.units()));
        let numerator = per_unit.and_then(|units| units.checked_mul(i128::from(factor.units())));
        numerator.map(|numerator| Self { numerator }).ok_or(Rejection::AmountOutOfBounds)
    }

    /// Rounded half up.
    fn rounded(self, decimals: u32) -> Result<Credits, Rejection> {
        let rounding = 10_i64.saturating_pow(4_u32.saturating_sub(decimals));
        half_up(self.numerator, Self::DENOMINATOR.saturating_mul(i128::from(rounding)))
            .and_then(|multiple| multiple.checked_mul(rounding))
            .map(Credits::from_units)
            .ok_or(Rejection::AmountOutOfBounds)
    }

    fn nearest(self) -> Result<Credits, Rejection> {
        self.rounded(4)
    }

    fn is(self, credits: Credits) -> bool {
        i128::from(credits.units()).checked_mul(Self::DENOMINATOR) == Some(self.numerator)
    }

    /// For a receipt: all decimals where there are at most four, else four and an ellipsis.
    fn shown(self) -> String {
        let units = i64::try_from(self.numerator.div_euclid(Self::DENOMINATOR)).map(Credits::from_units);
        match units {
            Ok(units) if self.is(units) => amount_of(units),
            // Cut off, not rounded: rounding is a step of its own.
            Ok(units) => {
                let whole = units.units().div_euclid(Credits::UNITS_PER_CREDIT);
                let rest = units.units().rem_euclid(Credits::UNITS_PER_CREDIT);
                format!("{whole}.{rest:04}... credits")
            }
            Err(_) => "more than any amount".to_owned(),
        }
    }
}

fn at_least_minimum(card: &RateCard, credits: Credits, steps: &mut Steps) -> Credits {
    let minimum = card.minimum_credits;
    if credits >= minimum {
        return credits;
    }
    steps.amount(StepRule::MinimumCredits, minimum, || format!("at least {}", amount_of(minimum)));
    minimum
}

fn less_charged_before(credits: Credits, before: Credits, steps: &mut Steps) -> Credits {
    if before.is_zero() {
        return credits;
    }
    let rest = credits.less_at_least_zero(before);
    steps.amount(StepRule::ChargedBefore, rest, || {
        format!("less {} charged for this incident before: {}", amount_of(before), amount_of(rest))
    });
    rest
}

/// Less the price of the time before, which was decided earlier.
fn less_price_before(
    card: &RateCard,
    inputs: &PriceInputs,
    before: &WorkTime,
    credits: Credits,
    steps: &mut Steps,
) -> Result<Credits, Rejection> {
    let Some(price) = price_of(card, inputs, before, &mut Steps::dropped())? else { return Ok(credits) };
    if price.is_zero() {
        return Ok(credits);
    }
    let rest = credits.less_at_least_zero(price);
    steps.amount(StepRule::PriceBefore, rest, || {
        format!("less {}, the price of the time before: {}", amount_of(price), amount_of(rest))
    });
    Ok(rest)
}

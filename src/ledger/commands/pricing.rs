//! How a rate card prices an incident: the inputs of its price, and the total of an estimate.

use super::estimating::Quote;
use super::prelude::*;
use crate::ledger::book::Book;
use crate::ledger::card::{ClassRule, RateCard};
use crate::ledger::ids::{CardId, ClassId, HoldId, IncidentId, LabelId, LedgerNo, LineId};
use crate::ledger::job::{Circumstances, PriceInputs};
use crate::ledger::price::{charge, free_of_charge};
use crate::ledger::reject::WorkBound;
use crate::ledger::work::{NewWork, WorkPart, WorkSums};

/// An incident to be priced.
pub struct Job<'a> {
    pub incident: &'a IncidentId,
    pub class: Option<&'a ClassId>,
    pub opened_at: Timestamp,
    /// The hold that is being settled; it is not an earlier settlement.
    pub hold: Option<HoldId>,
    /// The work besides that of earlier settlements.
    pub work: JobWork<'a>,
    /// What is special about the incident, besides what earlier settlements say.
    pub circumstances: Circumstances,
    /// Why nothing is charged.
    pub waive_reason: &'a Text,
}

/// Where work is read from.
#[derive(Clone, Copy)]
pub enum JobWork<'a> {
    /// What is recorded on a hold.
    Hold(&'a WorkSums),
    /// One piece that was just named.
    New(&'a NewWork),
    /// The seconds of an estimate.
    Seconds(u64),
}

impl<'a> JobWork<'a> {
    /// The sums, and a piece that comes after them.
    fn parts(self) -> (Option<&'a WorkSums>, Option<WorkPart<'a>>) {
        match self {
            Self::Hold(sums) => (Some(sums), None),
            Self::New(work) => (None, Some(work.part())),
            Self::Seconds(seconds) => (None, Some(WorkPart { seconds, ..WorkPart::default() })),
        }
    }
}

impl<'a> Context<'a> {
    /// What the price depends on: a reopened incident costs the price of its whole time, less what earlier
    /// settlements charged and did not give back.
    pub fn price_inputs(&self, job: &Job<'_>, confirmed_quote: Option<Credits>) -> PriceInputs {
        let earlier = || {
            let others = self.entry.incident(job.incident).filter(|hold| Some(hold.id) != job.hold);
            others.filter_map(|hold| Some((hold, hold.settlement.as_ref()?)))
        };
        let mut circumstances = job.circumstances.clone();
        let mut charged_before = Credits::ZERO;
        for (_, settlement) in earlier() {
            circumstances.add(&settlement.inputs.circumstances);
            // Each charge and their number are bounded. A sum beyond 64 bits exceeds any price; a bound replaces it.
            charged_before =
                charged_before.checked_add(settlement.standing_charge()).unwrap_or(Credits::MAX_BALANCE);
        }
        let terms = &self.customer.state.terms;
        let mut inputs = PriceInputs {
            class: job.class.cloned(),
            opened_on: job.opened_at.day(),
            product_purchased_on: terms.product_purchased_on,
            confirmed_quote,
            charged_before,
            waive_reason: job.waive_reason.clone(),
            package: terms.package.clone(),
            circumstances,
            ..PriceInputs::default()
        };
        let (sums, last) = job.work.parts();
        inputs.add_sums(earlier().map(|(hold, _)| &hold.work).chain(sums), last);
        inputs
    }

    /// The card of the customer: its own, else the ledger's default.
    pub fn card(&self) -> Result<&'a RateCard, Rejection> {
        let ledger = self.customer.ledger;
        let own = self.customer.state.terms.rate_card.as_ref();
        let card = self.book.cards.for_customer(ledger, own);
        card.map(AsRef::as_ref).ok_or_else(|| {
            let id = own.unwrap_or_else(|| self.book.cards.default_card(ledger));
            Rejection::RateCardNotFound(id.clone())
        })
    }

    /// The card that was pinned when the hold was made.
    pub fn pinned_card(&self, hold: &Hold) -> Result<&'a RateCard, Rejection> {
        let pinned = self.book.cards.get(hold.ledger, &hold.card);
        pinned.map(AsRef::as_ref).ok_or_else(|| Rejection::RateCardNotFound(hold.card.id.clone()))
    }

    /// What settling the hold starts from, for the work on it so far.
    pub fn settlement_inputs(&self, hold: &Hold) -> PriceInputs {
        self.price_inputs(&settlement_job(hold, &Text::EMPTY), hold.confirmed_quote())
    }

    /// What settling the hold would charge.
    pub fn charge_so_far(&self, hold: &Hold, inputs: &PriceInputs) -> Result<Credits, Rejection> {
        match charge(self.pinned_card(hold)?, inputs) {
            // Work has outgrown the flat tier and needs a quote, so all that is held counts as used.
            Err(Rejection::QuoteRequired { .. }) => Ok(hold.held),
            charged => charged,
        }
    }

    /// The total of an estimate, within the range of its class unless `range_override` says why not.
    pub fn estimate_total(
        &self,
        card: &RateCard,
        job: &Job<'_>,
        quote: &Quote,
        range_override: &Text,
    ) -> Result<Credits, Rejection> {
        let inputs = self.price_inputs(job, None);
        must_be_few(&inputs, None, &job.circumstances.labels)?;
        let free = free_of_charge(card, &inputs)?.is_some();
        let rule = card.rule(job.class);
        let total = match quote {
            Quote::Credits(credits) => *credits,
            Quote::Class if free => Credits::ZERO,
            // A flat price has no range.
            Quote::Class if card.flat.is_some() && !has_range(rule) => charge(card, &inputs)?,
            // The range is that of the whole incident.
            Quote::Class => top_of_range(rule, job.class)?.less_at_least_zero(inputs.charged_before),
            Quote::Seconds(_) => charge(card, &inputs)?,
        };
        if free && total.is_zero() {
            return Ok(total);
        }
        let (min, max) = match rule {
            Some(ClassRule::Timed { range: Some(range), .. }) => *range,
            Some(ClassRule::Free) => (Credits::ZERO, Credits::ZERO),
            Some(ClassRule::Timed { range: None, .. } | ClassRule::QuoteRequired | ClassRule::Refused)
            | None => return Ok(total),
        };
        // The range is for the whole incident, so what was charged before counts.
        let whole = total.checked_add(inputs.charged_before).ok_or(Rejection::AmountOutOfBounds)?;
        if (min..=max).contains(&whole) || !range_override.is_empty() {
            Ok(total)
        } else {
            Err(Rejection::EstimateOutOfRange { estimate: whole, min, max })
        }
    }
}

fn has_range(rule: Option<&ClassRule>) -> bool {
    matches!(rule, Some(ClassRule::Timed { range: Some(_), .. }))
}

fn top_of_range(rule: Option<&ClassRule>, class: Option<&ClassId>) -> Result<Credits, Rejection> {
    match (rule, class) {
        (Some(ClassRule::Timed { range: Some((_, max)), .. }), _) => Ok(*max),
        (Some(ClassRule::QuoteRequired), Some(class)) => {
            Err(Rejection::QuoteRequired { class: Some(class.clone()) })
        }
        (Some(ClassRule::Refused), Some(class)) => Err(Rejection::OutOfScope { class: class.clone() }),
        (Some(ClassRule::Free), _) => Ok(Credits::ZERO),
        (Some(_) | None, _) => {
            Err(Rejection::field("quote", "must be given: the class has no range to take it from"))
        }
    }
}

/// Refuses new work with a line or label beyond the bounds: each settlement stores all lines and labels of its
/// incident. `inputs` have the new ones already.
pub(super) fn must_be_few(
    inputs: &PriceInputs,
    line: Option<&LineId>,
    labels: &[LabelId],
) -> Result<(), Rejection> {
    let over = |count: usize, max: u32| u32::try_from(count).is_ok_and(|count| count > max);
    if line.is_some() && over(inputs.lines.len(), PriceInputs::LINES_MAX) {
        return Err(Rejection::TooMuchWork { bound: WorkBound::Lines, max: PriceInputs::LINES_MAX });
    }
    if !labels.is_empty() && over(inputs.circumstances.labels.len(), PriceInputs::LABELS_MAX) {
        return Err(Rejection::TooMuchWork { bound: WorkBound::Labels, max: PriceInputs::LABELS_MAX });
    }
    Ok(())
}

/// The job that settling a hold prices.
pub(super) fn settlement_job<'a>(hold: &'a Hold, waive_reason: &'a Text) -> Job<'a> {
    Job {
        incident: &hold.incident,
        class: hold.class.as_ref(),
        opened_at: hold.opened_at,
        hold: Some(hold.id),
        work: JobWork::Hold(&hold.work),
        circumstances: hold.circumstances.clone(),
        waive_reason,
    }
}

/// Refuses a card that is not there.
pub(super) fn must_have_card(book: &Book, ledger: LedgerNo, card: &CardId) -> Result<(), Rejection> {
    match book.cards.newest(ledger, card) {
        Some(_) => Ok(()),
        None => Err(Rejection::RateCardNotFound(card.clone())),
    }
}

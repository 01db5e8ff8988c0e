//! How a rate card prices an incident: the inputs of its price, and the total of an estimate.

use std::iter::once;

use super::estimating::Quote;
use super::prelude::*;
use crate::ledger::book::Book;
use crate::ledger::card::{ClassRule, RateCard};
use crate::ledger::ids::{CardId, ClassId, HoldId, IncidentId, LabelId, LedgerNo, LineId};
use crate::ledger::job::{Circumstances, PriceInputs, WorkTime};
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
    /// The work, without that of earlier settlements.
    pub work: JobWork<'a>,
    /// What is special about the incident, besides what its work says.
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

impl JobWork<'_> {
    fn add_to(self, inputs: &mut PriceInputs) {
        match self {
            Self::Hold(sums) => inputs.add_sums(sums),
            Self::New(work) => inputs.add_work(once(work.part())),
            Self::Seconds(seconds) => inputs.add_work(once(WorkPart { seconds, ..WorkPart::default() })),
        }
    }
}

impl<'a> Context<'a> {
    /// What the price depends on: the job's own work, and the time before it that was charged.
    pub fn price_inputs(
        &self,
        job: &Job<'_>,
        confirmed_quote: Option<Credits>,
    ) -> Result<PriceInputs, Rejection> {
        let terms = &self.customer.state.terms;
        let mut inputs = PriceInputs {
            class: job.class.cloned(),
            opened_on: job.opened_at.day(),
            product_purchased_on: terms.product_purchased_on,
            confirmed_quote,
            waive_reason: job.waive_reason.clone(),
            package: terms.package.clone(),
            circumstances: job.circumstances.clone(),
            before: self.billable_before(job)?,
            ..PriceInputs::default()
        };
        job.work.add_to(&mut inputs);
        Ok(inputs)
    }

    /// The billable time of the incident's other settlements. Not billable is what was free when it was worked, as of
    /// its own hold and card; what was waived; and time whose settlement was wholly given back.
    fn billable_before(&self, job: &Job<'_>) -> Result<Option<WorkTime>, Rejection> {
        let mut before: Option<WorkTime> = None;
        for hold in self.entry.incident(job.incident).filter(|hold| Some(hold.id) != job.hold) {
            let Some(settlement) = &hold.settlement else { continue };
            if settlement.is_given_back()
                || free_of_charge(self.pinned_card(hold)?, &settlement.inputs)?.is_some()
            {
                continue;
            }
            let time = WorkTime::of(&hold.work);
            before = Some(match before {
                Some(before) => before.with(&time),
                None => time,
            });
        }
        Ok(before)
    }

    /// What the incident has cost so far: what its settlements charged and did not give back.
    pub fn standing_charges(&self, incident: &IncidentId) -> Result<Credits, Rejection> {
        let mut settled = self.entry.incident(incident).filter_map(|hold| hold.settlement.as_ref());
        let sum = settled.try_fold(Credits::ZERO, |sum, settled| sum.checked_add(settled.standing_charge()));
        sum.ok_or(Rejection::AmountOutOfBounds)
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
    pub fn settlement_inputs(&self, hold: &Hold) -> Result<PriceInputs, Rejection> {
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

    /// The total of an estimate, within the range of its class unless `range_override` says why not. The range is that
    /// of one hold. Where the card makes the incident free it is zero, and no quote.
    pub fn estimated(
        &self,
        card: &RateCard,
        job: &Job<'_>,
        quote: &Quote,
        range_override: &Text,
    ) -> Result<Estimated, Rejection> {
        let inputs = self.price_inputs(job, None)?;
        must_be_few(&inputs, None, &job.circumstances.labels)?;
        if free_of_charge(card, &inputs)?.is_some() {
            return Ok(Estimated { total: Credits::ZERO, is_quote: false });
        }
        let rule = card.rule(job.class);
        let range = range_of(rule);
        let total = match quote {
            Quote::Credits(credits) => *credits,
            // A flat price has no range.
            Quote::Class if card.flat.is_some() && range.is_none() => charge(card, &inputs)?,
            Quote::Class => top_of_range(rule, job.class)?,
            Quote::Seconds(_) => charge(card, &inputs)?,
        };
        match range {
            Some((min, max)) if !(min..=max).contains(&total) && range_override.is_empty() => {
                Err(Rejection::EstimateOutOfRange { estimate: total, min, max })
            }
            Some(_) | None => Ok(Estimated { total, is_quote: quote.is_named() }),
        }
    }
}

/// What an estimate comes to.
pub struct Estimated {
    pub total: Credits,
    /// True where the total is a quote: named by the caller, not taken from the card.
    pub is_quote: bool,
}

fn range_of(rule: Option<&ClassRule>) -> Option<(Credits, Credits)> {
    match rule {
        Some(ClassRule::Timed { range, .. }) => *range,
        Some(ClassRule::Free | ClassRule::QuoteRequired | ClassRule::Refused) | None => None,
    }
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

/// Refuses new work with a line or label beyond the bounds: each settlement stores the lines of its incident and the
/// labels of its hold. `inputs` have the new ones already.
pub(super) fn must_be_few(
    inputs: &PriceInputs,
    line: Option<&LineId>,
    labels: &[LabelId],
) -> Result<(), Rejection> {
    let over = |count: usize, max: u32| u32::try_from(count).is_ok_and(|count| count > max);
    if line.is_some() && over(inputs.whole_time().lines.len(), PriceInputs::LINES_MAX) {
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

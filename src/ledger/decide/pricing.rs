//! What the rate card makes of an incident: the inputs of its price, and the total of an estimate.

use super::Context;
use crate::ledger::card::{ClassRule, RateCard};
use crate::ledger::command::Quote;
use crate::ledger::credits::Credits;
use crate::ledger::hold::Hold;
use crate::ledger::ids::{ClassId, HoldId, IncidentId, Text};
use crate::ledger::price::{PriceInputs, free_of_charge, price};
use crate::ledger::reject::Rejection;
use crate::ledger::time::Timestamp;

/// An incident to be priced.
pub(super) struct Job<'a> {
    /// Which.
    pub incident: &'a IncidentId,
    /// Its class.
    pub class: Option<&'a ClassId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The hold whose own work is counted in `seconds` already.
    pub hold: Option<HoldId>,
    /// Seconds of work besides those of earlier settlements.
    pub seconds: u64,
    /// Why nothing is charged.
    pub waive_reason: &'a Text,
}

impl Context<'_> {
    /// What the price depends on: a reopened incident costs the price of its whole time, less what earlier
    /// settlements charged and did not give back.
    pub(super) fn price_inputs(&self, job: &Job<'_>, confirmed_quote: Option<Credits>) -> PriceInputs {
        let mut seconds = job.seconds;
        let mut charged_before = Credits::ZERO;
        let earlier = self.entry.incident(job.incident).filter(|hold| Some(hold.id) != job.hold);
        for (hold, settlement) in earlier.filter_map(|hold| Some((hold, hold.settlement.as_ref()?))) {
            seconds = seconds.saturating_add(hold.worked_seconds());
            // Each charge was bounded, and so is their number; a sum beyond 64 bits is past any price.
            charged_before =
                charged_before.checked_add(settlement.standing_charge()).unwrap_or(Credits::MAX_BALANCE);
        }
        PriceInputs {
            class: job.class.cloned(),
            opened_on: job.opened_at.day(),
            product_purchased_on: self.customer.state.terms.product_purchased_on,
            seconds,
            confirmed_quote,
            charged_before,
            waive_reason: job.waive_reason.clone(),
        }
    }

    /// The card of the customer: its own, else the ledger's default.
    pub(super) fn card(&self) -> Result<&RateCard, Rejection> {
        let own = self.customer.state.terms.rate_card.as_ref();
        self.book.cards.for_customer(own).ok_or_else(|| {
            let id = own.unwrap_or(&self.book.cards.default_card().id);
            Rejection::RateCardNotFound(id.clone())
        })
    }

    /// The card that was pinned when the hold was made.
    pub(super) fn pinned_card(&self, hold: &Hold) -> Result<&RateCard, Rejection> {
        self.book.cards.get(&hold.card).ok_or_else(|| Rejection::RateCardNotFound(hold.card.id.clone()))
    }

    /// The total of an estimate, within the range of its class unless `range_override` says why not.
    pub(super) fn estimate_total(
        &self,
        card: &RateCard,
        job: &Job<'_>,
        quote: &Quote,
        range_override: &Text,
    ) -> Result<Credits, Rejection> {
        let inputs = self.price_inputs(job, None);
        let free = free_of_charge(card, &inputs)?.is_some();
        let rule = card.rule(job.class);
        let total = match quote {
            Quote::Credits(credits) => *credits,
            Quote::Class if free => Credits::ZERO,
            Quote::Class => top_of_range(rule, job.class)?,
            Quote::Seconds(_) => price(card, &inputs)?.credits,
        };
        if free && total.is_zero() {
            return Ok(total);
        }
        let (min, max) = match rule {
            Some(ClassRule::Timed { range: Some(range) }) => *range,
            Some(ClassRule::Free) => (Credits::ZERO, Credits::ZERO),
            Some(ClassRule::Timed { range: None } | ClassRule::QuoteRequired | ClassRule::Refused) | None => {
                return Ok(total);
            }
        };
        // The range is that of the whole incident, so a reopened one counts what was charged before.
        let whole = total.checked_add(inputs.charged_before).ok_or(Rejection::AmountOutOfBounds)?;
        if (min..=max).contains(&whole) || !range_override.is_empty() {
            Ok(total)
        } else {
            Err(Rejection::EstimateOutOfRange { estimate: whole, min, max })
        }
    }
}

fn top_of_range(rule: Option<&ClassRule>, class: Option<&ClassId>) -> Result<Credits, Rejection> {
    match (rule, class) {
        (Some(ClassRule::Timed { range: Some((_, max)) }), _) => Ok(*max),
        (Some(ClassRule::QuoteRequired), Some(class)) => {
            Err(Rejection::QuoteRequired { class: class.clone() })
        }
        (Some(ClassRule::Refused), Some(class)) => Err(Rejection::OutOfScope { class: class.clone() }),
        (Some(ClassRule::Free), _) => Ok(Credits::ZERO),
        (Some(_) | None, _) => Err(Rejection::InvalidField {
            field: "quote",
            problem: "must be given: the class has no range to take it from".to_owned(),
        }),
    }
}

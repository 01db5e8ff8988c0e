//! Estimates and their confirmation: shared by the commands that quote, confirm and place holds.

use super::prelude::*;
use crate::ledger::card::RateCard;
use crate::ledger::codec::tagged;
use crate::ledger::ids::IncidentId;
use crate::ledger::job::Circumstances;
use crate::ledger::work::WorkSums;

/// How much an incident is estimated at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quote {
    /// The top of the class's range; zero for a free class; the flat price where the card has one.
    Class,
    /// Credits that the caller names: a quote, unless the card makes the incident free. Where the card asks for one, it
    /// is the charge.
    Credits(Credits),
    /// What the card charges for these seconds.
    Seconds(u64),
}
tagged!(Quote { 0 => Class, 1 => Credits(credits), 2 => Seconds(seconds) });

impl Quote {
    /// True where the caller named the credits; anything else is taken from the card.
    pub(super) const fn is_named(&self) -> bool {
        matches!(self, Self::Credits(_))
    }
}

impl Draft<'_> {
    /// A QUOTED hold of no credits that has the posting's id and pins `card`.
    pub fn quoted_hold(&self, incident: &IncidentId, card: &RateCard, opened_at: Timestamp) -> Hold {
        let customer = self.customer();
        Hold {
            id: self.id.into(),
            ledger: customer.ledger,
            customer: customer.id.clone(),
            incident: incident.clone(),
            class: None,
            previous: customer.state.last_hold,
            state: HoldState::Quoted,
            direct: false,
            card: card.card.clone(),
            created_at: self.recorded_at(),
            opened_at,
            estimate: Credits::ZERO,
            held: Credits::ZERO,
            valid_until: None,
            expires_at: None,
            parked_at: None,
            parked_by: None,
            pending: None,
            range_override: Text::EMPTY,
            estimated_by: Text::EMPTY,
            confirmed_by: Text::EMPTY,
            confirmed_at: None,
            activated_by: None,
            note: Text::EMPTY,
            work: WorkSums::default(),
            settlement: None,
            ended_at: None,
            ended_by: Text::EMPTY,
            end_reason: Text::EMPTY,
            circumstances: Circumstances::default(),
            quoted: false,
        }
    }

    /// Announces how much of `required` is not available for the hold's incident.
    pub fn announce_missing(&mut self, at: &Context<'_>, hold: &Hold, required: Credits) {
        let missing = required.less_at_least_zero(self.balances().available);
        self.detail.shortfall = at.new_shortfall(&hold.incident, missing);
    }
}

/// Confirms the whole estimate of a QUOTED hold: sets it aside, or parks the hold where credits are short.
pub(super) fn confirm_whole<'a>(
    at: &Context<'a>,
    mut draft: Draft<'a>,
    mut hold: Hold,
    park: bool,
) -> Result<Draft<'a>, Rejection> {
    hold.confirmed_by = at.submission.said.by.clone();
    hold.confirmed_at = Some(at.book.now);
    match draft.need_available(hold.estimate) {
        Ok(()) => {
            draft.shift(Slot::First, hold.estimate)?;
            hold.state = HoldState::Active;
            hold.activated_by = Some(draft.id);
            hold.held = hold.estimate;
            hold.valid_until = None;
        }
        Err(rejection) if !park => return Err(rejection),
        Err(_) => {
            draft.announce_missing(at, &hold, hold.estimate);
            hold.state = HoldState::AwaitingCredits;
            hold.parked_at = Some(at.book.now);
            hold.parked_by = Some(draft.id);
            hold.valid_until = Some(at.book.due_by().plus_days(at.pinned_card(&hold)?.quote_valid_days));
        }
    }
    Ok(draft.with_hold(hold))
}

/// The event of a confirmation: the hold waits, was placed, or has a new total.
pub(super) fn confirmation(posting: &Posting) -> Meaning {
    let event = match &posting.detail.hold {
        Some(hold) if hold.is_parked() => EventType::HoldAwaitingCredits,
        Some(hold) if hold.activated_by == Some(posting.id) => EventType::HoldPlaced,
        Some(_) | None => EventType::HoldExtended,
    };
    (event, estimate_of(posting))
}

/// The estimate of a posting's hold.
pub(in crate::ledger) fn estimate_of(posting: &Posting) -> Option<Credits> {
    posting.detail.hold.as_ref().map(|hold| hold.estimate)
}

//! Estimates, their confirmation or refusal, and holds that are placed at once.

use std::sync::Arc;

use super::pricing::{Job, JobWork};
use super::{Context, Draft};
use crate::ledger::account::Slot;
use crate::ledger::card::RateCard;
use crate::ledger::command::{ConfirmEstimate, DeclineEstimate, EstimateIncident, PlaceHold, Quote};
use crate::ledger::credits::Credits;
use crate::ledger::hold::{Hold, HoldState, Pending, SharedHold};
use crate::ledger::ids::Text;
use crate::ledger::posting::Posting;
use crate::ledger::reject::Rejection;
use crate::ledger::work::WorkSums;

/// A new estimate supersedes a QUOTED one; on an ACTIVE hold it becomes a pending quote for a new total.
pub(super) fn estimate(at: &Context<'_>, command: &EstimateIncident) -> Result<Arc<Posting>, Rejection> {
    at.must_not_be_closed()?;
    let existing = at.open_hold(&command.incident);
    if let Some(hold) = existing {
        match hold.state {
            HoldState::Active if !hold.is_parked() => return estimate_anew(at, command, hold),
            HoldState::Quoted => {}
            // What waits for credits was confirmed by the customer; it is declined first.
            HoldState::Active | HoldState::AwaitingCredits => {
                return Err(Rejection::HoldExists { hold: hold.id });
            }
            HoldState::Settled
            | HoldState::Released
            | HoldState::Expired
            | HoldState::Declined
            | HoldState::Superseded => {}
        }
    }
    let mut draft = at.draft();
    let hold = new_hold(at, &draft, command)?;
    draft.detail.shortfall =
        at.new_shortfall(&hold.incident, hold.estimate.less_at_least_zero(draft.balances().available));
    if let Some(quoted) = existing {
        let mut superseded = Hold::clone(quoted);
        superseded.end(HoldState::Superseded, at.book.now);
        draft.detail.others.push(Arc::new(superseded));
    }
    draft.detail.hold = Some(Arc::new(hold));
    draft.finish(at.entry)
}

fn estimate_anew(
    at: &Context<'_>,
    command: &EstimateIncident,
    hold: &SharedHold,
) -> Result<Arc<Posting>, Rejection> {
    let card = at.pinned_card(hold)?;
    let job = job(command, hold.class.as_ref(), hold.opened_at);
    let job = Job { hold: Some(hold.id), circumstances: hold.circumstances.clone(), ..job };
    let total = at.estimate_total(card, &job, &command.quote, &command.range_override)?;
    let mut draft = at.draft();
    let missing = total.less_at_least_zero(hold.held).less_at_least_zero(draft.balances().available);
    draft.detail.shortfall = at.new_shortfall(&hold.incident, missing);
    let mut after = Hold::clone(hold);
    after.pending = Some(Pending {
        total,
        valid_until: at.book.now.plus_days(card.quote_valid_days),
        parked_at: None,
        parked_by: None,
        range_override: command.range_override.clone(),
        estimated_by: at.request.said.by.clone(),
        confirmed_by: Text::default(),
        note: command.note.clone(),
        quoted: is_quote(&command.quote),
    });
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// Estimate and confirmation in one.
pub(super) fn place(at: &Context<'_>, command: &PlaceHold) -> Result<Arc<Posting>, Rejection> {
    at.must_not_be_closed()?;
    if let Some(hold) = at.open_hold(&command.estimate.incident) {
        return Err(Rejection::HoldExists { hold: hold.id });
    }
    let draft = at.draft();
    let hold = new_hold(at, &draft, &command.estimate)?;
    confirm_whole(at, draft, hold, command.park)
}

pub(super) fn confirm(at: &Context<'_>, command: &ConfirmEstimate) -> Result<Arc<Posting>, Rejection> {
    let hold = at.hold(&command.hold)?;
    match (hold.state, &hold.pending) {
        (HoldState::Quoted, _) => confirm_whole(at, at.draft(), Hold::clone(hold), command.park),
        (HoldState::Active, Some(pending)) if pending.parked_at.is_none() => {
            confirm_pending(at, command, hold, pending)
        }
        (state, _) => Err(Rejection::EstimateNotOpen { state }),
    }
}

/// Sets the whole estimate aside, or parks the hold.
fn confirm_whole(
    at: &Context<'_>,
    mut draft: Draft<'_>,
    mut hold: Hold,
    park: bool,
) -> Result<Arc<Posting>, Rejection> {
    hold.confirmed_by = at.request.said.by.clone();
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
            let missing = hold.estimate.less_at_least_zero(draft.balances().available);
            draft.detail.shortfall = at.new_shortfall(&hold.incident, missing);
            hold.state = HoldState::AwaitingCredits;
            hold.parked_at = Some(at.book.now);
            hold.parked_by = Some(draft.id);
            hold.valid_until = Some(at.book.now.plus_days(at.pinned_card(&hold)?.quote_valid_days));
        }
    }
    draft.detail.hold = Some(Arc::new(hold));
    draft.finish(at.entry)
}

/// Moves only the difference between the new total and what is set aside, or parks that.
fn confirm_pending(
    at: &Context<'_>,
    command: &ConfirmEstimate,
    hold: &SharedHold,
    pending: &Pending,
) -> Result<Arc<Posting>, Rejection> {
    let mut draft = at.draft();
    let mut after = Hold::clone(hold);
    let rise = pending.total.less_at_least_zero(hold.held);
    match draft.need_available(rise) {
        Ok(()) => {
            draft.shift(Slot::First, rise)?;
            draft.shift(Slot::Second, hold.held.less_at_least_zero(pending.total))?;
            after.estimate = pending.total;
            after.held = pending.total;
            after.quoted = pending.quoted;
            after.confirmed_by = at.request.said.by.clone();
            after.confirmed_at = Some(at.book.now);
            after.pending = None;
        }
        Err(rejection) if !command.park => return Err(rejection),
        Err(_) => {
            let missing = rise.less_at_least_zero(draft.balances().available);
            draft.detail.shortfall = at.new_shortfall(&hold.incident, missing);
            after.pending = Some(Pending {
                parked_at: Some(at.book.now),
                parked_by: Some(draft.id),
                confirmed_by: at.request.said.by.clone(),
                valid_until: at.book.now.plus_days(at.pinned_card(hold)?.quote_valid_days),
                ..pending.clone()
            });
        }
    }
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// Refuses a quote, gives up a parked hold, or drops a pending quote while the hold stays ACTIVE.
pub(super) fn decline(at: &Context<'_>, command: &DeclineEstimate) -> Result<Arc<Posting>, Rejection> {
    let hold = at.hold(&command.hold)?;
    let mut after = Hold::clone(hold);
    match hold.state {
        HoldState::Quoted | HoldState::AwaitingCredits => {
            after.end(HoldState::Declined, at.book.now);
            after.ended_by = at.request.said.by.clone();
            after.end_reason = at.request.said.reason.clone();
        }
        HoldState::Active if hold.pending.is_some() => after.pending = None,
        state @ (HoldState::Active
        | HoldState::Settled
        | HoldState::Released
        | HoldState::Expired
        | HoldState::Declined
        | HoldState::Superseded) => return Err(Rejection::EstimateNotOpen { state }),
    }
    let mut draft = at.draft();
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// A QUOTED hold for the estimate, priced by the customer's card, which it pins.
fn new_hold(at: &Context<'_>, draft: &Draft<'_>, command: &EstimateIncident) -> Result<Hold, Rejection> {
    at.must_be_later("expires_at", command.expires_at)?;
    let card: &RateCard = at.card()?;
    let opened_at = command.opened_at.unwrap_or(at.book.now);
    let job = job(command, command.class.as_ref(), opened_at);
    let estimate = at.estimate_total(card, &job, &command.quote, &command.range_override)?;
    Ok(Hold {
        id: draft.id.into(),
        ledger: at.customer.ledger,
        customer: at.customer.id.clone(),
        incident: command.incident.clone(),
        class: command.class.clone(),
        previous: at.customer.state.last_hold,
        state: HoldState::Quoted,
        direct: false,
        card: card.card.clone(),
        created_at: at.book.now,
        opened_at,
        estimate,
        held: Credits::ZERO,
        valid_until: Some(at.book.now.plus_days(card.quote_valid_days)),
        expires_at: command.expires_at,
        parked_at: None,
        parked_by: None,
        pending: None,
        range_override: command.range_override.clone(),
        estimated_by: at.request.said.by.clone(),
        confirmed_by: Text::default(),
        confirmed_at: None,
        activated_by: None,
        note: command.note.clone(),
        work: WorkSums::default(),
        settlement: None,
        ended_at: None,
        ended_by: Text::default(),
        end_reason: Text::default(),
        circumstances: command.circumstances.clone(),
        quoted: is_quote(&command.quote),
    })
}

/// A quote is what somebody names in credits; anything else is taken from the card.
fn is_quote(quote: &Quote) -> bool {
    matches!(quote, Quote::Credits(_))
}

fn job<'a>(
    command: &'a EstimateIncident,
    class: Option<&'a crate::ledger::ClassId>,
    opened_at: crate::ledger::Timestamp,
) -> Job<'a> {
    const NOT_WAIVED: &Text = &Text::EMPTY;
    let seconds = match command.quote {
        Quote::Seconds(seconds) => seconds,
        Quote::Class | Quote::Credits(_) => 0,
    };
    Job {
        incident: &command.incident,
        class,
        opened_at,
        hold: None,
        work: JobWork::Seconds(seconds),
        circumstances: command.circumstances.clone(),
        waive_reason: NOT_WAIVED,
    }
}

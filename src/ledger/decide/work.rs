//! Work on an active hold: recording it, voiding it, and setting more credits aside for it.

use std::sync::Arc;

use super::Context;
use super::pricing::{Job, JobWork};
use crate::ledger::account::Slot;
use crate::ledger::command::{ExtendHold, HoldRef, NewWork, RecordWork, Said, VoidWork};
use crate::ledger::credits::Credits;
use crate::ledger::hold::{Hold, HoldState, SharedHold, Voided, Work};
use crate::ledger::ids::{Text, WorkId};
use crate::ledger::posting::Posting;
use crate::ledger::price::charge;
use crate::ledger::reject::Rejection;

pub(super) fn extend(at: &Context<'_>, command: &ExtendHold) -> Result<Arc<Posting>, Rejection> {
    let hold = at.active_hold(&command.hold)?;
    let mut draft = at.draft();
    draft.need_available(command.credits)?;
    draft.shift(Slot::First, command.credits)?;
    let mut after = Hold::clone(hold);
    after.held = hold.held.checked_add(command.credits).ok_or(Rejection::AmountOutOfBounds)?;
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// Moves no credits; announces missing ones where the work recorded so far costs more than there is.
pub(super) fn record(at: &Context<'_>, command: &RecordWork) -> Result<Arc<Posting>, Rejection> {
    let hold = at.active_hold(&command.hold)?;
    if hold.work.len() >= Hold::WORK_MAX {
        return Err(Rejection::TooMuchWork { max: Hold::WORK_MAX });
    }
    let mut draft = at.draft();
    let work = at.entry_of_work(&command.work, draft.id.into());
    draft.detail.work = Some(work.id);
    let mut after = Hold::clone(hold);
    after.work.push(work);
    let charge = at.charge_of(&after)?;
    draft.detail.nearly_used = nearly_uses(charge, hold) && !nearly_uses(at.charge_of(hold)?, hold);
    let missing = charge.less_at_least_zero(hold.held);
    let missing = missing.less_at_least_zero(draft.balances().available);
    draft.detail.shortfall = at.new_shortfall(&hold.incident, missing);
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// True where a charge comes to four fifths of what is held, or more.
fn nearly_uses(charge: Credits, hold: &Hold) -> bool {
    let parts = |credits: Credits, of: i128| i128::from(credits.units()).saturating_mul(of);
    hold.held.is_positive() && parts(charge, 5) >= parts(hold.held, 4)
}

pub(super) fn void(at: &Context<'_>, command: &VoidWork) -> Result<Arc<Posting>, Rejection> {
    let hold = at.active_hold(&command.hold)?;
    let mut after = Hold::clone(hold);
    let work = after.work.iter_mut().find(|work| work.id == command.work).ok_or(Rejection::WorkNotFound)?;
    if work.voided.is_some() {
        return Err(Rejection::WorkVoided);
    }
    let Said { by, reason, .. } = at.request.said.clone();
    work.voided = Some(Voided { at: at.book.now, by, reason });
    let mut draft = at.draft();
    draft.detail.work = Some(command.work);
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

impl<'a> Context<'a> {
    /// An entry of work as it is kept: who asks did it.
    pub(super) fn entry_of_work(&self, work: &NewWork, id: WorkId) -> Work {
        Work {
            id,
            recorded_at: self.book.now,
            seconds: work.seconds,
            started_at: work.started_at,
            line: work.line.clone(),
            solutions: work.solutions,
            by: self.request.said.by.clone(),
            note: work.note.clone(),
            voided: None,
            labels: work.labels.clone(),
        }
    }

    /// The hold that a command names, which must be ACTIVE.
    pub(super) fn active_hold(&self, hold: &HoldRef) -> Result<&'a SharedHold, Rejection> {
        let hold = self.hold(hold)?;
        match hold.state {
            HoldState::Active => Ok(hold),
            state @ (HoldState::Quoted
            | HoldState::AwaitingCredits
            | HoldState::Settled
            | HoldState::Released
            | HoldState::Expired
            | HoldState::Declined
            | HoldState::Superseded) => Err(Rejection::HoldNotActive { state }),
        }
    }

    /// What settling the hold would charge for the work on it; nothing where there is none.
    fn charge_of(&self, hold: &Hold) -> Result<Credits, Rejection> {
        if hold.live_work().next().is_none() {
            return Ok(Credits::ZERO);
        }
        let inputs = self.price_inputs(&settlement_job(hold, &Text::EMPTY), hold.confirmed_quote());
        match charge(self.pinned_card(hold)?, &inputs) {
            // Work has outgrown the flat tier: nobody knows yet what it costs, but all that is held is used.
            Err(Rejection::QuoteRequired { .. }) => Ok(hold.held),
            charged => charged,
        }
    }
}

/// The job that settling a hold prices.
pub(super) fn settlement_job<'a>(hold: &'a Hold, waive_reason: &'a Text) -> Job<'a> {
    Job {
        incident: &hold.incident,
        class: hold.class.as_ref(),
        opened_at: hold.opened_at,
        hold: Some(hold.id),
        work: JobWork::Hold(hold),
        circumstances: hold.circumstances.clone(),
        waive_reason,
    }
}

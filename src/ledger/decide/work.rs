//! Work on an active hold: recording it, voiding it, and setting more credits aside for it.

use std::sync::Arc;

use super::Context;
use super::pricing::{Job, JobWork};
use crate::ledger::account::Slot;
use crate::ledger::command::{ExtendHold, HoldRef, NewWork, RecordWork, Said, VoidWork};
use crate::ledger::credits::Credits;
use crate::ledger::hold::{Hold, HoldState, SharedHold};
use crate::ledger::ids::{LabelId, LineId, Text, WorkId};
use crate::ledger::job::PriceInputs;
use crate::ledger::posting::Posting;
use crate::ledger::price::charge;
use crate::ledger::reject::{Rejection, WorkBound};
use crate::ledger::work::{Voided, Work};

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
    if hold.work.entries >= Hold::WORK_MAX {
        return Err(Rejection::TooMuchWork { bound: WorkBound::Entries, max: Hold::WORK_MAX });
    }
    let mut draft = at.draft();
    let previous = hold.work.last_of(command.work.line.as_ref()).unwrap_or(WorkId::MIN);
    let work = at.entry_of_work(&command.work, draft.id.into(), previous);
    let mut after = Hold::clone(hold);
    after.work.add(&work).ok_or(Rejection::AmountOutOfBounds)?;
    draft.detail.work = Some(Arc::new(work));
    let inputs = at.settlement_inputs(&after);
    must_be_few(&inputs, command.work.line.as_ref(), &command.work.labels)?;
    let charge = at.charge_for(&after, &inputs)?;
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
    let work = at.entry.work().get(&(hold.id, command.work)).ok_or(Rejection::WorkNotFound)?;
    if !work.counts() {
        return Err(Rejection::WorkVoided);
    }
    let mut after = Hold::clone(hold);
    // Where an entry that the sums need was not loaded, the book refuses the posting, and the writer stops.
    let _ = after.work.remove(hold.id, work, at.entry.work());
    let Said { by, reason, .. } = at.request.said.clone();
    let voided = Voided { at: at.book.now, by, reason };
    let mut draft = at.draft();
    draft.detail.work = Some(Arc::new(Work { voided: Some(voided), ..Work::clone(work) }));
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// What an incident's price is made of is kept with each settlement, so it is bounded: new work with a line or label
/// beyond that is refused. `inputs` have them already.
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

impl<'a> Context<'a> {
    /// An entry of work as it is kept: who asks did it.
    pub(super) fn entry_of_work(&self, work: &NewWork, id: WorkId, previous: WorkId) -> Work {
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
            previous: Some(previous),
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
        if hold.work.is_empty() {
            return Ok(Credits::ZERO);
        }
        self.charge_for(hold, &self.settlement_inputs(hold))
    }

    fn settlement_inputs(&self, hold: &Hold) -> PriceInputs {
        self.price_inputs(&settlement_job(hold, &Text::EMPTY), hold.confirmed_quote())
    }

    fn charge_for(&self, hold: &Hold, inputs: &PriceInputs) -> Result<Credits, Rejection> {
        match charge(self.pinned_card(hold)?, inputs) {
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
        work: JobWork::Hold(&hold.work),
        circumstances: hold.circumstances.clone(),
        waive_reason,
    }
}

//! RecordWork: records work on an active hold.

use super::prelude::*;
use super::pricing::must_be_few;
use crate::ledger::ids::WorkId;
use crate::ledger::reject::WorkBound;
use crate::ledger::work::NewWork;

/// Records work. It moves no credits; it announces missing ones where the work so far costs more than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordWork {
    pub hold: HoldRef,
    pub work: NewWork,
}
hashed!(RecordWork { 1 => hold, 2 => work, + 60 => reason });

impl CustomerCommand for RecordWork {
    /// It looks ahead to the settlement, whose price depends on the work before it.
    fn keys(&self) -> Keys<'_> {
        Keys::whole_incident(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.active_hold(&self.hold)?;
        if hold.work.entries >= Hold::WORK_MAX {
            return Err(Rejection::TooMuchWork { bound: WorkBound::Entries, max: Hold::WORK_MAX });
        }
        let mut draft = at.draft();
        let previous = hold.work.last_of(self.work.line.as_ref()).unwrap_or(WorkId::MIN);
        let work = draft.entry_of_work(&self.work, previous);
        let mut after = Hold::clone(hold);
        after.work.add(&work).ok_or(Rejection::AmountOutOfBounds)?;
        draft.detail.work = Some(Arc::new(work));
        let inputs = at.settlement_inputs(&after)?;
        must_be_few(&inputs, self.work.line.as_ref(), &self.work.labels)?;
        let charge = at.charge_so_far(&after, &inputs)?;
        draft.detail.nearly_used = nearly_uses(charge, hold) && !nearly_uses(charge_before(at, hold)?, hold);
        draft.announce_missing(at, hold, charge.less_at_least_zero(hold.held));
        Ok(draft.with_hold(after))
    }
}

/// What settling the hold would charge for the work on it; nothing where there is none.
fn charge_before(at: &Context<'_>, hold: &Hold) -> Result<Credits, Rejection> {
    if hold.work.is_empty() {
        return Ok(Credits::ZERO);
    }
    at.charge_so_far(hold, &at.settlement_inputs(hold)?)
}

/// True where a charge comes to four fifths of what is held, or more.
fn nearly_uses(charge: Credits, hold: &Hold) -> bool {
    let parts = |credits: Credits, of: i128| i128::from(credits.units()).saturating_mul(of);
    hold.held.is_positive() && parts(charge, 5) >= parts(hold.held, 4)
}

//! ConfirmEstimate: accepts a quote, which moves the credits.

use super::estimating::{confirm_whole, confirmation};
use super::prelude::*;
use crate::ledger::hold::Pending;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmEstimate {
    pub hold: HoldRef,
    /// Wait for credits where there are too few, instead of a rejection.
    pub park: bool,
}
hashed!(ConfirmEstimate { 1 => hold, 2 => park, + 3 => by, + 60 => reason });

impl CustomerCommand for ConfirmEstimate {
    fn keys(&self) -> Keys<'_> {
        Keys::hold(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.hold(&self.hold)?;
        match (hold.state, &hold.pending) {
            (HoldState::Quoted, _) => confirm_whole(at, at.draft(), Hold::clone(hold), self.park),
            (HoldState::Active, Some(pending)) if pending.parked_at.is_none() => {
                self.confirm_pending(at, hold, pending)
            }
            (state, _) => Err(Rejection::EstimateNotOpen { state }),
        }
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some(confirmation(posting))
    }
}

impl ConfirmEstimate {
    /// Moves only the difference between the new total and what is set aside, or parks that.
    fn confirm_pending<'a>(
        &self,
        at: &Context<'a>,
        hold: &SharedHold,
        pending: &Pending,
    ) -> Result<Draft<'a>, Rejection> {
        let mut draft = at.draft();
        let mut after = Hold::clone(hold);
        let rise = pending.total.less_at_least_zero(hold.held);
        let by = &at.submission.said.by;
        match draft.need_available(rise) {
            Ok(()) => {
                draft.shift(Slot::First, rise)?;
                draft.shift(Slot::Second, hold.held.less_at_least_zero(pending.total))?;
                after.estimate = pending.total;
                after.held = pending.total;
                after.quoted = pending.quoted;
                after.confirmed_by = by.clone();
                after.confirmed_at = Some(at.book.now);
                after.pending = None;
            }
            Err(rejection) if !self.park => return Err(rejection),
            Err(_) => {
                draft.announce_missing(at, hold, rise);
                after.pending = Some(Pending {
                    parked_at: Some(at.book.now),
                    parked_by: Some(draft.id),
                    confirmed_by: by.clone(),
                    valid_until: at.book.due_by().plus_days(at.pinned_card(hold)?.quote_valid_days),
                    ..pending.clone()
                });
            }
        }
        Ok(draft.with_hold(after))
    }
}

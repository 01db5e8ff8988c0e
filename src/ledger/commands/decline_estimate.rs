//! DeclineEstimate: refuses a quote.

use super::estimating::estimate_of;
use super::prelude::*;

/// Refuses a quote, gives up a parked hold, or drops a pending quote while the hold stays ACTIVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclineEstimate {
    pub hold: HoldRef,
}
hashed!(DeclineEstimate { 1 => hold, + 2 => reason, + 3 => by });

impl CustomerCommand for DeclineEstimate {
    fn keys(&self) -> Keys<'_> {
        Keys::hold(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.hold(&self.hold)?;
        let mut after = Hold::clone(hold);
        if matches!(hold.state, HoldState::Quoted | HoldState::AwaitingCredits) {
            after.end(HoldState::Declined, at.book.now);
            after.ended_by = at.submission.said.by.clone();
            after.end_reason = at.submission.said.reason.clone();
        } else if hold.state == HoldState::Active && hold.pending.is_some() {
            after.pending = None;
        } else {
            return Err(Rejection::EstimateNotOpen { state: hold.state });
        }
        Ok(at.draft().with_hold(after))
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::HoldDeclined, estimate_of(posting)))
    }
}

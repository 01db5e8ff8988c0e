//! DeclineEstimate: refuses a quote.

use std::sync::Arc;

use super::context::Context;
use super::customer_command::{CustomerCommand, Meaning};
use super::draft::Draft;
use super::estimating::estimate_of;
use super::keys::{HoldRef, Keys};
use crate::ledger::event_type::EventType;
use crate::ledger::fingerprint::asked;
use crate::ledger::hold::{Hold, HoldState};
use crate::ledger::posting::Posting;
use crate::ledger::reject::Rejection;

/// Refuses a quote, gives up a parked hold, or drops a pending quote while the hold stays ACTIVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclineEstimate {
    pub hold: HoldRef,
}
asked!(DeclineEstimate { 1 => hold, + 2 => reason, + 3 => by });

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
        let mut draft = at.draft();
        draft.detail.hold = Some(Arc::new(after));
        Ok(draft)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::HoldDeclined, estimate_of(posting)))
    }
}

//! ReleaseHold: gives the held credits back.

use super::estimating::estimate_of;
use super::prelude::*;
use super::settling::end_without_charge;

/// Gives up an active or a parked hold. Recorded work is waived with a reason, or the hold is settled instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseHold {
    pub hold: HoldRef,
    /// Why recorded work is not charged.
    pub waive_reason: Text,
}
hashed!(ReleaseHold { 1 => hold, 2 => waive_reason, + 3 => reason, + 4 => by });

impl CustomerCommand for ReleaseHold {
    fn keys(&self) -> Keys<'_> {
        Keys::hold(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.hold(&self.hold)?;
        if hold.state != HoldState::AwaitingCredits {
            at.active_hold(&self.hold)?;
        }
        let has_work = !hold.work.is_empty();
        if has_work && self.waive_reason.is_empty() {
            return Err(Rejection::WorkRecorded { seconds: hold.worked_seconds() });
        }
        let waived = if has_work { &self.waive_reason } else { &Text::EMPTY };
        end_without_charge(at, hold, HoldState::Released, waived)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::HoldReleased, estimate_of(posting)))
    }
}

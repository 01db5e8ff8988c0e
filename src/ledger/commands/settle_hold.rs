//! SettleHold: charges the recorded work.

use super::prelude::*;
use super::settling::{Overrun, Settling, ended};
use crate::ledger::ids::LabelId;

/// Charges the work on an active hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleHold {
    pub hold: HoldRef,
    pub overrun: Overrun,
    /// The most that the customer may pay.
    pub max_charge: Option<Credits>,
    /// The recorded seconds that the caller has seen.
    pub expected_work_seconds: Option<u64>,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
    /// Labels besides those of the hold and of the work on it.
    pub labels: Vec<LabelId>,
    /// Whether it was an emergency, where the hold is wrong about that.
    pub emergency: Option<bool>,
    /// Whether the knowledge base had the answer, where the hold is wrong about that.
    pub kb_answered: Option<bool>,
}
hashed!(SettleHold {
    1 => hold, 2 => overrun, 3 => max_charge, 4 => expected_work_seconds, 5 => waive_reason, + 6 => by,
    20 => labels, 21 => emergency, 22 => kb_answered, + 60 => reason,
});

impl CustomerCommand for SettleHold {
    fn keys(&self) -> Keys<'_> {
        Keys::whole_incident(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let settling = Settling {
            overrun: self.overrun,
            max_charge: self.max_charge,
            expected_work_seconds: self.expected_work_seconds,
            waive_reason: &self.waive_reason,
            labels: &self.labels,
            emergency: self.emergency,
            kb_answered: self.kb_answered,
        };
        settling.settle(at, at.active_hold(&self.hold)?)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        ended(posting)
    }
}

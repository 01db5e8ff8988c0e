//! ExtendHold: sets more credits aside for a hold.

use std::sync::Arc;

use super::context::Context;
use super::customer_command::{CustomerCommand, Meaning};
use super::draft::Draft;
use super::keys::{HoldRef, Keys};
use crate::ledger::account::Slot;
use crate::ledger::credits::Credits;
use crate::ledger::event_type::EventType;
use crate::ledger::fingerprint::asked;
use crate::ledger::hold::Hold;
use crate::ledger::posting::Posting;
use crate::ledger::reject::Rejection;

/// Sets more credits aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendHold {
    pub hold: HoldRef,
    /// How much more, more than zero.
    pub credits: Credits,
}
asked!(ExtendHold { 1 => hold, 2 => credits, + 3 => reason, + 4 => by });

impl CustomerCommand for ExtendHold {
    fn keys(&self) -> Keys<'_> {
        Keys::hold(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.active_hold(&self.hold)?;
        let mut draft = at.draft();
        draft.need_available(self.credits)?;
        draft.shift(Slot::First, self.credits)?;
        let mut after = Hold::clone(hold);
        after.held = hold.held.checked_add(self.credits).ok_or(Rejection::AmountOutOfBounds)?;
        draft.detail.hold = Some(Arc::new(after));
        Ok(draft)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::HoldExtended, posting.detail.hold.as_ref().map(|hold| hold.held)))
    }
}

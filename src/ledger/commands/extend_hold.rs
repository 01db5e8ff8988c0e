//! ExtendHold: sets more credits aside for a hold.

use super::prelude::*;

/// Sets more aside for an active hold whose estimate comes from the card. A confirmed quote stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendHold {
    pub hold: HoldRef,
    /// How much more, more than zero.
    pub credits: Credits,
}
hashed!(ExtendHold { 1 => hold, 2 => credits, + 3 => reason, + 4 => by });

impl CustomerCommand for ExtendHold {
    fn keys(&self) -> Keys<'_> {
        Keys::hold(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.active_hold(&self.hold)?;
        // More would be set aside than was agreed. A new estimate names the new total, and the customer confirms it.
        if let Some(quote) = hold.confirmed_quote() {
            return Err(Rejection::QuoteConfirmed { quote });
        }
        let mut draft = at.draft();
        draft.need_available(self.credits)?;
        draft.shift(Slot::First, self.credits)?;
        let mut after = Hold::clone(hold);
        after.held = hold.held.checked_add(self.credits).ok_or(Rejection::AmountOutOfBounds)?;
        Ok(draft.with_hold(after))
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::HoldExtended, posting.detail.hold.as_ref().map(|hold| hold.held)))
    }
}

//! AdjustBalance: an operator corrects a balance.

use super::lots::credits_of_lot;
use super::prelude::*;
use crate::ledger::lot::LotSource;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustBalance {
    /// More than zero adds, less than zero takes away; never zero.
    pub credits: Credits,
}
hashed!(AdjustBalance { 1 => credits, + 2 => reason, + 3 => by });

impl CustomerCommand for AdjustBalance {
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let mut draft = at.draft();
        if self.credits.is_positive() {
            draft.shift(Slot::First, self.credits)?;
            draft.open_lot(draft.new_lot(LotSource::Adjustment, self.credits, None))?;
        } else {
            let down = self.credits.negated();
            draft.need_available(down)?;
            draft.shift(Slot::Second, down)?;
            draft.adjust_away(down)?;
        }
        Ok(draft)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        let down = posting.amounts.get(Slot::Second).negated();
        Some((EventType::CreditsAdjusted, credits_of_lot(posting).or(Some(down))))
    }
}

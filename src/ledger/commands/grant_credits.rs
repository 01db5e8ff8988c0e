//! GrantCredits: gives promotional credits.

use super::lots::credits_of_lot;
use super::prelude::*;
use crate::ledger::lot::LotSource;

/// Gives credits without a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantCredits {
    /// More than zero.
    pub credits: Credits,
    /// When what is left falls due; by default never.
    pub expires_at: Option<Timestamp>,
}
hashed!(GrantCredits { 1 => credits, 2 => expires_at, + 3 => reason, + 4 => by });

impl CustomerCommand for GrantCredits {
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        at.must_not_be_closed()?;
        at.must_be_later("expires_at", self.expires_at)?;
        let mut draft = at.draft();
        draft.shift(Slot::First, self.credits)?;
        draft.open_lot(draft.new_lot(LotSource::Grant, self.credits, self.expires_at))?;
        Ok(draft)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::CreditsGranted, credits_of_lot(posting)))
    }
}

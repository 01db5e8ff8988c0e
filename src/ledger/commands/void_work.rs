//! VoidWork: withdraws an entry of work.

use super::prelude::*;
use crate::ledger::fingerprint::Said;
use crate::ledger::ids::WorkId;
use crate::ledger::work::{Voided, Work};

/// Voids an entry of work on an active hold: it no longer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidWork {
    pub hold: HoldRef,
    pub work: WorkId,
}
hashed!(VoidWork { 1 => hold, 2 => work, + 3 => reason, + 4 => by });

impl CustomerCommand for VoidWork {
    fn keys(&self) -> Keys<'_> {
        Keys { work: Some(self.work), ..Keys::hold(&self.hold) }
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.active_hold(&self.hold)?;
        let work = at.entry.work().get(&(hold.id, self.work)).ok_or(Rejection::WorkNotFound)?;
        if !work.counts() {
            return Err(Rejection::WorkVoided);
        }
        let mut after = Hold::clone(hold);
        // If an entry that the sums need was not loaded, the sums are wrong: the book refuses the posting, and the
        // writer stops.
        let _ = after.work.remove(hold.id, work, at.entry.work());
        let Said { by, reason, .. } = at.submission.said.clone();
        let voided = Voided { at: at.book.now, by, reason };
        let mut draft = at.draft();
        draft.detail.work = Some(Arc::new(Work { voided: Some(voided), ..Work::clone(work) }));
        Ok(draft.with_hold(after))
    }
}

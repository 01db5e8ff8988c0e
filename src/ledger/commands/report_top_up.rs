//! ReportTopUp: a storefront reports that charging for a top-up takes its time, or that it failed.

use super::prelude::*;
use crate::ledger::ids::TopUpId;
use crate::ledger::top_up::{TopUp, TopUpAct, TopUpAnswer, TopUpReport, TopUps};

/// Reports on the request in flight. It moves nothing: a request is answered by a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportTopUp {
    pub top_up: TopUpId,
    /// A decline comes with its reason.
    pub answer: TopUpAnswer,
}
hashed!(ReportTopUp { 1 => top_up, 2 => answer, + 3 => reason, + 4 => by });

impl CustomerCommand for ReportTopUp {
    fn keys(&self) -> Keys<'_> {
        Keys::profile()
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let now = at.book.now;
        let top_ups = at.customer.state.top_ups.as_deref();
        let open = top_ups.and_then(|top_ups: &TopUps| top_ups.at(now).open);
        if open.is_none_or(|open| open.id != self.top_up) {
            return Err(Rejection::TopUpNotFound);
        }
        match self.answer {
            TopUpAnswer::Pending(until) => {
                at.must_be_later("pending_until", Some(until))?;
                if until > now.plus_seconds(i64::from(TopUp::SECONDS_MAX)) {
                    return Err(Rejection::field("pending_until", "must be at most 31 days ahead"));
                }
            }
            TopUpAnswer::Declined => {}
        }
        let mut draft = at.draft();
        let report = TopUpReport { top_up: self.top_up, answer: self.answer };
        draft.detail.top_up_act = Some(TopUpAct::Reported(report));
        Ok(draft)
    }
}

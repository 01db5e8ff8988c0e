//! EstimateIncident: quotes an incident.

use super::estimating::{Quote, estimate_of};
use super::prelude::*;
use super::pricing::{Estimated, Job, JobWork};
use crate::ledger::hold::Pending;
use crate::ledger::ids::{ClassId, IncidentId};
use crate::ledger::job::Circumstances;

/// Estimates an incident. A new estimate supersedes a QUOTED one. On an ACTIVE hold it becomes a pending quote for a
/// new total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstimateIncident {
    pub incident: IncidentId,
    /// Its class; the card's defaults apply to one that it does not name. On an ACTIVE hold the hold's class stays.
    pub class: Option<ClassId>,
    pub quote: Quote,
    /// When the incident was opened; by default now.
    pub opened_at: Option<Timestamp>,
    /// When an ACTIVE hold without work falls due; by default never.
    pub expires_at: Option<Timestamp>,
    /// Why the estimate lies outside its class's range.
    pub range_override: Text,
    /// What the customer should know.
    pub note: Text,
    /// What is special about the incident. On an ACTIVE hold the hold's own stay.
    pub circumstances: Circumstances,
}
hashed!(EstimateIncident {
    1 => incident, 2 => class, 3 => quote, 4 => opened_at, 5 => expires_at, 6 => range_override, 7 => note, + 8 => by,
    20 => circumstances, + 60 => reason,
});

impl CustomerCommand for EstimateIncident {
    fn keys(&self) -> Keys<'_> {
        Keys::incident(&self.incident)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        at.must_not_be_closed()?;
        let quoted = match at.open_hold(&self.incident) {
            None => {
                at.must_have_room_for_a_hold()?;
                None
            }
            Some(hold) if hold.state == HoldState::Quoted => Some(hold),
            Some(hold) if hold.state == HoldState::Active && !hold.is_parked() => {
                return self.estimate_anew(at, hold);
            }
            // The customer confirmed the parked hold, so it must be declined before another estimate.
            Some(hold) => return Err(Rejection::HoldExists { hold: hold.id }),
        };
        let mut draft = at.draft();
        let hold = self.new_hold(at, &draft)?;
        draft.announce_missing(at, &hold, hold.estimate);
        if let Some(quoted) = quoted {
            let mut superseded = Hold::clone(quoted);
            superseded.end(HoldState::Superseded, at.book.now);
            draft.detail.others.push(Arc::new(superseded));
        }
        Ok(draft.with_hold(hold))
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        let pending = posting.detail.hold.as_ref().and_then(|hold| hold.pending.as_ref());
        Some((EventType::HoldQuoted, pending.map(|pending| pending.total).or(estimate_of(posting))))
    }
}

impl EstimateIncident {
    fn estimate_anew<'a>(&self, at: &Context<'a>, hold: &SharedHold) -> Result<Draft<'a>, Rejection> {
        let card = at.pinned_card(hold)?;
        let job = self.job(hold.class.as_ref(), hold.opened_at);
        let job = Job { hold: Some(hold.id), circumstances: hold.circumstances.clone(), ..job };
        let Estimated { total, is_quote } = at.estimated(card, &job, &self.quote, &self.range_override)?;
        let mut draft = at.draft();
        draft.announce_missing(at, hold, total.less_at_least_zero(hold.held));
        let mut after = Hold::clone(hold);
        after.pending = Some(Pending {
            total,
            valid_until: at.book.due_by().plus_days(card.quote_valid_days),
            parked_at: None,
            parked_by: None,
            range_override: self.range_override.clone(),
            estimated_by: at.submission.said.by.clone(),
            confirmed_by: Text::default(),
            note: self.note.clone(),
            quoted: is_quote,
        });
        Ok(draft.with_hold(after))
    }

    /// A QUOTED hold for the estimate, priced by the customer's card, which it pins.
    pub(super) fn new_hold(&self, at: &Context<'_>, draft: &Draft<'_>) -> Result<Hold, Rejection> {
        at.must_be_later("expires_at", self.expires_at)?;
        let card = at.card()?;
        let opened_at = self.opened_at.unwrap_or(at.book.now);
        let job = self.job(self.class.as_ref(), opened_at);
        let Estimated { total, is_quote } = at.estimated(card, &job, &self.quote, &self.range_override)?;
        Ok(Hold {
            class: self.class.clone(),
            estimate: total,
            valid_until: Some(at.book.due_by().plus_days(card.quote_valid_days)),
            expires_at: self.expires_at,
            range_override: self.range_override.clone(),
            estimated_by: at.submission.said.by.clone(),
            note: self.note.clone(),
            circumstances: self.circumstances.clone(),
            quoted: is_quote,
            ..draft.quoted_hold(&self.incident, card, opened_at)
        })
    }

    fn job<'a>(&'a self, class: Option<&'a ClassId>, opened_at: Timestamp) -> Job<'a> {
        let seconds = match self.quote {
            Quote::Seconds(seconds) => seconds,
            Quote::Class | Quote::Credits(_) => 0,
        };
        Job {
            incident: &self.incident,
            class,
            opened_at,
            hold: None,
            work: JobWork::Seconds(seconds),
            circumstances: self.circumstances.clone(),
            waive_reason: &Text::EMPTY,
        }
    }
}

//! ChargeIncident: charges an incident without a hold.

use super::prelude::*;
use super::pricing::{Job, JobWork, must_be_few};
use super::settling::{ended, must_not_exceed, note_end};
use crate::ledger::ids::{ClassId, IncidentId, WorkId};
use crate::ledger::job::Circumstances;
use crate::ledger::price::{charge, free_of_charge};
use crate::ledger::work::{NewWork, WorkSums};

/// Charges an incident that has no open hold, from available credits. It is kept as a settled hold of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeIncident {
    pub incident: IncidentId,
    pub class: Option<ClassId>,
    pub work: NewWork,
    /// When the incident was opened; by default now.
    pub opened_at: Option<Timestamp>,
    /// The most that the customer may pay.
    pub max_charge: Option<Credits>,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
    pub circumstances: Circumstances,
    /// What the incident has cost so far, as the caller knows it. A late duplicate under another request id is refused
    /// by it.
    pub expected_charged: Option<Credits>,
}
hashed!(ChargeIncident {
    1 => incident, 2 => class, 3 => work, 4 => opened_at, 5 => max_charge, 6 => waive_reason, 20 => circumstances, + 60 => reason,
    61 => expected_charged,
});

impl CustomerCommand for ChargeIncident {
    fn keys(&self) -> Keys<'_> {
        Keys::incident(&self.incident)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        at.must_not_be_closed()?;
        at.must_have_no_open_hold(&self.incident)?;
        if let Some(expected) = self.expected_charged {
            let charged = at.standing_charges(&self.incident)?;
            if charged != expected {
                return Err(Rejection::ChargeChanged { expected, charged });
            }
        }
        let card = at.card()?;
        let opened_at = self.opened_at.unwrap_or(at.book.now);
        let job = Job {
            incident: &self.incident,
            class: self.class.as_ref(),
            opened_at,
            hold: None,
            work: JobWork::New(&self.work),
            circumstances: self.circumstances.clone(),
            waive_reason: &self.waive_reason,
        };
        let inputs = at.price_inputs(&job, None)?;
        must_be_few(&inputs, self.work.line.as_ref(), &self.work.labels)?;
        must_be_few(&inputs, None, &self.circumstances.labels)?;
        if card.confirmed_hold_only && free_of_charge(card, &inputs)?.is_none() {
            return Err(Rejection::HoldRequired);
        }
        let charge = charge(card, &inputs)?;
        must_not_exceed(charge, self.max_charge)?;
        let mut draft = at.draft();
        draft.need_available(charge)?;
        let settlement = draft.take_charge(inputs, [Credits::ZERO, charge, Credits::ZERO])?;
        let work = draft.entry_of_work(&self.work, WorkId::MIN);
        let mut hold = Hold {
            class: self.class.clone(),
            state: HoldState::Settled,
            direct: true,
            work: WorkSums::of([&work]).ok_or(Rejection::AmountOutOfBounds)?,
            settlement: Some(settlement),
            ended_at: Some(at.book.now),
            circumstances: self.circumstances.clone(),
            ..draft.quoted_hold(&self.incident, card, opened_at)
        };
        note_end(at, &mut draft, &mut hold, &self.waive_reason);
        draft.detail.hold = Some(Arc::new(hold));
        draft.detail.work = Some(Arc::new(work));
        Ok(draft)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        ended(posting)
    }
}

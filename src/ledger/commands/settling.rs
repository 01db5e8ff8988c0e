//! How incidents are charged, or end without a charge: shared by the commands that end holds.

use super::prelude::*;
use super::pricing::{must_be_few, settlement_job};
use crate::ledger::codec::coded_enum;
use crate::ledger::hold::Settlement;
use crate::ledger::ids::{LabelId, WorkId};
use crate::ledger::job::{Circumstances, PriceInputs};
use crate::ledger::money::MoneyAccount;
use crate::ledger::price::charge;
use crate::ledger::work::{NewWork, Work};

coded_enum!(
    /// What happens where a charge exceeds the hold.
    Overrun {
        /// The rest is taken from available credits.
        TakeAvailable = 1 / "TAKE_AVAILABLE",
        /// The vendor bears the rest.
        CapAtHold = 2 / "CAP_AT_HOLD",
    }
);

/// How a settlement was asked for, and what the hold does not know about the incident.
pub struct Settling<'a> {
    pub overrun: Overrun,
    /// The most that the customer may pay.
    pub max_charge: Option<Credits>,
    pub expected_work_seconds: Option<u64>,
    pub waive_reason: &'a Text,
    pub labels: &'a [LabelId],
    pub emergency: Option<bool>,
    pub kb_answered: Option<bool>,
}

impl Default for Settling<'_> {
    fn default() -> Self {
        Self {
            overrun: Overrun::TakeAvailable,
            max_charge: None,
            expected_work_seconds: None,
            waive_reason: &Text::EMPTY,
            labels: &[],
            emergency: None,
            kb_answered: None,
        }
    }
}

impl Settling<'_> {
    /// Charges the work on an active hold.
    pub fn settle<'a>(&self, at: &Context<'a>, hold: &SharedHold) -> Result<Draft<'a>, Rejection> {
        must_be_expected(self.expected_work_seconds, hold.worked_seconds())?;
        let mut inputs = at.price_inputs(&settlement_job(hold, self.waive_reason), hold.confirmed_quote())?;
        self.correct(&mut inputs.circumstances);
        must_be_few(&inputs, None, self.labels)?;
        let charge = charge(at.pinned_card(hold)?, &inputs)?;
        let from_held = charge.min(hold.held);
        let over = charge.less_at_least_zero(hold.held);
        let (from_available, written_off) = match self.overrun {
            Overrun::TakeAvailable => (over, Credits::ZERO),
            Overrun::CapAtHold => (Credits::ZERO, over),
        };
        must_not_exceed(charge.less_at_least_zero(written_off), self.max_charge)?;
        let mut draft = at.draft();
        draft.need_available(from_available)?;
        draft.shift(Slot::First, from_held)?;
        draft.shift(Slot::Second, hold.held.less_at_least_zero(charge))?;
        let mut after = Hold::clone(hold);
        after.end(HoldState::Settled, at.book.now);
        note_end(at, &mut draft, &mut after, self.waive_reason);
        after.settlement = Some(draft.take_charge(inputs, [from_held, from_available, written_off])?);
        Ok(draft.with_hold(after))
    }

    /// What is special about the incident, as it turned out.
    fn correct(&self, circumstances: &mut Circumstances) {
        circumstances.add_labels(self.labels);
        circumstances.emergency = self.emergency.unwrap_or(circumstances.emergency);
        circumstances.kb_answered = self.kb_answered.unwrap_or(circumstances.kb_answered);
    }
}

impl Draft<'_> {
    /// Moves the credits that the hold does not pay, and burns lots for all that the customer pays.
    pub fn take_charge(
        &mut self,
        inputs: PriceInputs,
        [from_held, from_available, written_off]: [Credits; 3],
    ) -> Result<Settlement, Rejection> {
        self.shift(Slot::Third, from_available)?;
        self.shift(Slot::Fourth, written_off)?;
        let paid = from_held.checked_add(from_available).ok_or(Rejection::AmountOutOfBounds)?;
        Ok(Settlement {
            posting: self.id,
            settled_at: self.recorded_at(),
            inputs,
            charge: paid.checked_add(written_off).ok_or(Rejection::AmountOutOfBounds)?,
            from_held,
            from_available,
            written_off,
            burned: self.burn(paid, MoneyAccount::EarnedRevenue)?,
            reversed: Credits::ZERO,
            write_off_reversed: Credits::ZERO,
        })
    }

    /// An entry of work as it is kept, with the posting's id. Whoever asks did the work.
    pub fn entry_of_work(&self, work: &NewWork, previous: WorkId) -> Work {
        Work {
            id: self.id.into(),
            recorded_at: self.recorded_at(),
            seconds: work.seconds,
            started_at: work.started_at,
            line: work.line.clone(),
            solutions: work.solutions,
            by: self.detail.by.clone(),
            note: work.note.clone(),
            voided: None,
            labels: work.labels.clone(),
            previous: Some(previous),
        }
    }
}

/// Refuses where other work was recorded than the caller has seen.
pub(super) fn must_be_expected(expected: Option<u64>, recorded: u64) -> Result<(), Rejection> {
    match expected {
        Some(expected) if expected != recorded => Err(Rejection::WorkChanged { expected, recorded }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses where the customer would pay more than the caller allows. What the vendor bears does not count.
pub(super) fn must_not_exceed(paid: Credits, max_charge: Option<Credits>) -> Result<(), Rejection> {
    match max_charge {
        Some(max_charge) if paid > max_charge => {
            Err(Rejection::ExceedsMaxCharge { charge: paid, max_charge })
        }
        Some(_) | None => Ok(()),
    }
}

/// Notes who ended a hold and why, and why work on it is waived. The hold keeps the first reason, the posting the
/// second; an empty one is replaced by the other.
pub(super) fn note_end(at: &Context<'_>, draft: &mut Draft<'_>, hold: &mut Hold, waived: &Text) {
    let why = &at.submission.said.reason;
    hold.ended_by = at.submission.said.by.clone();
    hold.end_reason = if why.is_empty() { waived } else { why }.clone();
    draft.detail.reason = if waived.is_empty() { why } else { waived }.clone();
}

/// Ends a hold and gives back what it holds.
pub(super) fn end_without_charge<'a>(
    at: &Context<'a>,
    hold: &SharedHold,
    state: HoldState,
    waived: &Text,
) -> Result<Draft<'a>, Rejection> {
    let mut draft = at.draft();
    draft.shift(Slot::Second, hold.held)?;
    let mut after = Hold::clone(hold);
    after.end(state, at.book.now);
    note_end(at, &mut draft, &mut after, waived);
    Ok(draft.with_hold(after))
}

/// How an incident ended: charged, released, or declined while it was a quote.
pub(super) fn ended(posting: &Posting) -> Option<Meaning> {
    let hold = posting.detail.hold.as_ref()?;
    if let Some(settlement) = &hold.settlement {
        return Some((EventType::SettlementCompleted, Some(settlement.charge)));
    }
    let declined = hold.state == HoldState::Declined;
    let event = if declined { EventType::HoldDeclined } else { EventType::HoldReleased };
    Some((event, Some(hold.estimate)))
}

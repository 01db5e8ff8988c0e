//! How incidents are charged, given up and given back.

use std::sync::Arc;

use super::pricing::{Job, JobWork};
use super::work::{must_be_few, settlement_job};
use super::{Context, Draft};
use crate::ledger::account::Slot;
use crate::ledger::command::{
    ChargeIncident, CloseIncident, HoldRef, Overrun, ReleaseHold, ReverseSettlement, SettleHold,
};
use crate::ledger::credits::Credits;
use crate::ledger::hold::{Hold, HoldState, Settlement, SharedHold};
use crate::ledger::ids::{Text, WorkId};
use crate::ledger::job::{Circumstances, PriceInputs};
use crate::ledger::lot::OpenLot;
use crate::ledger::money::MoneyAccount;
use crate::ledger::posting::Posting;
use crate::ledger::price::{charge as charge_for, free_of_charge};
use crate::ledger::reject::Rejection;
use crate::ledger::work::WorkSums;

pub(super) fn settle(at: &Context<'_>, command: &SettleHold) -> Result<Arc<Posting>, Rejection> {
    let hold = at.active_hold(&command.hold)?;
    let terms = SettleTerms {
        overrun: command.overrun,
        max_charge: command.max_charge,
        expected_work_seconds: command.expected_work_seconds,
        waive_reason: &command.waive_reason,
        command: Some(command),
    };
    settle_hold(at, hold, &terms)
}

/// How a settlement was asked for.
struct SettleTerms<'a> {
    overrun: Overrun,
    max_charge: Option<Credits>,
    expected_work_seconds: Option<u64>,
    waive_reason: &'a Text,
    /// Says what the hold does not know about the incident.
    command: Option<&'a SettleHold>,
}

impl SettleTerms<'_> {
    /// What is special about the incident, as it turned out.
    fn correct(&self, circumstances: &mut Circumstances) {
        let Some(SettleHold { labels, emergency, kb_answered, .. }) = self.command else { return };
        circumstances.add_labels(labels);
        circumstances.emergency = emergency.unwrap_or(circumstances.emergency);
        circumstances.kb_answered = kb_answered.unwrap_or(circumstances.kb_answered);
    }
}

fn settle_hold(
    at: &Context<'_>,
    hold: &SharedHold,
    terms: &SettleTerms<'_>,
) -> Result<Arc<Posting>, Rejection> {
    let recorded = hold.worked_seconds();
    if let Some(expected) = terms.expected_work_seconds
        && expected != recorded
    {
        return Err(Rejection::WorkChanged { expected, recorded });
    }
    let mut inputs = at.price_inputs(&settlement_job(hold, terms.waive_reason), hold.confirmed_quote());
    terms.correct(&mut inputs.circumstances);
    must_be_few(&inputs, None, terms.command.map_or(&[], |command| &command.labels))?;
    let charge = charge_for(at.pinned_card(hold)?, &inputs)?;
    within(charge, terms.max_charge)?;
    let mut draft = at.draft();
    let from_held = charge.min(hold.held);
    let over = charge.less_at_least_zero(hold.held);
    let (from_available, written_off) = match terms.overrun {
        Overrun::TakeAvailable => (over, Credits::ZERO),
        Overrun::CapAtHold => (Credits::ZERO, over),
    };
    draft.need_available(from_available)?;
    draft.shift(Slot::First, from_held)?;
    draft.shift(Slot::Second, hold.held.less_at_least_zero(charge))?;
    let mut after = Hold::clone(hold);
    after.end(HoldState::Settled, at.book.now);
    say_end(at, &mut draft, &mut after, terms.waive_reason);
    after.settlement = Some(take_charge(&mut draft, at, inputs, [from_held, from_available, written_off])?);
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// Moves what is not paid from the hold, and burns lots for all that the customer pays.
fn take_charge(
    draft: &mut Draft<'_>,
    at: &Context<'_>,
    inputs: PriceInputs,
    [from_held, from_available, written_off]: [Credits; 3],
) -> Result<Settlement, Rejection> {
    draft.shift(Slot::Third, from_available)?;
    draft.shift(Slot::Fourth, written_off)?;
    let paid = from_held.checked_add(from_available).ok_or(Rejection::AmountOutOfBounds)?;
    Ok(Settlement {
        posting: draft.id,
        settled_at: at.book.now,
        inputs,
        charge: paid.checked_add(written_off).ok_or(Rejection::AmountOutOfBounds)?,
        from_held,
        from_available,
        written_off,
        burned: draft.burn(paid, MoneyAccount::EarnedRevenue)?,
        reversed: Credits::ZERO,
        write_off_reversed: Credits::ZERO,
    })
}

fn within(charge: Credits, max_charge: Option<Credits>) -> Result<(), Rejection> {
    match max_charge {
        Some(max_charge) if charge > max_charge => Err(Rejection::ExceedsMaxCharge { charge, max_charge }),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn release(at: &Context<'_>, command: &ReleaseHold) -> Result<Arc<Posting>, Rejection> {
    let hold = at.hold(&command.hold)?;
    if hold.state != HoldState::AwaitingCredits {
        at.active_hold(&command.hold)?;
    }
    let has_work = !hold.work.is_empty();
    if has_work && command.waive_reason.is_empty() {
        return Err(Rejection::WorkRecorded { seconds: hold.worked_seconds() });
    }
    let waived = if has_work { &command.waive_reason } else { &Text::EMPTY };
    end_without_charge(at, hold, HoldState::Released, waived)
}

/// Without work a release (a quote is declined), with work a settlement.
pub(super) fn close(at: &Context<'_>, command: &CloseIncident) -> Result<Arc<Posting>, Rejection> {
    let hold = at.hold(&command.hold)?;
    let state = match hold.state {
        HoldState::Quoted => HoldState::Declined,
        HoldState::AwaitingCredits => HoldState::Released,
        HoldState::Active if hold.work.is_empty() => HoldState::Released,
        HoldState::Active => {
            let terms = SettleTerms {
                overrun: Overrun::TakeAvailable,
                max_charge: command.max_charge,
                expected_work_seconds: command.expected_work_seconds,
                waive_reason: &Text::EMPTY,
                command: None,
            };
            return settle_hold(at, hold, &terms);
        }
        state @ (HoldState::Settled
        | HoldState::Released
        | HoldState::Expired
        | HoldState::Declined
        | HoldState::Superseded) => return Err(Rejection::HoldNotActive { state }),
    };
    if let Some(expected) = command.expected_work_seconds.filter(|expected| *expected != 0) {
        return Err(Rejection::WorkChanged { expected, recorded: 0 });
    }
    end_without_charge(at, hold, state, &Text::EMPTY)
}

/// Says who ended a hold and why, and why work on it is waived: the hold keeps the first reason, the posting the second,
/// and each stands in for the other where it is empty.
fn say_end(at: &Context<'_>, draft: &mut Draft<'_>, hold: &mut Hold, waived: &Text) {
    let why = &at.request.said.reason;
    hold.ended_by = at.request.said.by.clone();
    hold.end_reason = if why.is_empty() { waived } else { why }.clone();
    draft.detail.reason = if waived.is_empty() { why } else { waived }.clone();
}

fn end_without_charge(
    at: &Context<'_>,
    hold: &SharedHold,
    state: HoldState,
    waived: &Text,
) -> Result<Arc<Posting>, Rejection> {
    let mut draft = at.draft();
    draft.shift(Slot::Second, hold.held)?;
    let mut after = Hold::clone(hold);
    after.end(state, at.book.now);
    say_end(at, &mut draft, &mut after, waived);
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(at.entry)
}

/// Charges an incident that has no open hold, from available credits. It is kept as a settled hold of its own.
pub(super) fn charge(at: &Context<'_>, command: &ChargeIncident) -> Result<Arc<Posting>, Rejection> {
    at.must_not_be_closed()?;
    if let Some(hold) = at.open_hold(&command.incident) {
        return Err(Rejection::HoldExists { hold: hold.id });
    }
    let card = at.card()?;
    let opened_at = command.opened_at.unwrap_or(at.book.now);
    let job = Job {
        incident: &command.incident,
        class: command.class.as_ref(),
        opened_at,
        hold: None,
        work: JobWork::New(&command.work),
        circumstances: command.circumstances.clone(),
        waive_reason: &command.waive_reason,
    };
    let inputs = at.price_inputs(&job, None);
    must_be_few(&inputs, command.work.line.as_ref(), &command.work.labels)?;
    must_be_few(&inputs, None, &command.circumstances.labels)?;
    if card.confirmed_hold_only && free_of_charge(card, &inputs)?.is_none() {
        return Err(Rejection::HoldRequired);
    }
    let charge = charge_for(card, &inputs)?;
    within(charge, command.max_charge)?;
    let mut draft = at.draft();
    draft.need_available(charge)?;
    let settlement = take_charge(&mut draft, at, inputs, [Credits::ZERO, charge, Credits::ZERO])?;
    let work = at.entry_of_work(&command.work, draft.id.into(), WorkId::MIN);
    let sums = WorkSums::of([&work]).ok_or(Rejection::AmountOutOfBounds)?;
    let mut hold = Hold {
        id: draft.id.into(),
        ledger: at.customer.ledger,
        customer: at.customer.id.clone(),
        incident: command.incident.clone(),
        class: command.class.clone(),
        previous: at.customer.state.last_hold,
        state: HoldState::Settled,
        direct: true,
        card: card.card.clone(),
        created_at: at.book.now,
        opened_at,
        estimate: Credits::ZERO,
        held: Credits::ZERO,
        valid_until: None,
        expires_at: None,
        parked_at: None,
        parked_by: None,
        pending: None,
        range_override: Text::default(),
        estimated_by: Text::default(),
        confirmed_by: Text::default(),
        confirmed_at: None,
        activated_by: None,
        note: Text::default(),
        ended_by: Text::default(),
        work: sums,
        settlement: Some(settlement),
        ended_at: Some(at.book.now),
        end_reason: Text::default(),
        circumstances: command.circumstances.clone(),
        quoted: false,
    };
    say_end(at, &mut draft, &mut hold, &command.waive_reason);
    draft.detail.hold = Some(Arc::new(hold));
    draft.detail.work = Some(Arc::new(work));
    draft.finish(at.entry)
}

/// Gives back at most what the customer paid and has not got back, into the lots that burned last. When all of it is
/// back, the vendor's write-off is undone too.
pub(super) fn reverse(at: &Context<'_>, command: &ReverseSettlement) -> Result<Arc<Posting>, Rejection> {
    let (hold, settlement) = at.settled_hold(&command.hold)?;
    let reversible = settlement.reversible();
    let credits = command.credits.unwrap_or(reversible);
    let write_off = settlement.written_off.less_at_least_zero(settlement.write_off_reversed);
    if credits > reversible || (reversible.is_zero() && write_off.is_zero()) {
        return Err(Rejection::ExceedsReversible { reversible });
    }
    let mut draft = at.draft();
    draft.shift(Slot::First, credits)?;
    let mut after = settlement.clone();
    after.reversed = settlement.reversed.checked_add(credits).ok_or(Rejection::AmountOutOfBounds)?;
    if credits == reversible {
        draft.shift(Slot::Second, write_off)?;
        after.write_off_reversed = settlement.written_off;
    }
    for part in given_back(settlement, credits) {
        draft.give_back(part, MoneyAccount::EarnedRevenue)?;
    }
    let mut hold = Hold::clone(hold);
    hold.settlement = Some(after);
    draft.detail.hold = Some(Arc::new(hold));
    draft.finish(at.entry)
}

/// The parts of lots that `credits` go back to: the last-burned first, past what went back before. Each takes its share
/// of what it earned, for all that is back now less what was returned before.
fn given_back(settlement: &Settlement, credits: Credits) -> Vec<OpenLot> {
    let mut skip = settlement.reversed;
    let mut rest = credits;
    let mut parts = Vec::new();
    for lot in settlement.burned.iter().rev() {
        let skipped = lot.left.min(skip);
        skip = skip.less_at_least_zero(skipped);
        let part = lot.left.less_at_least_zero(skipped).min(rest);
        rest = rest.less_at_least_zero(part);
        if part.is_positive() {
            let money = lot.money.map(|earned| {
                let returned = |credits| earned.share(credits, lot.left).minor_units;
                let back = skipped.checked_add(part).map_or(earned.minor_units, returned);
                earned.with(back.saturating_sub(returned(skipped)))
            });
            parts.push(OpenLot { left: part, money, ..*lot });
        }
    }
    parts
}

impl<'a> Context<'a> {
    /// The settlement that a reversal names; by incident the newest with anything left to give back, else the newest.
    fn settled_hold(&self, hold: &HoldRef) -> Result<(&'a SharedHold, &'a Settlement), Rejection> {
        let hold = match hold {
            HoldRef::Id(_) => self.hold(hold)?,
            HoldRef::Incident(incident) => {
                let settled = |open: bool| {
                    self.entry.incident(incident).rev().find(|hold| {
                        hold.settlement.as_ref().is_some_and(|s| !open || s.standing_charge().is_positive())
                    })
                };
                settled(true).or_else(|| settled(false)).map_or_else(|| self.hold(hold), Ok)?
            }
        };
        let settlement = hold.settlement.as_ref().ok_or(Rejection::HoldNotSettled { state: hold.state })?;
        Ok((hold, settlement))
    }
}

//! ReverseSettlement: gives a settlement back, in whole or in part.

use super::prelude::*;
use super::refunding::undo_shortfalls;
use crate::ledger::hold::Settlement;
use crate::ledger::lot::OpenLot;
use crate::ledger::money::MoneyAccount;

/// Gives a settlement back. By incident, the newest settlement with anything left to give back is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseSettlement {
    pub hold: HoldRef,
    /// How much; by default all that the customer has not got back.
    pub credits: Option<Credits>,
}
hashed!(ReverseSettlement { 1 => hold, 2 => credits, + 3 => reason, + 4 => by });

impl CustomerCommand for ReverseSettlement {
    fn keys(&self) -> Keys<'_> {
        Keys { burned: true, ..Keys::hold(&self.hold) }
    }

    /// Gives back at most what the customer paid and has not got back, into the lots that burned last. Credits of a
    /// purchase whose money went back since undo that refund first. What its lot has no room for stays earned. Once all
    /// is back, the vendor's write-off is undone too.
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = self.settled_hold(at)?;
        let settlement = hold.settlement.as_ref().ok_or(Rejection::HoldNotSettled { state: hold.state })?;
        let reversible = settlement.reversible();
        let credits = self.credits.unwrap_or(reversible);
        let write_off = settlement.written_off.less_at_least_zero(settlement.write_off_reversed);
        if credits > reversible || (reversible.is_zero() && write_off.is_zero()) {
            return Err(Rejection::ExceedsReversible { reversible });
        }
        let mut draft = at.draft();
        let mut after = settlement.clone();
        after.reversed = settlement.reversed.checked_add(credits).ok_or(Rejection::AmountOutOfBounds)?;
        if credits == reversible {
            draft.shift(Slot::Second, write_off)?;
            after.write_off_reversed = settlement.written_off;
        }
        for part in given_back(settlement, credits) {
            let rest = match at.entry.lot(part.id) {
                Some(lot) => {
                    let rest = undo_shortfalls(&mut draft, lot, part, settlement.posting)?;
                    OpenLot { money: draft.fitting(lot, &at.entry.unused(lot.id), rest.money), ..rest }
                }
                None => part,
            };
            draft.shift(Slot::First, rest.left)?;
            draft.give_back(rest, MoneyAccount::EarnedRevenue)?;
        }
        draft.detail.hold = Some(Arc::new(Hold { settlement: Some(after), ..Hold::clone(hold) }));
        Ok(draft)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some((EventType::SettlementReversed, Some(posting.amounts.get(Slot::First))))
    }
}

impl ReverseSettlement {
    /// The hold that it names; by incident the newest settlement with anything left to give back, else the newest.
    fn settled_hold<'a>(&self, at: &Context<'a>) -> Result<&'a SharedHold, Rejection> {
        let HoldRef::Incident(incident) = &self.hold else { return at.hold(&self.hold) };
        let settled = |open: bool| {
            at.entry.incident(incident).rev().find(|hold| {
                hold.settlement.as_ref().is_some_and(|s| !open || s.standing_charge().is_positive())
            })
        };
        settled(true).or_else(|| settled(false)).map_or_else(|| at.hold(&self.hold), Ok)
    }
}

/// The parts of lots that `credits` go back to: the last-burned first, past what went back before. Each takes its share
/// of the money it earned: the share of all that is back now, less what was returned before.
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

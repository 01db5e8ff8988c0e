//! How purchases are given back, and how that is undone: shared by refunds and chargebacks.
//!
//! A refund and a chargeback are one thing: credits of a purchase, and their money, return to the storefront. Credits
//! that are left and free are taken from the purchase's own lot. Next come credits that left it unused: those that
//! expired leave `expired`, and those that an operator took away are borne by the vendor. Their money leaves breakage.
//! The customer owes the rest, or the vendor bears it.
//! Undoing one restores just what it took. Reversals of the work that spent the credits undo a part of it before.

use super::prelude::*;
use crate::ledger::codec::coded_enum;
use crate::ledger::ids::PostingId;
use crate::ledger::lot::{Lot, LotSource, OpenLot, Refund, RefundState};
use crate::ledger::money::Money;
use crate::ledger::money::MoneyAccount::{Breakage, DeferredRevenue, EarnedRevenue, StorefrontReceivable};
use crate::ledger::unused::Unused;

coded_enum!(
    /// What happens where more is given back than is left of the purchase and free.
    OnShortfall {
        /// Nothing is given back.
        Reject = 1 / "REJECT",
        /// The customer owes the rest.
        Receivable = 2 / "RECEIVABLE",
        /// The vendor bears the rest.
        WriteOff = 3 / "WRITE_OFF",
    }
);

/// The money that goes back with `credits`: the amount that was named, or their share of what is left of the price. So
/// the last credits take exactly what is left, whatever was named before.
fn refunded_price(lot: &Lot, credits: Credits, named: Option<Money>) -> Result<Option<Money>, Rejection> {
    let wrong = |problem: &str| Err(Rejection::field("price", problem));
    let refundable = lot.refundable();
    if credits > refundable || !refundable.is_positive() {
        return Err(Rejection::ExceedsRefundable { refundable });
    }
    if lot.refunds.len() >= Lot::REFUNDS_MAX {
        return Err(Rejection::TooManyRefunds { max: Lot::REFUNDS_MAX });
    }
    let (Some(price), Some(before)) = (lot.price, lot.refunded_price()) else {
        return match named {
            Some(_) => wrong("must not be set: the purchase has no price"),
            None => Ok(None),
        };
    };
    let most = price.minor_units.saturating_sub(before.minor_units);
    let Some(named) = named else { return Ok(Some(price.with(most).share(credits, refundable))) };
    if named.currency != price.currency {
        return wrong(&format!("must be in {}, the currency of the purchase", price.currency));
    }
    if named.minor_units > most {
        return wrong("must be at most what was paid and not given back");
    }
    Ok(Some(named))
}

/// Takes credits and money of a purchase back; `named` is the money that the caller named.
pub fn take_back<'a>(
    at: &Context<'a>,
    lot: &Lot,
    credits: Credits,
    named: Option<Money>,
    on_shortfall: OnShortfall,
    state: RefundState,
) -> Result<Draft<'a>, Rejection> {
    let price = refunded_price(lot, credits, named)?;
    let mut draft = at.draft();
    let taken = at.customer.state.lots.left(lot.id).min(at.customer.balances.available).min(credits);
    let unused = lot.unused_left(&at.entry.unused(lot.id)).part(credits.less_at_least_zero(taken));
    let refundable = taken.checked_add(unused.credits()).ok_or(Rejection::AmountOutOfBounds)?;
    let rest = credits.less_at_least_zero(refundable);
    let (owed, written_off) = match on_shortfall {
        OnShortfall::Reject if rest.is_positive() => {
            return Err(Rejection::LotSpent { refundable, shortfall: rest });
        }
        OnShortfall::Reject | OnShortfall::Receivable => (rest, Credits::ZERO),
        OnShortfall::WriteOff => (Credits::ZERO, rest),
    };
    draft.storefront.clone_from(&lot.storefront);
    draft.shift(Slot::First, taken)?;
    draft.shift(Slot::Second, owed)?;
    draft.shift(Slot::Third, written_off)?;
    draft.shift(Slot::Third, unused.adjusted)?;
    draft.shift(Slot::Fourth, unused.expired)?;
    // The price of the unspent credits leaves the deferred revenue, and that of the unused ones breakage. Where more
    // money went back, the rest comes from earned revenue. Where less did, what is deferred beyond it is earned, and
    // what is in breakage beyond it stays there for later refunds.
    let deferred = draft.take(lot.id, taken).or(price.map(|price| price.with(0)));
    let uncovered = beyond(price, deferred);
    let unused = unused.worth_at_most(uncovered.map_or(0, |money| money.minor_units));
    let breakage = price.map(|price| price.with(unused.minor_units()));
    draft.pay(DeferredRevenue, StorefrontReceivable, at_most(deferred, price))?;
    draft.pay(Breakage, StorefrontReceivable, breakage)?;
    draft.pay(EarnedRevenue, StorefrontReceivable, beyond(uncovered, breakage))?;
    draft.pay(DeferredRevenue, EarnedRevenue, beyond(deferred, price))?;
    if state == RefundState::Disputed {
        draft.mark_disputed(lot.id, true);
    }
    let refund = Refund {
        id: draft.id,
        at: at.book.now,
        state,
        credits,
        taken,
        owed,
        written_off,
        price,
        deferred_minor: deferred.map_or(0, |money| money.minor_units),
        ended_at: None,
        undone: Credits::ZERO,
        undone_minor: 0,
        unused,
    };
    let mut after = Lot::clone(lot);
    after.refunds.push(refund);
    draft.detail.refunded = Some(Arc::new(after));
    Ok(draft)
}

/// How many credits the refund of a posting gave back.
pub fn credits_of_refund(posting: &Posting) -> Option<Credits> {
    posting.detail.refunded.as_ref()?.refunds.last().map(|refund| refund.credits)
}

fn at_most(one: Option<Money>, other: Option<Money>) -> Option<Money> {
    one.zip(other).map(|(one, other)| one.at_most(other))
}

/// By how much one exceeds the other.
fn beyond(one: Option<Money>, other: Option<Money>) -> Option<Money> {
    one.zip(other).map(|(one, other)| one.with(one.minor_units.saturating_sub(other.minor_units).max(0)))
}

/// Ends a refund or a chargeback. Where it is undone, its open debt and the vendor's share are cancelled. The rest goes
/// back to the customer and into the lot.
pub fn undo<'a>(
    at: &Context<'a>,
    lot: &Lot,
    place: usize,
    state: RefundState,
) -> Result<Draft<'a>, Rejection> {
    let mut after = Lot::clone(lot);
    let refund = after.refunds.get_mut(place).ok_or(Rejection::RefundNotFound)?;
    let expected = if state == RefundState::Reversed { RefundState::Refunded } else { RefundState::Disputed };
    if refund.state != expected {
        return Err(Rejection::RefundNotStanding { state: refund.state });
    }
    refund.state = state;
    refund.ended_at = Some(at.book.now);
    let refund = refund.clone();
    let mut draft = at.draft();
    draft.storefront.clone_from(&lot.storefront);
    draft.mark_disputed(lot.id, after.dispute().is_some());
    if !refund.stands() {
        restore(&mut draft, &after, &refund, &at.entry.unused(lot.id))?;
    }
    draft.detail.refunded = Some(Arc::new(after));
    Ok(draft)
}

/// Undoes refunds of a lot with credits that a reversal gives back to it, and returns the rest of them. The money for
/// these credits went back with the refund. So they first undo the vendor's share, or the debt, and no money moves; the
/// refund keeps how much that was. `settled` is the posting of the work: refunds before it are not for credits that it
/// burned.
pub fn undo_shortfalls(
    draft: &mut Draft<'_>,
    lot: &Lot,
    back: OpenLot,
    settled: PostingId,
) -> Result<OpenLot, Rejection> {
    let mut rest = back;
    let mut after = Lot::clone(lot);
    for refund in after.refunds.iter_mut().filter(|refund| refund.stands() && refund.id > settled) {
        let owed = refund.owed_still().min(draft.balances().owed);
        let undone = rest.part(owed.max(refund.written_off_still()).min(rest.left));
        if refund.owed.is_positive() {
            draft.shift(Slot::First, undone.left)?;
            draft.shift(Slot::Repaid, undone.left)?;
        } else {
            draft.shift(Slot::Second, undone.left)?;
        }
        refund.undone = refund.undone.checked_add(undone.left).ok_or(Rejection::AmountOutOfBounds)?;
        let earned = undone.money.map_or(0, |money| money.minor_units);
        refund.undone_minor = refund.undone_minor.saturating_add(earned);
        rest = rest.less(&undone);
    }
    if rest != back {
        draft.detail.undone.push(Arc::new(after));
    }
    Ok(rest)
}

/// Gives back what a refund took, and what reversals have undone of it since. The customer's debt is one sum, so as much
/// of it as possible counts as this refund's. Counting less would come to the same: the credits that went back would pay
/// the debt at once. `lot` is as it is once the refund is undone, and `unused` all that left it unused.
fn restore(draft: &mut Draft<'_>, lot: &Lot, refund: &Refund, unused: &Unused) -> Result<(), Rejection> {
    let still_owed = refund.owed_still().min(draft.balances().owed);
    let repaid = refund.owed_still().less_at_least_zero(still_owed);
    let sum = refund.taken.checked_add(repaid).and_then(|sum| sum.checked_add(refund.undone));
    let back = sum.ok_or(Rejection::AmountOutOfBounds)?;
    draft.shift(Slot::First, back)?;
    draft.shift(Slot::Second, still_owed)?;
    draft.shift(Slot::Third, refund.written_off_still())?;
    draft.shift(Slot::Third, refund.unused.adjusted)?;
    draft.shift(Slot::Fourth, refund.unused.expired)?;
    // Credits that were taken come back with the deferred revenue that went with them, those that reversals have undone
    // with what their work had earned. Credits that were owed and have been repaid come back with their share of the
    // rest. What the lot has no room for stays earned.
    let breakage = refund.unused.minor_units();
    let money = refund.price.map(|price| {
        let taken = refund.deferred_minor.saturating_add(refund.undone_minor);
        let spent = price.minor_units.saturating_sub(breakage).saturating_sub(taken);
        let share = price.with(spent.max(0)).share(repaid, refund.owed_still()).minor_units;
        price.with(taken.saturating_add(share).max(0))
    });
    let money = draft.fitting(lot, unused, money);
    let rest = refund.price.zip(money).map(|(price, money)| price.less(money).less(price.with(breakage)));
    draft.pay(StorefrontReceivable, Breakage, refund.price.map(|price| price.with(breakage)))?;
    draft.pay(StorefrontReceivable, EarnedRevenue, rest)?;
    let restored = OpenLot {
        id: lot.id,
        source: LotSource::Purchase,
        expires_at: lot.expires_at,
        left: back,
        money,
        disputed: false,
    };
    if back.is_positive() {
        draft.give_back(restored, StorefrontReceivable)?;
    } else {
        draft.pay(StorefrontReceivable, EarnedRevenue, money)?;
    }
    Ok(())
}

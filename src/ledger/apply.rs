//! Moves a customer by one posting, and checks every invariant on the way.
//!
//! # What it is
//! The one place where a posting moves a customer. The writer, `verify` and `copy` all call it, so replaying a journal
//! gives the stored state again.
//!
//! # Invariants
//! - A customer's postings are numbered without gaps, and their times do not fall.
//! - The balances after a posting are those that its transfers give, each within its bounds.
//! - The lots sum to available and held; their money is the deferred revenue.
//! - Held moves with the active holds; the sums of a hold's work move with the entry that the posting names.
//! - What a posting lists as expired or adjusted away is what its transfers move.
//! - Credits used, `depleted` and what a posting says of top-ups are those that follow from the state.
//! - A threshold that fired does not fire again before it is armed again. What a posting says of top-ups is judged by the
//!   rules that it was decided by.
//!
//! # Failure
//! An error is a bug or a damaged database. The caller stores nothing of the batch.
//!
//! # Cost
//! It depends on the lots and entries of work that the posting moves and on the customer's lots, not on its history.

use std::sync::Arc;

use super::account::{Side, charged};
use super::alert::Crossed;
use super::change::Change;
use super::credits::Credits;
use super::customer::{Balances, Customer, CustomerState};
use super::entry::Entry;
use super::hold::{Hold, HoldState};
use super::kind::Kind;
use super::money::{Currency, Money, MoneyAccount};
use super::payment::Payment;
use super::posting::{Detail, Posting};
use super::rules::Rules;
use super::time::Timestamp;
use super::top_up::TopUps;
use super::unused::Unused;
use super::work::{WorkSums, check_moved};

/// Moves a customer by one posting and checks every invariant that the posting alone can break.
pub(super) fn apply(customer: &mut Customer, entry: &Entry, posting: &Posting) -> Result<(), &'static str> {
    if Some(posting.sequence) != customer.sequence.checked_add(1) {
        return Err("its sequence does not follow the customer's last");
    }
    if posting.recorded_at < customer.state.last_recorded_at {
        return Err("it is recorded before the customer's last");
    }
    customer.sequence = posting.sequence;
    let before = customer.balances;
    let (balances, used) = move_balances(before, posting)?;
    customer.balances = balances;
    if customer.balances != posting.after {
        return Err("its balances are not those that its transfers give");
    }
    let state = &mut customer.state;
    state.last_recorded_at = posting.recorded_at;
    for moved in &posting.detail.lots {
        state.lots.shift(moved).ok_or("a lot falls below zero")?;
        // A spent lot that gets credits back falls due again.
        if moved.left.is_positive() {
            state.next_due = Timestamp::earlier(state.next_due, moved.expires_at);
        }
    }
    check_unused(posting)?;
    if !money_fits(posting) {
        return Err("the deferred revenue does not move with the lots");
    }
    if let Some(lot) = &posting.detail.refunded {
        let disputed = lot.dispute().is_some();
        state.disputes.retain(|id| *id != lot.id);
        if disputed {
            state.disputes.push(lot.id);
        }
        state.lots.mark(lot.id, disputed);
    }
    if let Some(payment) = &posting.detail.payment {
        state.payments.push((posting.id, Payment::order_key(&payment.storefront, &payment.order)));
    }
    if let Some(closed) = posting.detail.closed_payment {
        let place = state.payments.iter().position(|(id, _)| *id == closed);
        state.payments.remove(place.ok_or("the payment that it closes does not wait")?);
    }
    let total = customer.balances.available.checked_add(customer.balances.held);
    if state.lots.total() != total {
        return Err("the lots do not sum to available and held");
    }
    let mut held_by_holds = Some(Credits::ZERO);
    for hold in posting.holds() {
        let before = entry.hold(hold.id).map(AsRef::as_ref);
        state.note_hold(before, hold, posting.detail.rules)?;
        let own = posting
            .detail
            .work
            .as_deref()
            .filter(|_| posting.detail.hold.as_ref().is_some_and(|own| own.id == hold.id));
        let no_work = WorkSums::default();
        check_moved(hold.id, before.map_or(&no_work, |before| &before.work), own, &hold.work, &entry.work)?;
        let set_aside = |hold: &Hold| if hold.state == HoldState::Active { hold.held } else { Credits::ZERO };
        held_by_holds = held_by_holds
            .and_then(|sum| sum.checked_add(set_aside(hold)))
            .and_then(|sum| sum.checked_sub(before.map_or(Credits::ZERO, set_aside)));
    }
    if customer.balances.held.checked_sub(before.held) != held_by_holds {
        return Err("held does not move with the active holds");
    }
    note_level(state, before, posting)?;
    if posting.detail.used != state.used.checked_add(used).ok_or("the credits used leave their bounds")? {
        return Err("the credits used are miscounted");
    }
    state.used = posting.detail.used;
    if let Some(terms) = &posting.detail.terms {
        state.terms = terms.clone();
    }
    state.closed = posting.kind.leaves_closed(state.closed);
    if let Some(shortfall) = &posting.detail.shortfall {
        state.shortfalls.retain(|(incident, _)| *incident != shortfall.incident);
        if state.shortfalls.len() >= CustomerState::SHORTFALLS_MAX {
            state.shortfalls.remove(0);
        }
        state.shortfalls.push((shortfall.incident.clone(), shortfall.missing));
    }
    note_top_ups(state, posting)
}

/// Checks that what left lots unused is what the transfers say. Older postings do not list it.
fn check_unused(posting: &Posting) -> Result<(), &'static str> {
    let listed = |of: fn(&Unused) -> Credits| {
        let mut parts = posting.detail.unused.iter();
        parts.try_fold(Credits::ZERO, |sum, (_, unused)| sum.checked_add(of(unused)))
    };
    let moved = |to: Side| {
        let mut transfers = posting.transfers().filter(|transfer| transfer.sides() == (Side::Available, to));
        transfers.try_fold(Credits::ZERO, |sum, transfer| sum.checked_add(transfer.credits))
    };
    let (expired, adjusted) = match posting.detail.rules {
        Rules::First => (Some(Credits::ZERO), Some(Credits::ZERO)),
        Rules::Second | Rules::Third => (moved(Side::Expired), moved(Side::Adjustments)),
    };
    if listed(|unused| unused.expired) == expired && listed(|unused| unused.adjusted) == adjusted {
        Ok(())
    } else {
        Err("what left its lots unused is not what its transfers say")
    }
}

/// Keeps what thresholds are compared with, and whether the balance is low.
fn note_level(state: &mut CustomerState, before: Balances, posting: &Posting) -> Result<(), &'static str> {
    let Posting { detail, after, .. } = posting;
    if detail.depleted != (before.available.is_positive() && after.available.is_zero()) {
        return Err("it tells wrongly whether the last credits went");
    }
    if let (Kind::PurchaseCredits, Some(lot)) = (posting.kind, &detail.lot) {
        state.last_purchase = lot.credits;
    }
    match &detail.alerts {
        Change::Keep => {}
        Change::Clear => state.alerts = None,
        Change::Set(alerts) => state.alerts = Some(Arc::clone(alerts)),
    }
    state.is_low = (state.is_low && !detail.recovered) || !detail.low.is_empty() || detail.depleted;
    match detail.rules {
        Rules::First | Rules::Second => Ok(()),
        Rules::Third => note_fired(&mut state.fired, detail),
    }
}

/// Keeps which thresholds have fired. Those of a ledger are not in the journal, so the posting says which are armed
/// again.
fn note_fired(fired: &mut Vec<Crossed>, detail: &Detail) -> Result<(), &'static str> {
    for threshold in &detail.rearmed {
        let place = fired.iter().position(|of| of.threshold == *threshold);
        fired.remove(place.ok_or("it arms a threshold that has not fired")?);
    }
    for crossed in &detail.low {
        if fired.iter().any(|of| of.threshold == crossed.threshold) {
            return Err("it tells of a threshold that has fired");
        }
        fired.push(*crossed);
    }
    Ok(())
}

/// The balances after the posting's transfers, each within its bounds, and the credits used by it.
fn move_balances(before: Balances, posting: &Posting) -> Result<(Balances, Credits), &'static str> {
    let out_of_bounds = "a balance leaves its bounds";
    let amounts = posting.amounts.0.iter().filter(|amount| !amount.is_zero()).count();
    if posting.transfers().count() != amounts {
        return Err("an amount moves between no accounts");
    }
    let mut after = before;
    let mut used = Credits::ZERO;
    for transfer in posting.transfers() {
        if !transfer.credits.is_positive() {
            return Err("a transfer is not positive");
        }
        let (debit, credit) = transfer.sides();
        used = used.checked_add(charged(debit, credit, transfer.credits)).ok_or(out_of_bounds)?;
        after = after.moved_by(&transfer).ok_or(out_of_bounds)?;
    }
    if after.are_within_bounds() { Ok((after, used)) } else { Err(out_of_bounds) }
}

/// Updates what is remembered of requests for top-ups. Comes last: a request depends on everything else that moved.
fn note_top_ups(state: &mut CustomerState, posting: &Posting) -> Result<(), &'static str> {
    let (now, detail) = (posting.recorded_at, &posting.detail);
    let before = state.top_ups.as_deref();
    let happened = detail.happened(posting.kind, now, &posting.amounts, state.terms.top_up.is_some());
    let (mut met, suspended) = match detail.rules {
        Rules::First | Rules::Second => (TopUps::met_by_older(before, posting.kind, now), None),
        Rules::Third => {
            state.top_ups_paused = happened.leaves_paused(state.top_ups_paused);
            let met = TopUps::met(before, &happened)?;
            (met, TopUps::suspended_by(before, met.as_ref()))
        }
    };
    if detail.top_ups_suspended != suspended {
        return Err("it tells wrongly whether top-ups are suspended");
    }
    if let Some(request) = detail.top_up.as_deref() {
        let settings = state.terms.top_up.as_deref().filter(|_| !state.closed && !state.top_ups_paused);
        let due = settings.and_then(|settings| settings.request(met.as_ref(), posting.after.available, now));
        if due.as_ref() != Some(request) {
            return Err("it asks for a top-up that is not due");
        }
        let with = TopUps::with(met, posting.id.into(), request, now);
        met = Some(with.ok_or("the top-ups of a month leave their bounds")?);
    }
    if state.top_ups.as_deref() != met.as_ref() {
        state.top_ups = met.map(Arc::new);
    }
    state.next_due = Timestamp::earlier(state.next_due, state.top_up_due(posting.after.available));
    Ok(())
}

/// True where every move of money is positive and between two accounts, and deferred revenue fits the lots. In each
/// currency both must move by the same amount.
fn money_fits(posting: &Posting) -> bool {
    let detail = &posting.detail;
    let lots = detail.lots.iter().filter_map(|lot| lot.money);
    let deferred = |currency: Currency| {
        let moved = detail.money.iter().filter(|moved| moved.money.currency == currency);
        moved.fold(0, |sum: i128, moved| {
            let change = |account| i128::from(account == MoneyAccount::DeferredRevenue);
            let sign = change(moved.credit).saturating_sub(change(moved.debit));
            sum.saturating_add(sign.saturating_mul(i128::from(moved.money.minor_units)))
        })
    };
    let in_lots = |currency: Currency| {
        let units = lots.clone().filter(|money| money.currency == currency);
        units.fold(0, |sum: i128, money| sum.saturating_add(i128::from(money.minor_units)))
    };
    let fits = |currency| deferred(currency) == in_lots(currency);
    let moves_fit = detail.money.iter().all(|moved| {
        moved.money.minor_units > 0 && moved.debit != moved.credit && fits(moved.money.currency)
    });
    // Each currency is summed up once, and not for each of the ten thousand lots that a posting may burn.
    let mut others: Vec<Currency> = Vec::new();
    let lots_fit = lots.clone().all(|Money { currency, .. }| {
        if detail.money.iter().any(|moved| moved.money.currency == currency) || others.contains(&currency) {
            return true;
        }
        others.push(currency);
        fits(currency)
    });
    moves_fit && lots_fit
}

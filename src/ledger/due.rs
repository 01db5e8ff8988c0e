//! Applies what has fallen due of a customer, in the order in which it fell due.
//!
//! # What it is
//! Quotes, holds and lots expire by postings of the ledger's own. Every command applies those of its customer first; a
//! background task does the same for customers that send no commands, and requests or suspends their top-ups.
//!
//! # Invariants
//! - No answer depends on when the background task ran.
//! - A hold expires before lots of the same moment: what it gives back expires with them.
//! - `next_due` is never later than the first moment at which something falls due.
//! - Nothing falls due after [`Book::due_until`], which stands still while the clock is implausible.
//!
//! # Failure
//! A posting that cannot be made means that the state contradicts itself: nothing of the batch is stored.
//!
//! # Cost
//! One comparison where nothing is due; otherwise one posting for each hold, and one for all lots of a moment.

use std::sync::Arc;

use super::account::Slot;
use super::book::{Book, Broken};
use super::commands::draft::Draft;
use super::commands::{Meaning, estimate_of};
use super::customer::Customer;
use super::entry::Entry;
use super::event_type::EventType;
use super::hold::{Hold, HoldState, SharedHold};
use super::ids::CustomerKey;
use super::kind::Kind;
use super::posting::Posting;
use super::reject::Rejection;
use super::time::Timestamp;
use super::top_up::TopUps;

/// Applies everything that is due by the batch's time, and returns the last posting it made. For a quiet customer a
/// posting about top-ups comes last.
pub(super) fn apply(
    book: &mut Book,
    key: CustomerKey,
    is_quiet: bool,
) -> Result<Option<Arc<Posting>>, Broken> {
    let mut last = None;
    loop {
        let Some((entry, customer)) = book.loaded(key) else { return Ok(last) };
        if customer.state.next_due.is_none_or(|due| due > book.due_by()) {
            return Ok(last);
        }
        let top_up = customer.top_up_due().filter(|due| is_quiet && *due <= book.due_by());
        let expired = first_due(entry, customer, book.due_by());
        let Some(due) = expired.or_else(|| top_up.map(|_| Due::TopUp)) else { break };
        let posting = match due {
            Due::Hold(hold, moment) => expire_hold(book, entry, customer, hold, moment),
            Due::Lots(moment) => {
                Draft::by_ledger(book, customer, Kind::ExpireCredits).dated(moment).finish(entry)
            }
            Due::TopUp => {
                Draft::by_ledger(book, customer, top_up_kind(customer, book.due_by())).finish(entry)
            }
        };
        // Without this stop, commands would be decided as if nothing had expired. A posting about top-ups moves nothing,
        // so it is never refused.
        let posting = posting.map_err(|_| book.broken(customer, "what has expired cannot be applied"))?;
        book.post(&posting)?;
        last = Some(posting);
    }
    let next = book.loaded(key).and_then(|(entry, customer)| {
        let holds = entry.holds().filter_map(|hold| hold.due_at()).min();
        let lots = customer.state.lots.next_expiry(book.due_by());
        // What fell due within this batch says nothing about the holds that were not loaded with it.
        let unloaded = entry.loaded_due.filter(|due| *due > book.now);
        [holds, lots, unloaded, customer.top_up_due()].into_iter().flatten().min()
    });
    book.set_next_due(key, next);
    Ok(last)
}

enum Due<'a> {
    Hold(&'a SharedHold, Timestamp),
    Lots(Timestamp),
    TopUp,
}

/// What expired first. A hold goes before lots of the same moment: what it gives back expires with them.
fn first_due<'a>(entry: &'a Entry, customer: &Customer, now: Timestamp) -> Option<Due<'a>> {
    let hold = entry
        .holds()
        .filter_map(|hold| Some((hold.due_at().filter(|due| *due <= now)?, hold)))
        .min_by_key(|(due, hold)| (*due, hold.id));
    let uncovered = customer.state.lots.uncovered(customer.balances.held, now);
    let lots = uncovered.iter().filter_map(|lot| lot.expires_at).min();
    match (hold, lots) {
        (Some((due, _)), Some(lots)) if lots < due => Some(Due::Lots(lots)),
        (Some((due, hold)), _) => Some(Due::Hold(hold, due)),
        (None, Some(lots)) => Some(Due::Lots(lots)),
        (None, None) => None,
    }
}

/// Whether top-ups are suspended now, or one is requested.
fn top_up_kind(customer: &Customer, now: Timestamp) -> Kind {
    let suspends_at = customer.state.top_ups.as_deref().and_then(TopUps::suspends_at);
    if suspends_at.is_some_and(|at| at <= now) { Kind::SuspendTopUps } else { Kind::RequestTopUp }
}

fn expire_hold(
    book: &Book,
    entry: &Entry,
    customer: &Customer,
    hold: &SharedHold,
    moment: Timestamp,
) -> Result<Arc<Posting>, Rejection> {
    let mut after = Hold::clone(hold);
    let pending_lapses = hold.pending.as_ref().is_some_and(|pending| pending.valid_until == moment);
    if hold.state == HoldState::Active && pending_lapses {
        after.pending = None;
        let mut draft = Draft::by_ledger(book, customer, Kind::ExpireEstimate).dated(moment);
        draft.detail.hold = Some(Arc::new(after));
        return draft.finish(entry);
    }
    let kind = if hold.state == HoldState::Active { Kind::ExpireHold } else { Kind::ExpireEstimate };
    let mut draft = Draft::by_ledger(book, customer, kind).dated(moment);
    draft.shift(Slot::Second, hold.held)?;
    after.end(HoldState::Expired, moment);
    draft.detail.hold = Some(Arc::new(after));
    draft.finish(entry)
}

/// The event that a posting of the ledger's own means by itself.
pub(super) fn event(posting: &Posting) -> Option<Meaning> {
    let is_expiry = matches!(posting.kind, Kind::ExpireEstimate | Kind::ExpireHold);
    is_expiry.then(|| (EventType::HoldExpired, estimate_of(posting)))
}

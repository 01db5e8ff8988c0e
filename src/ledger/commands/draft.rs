//! A posting in the making: moves amounts between accounts, burns and restores lots, and at the end does what follows
//! from more credits being available.
//!
//! # What it is
//! A command moves a draft step by step. [`Draft::finish`] adds what every posting does at its end, and gives the
//! posting. The book does not change before the posting is applied.
//!
//! # Invariants
//! - Balances are within their bounds after each step.
//! - Accounts and lots move by separate calls; a command must make both. Where they differ, the posting is refused when
//!   it is applied.
//! - Lots that fall due expire first, so that expired credits neither pay debts nor activate holds. Credits that come
//!   back into a lot that expired before pay debts, and expire for the rest.
//! - A debt is paid from what comes in ([`brings_in`]), never from what a hold gives back.
//! - Thresholds and top-ups come last: they look at the balances after all moves.
//! - A draft has the id of the next posting. Of two drafts made before a posting, only one can be posted.
//!
//! # Failure
//! A step that is refused gives a rejection. The draft is dropped, and nothing has moved.
//!
//! # Cost
//! The customer's lots are copied when one of them first changes; most postings change none. Parked holds are sorted
//! once, if `available` has risen or the queue has moved.

use std::borrow::Cow;
use std::sync::Arc;

use crate::ledger::account::{Amounts, Slot, brings_in, charged};
use crate::ledger::alert::{Alerts, Level};
use crate::ledger::book::Book;
use crate::ledger::credits::Credits;
use crate::ledger::customer::{Balances, Customer};
use crate::ledger::entry::Entry;
use crate::ledger::fingerprint::{Hashed, Said, fingerprint};
use crate::ledger::hold::{Hold, HoldState, SharedHold};
use crate::ledger::ids::{LotId, PostingId, RequestKey, Storefront};
use crate::ledger::kind::{Kind, slots};
use crate::ledger::lot::{Lot, Lots, OpenLot};
use crate::ledger::money::{Money, MoneyAccount, add_move};
use crate::ledger::posting::{Detail, Posting, Texts};
use crate::ledger::reject::Rejection;
use crate::ledger::time::Timestamp;
use crate::ledger::top_up::TopUps;
use crate::ledger::unused::Unused;

/// The parts of a request that its posting keeps.
#[derive(Clone, Copy)]
pub struct Submission<'a> {
    pub request: Option<&'a RequestKey>,
    pub said: &'a Said,
    /// Hashed into the fingerprint, where there is a request id.
    pub command: &'a dyn Hashed,
}

/// A posting in the making, with the customer's balances and lots as they are after what was drafted so far.
pub struct Draft<'a> {
    /// Its id, which names what it makes.
    pub id: PostingId,
    /// What changed besides balances.
    pub detail: Detail,
    /// Completes `sales:<storefront>`.
    pub storefront: Option<Storefront>,
    /// The thresholds that apply once it is posted.
    pub alerts: Option<Arc<Alerts>>,
    customer: &'a Customer,
    kind: Kind,
    recorded_at: Timestamp,
    /// The time at which lots are judged: the batch's, or the moment at which something fell due.
    as_of: Timestamp,
    request: Option<RequestKey>,
    fingerprint: u64,
    amounts: Amounts,
    balances: Balances,
    /// Most postings move no lot.
    lots: Cow<'a, Lots>,
    disputes: Cow<'a, [LotId]>,
}

impl<'a> Draft<'a> {
    /// For a command.
    pub fn by_request(book: &Book, customer: &'a Customer, kind: Kind, submission: Submission<'_>) -> Self {
        let Submission { request, said, command } = submission;
        let drafted = Self::by_ledger(book, customer, kind);
        Self {
            request: request.cloned(),
            fingerprint: request.map_or(0, |_| fingerprint(command, said)),
            detail: Detail {
                by: said.by.clone(),
                reason: said.reason.clone(),
                metadata: said.metadata.clone(),
                actor: said.actor.clone(),
                ..drafted.detail
            },
            ..drafted
        }
    }

    /// For what the ledger does by itself.
    pub fn by_ledger(book: &Book, customer: &'a Customer, kind: Kind) -> Self {
        Self {
            id: book.next_id(),
            detail: Detail { used: customer.state.used, ..Detail::default() },
            storefront: None,
            customer,
            kind,
            recorded_at: book.now,
            as_of: book.due_by(),
            request: None,
            fingerprint: 0,
            amounts: Amounts::default(),
            alerts: customer.state.alerts.as_ref().or_else(|| book.default_alerts(customer.ledger)).cloned(),
            balances: customer.balances,
            lots: Cow::Borrowed(&customer.state.lots),
            disputes: Cow::Borrowed(&customer.state.disputes),
        }
    }

    /// Judges lots as of an earlier moment, at which something fell due.
    pub fn dated(mut self, moment: Timestamp) -> Self {
        self.as_of = moment;
        self
    }

    /// The customer as it was before.
    pub fn customer(&self) -> &'a Customer {
        self.customer
    }

    /// The time of its batch.
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// The balances so far.
    pub fn balances(&self) -> Balances {
        self.balances
    }

    /// With the command's own hold as it is after the posting.
    pub fn with_hold(mut self, hold: Hold) -> Self {
        self.detail.hold = Some(Arc::new(hold));
        self
    }

    /// Moves `credits` through `slot`; zero moves nothing. It moves no lots: see [`Draft::burn`] and
    /// [`Draft::bring_in`].
    pub fn shift(&mut self, slot: Slot, credits: Credits) -> Result<(), Rejection> {
        if credits.is_zero() {
            return Ok(());
        }
        let (debit, credit) = slots(self.kind, slot).ok_or(Rejection::AmountOutOfBounds)?;
        let sum = self.amounts.get(slot).checked_add(credits).ok_or(Rejection::AmountOutOfBounds)?;
        self.amounts.set(slot, sum);
        let used = self.detail.used.checked_add(charged(debit, credit, credits));
        self.detail.used = used.ok_or(Rejection::AmountOutOfBounds)?;
        let moved = self.balances.moved(debit, credit, credits);
        self.balances = moved.filter(Balances::are_within_bounds).ok_or(Rejection::AmountOutOfBounds)?;
        Ok(())
    }

    /// Refuses where less than `required` is available.
    pub fn need_available(&self, required: Credits) -> Result<(), Rejection> {
        let available = self.balances.available;
        let shortfall = required.less_at_least_zero(available);
        if shortfall.is_zero() {
            return Ok(());
        }
        Err(Rejection::InsufficientCredits { available, required, shortfall })
    }

    /// Moves money; a negative amount moves the other way. `None`, a lot without a price, moves nothing.
    pub fn pay(
        &mut self,
        debit: MoneyAccount,
        credit: MoneyAccount,
        money: Option<Money>,
    ) -> Result<(), Rejection> {
        let Some(money) = money else { return Ok(()) };
        add_move(&mut self.detail.money, debit, credit, money).ok_or(Rejection::AmountOutOfBounds)
    }

    /// Takes `credits` out of the lots in burn order, moves their money to `account`, and returns the parts.
    pub fn burn(&mut self, credits: Credits, account: MoneyAccount) -> Result<Vec<OpenLot>, Rejection> {
        let burned = self.lots.burn(credits);
        for part in &burned {
            self.move_lot(part.negated());
            self.pay(MoneyAccount::DeferredRevenue, account, part.money)?;
        }
        Ok(burned)
    }

    /// Takes `credits` out of one lot and returns the deferred revenue that goes with them. The caller must move it.
    pub fn take(&mut self, lot: LotId, credits: Credits) -> Option<Money> {
        let part = self.lots.get(lot)?.part(credits);
        if part.left.is_positive() {
            self.move_lot(part.negated());
        }
        part.money
    }

    /// Puts `lot.left` credits and their money into a lot, which may be new or spent.
    pub fn bring_in(&mut self, lot: OpenLot) {
        if lot.left.is_positive() {
            self.move_lot(OpenLot { disputed: self.disputes.contains(&lot.id), ..lot });
        }
    }

    /// The part of `money` that a lot has room for: what is in it and what of it is in breakage never exceed its price.
    /// Where the debt of a refund was repaid, the refund and the work may both be undone. Without this bound the money
    /// of the work would come in twice.
    pub fn fitting(&self, lot: &Lot, unused: &Unused, money: Option<Money>) -> Option<Money> {
        let inside = self.lots.get(lot.id).and_then(|open| open.money).map_or(0, |money| money.minor_units);
        let inside = inside.saturating_add(lot.unused_left(unused).minor_units());
        let room = lot.price.map(|price| price.with(price.minor_units.saturating_sub(inside).max(0)));
        money.zip(room).map(|(money, room)| money.at_most(room))
    }

    /// Puts credits back that left a lot before, and moves their money back from `account`. Where the lot has expired
    /// in between, they pay what is owed, and the rest expires at once.
    pub fn give_back(&mut self, lot: OpenLot, account: MoneyAccount) -> Result<(), Rejection> {
        self.pay(account, MoneyAccount::DeferredRevenue, lot.money)?;
        if !lot.is_expired(self.as_of) {
            self.bring_in(lot);
            return Ok(());
        }
        let repaid = lot.part(lot.left.min(self.balances.owed));
        self.shift(Slot::Repaid, repaid.left)?;
        self.pay(MoneyAccount::DeferredRevenue, MoneyAccount::EarnedRevenue, repaid.money)?;
        self.expire(&lot.less(&repaid))
    }

    /// Credits that expire, in a lot or on their way back into one. The caller must move the lot.
    fn expire(&mut self, part: &OpenLot) -> Result<(), Rejection> {
        self.shift(Slot::Expired, part.left)?;
        self.pay(MoneyAccount::DeferredRevenue, MoneyAccount::Breakage, part.money)?;
        let expired_minor = part.money.map_or(0, |money| money.minor_units);
        self.note_unused(part.id, Unused { expired: part.left, expired_minor, ..Unused::none() })
    }

    /// Burns `credits` that an operator takes away.
    pub fn adjust_away(&mut self, credits: Credits) -> Result<(), Rejection> {
        for part in self.burn(credits, MoneyAccount::Breakage)? {
            let adjusted_minor = part.money.map_or(0, |money| money.minor_units);
            self.note_unused(part.id, Unused { adjusted: part.left, adjusted_minor, ..Unused::none() })?;
        }
        Ok(())
    }

    /// Counts what leaves a lot unused, once for each lot.
    fn note_unused(&mut self, lot: LotId, unused: Unused) -> Result<(), Rejection> {
        if unused == Unused::none() {
            return Ok(());
        }
        match self.detail.unused.iter_mut().find(|(id, _)| *id == lot) {
            Some((_, sum)) => *sum = sum.plus(&unused).ok_or(Rejection::AmountOutOfBounds)?,
            None => self.detail.unused.push((lot, unused)),
        }
        Ok(())
    }

    /// Opens or ends the dispute about a lot. Meanwhile what is left of it, and what comes back into it, burns first.
    pub fn mark_disputed(&mut self, lot: LotId, disputed: bool) {
        let disputes = self.disputes.to_mut();
        disputes.retain(|id| *id != lot);
        if disputed {
            disputes.push(lot);
        }
        self.lots.to_mut().mark(lot, disputed);
    }

    fn move_lot(&mut self, moved: OpenLot) {
        // A move that does not fit is refused when the posting is applied: the lots no longer sum to the balances.
        if self.lots.to_mut().shift(&moved).is_some() {
            self.detail.lots.push(moved);
        }
    }

    /// Completes the posting:
    /// 1. Lots that are due and no longer covered by a hold expire.
    /// 2. What came in pays what is owed.
    /// 3. Where `available` has risen, or an amount no longer waits for credits, parked holds are activated, oldest
    ///    first. The first that does not fit ends that, so that no later one overtakes it.
    /// 4. The thresholds that the balance crossed are noted, and a top-up is requested, or top-ups are suspended, if
    ///    that is due.
    pub fn finish(mut self, entry: &Entry) -> Result<Arc<Posting>, Rejection> {
        for part in self.lots.uncovered(self.balances.held, self.as_of) {
            self.move_lot(part.negated());
            self.expire(&part)?;
        }
        let repaid = self.brought_in().min(self.balances.owed).min(self.balances.available);
        self.shift(Slot::Repaid, repaid)?;
        self.burn(repaid, MoneyAccount::EarnedRevenue)?;
        if self.balances.available > self.customer.balances.available || self.leaves_queue(entry) {
            self.activate_parked(entry)?;
        }
        self.watch_level();
        self.ask_for_top_up()?;
        Ok(Arc::new(Posting {
            id: self.id,
            ledger: self.customer.ledger,
            customer: self.customer.key(),
            sequence: self.customer.sequence.saturating_add(1),
            kind: self.kind,
            recorded_at: self.recorded_at,
            request: self.request,
            fingerprint: self.fingerprint,
            amounts: self.amounts,
            after: self.balances,
            storefront: self.storefront,
            detail: self.detail,
            texts: Texts::default(),
        }))
    }

    /// Notes which events about the balance the posting gives.
    fn watch_level(&mut self) {
        let before = self.customer.level();
        let last_purchase = match (self.kind, &self.detail.lot) {
            (Kind::PurchaseCredits, Some(lot)) => lot.credits,
            (_, Some(_) | None) => before.last_purchase,
        };
        let after = Level { available: self.balances.available, last_purchase };
        let none = Alerts::default();
        let alerts = self.alerts.as_deref().unwrap_or(&none);
        let fired = &self.customer.state.fired;
        self.detail.rearmed = alerts.rearmed(before, after, fired);
        self.detail.low = alerts.crossed(before, after, fired);
        self.detail.depleted = before.available.is_positive() && after.available.is_zero();
        self.detail.recovered = self.customer.state.is_low
            && after.available.is_positive()
            && alerts.all_are_above(after)
            && self.detail.rearmed.len() == fired.len();
    }

    /// Asks for a top-up where one is due now, under the terms as they are after the posting. Notes it where one failure
    /// too many suspends them.
    fn ask_for_top_up(&mut self) -> Result<(), Rejection> {
        let state = &self.customer.state;
        let terms = self.detail.terms.as_ref().unwrap_or(&state.terms);
        let has_settings = terms.top_up.is_some();
        let happened = self.detail.happened(self.kind, self.recorded_at, &self.amounts, has_settings);
        let before = state.top_ups.as_deref();
        let met = TopUps::met(before, &happened).map_err(|_| Rejection::TopUpNotFound)?;
        self.detail.top_ups_suspended = TopUps::suspended_by(before, met.as_ref());
        if self.kind.leaves_closed(state.closed) || happened.leaves_paused(state.top_ups_paused) {
            return Ok(());
        }
        let Some(settings) = terms.top_up.as_deref() else { return Ok(()) };
        let request = settings.request(met.as_ref(), self.balances.available, self.recorded_at);
        self.detail.top_up = request.map(Arc::new);
        Ok(())
    }

    /// What came in by this posting and has not repaid a debt.
    fn brought_in(&self) -> Credits {
        let from_outside =
            |slot: &Slot| slots(self.kind, *slot).is_some_and(|(debit, credit)| brings_in(debit, credit));
        let slots = Slot::ALL.into_iter().filter(from_outside);
        let sum =
            slots.fold(Credits::ZERO, |sum, slot| sum.checked_add(self.amounts.get(slot)).unwrap_or(sum));
        sum.less_at_least_zero(self.amounts.get(Slot::Repaid))
    }

    /// True where an amount that waited for credits no longer waits as it did: those behind it may fit now.
    fn leaves_queue(&self, entry: &Entry) -> bool {
        self.detail.holds().any(|after| {
            let waited = entry.hold(after.id).and_then(|before| before.waiting_since());
            waited.is_some() && waited != after.waiting_since()
        })
    }

    fn activate_parked(&mut self, entry: &Entry) -> Result<(), Rejection> {
        let mut parked: Vec<&SharedHold> = entry.holds().filter(|hold| hold.is_parked()).collect();
        parked.retain(|hold| self.detail.holds().all(|changed| changed.id != hold.id));
        parked.sort_by_key(|hold| hold.waiting_since());
        for hold in parked {
            let (activated, needed) = activated(hold, self.id);
            if needed > self.balances.available {
                break;
            }
            self.shift(Slot::Activated, needed)?;
            self.detail.others.push(Arc::new(activated));
        }
        Ok(())
    }
}

/// A parked hold as it is once activated, and how many credits that takes.
fn activated(hold: &Hold, by: PostingId) -> (Hold, Credits) {
    let mut after = hold.clone();
    if let Some(pending) = after.pending.take() {
        after.estimate = pending.total;
        after.quoted = pending.quoted;
        after.confirmed_by = pending.confirmed_by;
        after.confirmed_at = pending.parked_at;
        // The hold may have been extended past the pending total; credits set aside stay so.
        let needed = pending.total.less_at_least_zero(hold.held);
        after.held = pending.total.max(hold.held);
        (after, needed)
    } else {
        after.state = HoldState::Active;
        after.activated_by = Some(by);
        after.held = hold.estimate;
        after.parked_at = None;
        after.parked_by = None;
        after.valid_until = None;
        (after, hold.estimate)
    }
}

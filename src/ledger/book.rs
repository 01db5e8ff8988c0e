//! The loaded part of a ledger: what a batch of commands is decided against, and the one place where a posting moves
//! state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::account::{Account, transfers};
use super::alert::{Alerts, LedgerAlerts};
use super::card::Cards;
use super::command::Change;
use super::credits::Credits;
use super::customer::{Balances, Customer, CustomerState, Profile};
use super::hold::{Hold, HoldState, SharedHold};
use super::ids::{
    CustomerId, CustomerKey, CustomerMap, HoldId, IncidentId, LedgerNo, LotId, OrderId, PostingId,
    RequestKey, Storefront,
};
use super::lot::Lot;
use super::money::money_fits;
use super::payment::Payment;
use super::posting::{Kind, Posting};
use super::time::Timestamp;
use super::top_up;
use super::work::{Entries, Work, WorkSums, check_moved};

/// What was accepted, and how the customer and the hold stand now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The posting; for a repeated request the first one.
    pub posting: Arc<Posting>,
    /// True where the request had been answered before.
    pub replayed: bool,
    /// The customer's balances now.
    pub balances: Balances,
    /// The customer's last posting now.
    pub sequence: u64,
    /// The posting's hold as it is now.
    pub hold: Option<SharedHold>,
    /// The purchase that the posting gave back, or gave something back to, as it is now.
    pub purchase: Option<Arc<Lot>>,
}

/// An invariant that did not hold: a bug, or a damaged database. The writer stops; nothing of the batch is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("posting {posting} (sequence {sequence}): {what}")]
pub struct Broken {
    /// The posting that does not fit.
    pub posting: PostingId,
    /// Its place among its customer's.
    pub sequence: u64,
    /// Which invariant.
    pub what: &'static str,
}

/// A request id with its scope.
pub type RequestScope = (CustomerKey, Kind, RequestKey);
/// An order with its scope.
pub type OrderScope = (LedgerNo, Storefront, OrderId);

/// A loaded customer.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The customer, where it exists. Shared, so that a store can keep it without copying it.
    pub customer: Option<Arc<Customer>>,
    /// Its profile, where it was asked for.
    pub profile: Option<Arc<Profile>>,
    /// The bound that the customer was loaded with: holds that were not loaded fall due no earlier.
    pub loaded_due: Option<Timestamp>,
    holds: HashMap<HoldId, SharedHold>,
    incidents: HashMap<IncidentId, Vec<HoldId>>,
    lots: HashMap<LotId, Arc<Lot>>,
    work: Entries,
}

impl Entry {
    /// A loaded hold.
    #[must_use]
    pub fn hold(&self, id: HoldId) -> Option<&SharedHold> {
        self.holds.get(&id)
    }

    /// The loaded holds, in no order.
    pub fn holds(&self) -> impl Iterator<Item = &SharedHold> {
        self.holds.values()
    }

    /// A loaded lot.
    #[must_use]
    pub fn lot(&self, id: LotId) -> Option<&Arc<Lot>> {
        self.lots.get(&id)
    }

    /// The loaded entries of work, and those of this batch, as they are now.
    #[must_use]
    pub const fn work(&self) -> &Entries {
        &self.work
    }

    /// The holds of an incident, oldest first.
    #[must_use]
    pub fn incident(&self, incident: &IncidentId) -> impl DoubleEndedIterator<Item = &SharedHold> {
        self.incidents.get(incident).into_iter().flatten().filter_map(|id| self.holds.get(id))
    }

    fn put_hold(&mut self, hold: SharedHold) {
        let ids = self.incidents.entry(hold.incident.clone()).or_default();
        if let Err(place) = ids.binary_search(&hold.id) {
            ids.insert(place, hold.id);
        }
        self.holds.insert(hold.id, hold);
    }
}

/// What a batch is decided against. A store fills it with what [`super::command::Command::keys`] names; `decide`
/// reads and moves it; what it then holds in [`Book::journal`] and as touched is what the store appends.
#[derive(Debug)]
pub struct Book {
    /// The stamp of the batch: the time at which all of its commands are decided.
    pub now: Timestamp,
    /// The price lists.
    pub cards: Arc<Cards>,
    random: u64,
    default_alerts: Arc<LedgerAlerts>,
    entries: CustomerMap<Entry>,
    requests: HashMap<RequestScope, Arc<Posting>>,
    orders: HashMap<OrderScope, Arc<Posting>>,
    journal: Vec<Arc<Posting>>,
    touched_customers: BTreeSet<CustomerKey>,
    touched_holds: BTreeMap<HoldId, SharedHold>,
    touched_lots: BTreeMap<LotId, (CustomerKey, Arc<Lot>)>,
    touched_work: Entries,
}

impl Book {
    /// An empty book for a batch stamped `now`, which must be later than the last posting of every customer that is
    /// put into it. `random` makes the batch's ids unlike those of another server with the same stamp.
    #[must_use]
    pub fn new(now: Timestamp, random: u64, cards: Arc<Cards>) -> Self {
        Self {
            now,
            cards,
            random,
            default_alerts: Arc::default(),
            entries: CustomerMap::default(),
            requests: HashMap::new(),
            orders: HashMap::new(),
            journal: Vec::new(),
            touched_customers: BTreeSet::new(),
            touched_holds: BTreeMap::new(),
            touched_lots: BTreeMap::new(),
            touched_work: Entries::new(),
        }
    }

    /// Takes in the thresholds of customers without their own, by ledger.
    pub fn put_default_alerts(&mut self, alerts: Arc<LedgerAlerts>) {
        self.default_alerts = alerts;
    }

    /// The thresholds of a ledger's customers without their own.
    #[must_use]
    pub fn default_alerts(&self, ledger: LedgerNo) -> Option<&Arc<Alerts>> {
        self.default_alerts.get(&ledger)
    }

    /// Makes room for a batch of so many commands at once: growing step by step moves what is there again and again.
    pub fn reserve(&mut self, commands: usize) {
        self.entries.reserve(commands);
        self.requests.reserve(commands);
        self.journal.reserve(commands);
    }

    /// Takes in a loaded customer.
    pub fn put_customer(&mut self, customer: Arc<Customer>) {
        let entry = self.entries.entry(customer.key()).or_default();
        entry.loaded_due = customer.state.next_due;
        entry.customer = Some(customer);
    }

    /// Takes in a loaded profile.
    pub fn put_profile(&mut self, customer: CustomerKey, profile: Profile) {
        self.entries.entry(customer).or_default().profile = Some(Arc::new(profile));
    }

    /// Takes in a loaded hold, under its own customer.
    pub fn put_hold(&mut self, hold: SharedHold) {
        self.entries.entry(hold.customer_key()).or_default().put_hold(hold);
    }

    /// Takes in a loaded lot, under its own customer.
    pub fn put_lot(&mut self, customer: CustomerKey, lot: Arc<Lot>) {
        self.entries.entry(customer).or_default().lots.insert(lot.id, lot);
    }

    /// Takes in a loaded entry of work, under its hold's customer. Whoever voids an entry needs it, and what
    /// [`super::work::WorkSums::remove`] says.
    pub fn put_work(&mut self, customer: CustomerKey, hold: HoldId, work: Arc<Work>) {
        self.entries.entry(customer).or_default().work.insert((hold, work.id), work);
    }

    /// Takes in the posting that answered a request before.
    pub fn put_request(&mut self, posting: Arc<Posting>) {
        if let Some(request) = posting.request.clone() {
            self.requests.insert((posting.customer, posting.kind, request), posting);
        }
    }

    /// Takes in the posting that recorded an order.
    pub fn put_order(&mut self, scope: OrderScope, posting: Arc<Posting>) {
        self.orders.insert(scope, posting);
    }

    /// A loaded customer's entry.
    #[must_use]
    pub fn entry(&self, customer: CustomerKey) -> Option<&Entry> {
        self.entries.get(&customer)
    }

    /// A customer that exists and is the one that was named, not another with the same key.
    #[must_use]
    pub fn customer(&self, ledger: LedgerNo, id: &CustomerId) -> Option<&Customer> {
        let customer = self.entries.get(&CustomerKey::of(ledger, id))?.customer.as_deref()?;
        (customer.ledger == ledger && customer.id == *id).then_some(customer)
    }

    /// The posting that answered a request before.
    #[must_use]
    pub fn request(&self, scope: &RequestScope) -> Option<&Arc<Posting>> {
        self.requests.get(scope)
    }

    /// The posting that recorded an order.
    #[must_use]
    pub fn order(&self, scope: &OrderScope) -> Option<&Arc<Posting>> {
        self.orders.get(scope)
    }

    /// The postings of this batch, in the order in which they were decided.
    #[must_use]
    pub fn journal(&self) -> &[Arc<Posting>] {
        &self.journal
    }

    /// True where there is nothing to store.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.journal.is_empty() && self.touched_customers.is_empty()
    }

    /// The customers whose rows changed, in the order of their keys.
    pub fn touched_customers(&self) -> impl Iterator<Item = &Arc<Customer>> {
        self.touched_customers.iter().filter_map(|key| self.entries.get(key)?.customer.as_ref())
    }

    /// The holds whose rows changed, as they are now, in the order of their ids.
    pub fn touched_holds(&self) -> impl Iterator<Item = &SharedHold> {
        self.touched_holds.values()
    }

    /// The lots whose rows changed after they were made, and whose they are, as they are now, in the order of their ids.
    pub fn touched_lots(&self) -> impl Iterator<Item = (CustomerKey, &Arc<Lot>)> {
        self.touched_lots.values().map(|(customer, lot)| (*customer, lot))
    }

    /// The entries of work that were recorded or voided, as they are now, by hold and id.
    pub fn touched_work(&self) -> impl Iterator<Item = (HoldId, &Arc<Work>)> {
        self.touched_work.iter().map(|((hold, _), work)| (*hold, work))
    }

    /// The id of the next posting.
    #[must_use]
    pub fn next_id(&self) -> PostingId {
        // A batch is bounded far below the 2^22 ids that a stamp has room for.
        let index = u32::try_from(self.journal.len()).unwrap_or(u32::MAX);
        PostingId::new(self.now, index, self.random)
    }

    /// Sets the bound before which nothing of the customer falls due, once everything due was applied. It is no
    /// journal matter: it follows from holds, lots and top-ups, and may be early.
    pub fn set_next_due(&mut self, key: CustomerKey, next_due: Option<Timestamp>) {
        if let Some(customer) = self.entries.get_mut(&key).and_then(|entry| entry.customer.as_mut())
            && customer.state.next_due != next_due
        {
            Arc::make_mut(customer).state.next_due = next_due;
            self.touched_customers.insert(key);
        }
    }

    /// Applies a posting and keeps it for the journal.
    ///
    /// # Errors
    /// [`Broken`] where it does not fit the state.
    pub fn post(&mut self, posting: &Arc<Posting>) -> Result<(), Broken> {
        self.apply(posting)?;
        self.touched_customers.insert(posting.customer);
        for hold in posting.holds() {
            self.touched_holds.insert(hold.id, Arc::clone(hold));
        }
        if let (Some(hold), Some(work)) = (&posting.detail.hold, &posting.detail.work) {
            self.touched_work.insert((hold.id, work.id), Arc::clone(work));
        }
        self.put_request(Arc::clone(posting));
        if let Some(lot) = &posting.detail.refunded {
            self.touched_lots.insert(lot.id, (posting.customer, Arc::clone(lot)));
        }
        if let Some(lot) = &posting.detail.lot
            && let (Some(storefront), Some(order)) = (&lot.storefront, &lot.order)
        {
            let scope = (posting.ledger, storefront.clone(), order.clone());
            self.orders.insert(scope, Arc::clone(posting));
        }
        self.journal.push(Arc::clone(posting));
        Ok(())
    }

    /// Moves the state by one posting, reading nothing but the posting. Replaying a journal through this gives the
    /// stored state again; the writer and `verify` both do.
    ///
    /// # Errors
    /// [`Broken`] where an invariant would not hold.
    pub fn apply(&mut self, posting: &Posting) -> Result<(), Broken> {
        let entry = self.entries.entry(posting.customer).or_default();
        if let (Some(id), None) = (&posting.detail.created, &entry.customer) {
            entry.customer = Some(Arc::new(Customer {
                ledger: posting.ledger,
                id: id.clone(),
                sequence: 0,
                balances: Balances::default(),
                state: CustomerState::new(posting.recorded_at),
            }));
        }
        let broken = |what| Broken { posting: posting.id, sequence: posting.sequence, what };
        let mut customer = entry.customer.take().ok_or_else(|| broken("its customer does not exist"))?;
        let applied = apply_to(Arc::make_mut(&mut customer), entry, posting);
        if let (Some(hold), Some(work)) = (&posting.detail.hold, &posting.detail.work) {
            entry.work.insert((hold.id, work.id), Arc::clone(work));
        }
        for hold in posting.holds() {
            entry.put_hold(Arc::clone(hold));
        }
        if let Some(lot) = posting.lot() {
            entry.lots.insert(lot.id, Arc::clone(lot));
        }
        if let Some(profile) = &posting.detail.profile {
            entry.profile = Some(Arc::clone(profile));
        }
        entry.customer = Some(customer);
        applied.map_err(broken)
    }
}

/// Moves a customer by one posting and checks every invariant that the posting alone can break.
fn apply_to(customer: &mut Customer, entry: &Entry, posting: &Posting) -> Result<(), &'static str> {
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
        state.note_hold(before, hold)?;
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
    top_up::note(state, posting)
}

/// Keeps what thresholds are compared with, and what was told about them.
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
    Ok(())
}

/// The balances after the posting's transfers, each within its bounds, and the credits used by it.
fn move_balances(before: Balances, posting: &Posting) -> Result<(Balances, Credits), &'static str> {
    let out_of_bounds = "a balance leaves its bounds";
    let amounts = posting.amounts.0.iter().filter(|amount| !amount.is_zero()).count();
    if transfers(posting).count() != amounts {
        return Err("an amount moves between no accounts");
    }
    let mut after = before;
    let mut used = Credits::ZERO;
    for transfer in transfers(posting) {
        if !transfer.credits.is_positive() {
            return Err("a transfer is not positive");
        }
        match (&transfer.debit, &transfer.credit) {
            (Account::Available | Account::Held, Account::Revenue) => {
                used = used.checked_add(transfer.credits).ok_or(out_of_bounds)?;
            }
            (Account::Revenue, Account::Available) => {
                used = used.checked_sub(transfer.credits).ok_or(out_of_bounds)?;
            }
            _ => {}
        }
        after = after.moved_by(&transfer).ok_or(out_of_bounds)?;
    }
    if after.are_within_bounds() { Ok((after, used)) } else { Err(out_of_bounds) }
}

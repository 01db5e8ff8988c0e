//! The loaded part of a ledger: what a batch of commands is decided against, and the one place where a posting moves
//! state.
//!
//! # What it is
//! A store loads into a book what the commands of a batch name. Deciding reads the book and posts to it, so each
//! command sees the ones before it. The store then appends the journal and the touched rows in one commit.
//!
//! # Invariants
//! - State moves by [`Book::apply`] alone, and that reads nothing but the posting. So replaying the journal gives the
//!   stored state again. [`Book::set_next_due`] is the exception: that bound follows from the rest.
//! - Every posting of the batch is in the journal, in the order of decision, and every row that it changed is touched.
//! - [`Book::customer`] compares ids as well as keys: the ids of two customers may share a key.
//!
//! # Failure
//! [`Broken`] leaves the book half moved. It must be dropped, and nothing of it stored.
//!
//! # Cost
//! It grows with what the batch names, not with the ledger. Rows are shared with the store and copied when they change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::alert::{Alerts, LedgerAlerts};
use super::apply::apply;
use super::card::Cards;
use super::customer::{Balances, Customer, Profile};
use super::entry::Entry;
use super::hold::SharedHold;
use super::ids::{
    CustomerId, CustomerKey, CustomerMap, HoldId, LedgerNo, LotId, OrderId, PostingId, RequestKey, Storefront,
};
use super::kind::Kind;
use super::lot::Lot;
use super::posting::Posting;
use super::time::Timestamp;
use super::unused::Unused;
use super::work::{Entries, Work};

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
    /// The purchase that the posting gave back, or gave something back to, as it is now, with all that left it unused.
    pub purchase: Option<(Arc<Lot>, Unused)>,
    /// The customer as it is now, where the command is about the customer itself
    /// (its keys name the profile).
    pub about: Option<Box<CustomerNow>>,
}

/// A customer with what stands beside its hot state, as it is after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerNow {
    pub customer: Arc<Customer>,
    pub profile: Arc<Profile>,
    /// The thresholds of its ledger, where it has any.
    pub default_alerts: Option<Arc<Alerts>>,
}

/// An invariant that did not hold: a bug, or a damaged database. The writer stops; nothing of the batch is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("posting {posting} (sequence {sequence}): {what}")]
pub struct Broken {
    /// The posting that does not fit.
    pub posting: PostingId,
    /// Its place among its customer's.
    pub sequence: u64,
    pub what: &'static str,
}

/// A request id with its scope.
pub type RequestScope = (CustomerKey, Kind, RequestKey);
/// An order with its scope.
pub type OrderScope = (LedgerNo, Storefront, OrderId);

/// What a batch is decided against. A store fills it with what [`super::commands::Command::keys`] names, and `decide`
/// reads and moves it. The store then appends [`Book::journal`] and the touched rows.
#[derive(Debug)]
pub struct Book {
    /// The stamp of the batch: the time at which all of its commands are decided.
    pub now: Timestamp,
    /// What falls due later than this is not due yet, whatever `now` is: an implausible clock lets nothing expire, nor
    /// does a stamp that only keeps the order. The writer sets it, or an engine with a clock of its own.
    pub due_until: Timestamp,
    pub cards: Arc<Cards>,
    /// How many open holds a customer may have. The writer sets it; without one there is no bound.
    pub open_holds_max: u32,
    random: u64,
    default_alerts: Arc<LedgerAlerts>,
    entries: CustomerMap<Entry>,
    requests: HashMap<RequestScope, Arc<Posting>>,
    orders: HashMap<OrderScope, Arc<Posting>>,
    journal: Vec<Arc<Posting>>,
    touched_customers: BTreeSet<CustomerKey>,
    touched_holds: BTreeMap<HoldId, SharedHold>,
    touched_lots: BTreeMap<LotId, (CustomerKey, Arc<Lot>)>,
    newly_unused: BTreeMap<LotId, (CustomerKey, Unused)>,
    touched_work: Entries,
}

impl Book {
    /// An empty book for a batch stamped `now`, which must be later than the last posting of every customer that is
    /// put into it. `random` makes the batch's ids unlike those of another server with the same stamp.
    pub fn new(now: Timestamp, random: u64, cards: Arc<Cards>) -> Self {
        Self {
            now,
            due_until: Timestamp::MAX,
            cards,
            open_holds_max: u32::MAX,
            random,
            default_alerts: Arc::default(),
            entries: CustomerMap::default(),
            requests: HashMap::new(),
            orders: HashMap::new(),
            journal: Vec::new(),
            touched_customers: BTreeSet::new(),
            touched_holds: BTreeMap::new(),
            touched_lots: BTreeMap::new(),
            newly_unused: BTreeMap::new(),
            touched_work: Entries::new(),
        }
    }

    /// The time by which it is judged what has fallen due.
    pub fn due_by(&self) -> Timestamp {
        self.now.min(self.due_until)
    }

    /// Takes in the thresholds of customers without their own, by ledger.
    pub fn put_default_alerts(&mut self, alerts: Arc<LedgerAlerts>) {
        self.default_alerts = alerts;
    }

    /// The thresholds of a ledger's customers without their own.
    pub fn default_alerts(&self, ledger: LedgerNo) -> Option<&Arc<Alerts>> {
        self.default_alerts.get(&ledger)
    }

    /// Makes room for a whole batch at once: growing step by step copies the maps again and again.
    pub fn reserve(&mut self, commands: usize) {
        self.entries.reserve(commands);
        self.requests.reserve(commands);
        self.journal.reserve(commands);
    }

    pub fn put_customer(&mut self, customer: Arc<Customer>) {
        let entry = self.entries.entry(customer.key()).or_default();
        entry.loaded_due = customer.state.next_due;
        entry.customer = Some(customer);
    }

    pub fn put_profile(&mut self, customer: CustomerKey, profile: Profile) {
        self.entries.entry(customer).or_default().profile = Some(Arc::new(profile));
    }

    /// Takes in a loaded hold, under its own customer.
    pub fn put_hold(&mut self, hold: SharedHold) {
        self.entries.entry(hold.customer_key()).or_default().put_hold(hold);
    }

    /// Takes in a loaded lot, under its own customer, with all that left it unused.
    pub fn put_lot(&mut self, customer: CustomerKey, lot: Arc<Lot>, unused: Unused) {
        let entry = self.entries.entry(customer).or_default();
        entry.unused.insert(lot.id, unused);
        entry.lots.insert(lot.id, lot);
    }

    /// Takes in a loaded entry of work, under its hold's customer. Voiding an entry needs it, and what
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

    pub fn entry(&self, customer: CustomerKey) -> Option<&Entry> {
        self.entries.get(&customer)
    }

    pub(super) fn loaded(&self, customer: CustomerKey) -> Option<(&Entry, &Customer)> {
        let entry = self.entry(customer)?;
        Some((entry, entry.customer.as_deref()?))
    }

    /// A contradiction in a customer's state that was met before there is a posting.
    pub(super) fn broken(&self, customer: &Customer, what: &'static str) -> Broken {
        Broken { posting: self.next_id(), sequence: customer.sequence, what }
    }

    /// A customer that exists and is the one that was named, not another with the same key.
    pub fn customer(&self, ledger: LedgerNo, id: &CustomerId) -> Option<&Customer> {
        let customer = self.entries.get(&CustomerKey::of(ledger, id))?.customer.as_deref()?;
        (customer.ledger == ledger && customer.id == *id).then_some(customer)
    }

    /// The posting that answered a request before.
    pub fn request(&self, scope: &RequestScope) -> Option<&Arc<Posting>> {
        self.requests.get(scope)
    }

    /// The posting that recorded an order.
    pub fn order(&self, scope: &OrderScope) -> Option<&Arc<Posting>> {
        self.orders.get(scope)
    }

    /// The postings of this batch, in the order in which they were decided.
    pub fn journal(&self) -> &[Arc<Posting>] {
        &self.journal
    }

    /// True where there is nothing to store.
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

    /// The lots whose rows changed after they were made, as they are now, with their customers, in the order of their
    /// ids.
    pub fn touched_lots(&self) -> impl Iterator<Item = (CustomerKey, &Arc<Lot>)> {
        self.touched_lots.values().map(|(customer, lot)| (*customer, lot))
    }

    /// What this batch adds to what left lots unused, with their customers, in the order of the lots' ids.
    pub fn newly_unused(&self) -> impl Iterator<Item = (CustomerKey, LotId, &Unused)> {
        self.newly_unused.iter().map(|(lot, (customer, unused))| (*customer, *lot, unused))
    }

    /// The entries of work that were recorded or voided, as they are now, by hold and id.
    pub fn touched_work(&self) -> impl Iterator<Item = (HoldId, &Arc<Work>)> {
        self.touched_work.iter().map(|((hold, _), work)| (*hold, work))
    }

    /// The id of the next posting.
    pub fn next_id(&self) -> PostingId {
        // A batch is bounded far below the 2^22 ids that a stamp has room for.
        let index = u32::try_from(self.journal.len()).unwrap_or(u32::MAX);
        PostingId::new(self.now, index, self.random)
    }

    /// Sets the bound before which nothing of the customer falls due, once everything due was applied. It is not in the
    /// journal: it follows from holds, lots and top-ups. It may be early, never late.
    pub fn set_next_due(&mut self, key: CustomerKey, next_due: Option<Timestamp>) {
        if let Some(customer) = self.entries.get_mut(&key).and_then(|entry| entry.customer.as_mut())
            && customer.state.next_due != next_due
        {
            Arc::make_mut(customer).state.next_due = next_due;
            self.touched_customers.insert(key);
        }
    }

    /// Applies a posting and keeps it for the journal.
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
        for lot in posting.changed_lots() {
            self.touched_lots.insert(lot.id, (posting.customer, Arc::clone(lot)));
        }
        for (lot, unused) in &posting.detail.unused {
            let (_, sum) = self.newly_unused.entry(*lot).or_insert((posting.customer, Unused::none()));
            // Where the sum left its bounds, applying the posting would have been refused.
            *sum = sum.plus(unused).unwrap_or(*sum);
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

    /// Moves the state by one posting, reading nothing but the posting. The writer, `verify` and `copy` all use it, so
    /// replaying a journal gives the stored state again.
    pub fn apply(&mut self, posting: &Posting) -> Result<(), Broken> {
        let entry = self.entries.entry(posting.customer).or_default();
        if let (Some(id), None) = (&posting.detail.created, &entry.customer) {
            let unborn = Customer::unborn(posting.ledger, id, posting.recorded_at);
            entry.customer = Some(Arc::new(unborn));
        }
        let broken = |what| Broken { posting: posting.id, sequence: posting.sequence, what };
        let mut customer = entry.customer.take().ok_or_else(|| broken("its customer does not exist"))?;
        let applied = apply(Arc::make_mut(&mut customer), entry, posting);
        if let (Some(hold), Some(work)) = (&posting.detail.hold, &posting.detail.work) {
            entry.work.insert((hold.id, work.id), Arc::clone(work));
        }
        for hold in posting.holds() {
            entry.put_hold(Arc::clone(hold));
        }
        for lot in posting.detail.lot.iter().chain(posting.changed_lots()) {
            entry.lots.insert(lot.id, Arc::clone(lot));
        }
        if let Some(profile) = &posting.detail.profile {
            entry.profile = Some(Arc::clone(profile));
        }
        let counted = entry.count_unused(posting);
        entry.customer = Some(customer);
        applied.and(counted).map_err(broken)
    }
}

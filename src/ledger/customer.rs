//! A customer: balances, lots, terms, and what the next command has to know without reading further.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::{Side, Transfer};
use super::alert::{Alerts, Crossed, Level};
use super::codec::record;
use super::credits::Credits;
use super::hold::{Hold, HoldState};
use super::ids::{
    CardId, CustomerId, CustomerKey, HoldId, IncidentId, LedgerNo, LotId, PackageId, PostingId, Text,
};
use super::lot::Lots;
use super::rules::Rules;
use super::time::{Day, Timestamp};
use super::top_up::{TopUp, TopUps};

/// The balances of a customer's three accounts, as every answer shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// Free to use; at least 0.
    pub available: Credits,
    /// Set aside by active holds; at least 0.
    pub held: Credits,
    /// Owed to the vendor; at least 0. The balance of the account `receivable` is minus this.
    pub owed: Credits,
}

impl Balances {
    /// As they are after a transfer, within bounds or not; `None` where a number leaves 64 bits.
    pub fn moved_by(&self, transfer: &Transfer) -> Option<Self> {
        let (debit, credit) = transfer.sides();
        self.moved(debit, credit, transfer.credits)
    }

    /// As they are after `credits` have moved, within bounds or not; `None` where a number leaves 64 bits.
    pub(super) fn moved(mut self, debit: Side, credit: Side, credits: Credits) -> Option<Self> {
        for (side, change) in [(debit, credits.negated()), (credit, credits)] {
            match side {
                Side::Available => self.available = self.available.checked_add(change)?,
                Side::Held => self.held = self.held.checked_add(change)?,
                // `owed` is the account's balance with the other sign.
                Side::Receivable => self.owed = self.owed.checked_sub(change)?,
                Side::Sales
                | Side::Promotions
                | Side::Revenue
                | Side::WriteOffs
                | Side::Adjustments
                | Side::Expired => {}
            }
        }
        Some(self)
    }

    /// True where none is below zero and none too large. The bound is on available and held together, so that moving
    /// credits between the two can never be refused for it.
    pub fn are_within_bounds(&self) -> bool {
        let legal = Credits::ZERO..=Credits::MAX_BALANCE;
        let total = self.available.checked_add(self.held);
        self.available >= Credits::ZERO
            && self.held >= Credits::ZERO
            && total.is_some_and(|total| legal.contains(&total))
            && legal.contains(&self.owed)
    }
}

/// The hot state of a customer: what nearly every command reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    pub ledger: LedgerNo,
    pub id: CustomerId,
    /// The number of its last posting; 1 is its creation.
    pub sequence: u64,
    /// Its balances after that posting.
    pub balances: Balances,
    pub state: CustomerState,
}

/// The part of a customer that is stored as one compact value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerState {
    pub created_at: Timestamp,
    /// When its last posting was recorded; rises with the sequence.
    pub last_recorded_at: Timestamp,
    /// True once closed: no new estimates, holds or charges.
    pub closed: bool,
    /// Lots with something left, in burn order. Their sum is available + held.
    pub lots: Lots,
    /// Holds that are QUOTED, AWAITING_CREDITS or ACTIVE.
    pub open_holds: u32,
    /// Holds, or pending quotes of active holds, that wait for credits.
    pub parked: u32,
    /// No quote, hold or lot falls due before this. A bound that may be early, never late.
    pub next_due: Option<Timestamp>,
    /// Its newest hold, where the chain of [`super::Hold::previous`] begins.
    pub last_hold: Option<HoldId>,
    /// Card, package, free support, top-ups.
    pub terms: Terms,
    /// The last missing amount announced per incident, oldest first, at most
    /// [`CustomerState::SHORTFALLS_MAX`]: the event is written again only when the amount changes. Beyond that many
    /// incidents at once the oldest is forgotten, and its event may come a second time.
    pub shortfalls: Vec<(IncidentId, Credits)>,
    /// Lots with a chargeback that is not decided, spent ones included: credits that go back into one burn first.
    pub disputes: Vec<LotId>,
    /// Payments that earlier versions kept and that wait, oldest first: the posting of each, and [`super::payment::Payment::order_key`]. Only the
    /// suspense account has any.
    pub payments: Vec<(PostingId, u64)>,
    /// Its own thresholds; those of its ledger apply where there are none.
    pub alerts: Option<Arc<Alerts>>,
    /// What the last purchase brought, the share that repaid a debt included; zero before the first.
    pub last_purchase: Credits,
    /// True from an event that credits run low, or are gone, until the event that they have recovered.
    pub is_low: bool,
    /// The thresholds that fired and are not armed again, each with the level at which it fired; at most
    /// [`Alerts::MAX`]. Empty by rules before [`Rules::Third`].
    pub fired: Vec<Crossed>,
    /// Credits charged so far, less what was given back. Postings carry it too, so that the use between any two
    /// moments takes two look-ups.
    pub used: Credits,
    /// What is remembered of requests for top-ups, once there was one.
    pub top_ups: Option<Arc<TopUps>>,
    /// True from what was taken back (a refund or a chargeback) until the customer uses or buys credits, or its top-ups
    /// are agreed anew. Meanwhile no top-up is requested. Only customers with settings for top-ups have it.
    pub top_ups_paused: bool,
}
record!(CustomerState {
    1 => created_at, 2 => last_recorded_at, 3 => closed, 4 => lots, 5 => open_holds, 6 => parked, 7 => next_due,
    8 => terms, 9 => shortfalls, 10 => last_hold, 30 => alerts, 31 => last_purchase, 32 => is_low, 33 => used,
    34 => fired, 40 => disputes, 41 => payments, 50 => top_ups, 51 => top_ups_paused,
});

impl CustomerState {
    /// Remembered shortfalls per customer.
    pub const SHORTFALLS_MAX: usize = 32;

    /// Before the first posting.
    pub fn new(created_at: Timestamp) -> Self {
        Self { created_at, last_recorded_at: created_at, ..Self::default() }
    }

    /// When a posting about top-ups is next due while `available` stays as it is: one that requests a top-up, or one
    /// that suspends them. `None` where none is.
    pub fn top_up_due(&self, available: Credits) -> Option<Timestamp> {
        let top_ups = self.top_ups.as_deref();
        let settings = self.terms.top_up.as_deref().filter(|_| !self.closed && !self.top_ups_paused);
        let request = settings.and_then(|settings| settings.due_at(top_ups, available));
        Timestamp::earlier(request, top_ups.and_then(TopUps::suspends_at))
    }

    /// The missing amount last announced for `incident`.
    pub fn shortfall(&self, incident: &IncidentId) -> Option<Credits> {
        self.shortfalls.iter().find(|(id, _)| id == incident).map(|(_, missing)| *missing)
    }

    /// Counts a hold's change, by the rules of the posting that changed it.
    pub(super) fn note_hold(
        &mut self,
        before: Option<&Hold>,
        after: &Hold,
        rules: Rules,
    ) -> Result<(), &'static str> {
        let count = |count: u32, was: bool, is: bool| match (was, is) {
            (false, true) => count.checked_add(1),
            (true, false) => count.checked_sub(1),
            (true, true) | (false, false) => Some(count),
        };
        let was_open = before.is_some_and(|hold| hold.state.is_open());
        let was_parked = before.is_some_and(Hold::is_parked);
        self.open_holds =
            count(self.open_holds, was_open, after.state.is_open()).ok_or("open holds are miscounted")?;
        self.parked =
            count(self.parked, was_parked, after.is_parked()).ok_or("parked holds are miscounted")?;
        self.next_due = Timestamp::earlier(self.next_due, after.due_at());
        if before.is_none() {
            if after.previous != self.last_hold {
                return Err("the chain of holds is broken");
            }
            self.last_hold = Some(after.id);
        }
        // The shortfall is over once more credits are set aside or the hold ends. A superseded quote does not end it:
        // the newer one goes on. Neither does a reversal of an earlier settlement; by the first rules it did.
        let ends = match rules {
            Rules::First => true,
            Rules::Second | Rules::Third => before.is_none() || was_open,
        };
        let ended = ends && !after.state.is_open() && after.state != HoldState::Superseded;
        if ended || after.held > before.map_or(Credits::ZERO, |hold| hold.held) {
            self.shortfalls.retain(|(incident, _)| *incident != after.incident);
        }
        Ok(())
    }
}

impl Customer {
    pub fn key(&self) -> CustomerKey {
        CustomerKey::of(self.ledger, &self.id)
    }

    /// A customer before its first posting.
    pub(super) fn unborn(ledger: LedgerNo, id: &CustomerId, now: Timestamp) -> Self {
        Self {
            ledger,
            id: id.clone(),
            sequence: 0,
            balances: Balances::default(),
            state: CustomerState::new(now),
        }
    }

    /// When a posting about top-ups is due without anything else happening; `None` where none is.
    pub fn top_up_due(&self) -> Option<Timestamp> {
        self.state.top_up_due(self.balances.available)
    }

    pub fn level(&self) -> Level {
        Level { available: self.balances.available, last_purchase: self.state.last_purchase }
    }
}

/// What was agreed with a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Its own rate card; the ledger's default where there is none.
    pub rate_card: Option<CardId>,
    /// Its support package, which may carry a rate of its own.
    pub package: Option<PackageId>,
    /// When the supported product was bought: starts the free-support window.
    pub product_purchased_on: Option<Day>,
    /// When it is asked for a top-up; never where there is nothing.
    pub top_up: Option<Arc<TopUp>>,
}
record!(Terms { 1 => rate_card, 2 => package, 3 => product_purchased_on, 4 => top_up });

/// Who a customer is: cold data that no calculation reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub name: Text,
    pub contact: Contact,
    /// At most 32 pairs of the caller's own.
    pub metadata: BTreeMap<Text, Text>,
}
record!(Profile { 1 => name, 2 => contact, 3 => metadata });

/// Whom to write to about a customer's credits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// A person or a role.
    pub name: Text,
    pub email: Text,
    /// A language tag such as `pt-BR`.
    pub locale: Text,
}
record!(Contact { 1 => name, 2 => email, 3 => locale });

//! Compares what the ledger should show of an order with what it has, and gives the next command, or why a person has to
//! look.
//!
//! After each step the book is read again. So it does not matter where a run was cut off, what others record meanwhile, or
//! that two servers do the same: the next step follows from what the ledger has then.
//!
//! # Rules
//! - What people recorded by hand stays. A purchase that is there counts as the order's. A refund or chargeback by hand may
//!   be the one that the shop tells of: a person says.
//! - What a person undid is not done again.
//! - The shop's refunds and disputes together take at most what was bought: the rest is noted, not owed.
//! - A dispute is recorded as it stands. Where its amount changes, it is ended and recorded again.

use std::cell::Cell;

use super::book::{Booked, Entry, Origin, Requests, id_of_part, sum};
use super::decided::Decided;
use super::facts::{DisputeState, Order};
use super::mapping::Mapping;
use super::priced::{Amount, Unclear};
use super::target::{Bought, Disputed, Target, content, target};
use crate::ledger::codec::encode;
use crate::ledger::commands::{
    OnShortfall, PurchaseCredits, PurchaseRef, RecordChargeback, RefundPurchase, ResolveChargeback,
    ReverseRefund,
};
use crate::ledger::hash::stable_hash;
use crate::ledger::lot::RefundState;
use crate::ledger::payment::PaymentEvent;
use crate::ledger::{Command, Credits, CustomerId, Money, OrderId, RequestKey, Storefront, Text};

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The ledger shows what it should.
    Done,
    /// The ledger shows what it should, but for a dispute: the purchase is in another one, which has to end first.
    Later,
    /// The recorded purchase counts as that of the order as it is now told of: [`Decided::accepted`].
    Accept(u64),
    Send(Box<Wanted>),
    /// A person has to look at it.
    Wait(Wait),
}

/// A command of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub customer: CustomerId,
    pub request: RequestKey,
    /// For the posting's reason.
    pub reason: String,
    pub command: Command,
}

/// Why an order waits, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub event: PaymentEvent,
    pub why: String,
}

/// An order with all that its next step depends on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub storefront: &'a Storefront,
    pub order: &'a Order,
    /// Whom the order, or its agreement, names.
    pub customer: Option<&'a Text>,
    pub mapping: Mapping<'a>,
    pub decided: &'a Decided,
    /// The order's id in the ledger.
    pub id: &'a OrderId,
    /// What the ledger has of it.
    pub booked: Option<&'a Booked>,
}

fn wait(event: PaymentEvent, why: impl Into<String>) -> Step {
    Step::Wait(Wait { event, why: why.into() })
}

/// A hash of what was sold: another one where that changed.
pub fn fingerprint(order: &Order, mapping: Mapping<'_>) -> Option<u64> {
    // Its greatest bit is set, so that it is never the default, which a record leaves out.
    content(order, mapping).map(|content| stable_hash(&[&encode(content)]) | (1 << 63))
}

/// A hash of what went back: another one where more of it was told.
pub fn fingerprint_of_refunds(order: &Order) -> u64 {
    let (refunds, sum) = (encode(&order.refunds), encode(&order.refunded_sum().cloned()));
    stable_hash(&[&refunds, &sum]) | (1 << 63)
}

impl Case<'_> {
    /// What the ledger should show.
    pub fn target(&self) -> Target {
        target(self.order, self.mapping, self.decided.unnamed.as_ref())
    }

    /// The step that comes next.
    pub fn next(&self) -> Step {
        let target = self.target();
        match self.booked {
            None => self.first(&target),
            Some(booked) => self.further(&target, booked),
        }
    }

    /// Nothing of it is recorded.
    fn first(&self, target: &Target) -> Step {
        match &target.bought {
            // What was told of an order that was never told of itself is kept until that comes: nothing was credited.
            Bought::NotOurs | Bought::Unmapped | Bought::Unknown | Bought::Open | Bought::Void => Step::Done,
            Bought::Unclear(Unclear(why)) => self.unless_accepted(PaymentEvent::Paid, why),
            Bought::Known(bought) if !bought.credits.is_positive() => Step::Done,
            Bought::Known(bought) => {
                let Some(customer) = self.customer.filter(|customer| !customer.is_empty()) else {
                    return self.unless_accepted(PaymentEvent::Paid, "the storefront names no customer");
                };
                match CustomerId::parse(customer.as_str()) {
                    Err(_) => self.unless_accepted(
                        PaymentEvent::Paid,
                        "the storefront names no customer of the ledger: it is no id of one",
                    ),
                    // A person closed it without a purchase.
                    Ok(_) if self.is_accepted() => Step::Done,
                    Ok(customer) => {
                        self.purchase(customer, self.id.clone(), self.requests().purchase(), *bought)
                    }
                }
            }
        }
    }

    fn is_accepted(&self) -> bool {
        let now = fingerprint(self.order, self.mapping);
        now.is_some() && self.decided.accepted == now
    }

    fn unless_accepted(&self, event: PaymentEvent, why: &str) -> Step {
        if self.is_accepted() { Step::Done } else { wait(event, why) }
    }

    fn requests(&self) -> Requests<'_> {
        Requests { storefront: self.storefront, order: self.id }
    }

    fn purchase(&self, customer: CustomerId, order: OrderId, request: RequestKey, bought: Amount) -> Step {
        let command = Command::PurchaseCredits(PurchaseCredits {
            storefront: self.storefront.clone(),
            order,
            credits: bought.credits,
            price: self.money(bought.money),
            expires_at: None,
        });
        Step::Send(Box::new(Wanted { customer, request, reason: String::new(), command }))
    }

    fn money(&self, minor_units: i64) -> Option<Money> {
        let content = content(self.order, self.mapping)?;
        Some(Money { currency: content.currency, minor_units: minor_units.max(0) })
    }

    fn further(&self, target: &Target, booked: &Booked) -> Step {
        if target.bought == Bought::NotOurs {
            // A test that was recorded before: nothing that is told of it moves anything.
            return Step::Done;
        }
        let recorded = Amount { credits: booked.credits(), money: booked.price() };
        let bought = match self.bought(target, booked, recorded) {
            Ok(bought) => bought,
            Err(step) => return step,
        };
        if bought.credits > recorded.credits {
            let more = Amount {
                credits: bought.credits.less_at_least_zero(recorded.credits),
                money: bought.money.saturating_sub(recorded.money),
            };
            let request = self.requests().part(booked.purchases.len());
            return match self.id_of_part(booked.purchases.len()) {
                Some(id) => self.purchase(booked.customer.clone(), id, request, more),
                None => wait(PaymentEvent::Paid, "its order id is too long for another purchase of it"),
            };
        }
        let is_behind = Cell::new(false);
        for disputed in &target.disputed {
            if let Some(step) = self.dispute(disputed, booked, &is_behind) {
                return step;
            }
        }
        match self.refunds(target, booked, edited(recorded, bought)) {
            Step::Done if is_behind.get() => Step::Later,
            step => step,
        }
    }

    /// What of the refunds a person let stand although the facts say otherwise: [`Decided::beyond`], with its money.
    pub fn beyond(&self, booked: &Booked) -> Amount {
        let target = self.target();
        let recorded = Amount { credits: booked.credits(), money: booked.price() };
        let bought = self.bought(&target, booked, recorded).unwrap_or(recorded);
        let edited = edited(recorded, bought);
        let told = target.gone.credits.checked_add(edited.credits).unwrap_or(target.gone.credits);
        let ours = || booked.entries().filter(|entry| entry.counts());
        let stands = sum(ours().map(|entry| entry.refund.credits));
        let money = ours().fold(0_i64, |sum, entry| sum.saturating_add(entry.money()));
        Amount {
            credits: stands.checked_add(told.negated()).unwrap_or_default(),
            money: money.saturating_sub(target.gone.money).saturating_sub(edited.money),
        }
    }

    /// What counts as bought: the target, or what is recorded where that stays.
    fn bought(&self, target: &Target, booked: &Booked, recorded: Amount) -> Result<Amount, Step> {
        let by_hand = booked.purchases.iter().any(|purchase| !purchase.is_ours);
        let Some(now) = fingerprint(self.order, self.mapping) else { return Ok(recorded) };
        if by_hand && self.decided.accepted.is_none() {
            // Where a person assigned it, the purchase stands for what the person saw.
            return Err(Step::Accept(self.decided.assigned.unwrap_or(now)));
        }
        if self.is_accepted() {
            return Ok(recorded);
        }
        match &target.bought {
            Bought::NotOurs | Bought::Unknown | Bought::Open => Ok(recorded),
            Bought::Unmapped => Err(wait(
                PaymentEvent::Paid,
                "it was credited, and the shop now tells of no product that is mapped",
            )),
            Bought::Void => Err(wait(
                PaymentEvent::Paid,
                "the shop cancelled the order after it was credited, and tells of no refund",
            )),
            Bought::Unclear(Unclear(why)) => Err(wait(PaymentEvent::Paid, why)),
            Bought::Known(bought) if by_hand && bought.credits != recorded.credits => Err(wait(
                PaymentEvent::Paid,
                format!(
                    "{} credits of it were recorded by hand, and the shop now tells of {}",
                    recorded.credits, bought.credits
                ),
            )),
            Bought::Known(bought) => Ok(*bought),
        }
    }

    /// The order id of the purchase after `count` others.
    pub fn id_of_part(&self, count: usize) -> Option<OrderId> {
        id_of_part(self.id, count)
    }

    fn is_dismissed(&self, disputed: &Disputed) -> bool {
        self.decided.dismissed.iter().any(|(id, told)| (id, *told) == (&disputed.id, disputed.told))
    }

    /// The next step about a dispute; `None` where it stands as it should, or `is_behind` another one that is open.
    fn dispute(&self, disputed: &Disputed, booked: &Booked, is_behind: &Cell<bool>) -> Option<Step> {
        let is_its = |entry: &&Entry| entry.origin == Origin::Dispute(disputed.id.clone());
        let mut left = match (&disputed.amount, disputed.state) {
            (Ok(amount), DisputeState::Open | DisputeState::Lost) => *amount,
            (Ok(_), DisputeState::Won | DisputeState::Inquiry) => Amount::default(),
            (Err(_), _) if self.is_dismissed(disputed) => return None,
            // What was recorded of it is ended all the same, once it is decided.
            (Err(_), DisputeState::Won) => Amount::default(),
            (Err(Unclear(why)), state) => return Some(wait(event_of(state), why)),
        };
        for purchase in &booked.purchases {
            let requests = Requests {
                storefront: self.storefront,
                order: purchase.lot.order.as_ref().unwrap_or(self.id),
            };
            let last = purchase.entries.iter().rfind(is_its);
            let others = purchase.entries.iter().filter(|entry| !is_its(entry) && entry.refund.stands());
            let room = purchase.lot.credits.less_at_least_zero(sum(others.map(|entry| entry.refund.credits)));
            let wanted = left.credits.min(room);
            let money = share_of(left, wanted);
            left = Amount {
                credits: left.credits.less_at_least_zero(wanted),
                money: left.money.saturating_sub(money),
            };
            let id = PurchaseRef::Id(purchase.lot.id);
            let resolve = |entry: &Entry, won| {
                let command = Command::ResolveChargeback(ResolveChargeback { purchase: id.clone(), won });
                send(booked, requests.end(&entry.refund), format!("dispute {}", disputed.id), command)
            };
            let has_other = purchase
                .entries
                .iter()
                .any(|entry| entry.refund.state == RefundState::Disputed && !is_its(&entry));
            let record = || {
                if self.is_dismissed(disputed) {
                    return None;
                }
                if purchase.entries.iter().any(|entry| self.may_be_same(entry) && entry.is_dispute()) {
                    return Some(wait(
                        PaymentEvent::Disputed,
                        "a chargeback of it was recorded by hand, which may be this one",
                    ));
                }
                if has_other || !wanted.is_positive() {
                    is_behind.set(is_behind.get() || has_other);
                    return None;
                }
                let price = purchase.lot.price.map(|price| price.with(money.min(left_of(purchase))));
                let command = Command::RecordChargeback(RecordChargeback {
                    purchase: id.clone(),
                    credits: Some(wanted),
                    price,
                });
                let request = requests.dispute(&disputed.id, purchase.entries.len());
                Some(send(booked, request, format!("dispute {}", disputed.id), command))
            };
            let step = match (disputed.state, last.map(|entry| (entry, entry.refund.state))) {
                (DisputeState::Inquiry, _) | (DisputeState::Won, None) => None,
                (DisputeState::Open | DisputeState::Lost, None) => record(),
                (DisputeState::Won, Some((entry, RefundState::Disputed))) => Some(resolve(entry, true)),
                (DisputeState::Won, Some((_, RefundState::Lost))) if self.is_dismissed(disputed) => None,
                (DisputeState::Won, Some((_, RefundState::Lost))) => Some(wait(
                    PaymentEvent::DisputeWon,
                    "the dispute was recorded as lost, and is won after all",
                )),
                // It is about another amount now: it is ended, and recorded again.
                (DisputeState::Open, Some((entry, RefundState::Disputed)))
                    if entry.refund.credits != wanted =>
                {
                    Some(resolve(entry, true))
                }
                (DisputeState::Lost, Some((entry, RefundState::Disputed))) => Some(resolve(entry, false)),
                // It was ended here, and is open again.
                (DisputeState::Open | DisputeState::Lost, Some((entry, RefundState::Won)))
                    if !entry.ended_by_hand =>
                {
                    record()
                }
                (DisputeState::Open | DisputeState::Won | DisputeState::Lost, Some(_)) => None,
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    /// True for what a person recorded and nobody has compared yet.
    fn may_be_same(&self, entry: &Entry) -> bool {
        entry.is_by_hand() && !self.decided.seen.contains(&entry.refund.id)
    }

    /// What the shop's refunds come to, capped by what is left; with what an edit took out.
    pub fn gone(&self, target: &Target, booked: &Booked, edited: Amount) -> Amount {
        let gone = [edited.credits, self.decided.beyond]
            .into_iter()
            .fold(target.gone.credits, |sum, more| sum.checked_add(more).unwrap_or(sum));
        let disputed = booked.entries().filter(|entry| entry.is_dispute()).map(|entry| entry.refund.credits);
        let money = target.gone.money.saturating_add(edited.money).saturating_add(self.decided.beyond_money);
        Amount {
            credits: gone.max(Credits::ZERO).min(booked.credits().less_at_least_zero(sum(disputed))),
            money: money.max(0),
        }
    }

    fn refunds(&self, target: &Target, booked: &Booked, edited: Amount) -> Step {
        let gone = self.gone(target, booked, edited);
        let ours = || booked.entries().filter(|entry| entry.counts());
        let recorded = sum(ours().map(|entry| entry.refund.credits));
        // Where nobody knows what the lines are worth, what is recorded of refunds stays.
        if target.is_priced && gone.credits > recorded {
            if let Some(hand) = booked.entries().find(|entry| self.may_be_same(entry)) {
                return wait(
                    PaymentEvent::Refunded,
                    format!(
                        "the shop gave back {} credits' worth, of which {recorded} are recorded, and {} were given back \
                         by hand: that may be the same",
                        gone.credits, hand.refund.credits
                    ),
                );
            }
            let missing = Amount {
                credits: gone.credits.less_at_least_zero(recorded),
                money: gone
                    .money
                    .saturating_sub(ours().fold(0, |sum, entry| sum.saturating_add(entry.money()))),
            };
            if let Some(step) = self.refund(booked, missing) {
                return step;
            }
        }
        if target.is_priced && gone.credits < recorded {
            let excess = recorded.less_at_least_zero(gone.credits);
            if let Some(step) = self.undo(booked, excess) {
                return step;
            }
        }
        match &target.gone_unclear {
            Some(Unclear(why)) if self.decided.unclear != Some(fingerprint_of_refunds(self.order)) => {
                wait(PaymentEvent::Refunded, why)
            }
            Some(_) | None => Step::Done,
        }
    }

    /// Gives back what is missing, from the last purchase that has something left; `None` where none has.
    fn refund(&self, booked: &Booked, missing: Amount) -> Option<Step> {
        let purchase = booked.purchases.iter().rfind(|purchase| purchase.lot.refundable().is_positive())?;
        let credits = missing.credits.min(purchase.lot.refundable());
        let money = share_of(missing, credits);
        let order = purchase.lot.order.as_ref().unwrap_or(self.id);
        let requests = Requests { storefront: self.storefront, order };
        let command = Command::RefundPurchase(RefundPurchase {
            purchase: PurchaseRef::Id(purchase.lot.id),
            credits,
            price: purchase.lot.price.map(|price| price.with(money.clamp(0, left_of(purchase)))),
            expected_refunded: purchase.lot.refunded_price(),
            // The customer has the money back already, so missing credits become a receivable.
            on_shortfall: OnShortfall::Receivable,
        });
        Some(send(booked, requests.refund(purchase.entries.len()), self.refund_ids(), command))
    }

    /// Undoes the refund that fits best of what went back after all; `None` where a person undid it before.
    fn undo(&self, booked: &Booked, excess: Credits) -> Option<Step> {
        let undone = |entry: &&Entry| entry.counts() && !entry.refund.stands();
        if booked.entries().filter(undone).any(|entry| entry.refund.credits == excess) {
            return None;
        }
        let entries = booked
            .purchases
            .iter()
            .flat_map(|purchase| purchase.entries.iter().map(move |entry| (purchase, entry)));
        let ours = entries.filter(|(_, entry)| entry.counts() && entry.refund.stands());
        let (purchase, entry) =
            ours.max_by_key(|(_, entry)| (entry.refund.credits == excess, entry.refund.id))?;
        let order = purchase.lot.order.as_ref().unwrap_or(self.id);
        let command = Command::ReverseRefund(ReverseRefund {
            purchase: PurchaseRef::Id(purchase.lot.id),
            refund: entry.refund.id,
        });
        let request = Requests { storefront: self.storefront, order }.end(&entry.refund);
        Some(send(booked, request, "the shop's refund was undone".to_owned(), command))
    }

    /// The shop's refunds by name, for the reason of a posting.
    fn refund_ids(&self) -> String {
        let ids: Vec<_> = self.order.refunds.keys().take(20).map(ToString::to_string).collect();
        if ids.is_empty() { "refunded by the shop".to_owned() } else { format!("refunds {}", ids.join(", ")) }
    }
}

fn send(booked: &Booked, request: RequestKey, reason: String, command: Command) -> Step {
    Step::Send(Box::new(Wanted { customer: booked.customer.clone(), request, reason, command }))
}

/// What an edit took out of what was recorded.
fn edited(recorded: Amount, bought: Amount) -> Amount {
    Amount {
        credits: recorded.credits.less_at_least_zero(bought.credits),
        money: recorded.money.saturating_sub(bought.money).max(0),
    }
}

/// What of a purchase's price can still be given back.
fn left_of(purchase: &super::book::BookedPurchase) -> i64 {
    let price = purchase.lot.price.zip(purchase.lot.refunded_price());
    price.map_or(0, |(price, before)| price.less(before).minor_units)
}

/// The money of a part of some credits; all of it for all of them.
fn share_of(whole: Amount, part: Credits) -> i64 {
    if part >= whole.credits {
        return whole.money;
    }
    let product = i128::from(whole.money.max(0)).saturating_mul(i128::from(part.units()));
    crate::ledger::rounding::half_up(product, i128::from(whole.credits.units())).unwrap_or(0)
}

fn event_of(state: DisputeState) -> PaymentEvent {
    match state {
        DisputeState::Inquiry | DisputeState::Open => PaymentEvent::Disputed,
        DisputeState::Won => PaymentEvent::DisputeWon,
        DisputeState::Lost => PaymentEvent::DisputeLost,
    }
}

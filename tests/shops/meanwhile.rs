//! What is recorded of a history's orders beside its deliveries: by an earlier version of the server before the first of
//! them, and by people.

use creditledger::ledger::commands::{Command, PurchaseCredits};
use creditledger::ledger::lot::RefundState;
use creditledger::ledger::payment::PaymentEvent;
use creditledger::ledger::{Credits, Lot, OpenText, OrderId, Text};
use creditledger::storefront::order::{self, DisputeState, Order};
use creditledger::storefront::{Vendor, read_payload};

use crate::before::{Before, euros};
use crate::history::{History, Random, Sold, Told};
use crate::joining::joined;
use crate::rig::Rig;

/// The facts that deliveries tell, by order.
fn facts(rig: &Rig, told: &[Told]) -> Vec<Order> {
    let read = |told: &Told| read_payload(&rig.shop, &told.topic, told.body.to_string().as_bytes()).unwrap();
    joined(&read, told)
}

fn named<'a>(orders: &'a [Order], name: &str) -> Option<&'a Order> {
    let name = OpenText(Text::parse(name).unwrap());
    orders.iter().find(|order| order.names.contains_key(&name))
}

/// Records orders as an earlier version would have, or a person, who were told some of the history. Says what was done.
pub async fn record_before(rig: &Rig, history: &History, random: &mut Random) -> Vec<String> {
    let count = usize::try_from(random.below(history.told.len() as u64 + 1)).unwrap();
    let told = &history.told[..count];
    let facts = facts(rig, told);
    // A ledger that is told the same shows what to record.
    let model = Rig::new((*rig.shop).clone()).await;
    model.told(told).await;
    let mut done = Vec::new();
    for sold in &history.sold {
        let (lots, Some(order)) = (model.lots(&sold.order).await, named(&facts, &sold.order)) else {
            continue;
        };
        let [lot] = &lots[..] else { continue };
        // Earlier versions knew sessions, and no invoices.
        let has = |prefix: &str| order.names.keys().any(|name| name.0.as_str().starts_with(prefix));
        if rig.shop.vendor == Vendor::Stripe && (!has("cs_") || has("in_")) {
            continue;
        }
        let before = Before { rig, customer: &sold.customer, order: &sold.order };
        let how = match random.below(10) {
            0..3 => {
                by_hand(rig, sold).await;
                "recorded by hand"
            }
            3..6 if keep(&before, order, lot).await => "kept",
            _ => {
                record(&before, order, lot).await;
                "recorded before"
            }
        };
        done.push(format!("{} {how} after {count} deliveries", sold.order));
    }
    done
}

/// A person records what the order comes to at the end.
async fn by_hand(rig: &Rig, sold: &Sold) {
    let command = Command::PurchaseCredits(PurchaseCredits {
        storefront: rig.shop.storefront.clone(),
        order: OrderId::parse(&sold.order).unwrap(),
        credits: sold.bought,
        price: Some(euros(sold.price)),
        expires_at: None,
    });
    rig.run(&sold.customer, command).await;
}

/// The key of what went back, as earlier versions wrote it, with its amount: a sum of Stripe, or the only refund.
fn key(vendor: Vendor, order: &Order) -> Option<(String, i64)> {
    if vendor == Vendor::Stripe {
        let sum = order.refunded_sum()?.fact;
        return Some((format!("refunded {sum}"), sum));
    }
    let mut refunds = order.refunds.iter();
    let (id, told) = refunds.next().filter(|(_, told)| told.fact.state == order::RefundState::Done)?;
    refunds.next().is_none().then(|| (format!("refund {id}"), told.fact.amount))
}

async fn record(before: &Before<'_>, order: &Order, lot: &Lot) {
    before.paid(lot.credits, lot.price.unwrap().minor_units).await;
    let vendor = before.rig.shop.vendor;
    for refund in &lot.refunds {
        let price = refund.price.map_or(0, |price| price.minor_units);
        match refund.state {
            RefundState::Refunded => {
                if let Some((key, _)) = key(vendor, order) {
                    before.refunded(&key, refund.credits, price).await;
                    // One more would have the same key.
                    break;
                }
            }
            RefundState::Disputed | RefundState::Lost | RefundState::Won if vendor == Vendor::Stripe => {
                let Some(id) = order.disputes.keys().next() else { continue };
                before.disputed(&id.to_string(), refund.credits, price).await;
                if refund.state != RefundState::Disputed {
                    before.decided(&id.to_string(), refund.state == RefundState::Won).await;
                }
                break;
            }
            RefundState::Disputed | RefundState::Lost | RefundState::Won | RefundState::Reversed => {}
        }
    }
}

/// Keeps the order's payments in the suspense account; false where an earlier version would have known too much of it.
async fn keep(before: &Before<'_>, order: &Order, lot: &Lot) -> bool {
    let contents: Vec<_> = order.contents.values().flat_map(|told| &told.fact.lines).collect();
    let [line] = contents[..] else { return false };
    let (Some(quantity), Some(product)) = (line.quantity, line.products.last()) else { return false };
    let price = lot.price.unwrap().minor_units;
    before.kept(PaymentEvent::Paid, "paid", Some(price), &[&format!("{quantity} x {product}")]).await;
    let vendor = before.rig.shop.vendor;
    if let Some((key, amount)) = key(vendor, order).filter(|(_, amount)| *amount > 0) {
        before.kept(PaymentEvent::Refunded, &key, Some(amount), &[]).await;
    }
    if vendor != Vendor::Stripe {
        return true;
    }
    for (id, told) in &order.disputes {
        let end = match told.fact.state {
            DisputeState::Inquiry => continue,
            DisputeState::Open => None,
            DisputeState::Won => Some(PaymentEvent::DisputeWon),
            DisputeState::Lost => Some(PaymentEvent::DisputeLost),
        };
        before.kept(PaymentEvent::Disputed, &format!("disputed {id}"), Some(told.fact.amount), &[]).await;
        if let Some(end) = end {
            before.kept(end, &format!("decided {id}"), None, &[]).await;
        }
    }
    true
}

/// A refund that a person gives, and what of the shop's own a person then says was the same.
#[derive(Debug)]
pub struct GivenBack {
    pub order: String,
    credits: Credits,
    same: Credits,
}

impl GivenBack {
    /// Gives a credit of an order back, where there is one that no dispute is about.
    pub async fn new(rig: &Rig, history: &History) -> Option<Self> {
        let facts = facts(rig, &history.told);
        for sold in &history.sold {
            let is_disputed = named(&facts, &sold.order).is_none_or(|order| !order.disputes.is_empty());
            let lots = rig.lots(&sold.order).await;
            let base = lots
                .iter()
                .find(|lot| lot.order.as_ref().is_some_and(|order| order.to_string() == sold.order));
            if is_disputed || base.is_none_or(|lot| lot.refundable() < Credits::whole(1)) {
                continue;
            }
            rig.refund_by_hand(&sold.customer, &sold.order, 1).await;
            let credits = Credits::whole(1);
            return Some(Self { order: sold.order.clone(), credits, same: Credits::ZERO });
        }
        None
    }

    /// Where the shop's refund waits because of it, a person says that it is the same.
    pub async fn settle(&mut self, rig: &Rig) {
        for (id, _, why) in rig.waiting().await {
            if why.contains("given back by hand") {
                self.same = missing(&why);
                rig.dismiss(id).await;
            }
        }
    }

    /// What is left of the order at the end.
    pub async fn left(&self, rig: &Rig, sold: &Sold) -> Credits {
        let lots = rig.lots(&self.order).await;
        let bought = lots.iter().fold(Credits::ZERO, |sum, lot| sum.checked_add(lot.credits).unwrap());
        let kept = bought.less_at_least_zero(self.credits);
        let gone = bought.less_at_least_zero(sold.bought.less_at_least_zero(sold.gone));
        let of_shop = gone.less_at_least_zero(self.same).min(kept);
        kept.less_at_least_zero(of_shop)
    }
}

/// What the shop gave back and the ledger has not, out of the reason: `the shop gave back 4 credits' worth, of which 0 are
/// recorded, …`.
fn missing(why: &str) -> Credits {
    let after = |text: &str| {
        let rest = &why[why.find(text).unwrap() + text.len()..];
        Credits::parse(rest.split(' ').next().unwrap()).unwrap()
    };
    after("gave back ").less_at_least_zero(after("of which "))
}

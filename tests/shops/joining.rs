//! Joins the facts of deliveries: they are the same in any order, however often each is told.

use creditledger::ledger::Timestamp;
use creditledger::storefront::order::{Order, RefundState};
use creditledger::storefront::{Shop, Vendor, read_payload};

use crate::history::{History, Random, Told};
use crate::rig::shop;

/// The orders that deliveries tell, sorted by their names.
pub fn joined<T>(read: &dyn Fn(&T) -> Vec<Order>, told: &[T]) -> Vec<Order> {
    let mut known: Vec<Order> = Vec::new();
    for mut order in told.iter().flat_map(read) {
        // Names may show that orders which were told apart are one.
        while let Some(same) =
            known.iter().position(|known| known.names.keys().any(|name| order.names.contains_key(name)))
        {
            order.join(&known.swap_remove(same));
        }
        known.push(order);
    }
    known.sort_by(|one, other| one.names.cmp(&other.names));
    known
}

/// A place in a list of some length.
pub fn index(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64)).unwrap()
}

fn tells_the_same_in_any_order(shop: &Shop, history: fn(&mut Random) -> History) {
    let read = |told: &Told| {
        let payload = told.body.to_string();
        let read = read_payload(shop, &told.topic, payload.as_bytes());
        read.unwrap_or_else(|reason| panic!("{reason}: {payload}"))
    };
    for seed in 0..500 {
        let random = &mut Random(seed);
        let mut told: Vec<Vec<Order>> = history(random).told.iter().map(read).collect();
        let orders = joined(&Vec::clone, &told);
        for _ in 0..3 {
            for _ in 0..random.below(if told.is_empty() { 1 } else { 5 }) {
                told.push(told[index(random, told.len())].clone());
            }
            for place in (1..told.len()).rev() {
                told.swap(place, index(random, place + 1));
            }
            assert_eq!(joined(&Vec::clone, &told), orders, "{:?}, seed {seed}", shop.vendor);
        }
    }
}

#[test]
fn facts_are_the_same_in_any_order() {
    let shopify = shop(Vendor::Shopify, "note_attributes.customer");
    tells_the_same_in_any_order(&shopify, crate::shopify_shop::history);
    let woocommerce = shop(Vendor::WooCommerce, "meta_data.customer");
    tells_the_same_in_any_order(&woocommerce, crate::woocommerce_shop::history);
    tells_the_same_in_any_order(&shop(Vendor::Stripe, "client_reference_id"), crate::stripe::history);
    tells_the_same_in_any_order(&shop(Vendor::Generic, "customer"), crate::generic::history);
}

/// The money that went back, in smallest units.
pub fn refunded(order: &Order) -> i64 {
    let refunds = || order.refunds.values();
    let Some(sum) = order.refunded_sum() else {
        return refunds()
            .filter(|told| told.fact.state == RefundState::Done)
            .map(|told| told.fact.amount)
            .sum();
    };
    let at: Timestamp = sum.version.at;
    let mut back = sum.fact;
    for told in refunds() {
        let refund = &told.fact;
        match refund.state {
            RefundState::Done if refund.made_at > at => back += refund.amount,
            // The sum has what is pending; what failed before it is no longer in it.
            RefundState::Pending if refund.made_at <= at => back -= refund.amount,
            RefundState::Undone if refund.made_at <= at && told.version.at >= at => back -= refund.amount,
            _ => {}
        }
    }
    back
}

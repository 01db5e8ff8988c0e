//! Any set of deliveries, in any order, any of them repeated, cut off at any point, ends in the same book, and that book
//! is what the shop's own model says. So it is where an earlier version, or a person, recorded orders before the first
//! delivery. What a person gives back meanwhile stays.
//!
//! `CREDITLEDGER_TEST_TIMES=20 cargo test --release --test shops -- histories` runs 20,000 histories a vendor.

use std::collections::BTreeMap;

use creditledger::ledger::Credits;
use creditledger::storefront::{Shop, Vendor};

use crate::history::{History, Random, Told};
use crate::meanwhile::{GivenBack, record_before};
use crate::rig::{Rig, shop};

/// Histories of a vendor in one run of the tests.
const HISTORIES: u64 = 1_000;

fn times() -> u64 {
    std::env::var("CREDITLEDGER_TEST_TIMES").map_or(1, |times| times.parse().unwrap())
}

/// The deliveries of a history as they arrive: some twice, in any order.
fn arriving(random: &mut Random, told: &[Told]) -> Vec<Told> {
    let mut arriving = told.to_vec();
    for told in told {
        if random.chance(30) {
            arriving.push(told.clone());
        }
    }
    match random.below(4) {
        // As they happened, with the repeats at the end.
        0 => {}
        // Neighbours change places.
        1 => {
            for place in 1..arriving.len() {
                if random.chance(40) {
                    arriving.swap(place - 1, place);
                }
            }
        }
        _ => {
            for place in (1..arriving.len()).rev() {
                let other = usize::try_from(random.below(place as u64 + 1)).unwrap();
                arriving.swap(place, other);
            }
        }
    }
    arriving
}

/// Compares what the ledger shows with the model of the shop. `moved` is what else came into accounts.
async fn ends_as_sold(
    rig: &Rig,
    history: &History,
    given_back: Option<&GivenBack>,
    mut moved: BTreeMap<&str, Credits>,
    has_money: bool,
    shown: &str,
) {
    assert_eq!(rig.waiting().await, [], "{shown}");
    let mut expected = Vec::new();
    for sold in &history.sold {
        let mut left = sold.bought.less_at_least_zero(sold.gone);
        let mut money = (sold.gone == Credits::ZERO).then_some(sold.price);
        if let Some(given_back) = given_back.filter(|given_back| given_back.order == sold.order) {
            (left, money) = (given_back.left(rig, sold).await, None);
        }
        expected.push((sold.customer.clone(), left, money));
        let sum = moved.get_mut(sold.customer.as_str()).unwrap();
        *sum = sum.checked_add(left).unwrap();
    }
    // An order of several names is found by the one that was told first.
    let mut in_ledger = rig.orders().await;
    expected.sort();
    in_ledger.sort();
    // A price that changed while the credits did not is not followed, so money is compared where nothing was edited.
    if !has_money || rig.was_changed().await {
        for order in in_ledger.iter_mut().chain(&mut expected) {
            order.2 = None;
        }
    }
    in_ledger.retain(|(_, left, _)| *left != Credits::ZERO);
    expected.retain(|(_, left, _)| *left != Credits::ZERO);
    assert_eq!(in_ledger, expected, "{shown}");
    for (customer, expected) in &moved {
        let (available, owed) = rig.balance(customer).await;
        let has = available.checked_add(owed.negated()).unwrap();
        assert_eq!(has, *expected, "{customer} after {shown}");
    }
}

async fn run(shop: Shop, history: fn(&mut Random) -> History) {
    let vendor = shop.vendor;
    for seed in 1..=HISTORIES * times() {
        let mut random = Random(seed);
        let history = history(&mut random);
        let rig = Rig::new(shop.clone()).await;
        // What customers spent meanwhile, and what was given to them.
        let mut moved = BTreeMap::from([("acme", Credits::ZERO), ("zeta", Credits::ZERO)]);
        let mut waited = 0;
        let is_known = seed % 5 == 0;
        let done = if is_known { record_before(&rig, &history, &mut random).await } else { Vec::new() };
        if is_known && random.chance(50) {
            rig.adopt().await;
        }
        let mut given_back = None;
        for (place, told) in arriving(&mut random, &history.told).iter().enumerate() {
            rig.tell(told).await;
            match random.below(4) {
                0 => rig.follow().await,
                1 => rig.follow_until_cut(random.below(40)).await,
                _ => {}
            }
            // What waits in between was told too little of; at the end nothing may.
            waited += usize::from(!rig.waiting().await.is_empty());
            if seed % 5 == 1 && given_back.is_none() && random.chance(30) {
                given_back = GivenBack::new(&rig, &history).await;
            } else if let Some(given_back) = given_back.as_mut().filter(|_| random.chance(30)) {
                given_back.settle(&rig).await;
            }
            let customer = if random.chance(50) { "acme" } else { "zeta" };
            let credit = Credits::whole(1);
            let sum = moved.get_mut(customer).unwrap();
            if random.chance(20) && rig.balance(customer).await.0 >= credit {
                rig.spend(customer, &format!("i{place}"), 30).await;
                *sum = sum.checked_add(credit.negated()).unwrap();
            } else if random.chance(5) {
                rig.grant(customer, credit).await;
                *sum = sum.checked_add(credit).unwrap();
            }
        }
        rig.adopt().await;
        if let Some(given_back) = &mut given_back {
            given_back.settle(&rig).await;
        }
        let told: Vec<_> = history.told.iter().map(|told| format!("{} {}", told.topic, told.body)).collect();
        let shown = format!(
            "{vendor:?}, seed {seed}, {waited} waited in between, {done:?}, {given_back:?}\n{}\n{:?}\n{}",
            told.join("\n"),
            history.sold,
            rig.facts().await
        );
        ends_as_sold(&rig, &history, given_back.as_ref(), moved, !is_known, &shown).await;
        // Once the history is over, nothing that is told again changes anything, nor what a person gives back.
        if seed % 5 == 2 {
            GivenBack::new(&rig, &history).await;
        }
        let before = rig.postings().await;
        for told in &history.told {
            rig.tell(told).await;
        }
        rig.follow().await;
        assert_eq!(rig.postings().await, before, "told again: {shown}");
        rig.must_be_clean().await;
    }
}

#[tokio::test]
async fn shopify() {
    run(shop(Vendor::Shopify, "note_attributes.customer"), crate::shopify_shop::history).await;
}

#[tokio::test]
async fn woocommerce() {
    run(shop(Vendor::WooCommerce, "meta_data.customer"), crate::woocommerce_shop::history).await;
}

#[tokio::test]
async fn stripe() {
    run(shop(Vendor::Stripe, "client_reference_id"), crate::stripe::history).await;
}

#[tokio::test]
async fn generic() {
    run(shop(Vendor::Generic, "customer"), crate::generic::history).await;
}

//! What an order costs on its whole way: transactions, statements and reads, with a bound for each.

use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use crate::counted::{Cost, Fails};
use crate::history::Told;
use crate::rig::{Rig, shop};

fn generic() -> Shop {
    shop(Vendor::Generic, "customer")
}

/// An order of one product.
pub fn order(number: u32, version: u32, product: &str, changes: &[(&str, Value)]) -> Told {
    let mut body = json!({
        "order": number.to_string(), "version": version, "currency": "EUR", "payment": "paid", "customer": "acme",
        "total": "20.00", "lines": [{"id": "1", "product": product, "quantity": 1, "net": "20.00"}],
    });
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    Told { topic: String::new(), body }
}

#[track_caller]
fn is_within(cost: Cost, most: Cost, what: &str) {
    let is_within =
        cost.reads <= most.reads && cost.writing <= most.writing && cost.statements <= most.statements;
    assert!(is_within, "{what}: {cost:?}, at most {most:?}");
}

#[tokio::test]
async fn an_order_takes_two_transactions_and_three_reads() {
    let rig = Rig::new(generic()).await;
    rig.counts.take();
    rig.tell(&order(1, 1, "CREDITS_10", &[])).await;
    // The room, the names, the row, and the room again.
    is_within(rig.counts.take(), Cost { reads: 0, writing: 1, statements: 4 }, "a delivery");
    rig.follow().await;
    // What waits from before, the purchases before and after.
    is_within(rig.counts.take(), Cost { reads: 3, writing: 1, statements: 4 }, "a purchase");
    assert_eq!(rig.says().await, "acme 10 for 20.00");

    rig.counts.take();
    rig.tell(&order(1, 1, "CREDITS_10", &[])).await;
    rig.follow().await;
    is_within(rig.counts.take(), Cost { reads: 0, writing: 1, statements: 2 }, "the delivery again");

    rig.tell(&order(2, 1, "shirt", &[])).await;
    is_within(rig.counts.take(), Cost { reads: 1, writing: 1, statements: 4 }, "an order of other goods");

    let refund = json!([{"id": "r1", "state": "done", "amount": "5.00"}]);
    rig.tell(&order(1, 2, "CREDITS_10", &[("refunds", refund)])).await;
    rig.counts.take();
    rig.follow().await;
    // Which request made a posting takes two reads, of the purchase and of the refund.
    is_within(rig.counts.take(), Cost { reads: 4, writing: 1, statements: 4 }, "a refund");
    assert_eq!(rig.says().await, "acme 7.5 for 15.00");
    rig.must_be_clean().await;
}

#[tokio::test]
async fn many_changes_take_no_more_statements_than_one() {
    let rig = Rig::new(generic()).await;
    for number in 1..=30 {
        rig.tell(&order(number, 1, "CREDITS_10", &[])).await;
    }
    rig.counts.take();
    let due = creditledger::storefront::Orders::new(std::sync::Arc::clone(&rig.orders));
    let rows = due.due(creditledger::clock::now(), 100).await.unwrap();
    assert_eq!(rows.len(), 30);
    rig.counts.take();
    let mut followers = tokio::task::JoinSet::new();
    for row in rows {
        let applier = rig.applier.clone();
        followers.spawn(async move { applier.follow(row).await });
    }
    for followed in followers.join_all().await {
        followed.unwrap();
    }
    let cost = rig.counts.take();
    assert!(cost.writing <= 30 && cost.statements <= 4 * cost.writing, "{cost:?}");
    rig.must_be_clean().await;
}

/// A commit whose fate nobody knows: the shop is told that it failed, sends again, and the end is the same.
#[tokio::test]
async fn a_commit_of_unknown_fate_is_made_up_for_by_the_next_delivery() {
    for fails in [Fails::NotStored, Fails::Stored] {
        let rig = Rig::new(generic()).await;
        rig.counts.fail(fails);
        let told = order(1, 1, "CREDITS_10", &[]);
        rig.try_to_tell(&told).await.unwrap_err();
        assert_eq!(rig.keeps("1").await, fails == Fails::Stored);
        rig.try_to_tell(&told).await.unwrap();
        rig.counts.fail(fails);
        // The end of its run: the order is due again, or settled.
        let _ = rig.try_to_follow().await;
        rig.follow().await;
        assert_eq!((rig.says().await.as_str(), rig.due().await), ("acme 10 for 20.00", 0), "{fails:?}");
        rig.must_be_clean().await;
    }
}

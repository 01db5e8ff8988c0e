//! What must not happen when an order meets a change of its settings, of its lines, or of another order's id.

use serde_json::{Value, json};

use crate::history::Told;
use crate::rig::{Rig, shop};
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{Credits, LedgerNo};
use creditledger::storefront::Vendor;

fn told(order: &str, version: u32, lines: &Value, total: &str, refunds: &Value) -> Told {
    let body = json!({
        "order": order, "version": version, "currency": "EUR", "payment": "paid", "customer": "acme",
        "total": total, "lines": lines, "refunds": refunds,
    });
    Told { topic: String::new(), body }
}

fn credits_line(quantity: u32) -> Value {
    json!([{"id": "1", "product": "CREDITS_10", "quantity": quantity, "net": format!("{}.00", quantity * 20)}])
}

async fn rig() -> Rig {
    Rig::new(shop(Vendor::Generic, "customer")).await
}

#[tokio::test]
async fn an_order_that_loses_its_lines_gives_no_refund_back() {
    let rig = rig().await;
    let refund = json!([{"id": "r1", "state": "done", "amount": "20.00"}]);
    rig.told(&[told("1", 1, &credits_line(1), "20.00", &json!([]))]).await;
    rig.told(&[told("1", 2, &credits_line(1), "20.00", &refund)]).await;
    assert_eq!(rig.balance("acme").await.0, Credits::ZERO);
    rig.told(&[told("1", 3, &json!([]), "20.00", &refund)]).await;
    assert_eq!(rig.balance("acme").await.0, Credits::ZERO, "the refund stands");
    let waiting = rig.waiting().await;
    assert!(waiting[0].2.contains("no product that is mapped"), "{waiting:?}");
    rig.must_be_clean().await;
}

#[tokio::test]
async fn an_order_whose_id_looks_like_a_part_of_another_is_its_own() {
    let rig = rig().await;
    let none = json!([]);
    rig.told(&[told("1001:2", 1, &credits_line(1), "20.00", &none)]).await;
    rig.told(&[told("1001", 1, &credits_line(1), "20.00", &none)]).await;
    assert_eq!((rig.balance("acme").await.0, rig.waiting().await), (Credits::whole(20), vec![]));
    for version in 2..4 {
        rig.told(&[told("1001:2", version, &credits_line(1), "20.00", &none)]).await;
        rig.told(&[told("1001", version, &credits_line(1), "20.00", &none)]).await;
    }
    assert_eq!(rig.balance("acme").await.0, Credits::whole(20));
    // Its second part has no place: that waits, and nothing is credited under another order's id.
    rig.told(&[told("1001", 9, &credits_line(2), "40.00", &none)]).await;
    assert_eq!((rig.balance("acme").await.0, rig.waiting().await.len()), (Credits::whole(20), 1));
    rig.must_be_clean().await;
}

#[tokio::test]
async fn dismissing_a_dispute_counts_for_what_was_told_of_it() {
    let rig = rig().await;
    let lines = json!([
        {"id": "1", "product": "CREDITS_10", "quantity": 1, "net": "20.00"},
        {"id": "2", "product": "shirt", "quantity": 1, "net": "30.00"},
    ]);
    let disputed = |version, amount: &str| {
        let mut told = told("1", version, &lines, "50.00", &json!([]));
        told.body["disputes"] = json!([{"id": "d1", "state": "open", "amount": amount}]);
        told
    };
    rig.told(&[disputed(1, "5.00")]).await;
    let waiting = rig.waiting().await;
    rig.dismiss(waiting[0].0).await;
    assert_eq!((rig.waiting().await, rig.balance("acme").await.0), (vec![], Credits::whole(10)));
    rig.told(&[disputed(2, "50.00")]).await;
    assert_eq!((rig.waiting().await, rig.balance("acme").await.0), (vec![], Credits::ZERO));
    rig.must_be_clean().await;
}

/// The settings of when an order was told count, though the server stops before it is followed. One that waited, or was not
/// paid, is recorded by the settings of when it is tried again.
#[tokio::test]
async fn an_order_is_recorded_by_the_settings_that_it_was_told_under() {
    let with = |told: Told, field: &str, value: Value| {
        let mut told = told;
        told.body[field] = value;
        told
    };
    let none = json!([]);
    let mut rig = rig().await;
    let nobodys = with(told("2", 1, &credits_line(1), "20.00", &none), "customer", json!("later"));
    let open = with(told("3", 1, &credits_line(1), "20.00", &none), "payment", json!("open"));
    rig.told(&[nobodys, open]).await;
    rig.tell(&told("1", 1, &credits_line(1), "20.00", &none)).await;
    let mut changed = shop(Vendor::Generic, "customer");
    changed.mapping.get_mut("CREDITS_10").unwrap().credits = Credits::whole(11);
    rig.restart(changed);
    rig.follow().await;
    assert_eq!(rig.balance("acme").await.0, Credits::whole(10));
    rig.told(&[told("3", 2, &credits_line(1), "20.00", &none)]).await;
    assert_eq!(rig.balance("acme").await.0, Credits::whole(21));
    rig.run("later", Command::CreateCustomer(CreateCustomer::default())).await;
    let (retried, _) = rig.applier.retry(LedgerNo::MAIN, None, &[], None).await.unwrap();
    assert_eq!((retried.settled, rig.balance("later").await.0), (1, Credits::whole(11)));
    rig.must_be_clean().await;
}

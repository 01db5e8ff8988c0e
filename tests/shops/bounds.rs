//! What is kept of orders is bounded, and nothing that was paid for is dropped in silence beyond a bound.

use std::sync::Arc;

use creditledger::clock;
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{Credits, LedgerNo, Timestamp};
use creditledger::store::Room;
use creditledger::storefront::{ORDER_BYTES_MAX, Orders, Vendor, WAITING_MAX};
use serde_json::{Value, json};

use crate::costs::order;
use crate::history::Told;
use crate::rig::{Rig, shop};

async fn rig() -> Rig {
    Rig::new(shop(Vendor::Generic, "customer")).await
}

/// An edit took the product of credits out, and is told before the order itself.
#[tokio::test]
async fn an_edit_without_a_mapped_product_counts_where_it_comes_first() {
    let older = order(1, 1, "CREDITS_10", &[]);
    let names = |told: &Told| {
        let mut told = told.clone();
        told.body["names"] = json!(["cart-1"]);
        told
    };
    let edited = order(1, 2, "shirt", &[]);
    for (first, second) in [
        (edited.clone(), older.clone()),
        // Another of its names finds it.
        (order(7, 2, "shirt", &[("names", json!(["cart-1"]))]), names(&older)),
    ] {
        let rig = rig().await;
        rig.told(&[first]).await;
        assert!(!rig.keeps("1").await);
        rig.told(std::slice::from_ref(&second)).await;
        assert_eq!(rig.says().await, "", "what an edit took out is not credited");
        // It is told again: the same.
        rig.told(&[second]).await;
        assert_eq!(rig.says().await, "");
        // A newer version that has the product again is credited.
        rig.told(&[order(1, 3, "CREDITS_10", &[])]).await;
        assert_eq!(rig.says().await, "acme 10 for 20.00");
        rig.must_be_clean().await;
    }
    // Other orders are not touched by it, and an older version of the edit changes nothing.
    let rig = self::rig().await;
    rig.told(&[edited, order(1, 1, "shirt", &[]), order(2, 1, "CREDITS_10", &[]), older]).await;
    assert_eq!(rig.says().await, "acme 10 for 20.00");
    let woo = shop(Vendor::WooCommerce, "meta_data.customer");
    let line = |sku: &str| {
        json!([{"id": 1, "product_id": 1, "variation_id": 0, "quantity": 1, "subtotal": "20.00", "total": "20.00",
                "total_tax": "0.00", "sku": sku}])
    };
    let told = |second: u32, sku: &str| Told {
        topic: "order.updated".to_owned(),
        body: json!({
            "id": 1, "status": "completed", "currency": "EUR", "total": "20.00",
            "date_modified_gmt": format!("2026-01-01T00:00:{second:02}"), "date_paid_gmt": "2026-01-01T00:00:00",
            "meta_data": [{"id": 1, "key": "customer", "value": "acme"}], "line_items": line(sku), "refunds": [],
        }),
    };
    let rig = Rig::new(woo).await;
    rig.told(&[told(2, "shirt"), told(1, "CREDITS_10")]).await;
    assert_eq!(rig.says().await, "");
    rig.told(&[told(3, "CREDITS_10")]).await;
    assert_eq!(rig.says().await, "acme 10 for 20.00");
}

#[tokio::test]
async fn notes_of_other_goods_are_bounded() {
    let rig = rig().await;
    let mut rows = 0;
    for number in 0..6_000 {
        rig.tell(&order(number, 1, "shirt", &[])).await;
    }
    for (order, _) in rig.orders.begin(clock::now()).await.unwrap().all(None, 1_000).await.unwrap() {
        rows += 1;
        assert!(order.body.len() < 8_000, "{} bytes", order.body.len());
    }
    assert_eq!(rows, 16);
    // The last ones are known.
    rig.told(&[order(5_999, 0, "CREDITS_10", &[]), order(0, 0, "CREDITS_10", &[])]).await;
    assert_eq!(rig.says().await, "acme 10 for 20.00");
    rig.must_be_clean().await;
}

#[tokio::test]
async fn an_order_with_too_many_facts_waits_as_it_came() {
    let rig = rig().await;
    rig.told(&[order(1, 1, "CREDITS_10", &[])]).await;
    // Refunds of ever other ids, each naming lines with long ids.
    let mut version = 1;
    let waiting = loop {
        version += 1;
        assert!(version < 100, "an order grows without end");
        let refund = |number: u32| {
            let lines: Vec<Value> =
                (0..20).map(|line| json!({"line": format!("{line:0>250}"), "amount": "0.01"})).collect();
            json!({"id": format!("{version}-{number}"), "state": "done", "amount": "0.20", "lines": lines})
        };
        let refunds: Vec<Value> = (0..40).map(refund).collect();
        rig.told(&[order(1, version, "CREDITS_10", &[("refunds", json!(refunds))])]).await;
        let waiting = rig.waiting().await;
        if let Some(unread) = waiting.iter().find(|(_, event, _)| event == "UNREADABLE") {
            break unread.clone();
        }
    };
    assert!(waiting.2.contains("bytes of facts"), "{waiting:?}");
    assert!(rig.payload(waiting.0).await.is_some());
    for (order, _) in rig.orders.begin(clock::now()).await.unwrap().all(None, 1_000).await.unwrap() {
        assert!(order.body.len() < ORDER_BYTES_MAX + 10_000, "{} bytes", order.body.len());
    }
    // Tried again it still waits; closed, it is gone.
    let (retried, _) = rig.applier.retry(LedgerNo::MAIN, None, &[waiting.0], None).await.unwrap();
    assert_eq!((retried.settled, retried.waiting), (0, 1));
    rig.dismiss(waiting.0).await;
    assert_eq!(rig.payload(waiting.0).await, None);
    rig.must_be_clean().await;
}

#[tokio::test]
async fn refunds_that_name_too_many_lines_are_not_read() {
    let rig = rig().await;
    let lines: Vec<Value> = (0..500).map(|_| json!({"line": "1", "amount": "0.01"})).collect();
    let refund = |id: u32| json!({"id": id.to_string(), "state": "done", "amount": "5.00", "lines": lines});
    rig.told(&[order(
        1,
        1,
        "CREDITS_10",
        &[("refunds", json!([refund(1), refund(2), refund(3), refund(4)]))],
    )])
    .await;
    assert!(rig.waiting().await.iter().all(|(_, event, _)| event != "UNREADABLE"));
    let refunds: Vec<Value> = (1..=5).map(refund).collect();
    rig.told(&[order(1, 2, "CREDITS_10", &[("refunds", json!(refunds))])]).await;
    let waiting = rig.waiting().await;
    let unread = waiting.iter().find(|(_, event, _)| event == "UNREADABLE");
    assert!(unread.is_some_and(|(_, _, why)| why.contains("2000 lines")), "{waiting:?}");
}

/// A row that cannot be read hides no other, and is shown itself.
#[tokio::test]
async fn a_damaged_row_is_listed_beside_the_others() {
    let rig = rig().await;
    for number in 1..=3 {
        rig.told(&[order(number, 1, "CREDITS_10", &[("customer", json!("nobody"))])]).await;
    }
    let damaged = rig.waiting().await[1].0;
    let mut tx = rig.orders.begin(clock::now()).await.unwrap();
    let mut row = tx.orders(LedgerNo::MAIN, &[damaged.uuid()]).await.unwrap().remove(0);
    row.body = vec![0xff, 0xff];
    tx.put(&[row]).await.unwrap();
    tx.commit().await.unwrap();
    let waiting = rig.waiting().await;
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    assert_eq!((waiting[1].0, waiting[1].1.as_str()), (damaged, "UNREADABLE"));
    assert!(waiting[1].2.contains("cannot be read"), "{waiting:?}");
    // The others are tried again, and nothing that a person says of the damaged one is taken for done.
    rig.grant("acme", Credits::whole(1)).await;
    let (retried, _) = rig.applier.retry(LedgerNo::MAIN, None, &[], None).await.unwrap();
    assert_eq!((retried.settled, retried.waiting), (0, 3));
    rig.applier.retry(LedgerNo::MAIN, None, &[damaged], None).await.unwrap_err();
}

/// A row of which not even the storefront can be read is left out, and takes no other with it, also where it comes first.
#[tokio::test]
async fn a_row_that_cannot_be_placed_holds_up_no_other() {
    let rig = rig().await;
    for number in 1..=4 {
        rig.told(&[order(number, 1, "CREDITS_10", &[("customer", json!("nobody"))])]).await;
    }
    let ids: Vec<_> = rig.waiting().await.iter().map(|(id, ..)| *id).collect();
    rig.counts.damaged.lock().unwrap().insert(ids[1].uuid());
    let listed: Vec<_> = rig.waiting().await.iter().map(|(id, ..)| *id).collect();
    assert_eq!(listed, [ids[0], ids[2], ids[3]]);
    // A page of one that it stands on is not the end of the list.
    let orders = Orders::new(Arc::clone(&rig.orders));
    let page = async |after| {
        let (rows, next) = orders.waiting(LedgerNo::MAIN, None, after, 1).await.unwrap();
        (rows.iter().map(|row| row.place.id).collect::<Vec<_>>(), next)
    };
    let [first, second, third, fourth] = [ids[0], ids[1], ids[2], ids[3]].map(|id| id.uuid());
    assert_eq!(page(None).await, (vec![first], Some(first)));
    assert_eq!(page(Some(first)).await, (vec![], Some(second)));
    assert_eq!(page(Some(second)).await, (vec![third], Some(third)));
    assert_eq!(page(Some(third)).await, (vec![fourth], None));
    // The others are tried again.
    rig.run("nobody", Command::CreateCustomer(CreateCustomer::default())).await;
    let (retried, next) = rig.applier.retry(LedgerNo::MAIN, None, &[], None).await.unwrap();
    assert_eq!((retried.settled, retried.waiting, next), (3, 0, None));
    assert_eq!(rig.balance("nobody").await.0, Credits::whole(30));
    // So it is with what is due: those that cannot be read are the first for ever, and take no place.
    let mut due = Vec::new();
    for number in 5..=7 {
        rig.tell(&order(number, 1, "CREDITS_10", &[])).await;
        let all = orders.due(Timestamp::from_micros(i64::MAX), 10).await.unwrap();
        let new = all.iter().map(|row| row.place.id).find(|id| !due.contains(id)).unwrap();
        due.push(new);
        if number < 7 {
            rig.counts.damaged.lock().unwrap().insert(new);
            // The log is told.
            orders.due(Timestamp::from_micros(i64::MAX), 10).await.unwrap();
        }
    }
    let first = orders.due(Timestamp::from_micros(i64::MAX), 1).await.unwrap();
    assert_eq!(first.iter().map(|row| row.place.id).collect::<Vec<_>>(), [due[2]]);
}

fn event(kind: &str, second: u32, object: &Value) -> Told {
    let body = json!({
        "id": format!("evt_{second}"), "object": "event", "type": kind, "created": 1_767_225_600 + second,
        "livemode": true, "data": {"object": object},
    });
    Told { topic: String::new(), body }
}

/// The session that began a subscription, which names the customer of all that it sells.
fn session() -> Told {
    event(
        "checkout.session.completed",
        1,
        &json!({
            "id": "cs_1", "object": "checkout.session", "mode": "subscription", "amount_total": 2_000,
            "amount_subtotal": 2_000, "currency": "eur", "client_reference_id": "acme", "invoice": "in_0",
            "subscription": "sub_1", "payment_status": "paid",
            "metadata": {"product": "CREDITS_10", "quantity": "1"},
        }),
    )
}

/// A paid invoice of the subscription, which names nobody.
fn invoice(number: u32) -> Told {
    let line = json!({"id": "il_1", "amount": 2_000, "quantity": 1, "price": "CREDITS_10"});
    let invoice = json!({
        "id": format!("in_{number}"), "object": "invoice", "status": "paid", "currency": "eur", "total": 2_000,
        "subscription": "sub_1", "lines": {"object": "list", "data": [line]},
    });
    event("invoice.paid", 1 + number, &invoice)
}

/// A delivery tells two orders, and there is room for one: the shop sends it again, which adds the other.
#[tokio::test]
async fn a_delivery_that_is_stored_in_part_is_completed_by_its_repeat() {
    let rig = Rig::new(shop(Vendor::Stripe, "client_reference_id")).await;
    let fill = async |waiting| {
        let mut tx = rig.orders.begin(clock::now()).await.unwrap();
        let room = tx.room(LedgerNo::MAIN, &rig.shop.storefront).await.unwrap();
        tx.put_room(LedgerNo::MAIN, &rig.shop.storefront, Room { waiting, ..room }).await.unwrap();
        tx.commit().await.unwrap();
    };
    fill(WAITING_MAX - 1).await;
    rig.try_to_tell(&session()).await.unwrap_err();
    rig.follow().await;
    assert_eq!((rig.keeps("cs_1").await, rig.keeps("sub_1").await), (true, false));
    fill(0).await;
    rig.told(&[session(), invoice(1)]).await;
    assert_eq!(rig.says().await, "acme 10 for 20.00 acme 10 for 20.00");
    rig.must_be_clean().await;
}

/// More orders than are noted wait until their subscription names its customer: those beyond still wait, and are listed.
#[tokio::test]
async fn orders_beyond_those_that_an_agreement_notes_still_wait() {
    let rig = Rig::new(shop(Vendor::Stripe, "client_reference_id")).await;
    for number in 1..=102 {
        rig.told(&[invoice(number)]).await;
    }
    assert_eq!(rig.listed().await, 102);
    rig.told(&[session()]).await;
    assert_eq!((rig.listed().await, rig.balance("acme").await.0), (2, Credits::whole(1_010)));
    let (retried, _) = rig.applier.retry(LedgerNo::MAIN, None, &[], None).await.unwrap();
    assert_eq!((retried.settled, retried.waiting), (2, 0));
    assert_eq!(rig.balance("acme").await.0, Credits::whole(1_030));
    rig.must_be_clean().await;
}

//! Orders of our own JSON. How they are followed is shown beside; here what is special about reading them.

use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use super::{accepts_tests, gross};
use crate::history::Told;
use crate::rig::{Rig, shop};

fn generic() -> Shop {
    shop(Vendor::Generic, "customer")
}

/// An order with these lines and other values.
fn order(total: &str, lines: Value, changes: &[(&str, Value)]) -> Told {
    let mut body = json!({
        "order": "1001", "version": 1, "currency": "EUR", "payment": "paid", "customer": "acme", "total": total,
    });
    body["lines"] = lines;
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    Told { topic: String::new(), body }
}

fn line(quantity: &Value, net: &str) -> Value {
    json!({"id": "1", "product": "CREDITS_10", "quantity": quantity, "net": net})
}

async fn shows(shop: Shop, told: Told, shown: &str) {
    Rig::new(shop).await.shows(&[(told, shown)]).await;
}

#[tokio::test]
async fn small_orders() {
    let free =
        json!([{"id": "1", "product": "CREDITS_10", "quantity": 1, "net": "0.00", "discount": "20.00"}]);
    let shirt = json!({"id": "2", "product": "shirt", "quantity": 1, "net": "30.00"});
    let in_a_cart = json!([free[0], shirt]);
    let taxed = json!([{"id": "1", "product": "CREDITS_10", "quantity": 1, "net": "20.00", "tax": "3.80"}]);
    for (total, lines, shown) in [
        ("20.00", json!([line(&json!(1), "20.00")]), "acme 10 for 20.00"),
        ("40.00", json!([line(&json!(2), "40.00")]), "acme 20 for 40.00"),
        ("30.00", json!([line(&json!(1.5), "30.00")]), "| PAID …"),
        ("19.9912", json!([line(&json!(1), "19.9912")]), "acme 10 for 19.99"),
        ("0.00", free, "acme 10 for 0.00"),
        ("30.00", in_a_cart, "acme 10 for 0.00"),
        ("23.80", taxed.clone(), "acme 10 for 20.00"),
    ] {
        shows(generic(), order(total, lines, &[]), shown).await;
    }
    shows(gross(generic()), order("23.80", taxed, &[]), "acme 10 for 23.80").await;
}

#[tokio::test]
async fn tests_and_other_goods_are_not_kept() {
    let test = || order("20.00", json!([line(&json!(1), "20.00")]), &[("test", json!(true))]);
    let shirt = json!([{"id": "2", "product": "shirt", "quantity": 1, "net": "30.00"}]);
    for told in [test(), order("30.00", shirt, &[])] {
        let rig = Rig::new(generic()).await;
        rig.shows(&[(told, "")]).await;
        assert!(!rig.keeps("1001").await);
    }
    shows(accepts_tests(generic()), test(), "acme 10 for 20.00").await;
}

//! WooCommerce's carts, quantities, refunds and totals.

use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use super::{UNNAMED, accepts_tests, gross, without_prices};
use crate::history::Told;
use crate::rig::{Rig, shop};
use crate::woocommerce::{line, with};

fn woocommerce() -> Shop {
    shop(Vendor::WooCommerce, "meta_data.customer")
}

/// Credits for 20.00 and a shirt for 30.00, as the order is at a minute.
pub fn order(minute: u32, changes: &[(&str, Value)]) -> Told {
    let mut body = with(changes);
    body["date_modified_gmt"] = json!(format!("2026-11-28T15:{:02}:08", 28 + minute));
    Told { topic: "order.updated".to_owned(), body }
}

/// Credits alone, with what went back.
pub fn credits_alone(minute: u32, refunds: &[(u64, &str)]) -> Told {
    let lines = json!([line(315, "CREDITS_10", &json!(1), "20.00", "20.00")]);
    order(minute, &[("/line_items", lines), ("/total", json!("20.00")), ("/refunds", listed(refunds))])
}

pub fn listed(refunds: &[(u64, &str)]) -> Value {
    refunds.iter().map(|(id, total)| json!({"id": id, "reason": "", "total": total})).collect()
}

fn of_quantity(minute: u32, quantity: &Value) -> Told {
    let lines = json!([
        line(315, "CREDITS_10", quantity, "40.00", "40.00"),
        line(316, "SHIRT", &json!(1), "30.00", "30.00")
    ]);
    order(minute, &[("/line_items", lines), ("/total", json!("70.00"))])
}

async fn shows(steps: &[(Told, &str)]) {
    Rig::new(woocommerce()).await.shows(steps).await;
    Rig::new(without_prices(woocommerce())).await.shows(steps).await;
}

#[tokio::test]
async fn a_refund_of_a_mixed_cart_waits_unless_it_is_whole() {
    let rig = Rig::new(woocommerce()).await;
    let part = order(1, &[("/refunds", listed(&[(7, "-8.00")]))]);
    let waits = format!("acme 10 for 20.00 | REFUNDED {UNNAMED}");
    rig.shows(&[(order(0, &[]), "acme 10 for 20.00"), (part, &waits)]).await;
    // It was for the shirt.
    let (id, ..) = rig.waiting().await[0].clone();
    rig.dismiss(id).await;
    let all =
        order(3, &[("/refunds", listed(&[(7, "-8.00"), (8, "-42.00")])), ("/status", json!("refunded"))]);
    rig.shows(&[
        (order(2, &[("/refunds", listed(&[(7, "-8.00")]))]), "acme 10 for 20.00"),
        (all, "acme 0 for 0.00"),
    ])
    .await;
    let all = order(1, &[("/refunds", listed(&[(7, "-50.00")])), ("/status", json!("refunded"))]);
    shows(&[(order(0, &[]), "acme 10 for 20.00"), (all, "acme 0 for 0.00")]).await;
}

#[tokio::test]
async fn a_refund_of_credits_alone_takes_its_share() {
    shows(&[
        (credits_alone(0, &[]), "acme 10 for 20.00"),
        (credits_alone(1, &[(7, "-5.00")]), "acme 7.5 for 15.00"),
        (credits_alone(2, &[(7, "-5.00"), (8, "-3.00")]), "acme 6 for 12.00"),
        // The first is deleted.
        (credits_alone(3, &[(8, "-3.00")]), "acme 8.5 for 17.00"),
    ])
    .await;
}

#[tokio::test]
async fn quantities_are_credited_as_they_are_told_or_wait() {
    let waits = "| PAID the quantity is no whole number from 1 on";
    for (quantity, shown) in [
        (json!(2), "acme 20 for 40.00"),
        (json!("2"), "acme 20 for 40.00"),
        (json!(2.0), "acme 20 for 40.00"),
        (json!(1.5), waits),
        (json!(0), waits),
    ] {
        shows(&[(of_quantity(0, &quantity), shown)]).await;
    }
    shows(&[(order(0, &[]), "acme 10 for 20.00"), (of_quantity(1, &json!(2)), "acme 20 for 40.00")]).await;
}

#[tokio::test]
async fn a_total_with_too_many_digits_is_rounded() {
    let lines = json!([line(315, "CREDITS_10", &json!(1), "19.9912", "19.9912")]);
    let told = order(0, &[("/line_items", lines), ("/total", json!("19.9912"))]);
    shows(&[(told, "acme 10 for 19.99")]).await;
}

#[tokio::test]
async fn credits_that_were_free_cost_nothing() {
    let free = [("/line_items/0/total", json!("0.00")), ("/total", json!("30.00"))];
    shows(&[(order(0, &free), "acme 10 for 0.00")]).await;
}

#[tokio::test]
async fn the_price_has_its_tax_where_the_settings_say_so() {
    let taxed = || order(0, &[("/line_items/0/total_tax", json!("3.80")), ("/total", json!("53.80"))]);
    Rig::new(woocommerce()).await.shows(&[(taxed(), "acme 10 for 20.00")]).await;
    Rig::new(gross(woocommerce())).await.shows(&[(taxed(), "acme 10 for 23.80")]).await;
}

#[tokio::test]
async fn tests_and_other_goods_are_not_kept() {
    let meta = json!([{"key": "customer", "value": "acme"}, {"key": "_wcpay_mode", "value": "test"}]);
    let test = || order(0, &[("/meta_data", meta.clone())]);
    for told in [test(), order(0, &[("/line_items/0/sku", json!("SHIRT"))])] {
        let rig = Rig::new(woocommerce()).await;
        rig.shows(&[(told, "")]).await;
        assert!(!rig.keeps("727").await);
    }
    Rig::new(accepts_tests(woocommerce())).await.shows(&[(test(), "acme 10 for 20.00")]).await;
}

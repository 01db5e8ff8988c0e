//! Shopify's carts, edits, refunds and disputes.

use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use super::{accepts_tests, gross, without_prices};
use crate::history::Told;
use crate::rig::{Rig, shop};
use crate::shopify::{adjustment, cart, line, refund, set, with};

fn shopify() -> Shop {
    shop(Vendor::Shopify, "note_attributes.customer")
}

/// Credits for 20.00 and a shirt for 30.00, as the order is at a minute.
pub fn order(minute: u32, changes: &[(&str, Value)]) -> Told {
    let mut body = with(cart(), changes);
    body["updated_at"] = json!(format!("2026-11-28T10:{minute:02}:00-05:00"));
    Told { topic: "orders/updated".to_owned(), body }
}

/// Credits alone.
fn credits_alone(minute: u32) -> Told {
    let lines = json!([line(866_550_311_766_439_020, "CREDITS_10", "20.00", "40.00")]);
    order(minute, &[("/line_items", lines), ("/total_price", json!("20.00"))])
}

/// A refund that names the line of the credits, with other values.
pub fn refunded(changes: &[(&str, Value)]) -> Told {
    Told { topic: "refunds/create".to_owned(), body: with(refund(), changes) }
}

/// Lines of a refund: id, SKU, and what the line comes to in both currencies.
fn lines(lines: &[(u64, &str, &str, &str)]) -> Value {
    let line = |(id, sku, euros, dollars): &(u64, &str, &str, &str)| {
        let mut named = refund()["refund_line_items"][0].clone();
        named["line_item_id"] = json!(id);
        named["subtotal_set"] = set(euros, dollars);
        named["line_item"] = line(*id, sku, euros, dollars);
        named
    };
    lines.iter().map(line).collect()
}

const CREDITS: (u64, &str, &str, &str) = (866_550_311_766_439_020, "CREDITS_10", "20.00", "40.00");
pub const SHIRT: (u64, &str, &str, &str) = (141_249_953_214_522_974, "SHIRT", "30.00", "60.00");

/// A refund of the shirt, of which 8.00 goes back.
pub fn shirt_refunded() -> Told {
    refunded(&[
        ("/refund_line_items", lines(&[SHIRT])),
        ("/order_adjustments", adjustment("refund_discrepancy", "22.00", "44.00")),
        ("/transactions/0/amount", json!("16.00")),
    ])
}

/// A refund of all of the shirt: more than the credits cost.
pub fn whole_shirt_refunded() -> Told {
    refunded(&[("/refund_line_items", lines(&[SHIRT])), ("/transactions/0/amount", json!("60.00"))])
}

/// A refund of the credits, of which so much goes back; the rest in both currencies is kept.
pub fn part_refunded(dollars: &str, (kept, kept_dollars): (&str, &str)) -> Told {
    refunded(&[
        ("/order_adjustments", adjustment("refund_discrepancy", kept, kept_dollars)),
        ("/transactions/0/amount", json!(dollars)),
    ])
}

fn disputed(kind: &str, status: &str, amount: &str) -> Told {
    let is_over = matches!(status, "won" | "lost");
    let body = json!({
        "id": 285_332_461_850_802_050_u64, "order_id": 820_982_911_946_154_508_u64, "type": kind, "amount": amount,
        "currency": "EUR", "reason": "fraudulent", "network_reason_code": "4837", "status": status,
        "evidence_due_by": "2026-12-30T19:00:00-05:00", "evidence_sent_on": null,
        "finalized_on": is_over.then_some("2026-12-20T19:00:00-05:00"), "initiated_at": "2026-11-28T19:00:00-05:00"
    });
    let topic = if status == "needs_response" && kind == "inquiry" { "create" } else { "update" };
    Told { topic: format!("disputes/{topic}"), body }
}

async fn shows(steps: &[(Told, &str)]) {
    Rig::new(shopify()).await.shows(steps).await;
    Rig::new(without_prices(shopify())).await.shows(steps).await;
}

#[tokio::test]
async fn a_refund_takes_back_what_its_lines_are_worth() {
    let all = refunded(&[
        ("/refund_line_items", lines(&[CREDITS, SHIRT])),
        ("/transactions/0/amount", json!("100.00")),
    ]);
    for (refund, left) in [
        (shirt_refunded(), "acme 10 for 20.00"),
        (part_refunded("10.00", ("15.00", "30.00")), "acme 7.5 for 15.00"),
        (refunded(&[]), "acme 0 for 0.00"),
        (all, "acme 0 for 0.00"),
    ] {
        shows(&[(order(0, &[]), "acme 10 for 20.00"), (refund, left)]).await;
    }
}

#[tokio::test]
async fn shipping_that_goes_back_takes_no_credits() {
    let shipping = json!([{
        "id": 1, "price": "5.00", "price_set": set("5.00", "10.00"), "discount_allocations": [], "tax_lines": []
    }]);
    let shipped = order(0, &[("/shipping_lines", shipping), ("/total_price", json!("55.00"))]);
    let back = refunded(&[
        ("/refund_line_items", json!([])),
        ("/order_adjustments", adjustment("shipping_refund", "-5.00", "-10.00")),
        ("/transactions/0/amount", json!("10.00")),
    ]);
    shows(&[(shipped, "acme 10 for 20.00"), (back, "acme 10 for 20.00")]).await;
}

#[tokio::test]
async fn edits_are_followed_by_their_difference() {
    let edited = |minute, quantity: u32, current: u32, total: &str| {
        order(
            minute,
            &[
                ("/line_items/0/quantity", json!(quantity)),
                ("/line_items/0/current_quantity", json!(current)),
                ("/total_price", json!(total)),
                ("/total_outstanding", json!(null)),
            ],
        )
    };
    let rig = Rig::new(shopify()).await;
    rig.shows(&[(order(0, &[]), "acme 10 for 20.00"), (edited(1, 2, 2, "70.00"), "acme 20 for 40.00")]).await;
    shows(&[(edited(0, 3, 1, "90.00"), "acme 10 for 20.00")]).await;
}

#[tokio::test]
async fn a_refund_is_taken_back_once_in_the_shops_money() {
    let pending = [("/transactions/0/status", json!("pending")), ("/transactions/0/currency", json!(null))];
    let nothing_told = [("/transactions/0/currency", json!(null))];
    shows(&[
        (order(0, &[]), "acme 10 for 20.00"),
        (refunded(&pending), "acme 10 for 20.00"),
        (refunded(&nothing_told), "acme 0 for 0.00"),
        (refunded(&[]), "acme 0 for 0.00"),
        (order(1, &[("/refunds", json!([refund()]))]), "acme 0 for 0.00"),
    ])
    .await;
}

#[tokio::test]
async fn a_refund_in_unknown_money_waits_until_a_person_dismisses_it() {
    let rig = Rig::new(shopify()).await;
    let refund =
        || refunded(&[("/transactions/0/currency", json!("GBP")), ("/transactions/0/amount", json!("9.00"))]);
    let waits = "acme 10 for 20.00 | REFUNDED nothing tells how much it is in the shop's currency";
    rig.shows(&[(order(0, &[]), "acme 10 for 20.00"), (refund(), waits)]).await;
    let (id, ..) = rig.waiting().await[0].clone();
    rig.dismiss(id).await;
    // Another refund is another matter.
    let next = refunded(&[
        ("/id", json!(7)),
        ("/transactions/0/currency", json!("GBP")),
        ("/transactions/0/amount", json!("8.00")),
    ]);
    rig.shows(&[(refund(), "acme 10 for 20.00"), (order(1, &[]), "acme 10 for 20.00"), (next, waits)]).await;
}

#[tokio::test]
async fn disputes_take_what_is_left() {
    shows(&[
        (order(0, &[]), "acme 10 for 20.00"),
        (disputed("inquiry", "needs_response", "50.00"), "acme 10 for 20.00"),
        (disputed("chargeback", "needs_response", "50.00"), "acme 0 for 0.00 + 10 in dispute"),
        (disputed("chargeback", "lost", "50.00"), "acme 0 for 0.00"),
    ])
    .await;
    shows(&[
        (credits_alone(0), "acme 10 for 20.00"),
        (disputed("chargeback", "needs_response", "20.50"), "acme 0 for 0.00 + 10 in dispute"),
        (disputed("chargeback", "won", "20.50"), "acme 10 for 20.00"),
    ])
    .await;
    shows(&[
        (credits_alone(0), "acme 10 for 20.00"),
        (part_refunded("16.00", ("12.00", "24.00")), "acme 6 for 12.00"),
        (disputed("chargeback", "needs_response", "20.00"), "acme 0 for 0.00 + 6 in dispute"),
    ])
    .await;
}

#[tokio::test]
async fn credits_that_were_free_cost_nothing() {
    let allocation =
        json!([{"amount": "20.00", "amount_set": set("20.00", "40.00"), "discount_application_index": 0}]);
    let free = [("/line_items/0/discount_allocations", allocation), ("/total_price", json!("30.00"))];
    shows(&[(order(0, &free), "acme 10 for 0.00")]).await;
}

#[tokio::test]
async fn the_price_has_its_tax_where_the_settings_say_so() {
    let tax = json!([{"title": "VAT", "rate": 0.19, "price": "3.80", "price_set": set("3.80", "7.60")}]);
    let taxed = || order(0, &[("/line_items/0/tax_lines", tax.clone()), ("/total_price", json!("53.80"))]);
    Rig::new(shopify()).await.shows(&[(taxed(), "acme 10 for 20.00")]).await;
    Rig::new(gross(shopify())).await.shows(&[(taxed(), "acme 10 for 23.80")]).await;
}

#[tokio::test]
async fn tests_and_other_goods_are_not_kept() {
    let test = || order(0, &[("/test", json!(true))]);
    let others = order(0, &[("/line_items/0/sku", json!("SHIRT"))]);
    for told in [test(), others, shirt_refunded()] {
        let rig = Rig::new(shopify()).await;
        rig.shows(&[(told, "")]).await;
        assert!(!rig.keeps("820982911946154508").await);
    }
    Rig::new(accepts_tests(shopify())).await.shows(&[(test(), "acme 10 for 20.00")]).await;
}

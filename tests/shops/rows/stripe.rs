//! Stripe's sessions, subscriptions, refunds and disputes.

use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use super::{UNNAMED, accepts_tests, gross, maps, without_prices};
use crate::history::Told;
use crate::rig::{Rig, shop};
use crate::stripe::objects::{Item, invoice_of, session_line};
use crate::stripe::payloads::{self, event, with};

fn stripe() -> Shop {
    shop(Vendor::Stripe, "client_reference_id")
}

fn at(seconds: u64) -> u64 {
    1_700_000_000 + seconds
}

/// 10 credits for 20.00, by metadata that names the product alone, with other values.
pub fn session(seconds: u64, changes: Value) -> Told {
    let fields = json!({"id": "cs_1", "payment_intent": "pi_1", "metadata": {"product": "CREDITS_10"}});
    event("checkout.session.completed", at(seconds), with(with(payloads::session(), fields), changes))
}

/// The same with its quantity.
pub fn one(seconds: u64) -> Told {
    session(seconds, json!({"metadata": {"product": "CREDITS_10", "quantity": "1"}}))
}

fn item(product: &'static str, quantity: i64, listed: i64, discount: i64) -> Item {
    let gross = listed - discount;
    Item { product, credits: 0, quantity, listed, discount, tax: 0, gross, tax_within: false }
}

/// A session that a shop sends with its lines.
fn listed(seconds: u64, items: &[Item]) -> Told {
    let lines: Vec<Value> = items.iter().map(session_line).collect();
    let sum = |part: fn(&Item) -> i64| items.iter().map(part).sum::<i64>();
    let changes = json!({
        "line_items": {"object": "list", "data": lines, "has_more": false}, "amount_total": sum(|item| item.gross),
        "amount_subtotal": sum(|item| item.listed),
        "total_details": {"amount_discount": sum(|item| item.discount), "amount_shipping": 0, "amount_tax": 0},
    });
    session(seconds, changes)
}

/// The sum that went back of the charge.
pub fn refunded(seconds: u64, sum: i64) -> Told {
    let charge = json!({"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": sum});
    event("charge.refunded", at(seconds), with(payloads::charge(), charge))
}

pub fn refund(seconds: u64, id: &str, amount: i64, status: &str, kind: &str) -> Told {
    let fields = json!({
        "id": id, "amount": amount, "created": at(2), "status": status, "charge": "ch_1", "payment_intent": "pi_1",
    });
    event(kind, at(seconds), with(payloads::refund(), fields))
}

/// What happens to the dispute `du_1`: the end of the event's name, its status, and its amount.
pub fn disputed(seconds: u64, kind: &str, status: &str, amount: i64) -> Told {
    let fields =
        json!({"id": "du_1", "amount": amount, "status": status, "charge": "ch_1", "payment_intent": "pi_1"});
    event(&format!("charge.dispute.{kind}"), at(seconds), with(payloads::dispute(), fields))
}

async fn shows(steps: &[(Told, &str)]) {
    Rig::new(stripe()).await.shows(steps).await;
    Rig::new(without_prices(stripe())).await.shows(steps).await;
}

#[tokio::test]
async fn a_refund_of_a_mixed_cart_waits_unless_it_is_whole() {
    let cart = || listed(1, &[item("CREDITS_10", 1, 2_000, 0), item("shirt", 1, 3_000, 0)]);
    let waits = format!("acme 10 for 20.00 | REFUNDED {UNNAMED}");
    shows(&[
        (cart(), "acme 10 for 20.00"),
        (refunded(2, 800), &waits),
        (refunded(3, 5_000), "acme 0 for 0.00"),
    ])
    .await;
    shows(&[(one(1), "acme 10 for 20.00"), (refunded(2, 500), "acme 7.5 for 15.00")]).await;
}

#[tokio::test]
async fn a_quantity_that_was_raised_at_checkout_counts() {
    shows(&[(listed(1, &[item("CREDITS_10", 3, 6_000, 0)]), "acme 30 for 60.00")]).await;
    // Metadata is what the shop asked for at first. The price shows that the customer took more.
    let raised =
        |fields: Value| session(1, with(json!({"amount_total": 6_000, "amount_subtotal": 6_000}), fields));
    let one = json!({"metadata": {"product": "CREDITS_10", "quantity": "1"}});
    let waits = "| PAID 60.00 EUR was paid for CREDITS_10, whose unit price is 20.00 EUR";
    Rig::new(stripe()).await.shows(&[(raised(one), waits)]).await;
    Rig::new(stripe()).await.shows(&[(raised(json!({})), "acme 30 for 60.00")]).await;
    let waits = "| PAID nothing tells how many of CREDITS_10 were bought: neither a quantity nor a unit price in the \
                 settings";
    Rig::new(without_prices(stripe())).await.shows(&[(raised(json!({})), waits)]).await;
}

#[tokio::test]
async fn credits_that_were_free_cost_nothing() {
    let free = json!({
        "payment_intent": null, "payment_status": "no_payment_required", "amount_total": 0, "amount_subtotal": 2_000,
        "total_details": {"amount_discount": 2_000, "amount_shipping": 0, "amount_tax": 0},
        "metadata": {"product": "CREDITS_10", "quantity": "1"},
    });
    shows(&[(session(1, free), "acme 10 for 0.00")]).await;
    let in_a_cart = listed(1, &[item("CREDITS_10", 1, 2_000, 2_000), item("shirt", 1, 3_000, 0)]);
    shows(&[(in_a_cart, "acme 10 for 0.00")]).await;
}

#[tokio::test]
async fn each_paid_invoice_of_a_subscription_is_an_order() {
    let begun = json!({
        "mode": "subscription", "payment_intent": null, "invoice": "in_1", "subscription": "sub_1",
        "metadata": {"product": "CREDITS_10", "quantity": "1"},
    });
    for old_api in [false, true] {
        let invoice = |seconds, id: &str, intent: &str| {
            let items = [item("CREDITS_10", 1, 2_000, 0)];
            event("invoice.paid", at(seconds), invoice_of(id, "sub_1", intent, &items, old_api))
        };
        let paid_by = event("invoice_payment.paid", at(4), payloads::invoice_payment("in_2", "pi_2"));
        let charge = json!({"id": "ch_2", "payment_intent": "pi_2", "amount_refunded": 500});
        let back = event("charge.refunded", at(5), with(payloads::charge(), charge));
        let thrice = "acme 10 for 20.00 acme 10 for 20.00 acme 10 for 20.00";
        let left = "acme 10 for 20.00 acme 7.5 for 15.00 acme 10 for 20.00";
        shows(&[
            (session(1, begun.clone()), "acme 10 for 20.00"),
            (invoice(2, "in_1", "pi_1"), "acme 10 for 20.00"),
            (invoice(2, "in_2", "pi_2"), "acme 10 for 20.00 acme 10 for 20.00"),
            (invoice(3, "in_3", "pi_3"), thrice),
            (paid_by, thrice),
            (back, left),
        ])
        .await;
    }
}

#[tokio::test]
async fn a_refund_that_fails_gives_the_credits_back() {
    shows(&[
        (one(1), "acme 10 for 20.00"),
        (refunded(2, 2_000), "acme 0 for 0.00"),
        (refund(3, "re_1", 2_000, "failed", "refund.failed"), "acme 10 for 20.00"),
        (refunded(4, 500), "acme 7.5 for 15.00"),
    ])
    .await;
}

#[tokio::test]
async fn disputes_take_what_is_left() {
    shows(&[
        (one(1), "acme 10 for 20.00"),
        (disputed(2, "created", "warning_needs_response", 2_000), "acme 10 for 20.00"),
        (disputed(3, "updated", "needs_response", 2_000), "acme 0 for 0.00 + 10 in dispute"),
        (disputed(4, "closed", "lost", 2_000), "acme 0 for 0.00"),
    ])
    .await;
    shows(&[
        (one(1), "acme 10 for 20.00"),
        (disputed(2, "created", "needs_response", 2_050), "acme 0 for 0.00 + 10 in dispute"),
        (disputed(3, "closed", "won", 2_050), "acme 10 for 20.00"),
    ])
    .await;
    shows(&[
        (one(1), "acme 10 for 20.00"),
        (refunded(2, 800), "acme 6 for 12.00"),
        (disputed(3, "created", "needs_response", 2_000), "acme 0 for 0.00 + 6 in dispute"),
        (disputed(4, "closed", "lost", 2_000), "acme 0 for 0.00"),
    ])
    .await;
}

#[tokio::test]
async fn orders_that_were_told_apart_become_one() {
    let named = json!({"id": "du_1", "amount": 1_000, "status": "needs_response", "charge": "ch_1", "payment_intent": null});
    let dispute = event("charge.dispute.created", at(3), with(payloads::dispute(), named));
    // The charge comes first, by itself; the session last. What names both joins them.
    let rig = Rig::new(stripe()).await;
    rig.shows(&[
        (dispute, ""),
        (one(1), "acme 10 for 20.00"),
        (refunded(2, 800), "acme 1 for 2.00 + 5 in dispute"),
        (disputed(4, "closed", "won", 1_000), "acme 6 for 12.00"),
    ])
    .await;
    for name in ["ch_1", "pi_1", "cs_1"] {
        assert!(rig.keeps(name).await, "{name}");
    }
}

#[tokio::test]
async fn the_price_has_its_tax_where_the_settings_say_so() {
    let taxed = || {
        let details = json!({"amount_discount": 0, "amount_shipping": 0, "amount_tax": 380});
        let metadata = json!({"product": "CREDITS_10", "quantity": "1"});
        session(1, json!({"amount_total": 2_380, "total_details": details, "metadata": metadata}))
    };
    Rig::new(stripe()).await.shows(&[(taxed(), "acme 10 for 20.00")]).await;
    Rig::new(gross(stripe())).await.shows(&[(taxed(), "acme 10 for 23.80")]).await;
}

#[tokio::test]
async fn tests_setups_and_other_goods_are_not_kept() {
    let test = || session(1, json!({"livemode": false}));
    let shirt = session(1, json!({"metadata": {"product": "shirt", "quantity": "1"}}));
    let setup = session(1, json!({"mode": "setup", "payment_status": "no_payment_required"}));
    for told in [test(), shirt, setup] {
        let rig = Rig::new(stripe()).await;
        rig.shows(&[(told, "")]).await;
        assert!(!rig.keeps("cs_1").await);
    }
    Rig::new(accepts_tests(stripe())).await.shows(&[(test(), "acme 10 for 20.00")]).await;
    let others = maps(stripe(), "shirt", 1);
    let shirt = session(1, json!({"metadata": {"product": "shirt", "quantity": "1"}}));
    Rig::new(others).await.shows(&[(shirt, "acme 1 for 20.00")]).await;
}

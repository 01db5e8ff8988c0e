//! Disputes that meet another one, and money of another currency than the order's.

use creditledger::clock;
use creditledger::ledger::commands::{Command, PurchaseRef, ResolveChargeback};
use creditledger::ledger::{OrderId, Storefront};
use creditledger::storefront::Vendor;
use serde_json::{Value, json};

use crate::costs::order;
use crate::history::Told;
use crate::rig::{Rig, shop};

fn disputed(version: u32, disputes: &[(&str, &str)]) -> Told {
    let disputes: Vec<Value> =
        disputes.iter().map(|(id, state)| json!({"id": id, "state": state, "amount": "20.00"})).collect();
    order(1, version, "CREDITS_10", &[("disputes", json!(disputes))])
}

async fn rig() -> Rig {
    Rig::new(shop(Vendor::Generic, "customer")).await
}

#[tokio::test]
async fn a_dispute_behind_another_is_taken_up_when_that_ends() {
    // The shop tells the end of the first.
    let rig = rig().await;
    rig.told(&[disputed(1, &[("d1", "open")]), disputed(2, &[("d1", "open"), ("d2", "open")])]).await;
    assert_eq!(rig.shown("1").await.entries, 1);
    rig.told(&[disputed(3, &[("d1", "won"), ("d2", "open")])]).await;
    assert_eq!(
        (rig.says().await.as_str(), rig.shown("1").await.entries),
        ("acme 0 for 0.00 + 10 in dispute", 2)
    );

    // A person ends it.
    let rig = self::rig().await;
    rig.told(&[disputed(1, &[("d1", "open")]), disputed(2, &[("d1", "open"), ("d2", "open")])]).await;
    assert_eq!(rig.says().await, "acme 0 for 0.00 + 10 in dispute");
    let purchase = PurchaseRef::Order(Storefront::parse("shop").unwrap(), OrderId::parse("1").unwrap());
    rig.run("acme", Command::ResolveChargeback(ResolveChargeback { purchase, won: true })).await;
    assert_eq!(rig.says().await, "acme 10 for 20.00");
    rig.follow_until(clock::now().plus_seconds(301)).await;
    assert_eq!(
        (rig.says().await.as_str(), rig.shown("1").await.entries),
        ("acme 0 for 0.00 + 10 in dispute", 2)
    );
    assert_eq!(rig.due().await, 0);
    rig.must_be_clean().await;
}

fn event(kind: &str, second: i64, object: &Value) -> Told {
    let body = json!({
        "id": format!("evt_{second}"), "object": "event", "type": kind, "created": 1_767_225_600 + second,
        "livemode": true, "data": {"object": object},
    });
    Told { topic: String::new(), body }
}

#[tokio::test]
async fn money_of_another_currency_is_not_the_orders() {
    let paid = || {
        event(
            "checkout.session.completed",
            1,
            &json!({
                "id": "cs_1", "object": "checkout.session", "mode": "payment", "amount_total": 2_000,
                "amount_subtotal": 2_000, "currency": "eur", "client_reference_id": "acme", "payment_intent": "pi_1",
                "payment_status": "paid", "metadata": {"product": "CREDITS_10", "quantity": "1"},
            }),
        )
    };
    let refund = |currency: &str| {
        event(
            "refund.created",
            2,
            &json!({
                "id": "re_1", "object": "refund", "amount": 1_000, "currency": currency, "created": 1_767_225_602,
                "status": "succeeded", "payment_intent": "pi_1", "charge": "ch_1",
            }),
        )
    };
    let sum = |currency: &str| {
        event(
            "charge.refunded",
            2,
            &json!({
                "id": "ch_1", "object": "charge", "amount": 2_000, "amount_refunded": 1_000, "currency": currency,
                "payment_intent": "pi_1",
            }),
        )
    };
    let dispute = |currency: &str| {
        event(
            "charge.dispute.created",
            2,
            &json!({
                "id": "dp_1", "object": "dispute", "amount": 2_000, "currency": currency, "charge": "ch_1",
                "payment_intent": "pi_1", "reason": "fraudulent", "status": "needs_response",
            }),
        )
    };
    for (own, other, shown, waits) in [
        (refund("eur"), refund("usd"), "acme 5 for 10.00", "| REFUNDED 10.00 USD went back"),
        (sum("eur"), sum("usd"), "acme 5 for 10.00", "| REFUNDED 10.00 USD went back"),
        (
            dispute("eur"),
            dispute("usd"),
            "acme 0 for 0.00 + 10 in dispute",
            "| DISPUTED the dispute is in USD, and the order in EUR",
        ),
    ] {
        let rig = Rig::new(shop(Vendor::Stripe, "client_reference_id")).await;
        rig.shows(&[(paid(), "acme 10 for 20.00"), (own, shown)]).await;
        // In either order; and a person closes it.
        for told in [[paid(), other.clone()], [other.clone(), paid()]] {
            let rig = Rig::new(shop(Vendor::Stripe, "client_reference_id")).await;
            rig.told(&told).await;
            rig.is(&format!("acme 10 for 20.00 {waits}…"), waits).await;
            rig.dismiss(rig.waiting().await[0].0).await;
            rig.told(&told).await;
            rig.is("acme 10 for 20.00", waits).await;
            rig.must_be_clean().await;
        }
    }
}

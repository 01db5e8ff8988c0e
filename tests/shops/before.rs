//! Orders that earlier versions of the server recorded, or kept in the suspense account: what is told of them afterwards is
//! followed by the difference, and nothing is credited or taken back twice.
//!
//! Earlier versions made a command of each delivery. Its request id was `storefront <shop> <order> <event> <key>`, where
//! the key was `paid`, `refund <id>`, `refunded <sum>`, `disputed <id>` or `decided <id>`.

use creditledger::ledger::commands::{
    Command, CreateCustomer, KeepPayment, OnShortfall, PurchaseCredits, PurchaseRef, RecordChargeback,
    RefundPurchase, ResolveChargeback,
};
use creditledger::ledger::payment::{Payment, PaymentEvent};
use creditledger::ledger::{Credits, Currency, Money, OpenText, OrderId, Text};
use creditledger::storefront::Vendor;
use serde_json::json;

use crate::rig::{Rig, shop};
use crate::rows::{shopify, stripe, woocommerce};

const SHOPIFY: &str = "820982911946154508";

pub fn euros(minor_units: i64) -> Money {
    Money { currency: Currency::parse("EUR").unwrap(), minor_units }
}

/// What an earlier version recorded of an order, with its request ids.
pub struct Before<'a> {
    pub rig: &'a Rig,
    pub customer: &'a str,
    pub order: &'a str,
}

impl Before<'_> {
    fn purchase(&self) -> PurchaseRef {
        PurchaseRef::Order(self.rig.shop.storefront.clone(), OrderId::parse(self.order).unwrap())
    }

    async fn record(&self, rest: &str, command: Command) {
        let request = format!("storefront {} {} {rest}", self.rig.shop.storefront, self.order);
        self.rig.submit(self.customer, &request, command).await;
    }

    pub async fn paid(&self, credits: Credits, price: i64) {
        let command = Command::PurchaseCredits(PurchaseCredits {
            storefront: self.rig.shop.storefront.clone(),
            order: OrderId::parse(self.order).unwrap(),
            credits,
            price: Some(euros(price)),
            expires_at: None,
        });
        self.record("PAID paid", command).await;
    }

    /// `key` is `refund <id>` or `refunded <sum>`.
    pub async fn refunded(&self, key: &str, credits: Credits, price: i64) {
        let command = Command::RefundPurchase(RefundPurchase {
            purchase: self.purchase(),
            credits,
            price: Some(euros(price)),
            expected_refunded: None,
            on_shortfall: OnShortfall::Receivable,
        });
        self.record(&format!("REFUNDED {key}"), command).await;
    }

    pub async fn disputed(&self, id: &str, credits: Credits, price: i64) {
        let command =
            RecordChargeback { purchase: self.purchase(), credits: Some(credits), price: Some(euros(price)) };
        self.record(&format!("DISPUTED disputed {id}"), Command::RecordChargeback(command)).await;
    }

    pub async fn decided(&self, id: &str, won: bool) {
        let event = if won { PaymentEvent::DisputeWon } else { PaymentEvent::DisputeLost };
        let command = Command::ResolveChargeback(ResolveChargeback { purchase: self.purchase(), won });
        self.record(&format!("{event} decided {id}"), command).await;
    }

    /// Keeps a payment in the suspense account. Of one that was paid, `products` are shown as `2 x name`.
    pub async fn kept(&self, event: PaymentEvent, key: &str, price: Option<i64>, products: &[&str]) {
        if self.rig.suspense_is_new.replace(false) {
            self.rig.run("unmatched-payments", Command::CreateCustomer(CreateCustomer::default())).await;
        }
        let text = |text: &str| Text::parse(text).unwrap();
        let is_paid = event == PaymentEvent::Paid;
        let payment = Payment {
            event,
            storefront: self.rig.shop.storefront.clone(),
            order: OrderId::parse(self.order).unwrap(),
            key: OpenText(text(key)),
            customer: text(if is_paid { self.customer } else { "" }),
            products: products.iter().map(|product| OpenText(text(product))).collect(),
            credits: None,
            price: price.map(euros),
            cumulative: key.starts_with("refunded"),
            reason: text("the order was not recorded"),
        };
        let request = format!("kept {} {} {event} {key}", self.rig.shop.storefront, self.order);
        let command = Command::KeepPayment(KeepPayment { payment });
        self.rig.submit("unmatched-payments", &request, command).await;
    }
}

async fn rig(vendor: Vendor) -> Rig {
    let customer = match vendor {
        Vendor::Stripe => "client_reference_id",
        Vendor::Shopify => "note_attributes.customer",
        Vendor::WooCommerce => "meta_data.customer",
        Vendor::Generic => "customer",
    };
    Rig::new(shop(vendor, customer)).await
}

fn of<'a>(rig: &'a Rig, order: &'a str) -> Before<'a> {
    Before { rig, customer: "acme", order }
}

fn ten() -> Credits {
    Credits::whole(10)
}

#[tokio::test]
async fn what_is_recorded_is_not_credited_again() {
    let rig = self::rig(Vendor::Shopify).await;
    of(&rig, SHOPIFY).paid(ten(), 2_000).await;
    let two = [
        ("/line_items/0/quantity", json!(2)),
        ("/line_items/0/current_quantity", json!(2)),
        ("/total_price", json!("70.00")),
    ];
    rig.shows(&[
        (shopify::order(0, &[]), "acme 10 for 20.00"),
        (shopify::order(1, &two), "acme 20 for 40.00"),
    ])
    .await;

    let rig = self::rig(Vendor::WooCommerce).await;
    of(&rig, "727").paid(ten(), 2_000).await;
    rig.shows(&[(woocommerce::order(0, &[]), "acme 10 for 20.00")]).await;

    let rig = self::rig(Vendor::Stripe).await;
    of(&rig, "pi_1").paid(ten(), 2_000).await;
    rig.shows(&[(stripe::one(1), "acme 10 for 20.00"), (stripe::refunded(2, 500), "acme 7.5 for 15.00")])
        .await;
}

#[tokio::test]
async fn refunds_that_are_recorded_are_not_taken_again() {
    let rig = self::rig(Vendor::WooCommerce).await;
    of(&rig, "727").paid(ten(), 2_000).await;
    of(&rig, "727").refunded("refund 7", Credits::whole(4), 800).await;
    rig.shows(&[
        (woocommerce::credits_alone(0, &[(7, "-8.00")]), "acme 6 for 12.00"),
        (woocommerce::credits_alone(1, &[(7, "-8.00"), (8, "-2.00")]), "acme 5 for 10.00"),
        // The one that was recorded before is deleted.
        (woocommerce::credits_alone(2, &[(8, "-2.00")]), "acme 9 for 18.00"),
    ])
    .await;

    let rig = self::rig(Vendor::Stripe).await;
    of(&rig, "pi_1").paid(ten(), 2_000).await;
    of(&rig, "pi_1").refunded("refunded 800", Credits::whole(4), 800).await;
    rig.shows(&[
        (stripe::refunded(2, 800), "acme 6 for 12.00"),
        (stripe::refund(3, "re_1", 800, "succeeded", "refund.updated"), "acme 6 for 12.00"),
        (stripe::one(1), "acme 6 for 12.00"),
        (stripe::refunded(4, 1_000), "acme 5 for 10.00"),
    ])
    .await;

    let rig = self::rig(Vendor::Shopify).await;
    of(&rig, SHOPIFY).paid(ten(), 2_000).await;
    of(&rig, SHOPIFY).refunded("refund 890088186047892319", ten(), 2_000).await;
    let refunds = [("/refunds", json!([shopify::refunded(&[]).body]))];
    rig.shows(&[
        (shopify::refunded(&[]), "acme 0 for 0.00"),
        (shopify::order(0, &refunds), "acme 0 for 0.00"),
    ])
    .await;
}

#[tokio::test]
async fn a_sum_that_comes_late_takes_what_is_new_and_an_earlier_one_gives_nothing_back() {
    // Two sums were recorded, just now; deliveries of earlier changes follow.
    let rig = self::rig(Vendor::Stripe).await;
    of(&rig, "pi_1").paid(ten(), 2_000).await;
    of(&rig, "pi_1").refunded("refunded 300", Credits::parse("1.5").unwrap(), 300).await;
    of(&rig, "pi_1").refunded("refunded 800", Credits::parse("2.5").unwrap(), 500).await;
    rig.shows(&[
        (stripe::refunded(2, 300), "acme 6 for 12.00"),
        (stripe::refunded(4, 1_200), "acme 4 for 8.00"),
        (stripe::refunded(3, 800), "acme 4 for 8.00"),
    ])
    .await;
}

#[tokio::test]
async fn an_order_that_is_known_by_its_purchase_alone_follows_its_refunds() {
    // A shop that subscribed to refunds alone tells nothing else of the orders that are recorded.
    for (refund, left) in [
        (shopify::shirt_refunded(), "acme 10 for 20.00"),
        (shopify::whole_shirt_refunded(), "acme 10 for 20.00"),
        (shopify::part_refunded("10.00", ("15.00", "30.00")), "acme 7.5 for 15.00"),
        (shopify::refunded(&[]), "acme 0 for 0.00"),
    ] {
        let rig = self::rig(Vendor::Shopify).await;
        of(&rig, SHOPIFY).paid(ten(), 2_000).await;
        rig.shows(&[(refund, left)]).await;
    }
}

#[tokio::test]
async fn disputes_that_are_recorded_go_on() {
    let rig = self::rig(Vendor::Stripe).await;
    of(&rig, "pi_1").paid(ten(), 2_000).await;
    of(&rig, "pi_1").disputed("du_1", ten(), 2_000).await;
    rig.shows(&[
        (stripe::disputed(2, "created", "needs_response", 2_000), "acme 0 for 0.00 + 10 in dispute"),
        (stripe::disputed(3, "closed", "won", 2_000), "acme 10 for 20.00"),
    ])
    .await;
    for (won, shown, again) in [
        (true, "acme 10 for 20.00", "acme 0 for 0.00 + 10 in dispute"),
        (false, "acme 0 for 0.00", "acme 0 for 0.00"),
    ] {
        let rig = self::rig(Vendor::Stripe).await;
        of(&rig, "pi_1").paid(ten(), 2_000).await;
        of(&rig, "pi_1").disputed("du_1", ten(), 2_000).await;
        of(&rig, "pi_1").decided("du_1", won).await;
        let status = if won { "won" } else { "lost" };
        rig.shows(&[
            (stripe::one(1), shown),
            (stripe::disputed(3, "closed", status, 2_000), shown),
            // Its second round.
            (stripe::disputed(4, "updated", "needs_response", 2_000), again),
        ])
        .await;
    }
}

#[tokio::test]
async fn a_name_that_is_told_later_finds_what_is_recorded_under_it() {
    let rig = self::rig(Vendor::Stripe).await;
    of(&rig, "pi_1").paid(ten(), 2_000).await;
    of(&rig, "pi_1").refunded("refunded 800", Credits::whole(4), 800).await;
    let mut dispute = stripe::disputed(2, "created", "needs_response", 500);
    dispute.body["data"]["object"]["payment_intent"] = json!(null);
    rig.shows(&[
        (dispute, "acme 6 for 12.00"),
        (stripe::disputed(3, "updated", "under_review", 500), "acme 3.5 for 7.00 + 2.5 in dispute"),
    ])
    .await;
}

#[tokio::test]
async fn payments_in_the_suspense_account_become_orders() {
    use PaymentEvent::{DisputeLost, DisputeWon, Disputed, Paid, Refunded};
    for (kept, shown) in [
        (
            &[(Refunded, "refunded 1300", Some(1_300)), (Refunded, "refunded 800", Some(800))][..],
            "acme 3.5 for 7.00",
        ),
        (&[(Disputed, "disputed du_1", Some(2_000))], "acme 0 for 0.00 + 10 in dispute"),
        (
            &[(Disputed, "disputed du_1", Some(2_000)), (DisputeWon, "decided du_1", None)],
            "acme 10 for 20.00",
        ),
        (&[(Disputed, "disputed du_1", Some(2_000)), (DisputeLost, "decided du_1", None)], "acme 0 for 0.00"),
    ] {
        // What happened to the order waits for it, however that is told.
        for is_kept in [false, true] {
            let rig = self::rig(Vendor::Stripe).await;
            for (event, key, price) in kept {
                of(&rig, "pi_1").kept(*event, key, *price, &[]).await;
            }
            if is_kept {
                of(&rig, "pi_1").kept(Paid, "paid", Some(2_000), &["1 x CREDITS_10"]).await;
            }
            rig.adopt().await;
            rig.is(if is_kept { shown } else { "" }, "adopted").await;
            assert_eq!(rig.in_suspense().await, 0, "{shown}");
            rig.shows(&[(stripe::one(1), shown)]).await;
            let before = rig.postings().await;
            rig.adopt().await;
            assert_eq!(rig.postings().await, before, "{shown}: adopted again");
        }
    }
}

#[tokio::test]
async fn payments_of_recorded_orders_that_were_kept_are_followed() {
    // One refund was recorded; the next one was kept, for whatever reason.
    let rig = self::rig(Vendor::Stripe).await;
    of(&rig, "pi_1").paid(ten(), 2_000).await;
    of(&rig, "pi_1").refunded("refunded 800", Credits::whole(4), 800).await;
    of(&rig, "pi_1").kept(PaymentEvent::Refunded, "refunded 1300", Some(1_300), &[]).await;
    rig.adopt().await;
    rig.is("acme 3.5 for 7.00", "adopted").await;
    rig.shows(&[(stripe::refunded(2, 1_300), "acme 3.5 for 7.00")]).await;
    for (vendor, order) in [(Vendor::Shopify, SHOPIFY), (Vendor::WooCommerce, "727")] {
        let rig = self::rig(vendor).await;
        of(&rig, order).paid(ten(), 2_000).await;
        of(&rig, order).kept(PaymentEvent::Refunded, "refund 7", Some(800), &[]).await;
        rig.adopt().await;
        rig.is("acme 6 for 12.00", "adopted").await;
        assert_eq!(rig.in_suspense().await, 0);
    }
}

#[tokio::test]
async fn a_payment_of_nobody_that_was_kept_waits_as_an_order() {
    let rig = self::rig(Vendor::WooCommerce).await;
    let nobodys = Before { rig: &rig, customer: "", order: "727" };
    nobodys.kept(PaymentEvent::Paid, "paid", Some(2_000), &["1 x CREDITS_10"]).await;
    rig.adopt().await;
    rig.is("| PAID the storefront names no customer", "adopted").await;
    assert_eq!(rig.in_suspense().await, 0);
    rig.shows(&[(woocommerce::order(0, &[]), "acme 10 for 20.00")]).await;
    // What several products cost was not kept.
    let rig = self::rig(Vendor::WooCommerce).await;
    of(&rig, "728")
        .kept(PaymentEvent::Paid, "paid", Some(6_500), &["1 x CREDITS_10", "1 x CREDITS_25"])
        .await;
    rig.adopt().await;
    rig.is("| PAID an earlier version did not keep what each of its products cost", "adopted").await;
}

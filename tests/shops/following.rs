//! How the ledger follows an order: edits, refunds, disputes, what people do by hand, and what waits for them. Told by a
//! shop of our own JSON, whose deliveries say plainly what happened.

use creditledger::ledger::Credits;
use creditledger::ledger::commands::{Command, PurchaseCredits, PurchaseRef, RecordChargeback};
use creditledger::ledger::fingerprint::Said;
use creditledger::ledger::{
    Currency, CustomerId, LedgerNo, Money, OrderId, PostingId, RequestKey, Storefront, Text,
};
use creditledger::storefront::Vendor;
use serde_json::{Value, json};

use crate::history::Told;
use crate::rig::{Rig, shop};

/// The order 1001 of acme as it is at a version.
struct Order {
    version: u32,
    payment: &'static str,
    customer: &'static str,
    /// Product, quantity, net in cents; the id of a line is its place from 1.
    lines: Vec<(&'static str, u64, i64)>,
    elsewhere: i64,
    /// What was paid at first; by default what the lines and the rest come to.
    total: Option<i64>,
    /// Id, state, amount, and the line that it names.
    refunds: Vec<(&'static str, &'static str, i64, Option<&'static str>)>,
    disputes: Vec<(&'static str, &'static str, i64)>,
}

fn cents(amount: i64) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}

impl Order {
    /// 10 credits for 20.00, paid.
    fn new(version: u32) -> Self {
        Self {
            version,
            payment: "paid",
            customer: "acme",
            lines: vec![("CREDITS_10", 1, 2_000)],
            elsewhere: 0,
            total: None,
            refunds: Vec::new(),
            disputes: Vec::new(),
        }
    }

    /// With a shirt for 30.00.
    fn cart(version: u32) -> Self {
        Self { lines: vec![("CREDITS_10", 1, 2_000), ("shirt", 1, 3_000)], ..Self::new(version) }
    }

    fn refunded(self, amount: i64) -> Self {
        Self { refunds: vec![("r1", "done", amount, None)], ..self }
    }

    fn disputed(self, state: &'static str, amount: i64) -> Self {
        Self { disputes: vec![("d1", state, amount)], ..self }
    }

    fn told(&self) -> Told {
        let sum = self.lines.iter().fold(self.elsewhere, |sum, (_, _, net)| sum + net);
        let lines: Vec<Value> = (1..)
            .zip(&self.lines)
            .map(|(place, (product, quantity, net))| {
                json!({"id": format!("{place}"), "product": product, "quantity": quantity, "net": cents(*net)})
            })
            .collect();
        let refunds: Vec<Value> = self
            .refunds
            .iter()
            .map(|(id, state, amount, line)| {
                let lines: Vec<Value> =
                    line.iter().map(|line| json!({"line": line, "amount": cents(*amount)})).collect();
                json!({"id": id, "state": state, "amount": cents(*amount), "lines": lines})
            })
            .collect();
        let disputes: Vec<Value> = self
            .disputes
            .iter()
            .map(|(id, state, amount)| json!({"id": id, "state": state, "amount": cents(*amount)}))
            .collect();
        let body = json!({
            "order": "1001", "version": self.version, "currency": "EUR", "payment": self.payment,
            "customer": self.customer, "total": cents(self.total.unwrap_or(sum)),
            "elsewhere": cents(self.elsewhere), "lines": lines, "refunds": refunds, "disputes": disputes,
        });
        Told { topic: String::new(), body }
    }
}

async fn rig() -> Rig {
    Rig::new(shop(Vendor::Generic, "customer")).await
}

fn credits(text: &str) -> Credits {
    Credits::parse(text).unwrap()
}

/// Credits left of the order, credits in dispute, and the customer's available and owed credits.
async fn book(rig: &Rig) -> [String; 4] {
    let shown = rig.shown("1001").await;
    let (available, owed) = rig.balance("acme").await;
    [shown.credits, shown.in_dispute, available, owed].map(|credits| credits.to_string())
}

/// Tells orders one after another, each followed, and looks at the book after each.
async fn follows(steps: &[(Order, [&str; 4])]) -> Rig {
    let rig = rig().await;
    for (order, expected) in steps {
        rig.told(&[order.told()]).await;
        assert_eq!(book(&rig).await, *expected, "version {}", order.version);
        assert_eq!(rig.waiting().await, [], "version {}", order.version);
    }
    rig.must_be_clean().await;
    rig
}

#[tokio::test]
async fn an_edit_is_credited_or_given_back_by_the_difference() {
    let two = |version| Order { lines: vec![("CREDITS_10", 2, 4_000)], ..Order::new(version) };
    let one_left = |version| Order { total: Some(4_000), ..Order::new(version) };
    let rig = follows(&[
        (Order { payment: "open", ..Order::new(1) }, ["0", "0", "0", "0"]),
        (Order::new(2), ["10", "0", "10", "0"]),
        (two(3), ["20", "0", "20", "0"]),
        (one_left(4), ["10", "0", "10", "0"]),
        // The money of the unit that the edit took out goes back, and takes nothing more.
        (one_left(5).refunded(2_000), ["10", "0", "10", "0"]),
        (two(6).refunded(2_000), ["10", "0", "10", "0"]),
        (Order { refunds: vec![("r1", "undone", 2_000, None)], ..two(7) }, ["20", "0", "20", "0"]),
    ])
    .await;
    // An older version changes nothing.
    rig.told(&[one_left(4).told()]).await;
    assert_eq!(book(&rig).await, ["20", "0", "20", "0"]);
}

#[tokio::test]
async fn refunds_take_what_they_are_for() {
    let shirt = |version| Order { refunds: vec![("r1", "done", 800, Some("2"))], ..Order::cart(version) };
    let part = |version| Order { refunds: vec![("r1", "done", 500, Some("1"))], ..Order::cart(version) };
    for (order, left) in [
        (shirt(2), "10"),
        (part(2), "7.5"),
        (Order::cart(2).refunded(5_000), "0"),
        (Order::new(2).refunded(800), "6"),
        (Order::new(2).refunded(333), "8.335"),
        (Order { refunds: vec![("r1", "pending", 800, None)], ..Order::new(2) }, "10"),
    ] {
        let first = if order.lines.len() == 2 { Order::cart(1) } else { Order::new(1) };
        follows(&[(first, ["10", "0", "10", "0"]), (order, [left, "0", left, "0"])]).await;
    }
}

#[tokio::test]
async fn parts_sum_to_the_whole_and_undone_refunds_come_back() {
    let refunds = |version, states: [&'static str; 3]| Order {
        refunds: vec![
            ("r1", states[0], 667, None),
            ("r2", states[1], 667, None),
            ("r3", states[2], 666, None),
        ],
        ..Order::new(version)
    };
    follows(&[
        (Order::new(1), ["10", "0", "10", "0"]),
        (refunds(2, ["done", "pending", "pending"]), ["6.665", "0", "6.665", "0"]),
        (refunds(3, ["done", "done", "pending"]), ["3.33", "0", "3.33", "0"]),
        (refunds(4, ["done", "done", "done"]), ["0", "0", "0", "0"]),
        (refunds(5, ["done", "undone", "done"]), ["3.335", "0", "3.335", "0"]),
        (refunds(6, ["undone", "undone", "undone"]), ["10", "0", "10", "0"]),
    ])
    .await;
}

#[tokio::test]
async fn disputes_are_followed_to_their_end() {
    follows(&[
        (Order::new(1), ["10", "0", "10", "0"]),
        (Order::new(2).disputed("inquiry", 2_000), ["10", "0", "10", "0"]),
        (Order::new(3).disputed("open", 2_050), ["0", "10", "0", "0"]),
        (Order::new(4).disputed("won", 2_050), ["10", "0", "10", "0"]),
        // It is opened again, about a part.
        (Order::new(5).disputed("open", 500), ["7.5", "2.5", "7.5", "0"]),
        (Order::new(6).disputed("open", 1_000), ["5", "5", "5", "0"]),
        (Order::new(7).disputed("lost", 1_000), ["5", "0", "5", "0"]),
    ])
    .await;
    // After a refund it takes what is left; where the refund comes during the dispute, both together take all.
    follows(&[
        (Order::new(1), ["10", "0", "10", "0"]),
        (Order::new(2).refunded(800), ["6", "0", "6", "0"]),
        (Order::new(3).refunded(800).disputed("open", 2_000), ["0", "6", "0", "0"]),
        (Order::new(4).refunded(800).disputed("won", 2_000), ["6", "0", "6", "0"]),
    ])
    .await;
    follows(&[
        (Order::new(1), ["10", "0", "10", "0"]),
        (Order::new(2).disputed("open", 2_000), ["0", "10", "0", "0"]),
        (Order::new(3).disputed("open", 2_000).refunded(800), ["0", "10", "0", "0"]),
        (Order::new(4).disputed("won", 2_000).refunded(800), ["6", "0", "6", "0"]),
    ])
    .await;
    // It was lost before the ledger heard of it; and the customer has spent some.
    let rig = follows(&[(Order::new(1), ["10", "0", "10", "0"])]).await;
    rig.spend("acme", "i1", 120).await;
    rig.told(&[Order::new(2).disputed("lost", 2_000).told()]).await;
    assert_eq!(book(&rig).await, ["0", "0", "0", "4"]);
    rig.must_be_clean().await;
}

#[tokio::test]
async fn what_does_not_add_up_waits_with_its_reason() {
    let unnamed = "5.00 EUR went back without saying what for, and the order has other goods: it may be for up to 10 \
                   credits, or for none";
    for (order, event, why) in [
        (Order { customer: "", ..Order::new(1) }, "PAID", "the storefront names no customer"),
        (Order { customer: "nobody", ..Order::new(1) }, "PAID", "the customer does not exist"),
        (
            Order { lines: vec![("CREDITS_10", 1, 1_500)], ..Order::new(1) },
            "PAID",
            "15.00 EUR was paid for CREDITS_10, whose unit price is 20.00 EUR",
        ),
        (
            Order { total: Some(1_000), ..Order::new(1) },
            "PAID",
            "net, tax and elsewhere add up to 2000, more than the total of 1000",
        ),
        (Order::cart(1).refunded(500), "REFUNDED", unnamed),
        (
            Order::cart(1).disputed("open", 500),
            "DISPUTED",
            "a part of the order is in dispute, and the order has other goods",
        ),
    ] {
        let rig = rig().await;
        rig.told(&[order.told()]).await;
        let waiting = rig.waiting().await;
        let [(id, its_event, its_why)] = &waiting[..] else { panic!("{why}: {waiting:?}") };
        assert_eq!((its_event.as_str(), its_why.starts_with(why)), (event, true), "{why}: {its_why}");
        // A person closes it: what is recorded stands, and nothing that is told again changes that.
        let before = book(&rig).await;
        rig.dismiss(*id).await;
        rig.told(&[order.told()]).await;
        assert_eq!((rig.waiting().await, book(&rig).await), (vec![], before), "{why}");
    }
}

#[tokio::test]
async fn a_word_of_a_person_counts_for_what_was_told_until_then() {
    let rig = rig().await;
    rig.told(&[Order::cart(1).told(), Order::cart(2).refunded(800).told()]).await;
    let waiting = rig.waiting().await;
    assert_eq!((waiting.len(), book(&rig).await), (1, ["10", "0", "10", "0"].map(str::to_owned)));
    // It was for the shirt.
    rig.dismiss(waiting[0].0).await;
    assert_eq!(rig.waiting().await, []);
    // More goes back: that waits anew.
    let more =
        Order { refunds: vec![("r1", "done", 800, None), ("r2", "done", 700, None)], ..Order::cart(3) };
    rig.told(&[more.told()]).await;
    let waiting = rig.waiting().await;
    assert!(waiting[0].2.starts_with("15.00 EUR went back"), "{waiting:?}");
    // It is for a credit or two, which a person gives back; then the shop gives back all.
    rig.refund_by_hand("acme", "1001", 2).await;
    rig.dismiss(waiting[0].0).await;
    assert_eq!((rig.waiting().await, book(&rig).await), (vec![], ["8", "0", "8", "0"].map(str::to_owned)));
    let all = Order { refunds: vec![("r1", "done", 5_000, None)], ..Order::cart(4) };
    rig.told(&[all.told()]).await;
    assert_eq!(book(&rig).await, ["0", "0", "0", "0"], "{:?}", rig.waiting().await);
    rig.must_be_clean().await;
}

#[tokio::test]
async fn what_people_recorded_by_hand_stays() {
    // A refund that may be the shop's own waits, with both shown.
    let rig = rig().await;
    rig.told(&[Order::new(1).told()]).await;
    rig.refund_by_hand("acme", "1001", 4).await;
    rig.told(&[Order::new(2).refunded(800).told()]).await;
    let waiting = rig.waiting().await;
    assert!(waiting[0].2.contains("4 were given back by hand"), "{waiting:?}");
    assert_eq!(book(&rig).await, ["6", "0", "6", "0"]);
    rig.dismiss(waiting[0].0).await;
    assert_eq!((rig.waiting().await, book(&rig).await), (vec![], ["6", "0", "6", "0"].map(str::to_owned)));
    // What the shop gives back after that is another one.
    let more = Order { refunds: vec![("r1", "done", 800, None), ("r2", "done", 400, None)], ..Order::new(3) };
    rig.told(&[more.told()]).await;
    assert_eq!((rig.waiting().await, book(&rig).await), (vec![], ["4", "0", "4", "0"].map(str::to_owned)));

    // A chargeback by hand, too.
    let rig = self::rig().await;
    rig.told(&[Order::new(1).told()]).await;
    let purchase = PurchaseRef::Order(Storefront::parse("shop").unwrap(), OrderId::parse("1001").unwrap());
    let by_hand = RecordChargeback { purchase, credits: Some(Credits::whole(4)), price: None };
    rig.run("acme", Command::RecordChargeback(by_hand)).await;
    rig.told(&[Order::new(2).disputed("open", 800).told()]).await;
    let waiting = rig.waiting().await;
    assert_eq!(
        (waiting.len(), book(&rig).await),
        (1, ["6", "4", "6", "0"].map(str::to_owned)),
        "{waiting:?}"
    );
    rig.dismiss(waiting[0].0).await;
    assert_eq!((rig.waiting().await, book(&rig).await), (vec![], ["6", "4", "6", "0"].map(str::to_owned)));
}

#[tokio::test]
async fn a_purchase_by_hand_counts_as_the_orders_own() {
    let rig = rig().await;
    let purchase = PurchaseCredits {
        storefront: Storefront::parse("shop").unwrap(),
        order: OrderId::parse("1001").unwrap(),
        credits: Credits::whole(12),
        price: Some(Money { currency: Currency::parse("EUR").unwrap(), minor_units: 2_000 }),
        expires_at: None,
    };
    rig.run("acme", Command::PurchaseCredits(purchase)).await;
    rig.told(&[Order::new(1).told()]).await;
    assert_eq!((rig.waiting().await, book(&rig).await), (vec![], ["12", "0", "12", "0"].map(str::to_owned)));
    // Its refunds are followed; an edit waits for a person.
    rig.told(&[Order::new(2).refunded(1_000).told()]).await;
    assert_eq!(book(&rig).await[0], "7", "{:?}", rig.waiting().await);
    rig.told(&[Order { lines: vec![("CREDITS_10", 2, 4_000)], ..Order::new(3) }.refunded(1_000).told()])
        .await;
    let waiting = rig.waiting().await;
    assert!(waiting[0].2.contains("recorded by hand"), "{waiting:?}");
}

#[tokio::test]
async fn a_payment_of_nobody_is_assigned_once() {
    let rig = rig().await;
    let nobodys = |version| Order { customer: "", ..Order::new(version) };
    rig.told(&[nobodys(1).told(), nobodys(2).refunded(800).told()]).await;
    let waiting = rig.waiting().await;
    let assign = async |request: &str, customer: &str, credits| {
        let request = (RequestKey::parse(request).unwrap(), Said::default());
        let customer = CustomerId::parse(customer).unwrap();
        rig.applier.assign(LedgerNo::MAIN, waiting[0].0, customer, credits, request, None).await
    };
    assign("a1", "acme", None).await.unwrap();
    // What was told of it since is applied.
    assert_eq!((rig.waiting().await, book(&rig).await), (vec![], ["6", "0", "6", "0"].map(str::to_owned)));
    assert!(assign("a1", "acme", None).await.unwrap().replayed);
    assign("a2", "zeta", None).await.unwrap_err();
    assert_eq!(book(&rig).await, ["6", "0", "6", "0"]);
    let unknown = PostingId::default();
    let request =
        (RequestKey::parse("a3").unwrap(), Said { by: Text::parse("ann").unwrap(), ..Said::default() });
    let customer = CustomerId::parse("acme").unwrap();
    rig.applier.assign(LedgerNo::MAIN, unknown, customer, None, request, None).await.unwrap_err();
    assert_eq!(credits("6"), rig.balance("acme").await.0);
}

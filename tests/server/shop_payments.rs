//! What deliveries come to in the ledger, over real sockets: orders, refunds and disputes, what waits for people, and how
//! they clear it.

use creditledger::clock;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use creditledger::ledger::{LedgerNo, Storefront};
use creditledger::store::{self, KeptOrder, Settings};
use tonic::transport::Channel;
use uuid::Uuid;

use super::process::Server;
use super::shop_rig::{
    Delivery, SHOPS, Sale, Sender, Stand, create, purchase, request, send, signed, times, unmatched,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_and_repeated_deliveries_have_one_effect_in_any_order() {
    one_effect(Stand::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_and_repeated_deliveries_have_one_effect_on_postgresql() {
    if let Some(stand) = Stand::on_postgres().await {
        one_effect(stand).await;
    }
}

async fn one_effect(stand: Stand) {
    let (server, channel) = stand.open().await;
    for (shop, _) in SHOPS {
        for (number, refund_first) in [(101, false), (102, true)] {
            let sale = Sale::new(shop, number);
            let mut deliveries = vec![sale.paid(), sale.clone().at(2).refunded(true)];
            if refund_first {
                deliveries.reverse();
            }
            for delivery in deliveries.iter().chain(&deliveries) {
                assert_eq!(send(&server, delivery), 200, "{shop}");
            }
            stand.settled().await;
            let found = purchase(&channel, shop, &sale.order()).await.unwrap();
            let price = found.refunded_price.unwrap().amount;
            assert_eq!(
                (found.credits.as_str(), found.refunded_credits.as_str()),
                ("10", "4"),
                "{shop} {number}"
            );
            assert_eq!((price.as_str(), found.refunds.len()), ("8.00", 1), "{shop} {number}");
        }
    }
    assert_eq!(unmatched(&channel).await, []);
    server.stop();
    stand.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disputes_are_recorded_and_resolved() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    for (shop, number, end, state) in [
        ("stripe", 1, "won", RefundState::Won),
        ("stripe", 2, "lost", RefundState::Lost),
        ("shopify", 3, "lost", RefundState::Lost),
        ("own", 4, "lost", RefundState::Lost),
    ] {
        let sale = Sale::new(shop, number);
        let (open, ended) = (sale.clone().at(2).disputed("open"), sale.clone().at(3).disputed(end));
        assert_eq!(send(&server, &sale.paid()), 200);
        stand.settled().await;
        // The end comes before the beginning is told again.
        for delivery in [&open, &ended, &open, &sale.paid()] {
            assert_eq!(send(&server, delivery), 200);
            stand.settled().await;
        }
        let refunds = purchase(&channel, shop, &sale.order()).await.unwrap().refunds;
        assert_eq!(
            (refunds.len(), refunds[0].state(), refunds[0].credits.as_str()),
            (1, state, "10"),
            "{refunds:?}"
        );
        // Told in the wrong order, nothing but the end counts.
        let late = Sale::new(shop, number + 10);
        let (open, ended) = (late.clone().at(2).disputed("open"), late.clone().at(3).disputed(end));
        for delivery in [&ended, &open, &late.paid(), &open, &ended] {
            assert_eq!(send(&server, delivery), 200);
        }
        stand.settled().await;
        let gone = purchase(&channel, shop, &late.order()).await.unwrap().refunded_credits;
        assert_eq!(gone, if end == "won" { "0" } else { "10" }, "{shop}");
    }
    // An inquiry moves no money.
    let asked = Sale::new("stripe", 5);
    assert_eq!(send(&server, &asked.paid()), 200);
    assert_eq!(send(&server, &asked.disputed("inquiry")), 200);
    stand.settled().await;
    assert_eq!(purchase(&channel, "stripe", "pi_5").await.unwrap().refunds, []);
    assert_eq!(unmatched(&channel).await, []);
    server.stop();
    stand.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_of_nobody_are_kept_and_assigned_later() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    let mut purchases = PurchaseServiceClient::new(channel.clone());
    for (shop, _) in SHOPS {
        let stranger = Sale::new(shop, 201).of("nobody");
        let refunded = stranger.clone().at(2).refunded(true);
        for delivery in [&stranger.paid(), &refunded, &stranger.paid()] {
            assert_eq!(send(&server, delivery), 200, "{shop}");
        }
        stand.settled().await;
        let waiting = unmatched(&channel).await;
        let [payment] = waiting.as_slice() else { panic!("one order is one payment: {waiting:?}") };
        assert_eq!((payment.storefront.as_str(), payment.order_id.clone()), (shop, stranger.order()));
        assert_eq!((payment.customer.as_str(), payment.credits.as_str()), ("nobody", "10"));
        assert_eq!(
            (payment.event(), payment.price.clone().unwrap().amount.as_str()),
            (PaymentEvent::Paid, "20.00")
        );
        let assign = AssignPaymentRequest {
            context: Some(context(format!("assign {shop}"), "acme")),
            payment_id: payment.payment_id.clone(),
            credits: None,
        };
        let first = purchases.assign_payment(assign.clone()).await.unwrap().into_inner().outcome();
        assert!(!first.replayed);
        assert_eq!(first.purchase.unwrap().price.unwrap().amount, "20.00");
        assert!(purchases.assign_payment(assign).await.unwrap().into_inner().outcome().replayed);
        // What was told of the order while it waited is applied.
        let gone = purchase(&channel, shop, &stranger.order()).await.unwrap().refunded_credits;
        assert_eq!(gone, "4", "{shop}");
        // Told once more, it is nobody's loss.
        assert_eq!((send(&server, &stranger.paid()), send(&server, &refunded)), (200, 200));
        stand.settled().await;
        assert_eq!(unmatched(&channel).await, []);
        assert_eq!(purchase(&channel, shop, &stranger.order()).await.unwrap().customer_id, "acme");
    }
    server.stop();
    stand.verify();
}

/// A metadata product of Stripe without a quantity is no one piece.
fn without_quantity(number: u64) -> Delivery {
    let body = Sale::new("stripe", number).times(3).paid().body.replace(r#","quantity":"3""#, "");
    assert!(!body.contains(r#""quantity""#), "{body}");
    signed("stripe", "", &body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_of_metadata_waits_until_a_price_tells_how_many() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    assert_eq!(send(&server, &without_quantity(9)), 200);
    stand.settled().await;
    let waiting = unmatched(&channel).await;
    let shown: Vec<_> =
        waiting.iter().map(|payment| (payment.credits.as_str(), payment.products.clone())).collect();
    assert_eq!(shown, [("", vec!["price_10".to_owned()])], "{waiting:?}");
    let reason = &waiting[0].reason;
    assert!(reason.contains("how many of price_10"), "{reason}");
    let assign = AssignPaymentRequest {
        context: Some(context("assign", "acme")),
        payment_id: waiting[0].payment_id.clone(),
        credits: None,
    };
    let refused = PurchaseServiceClient::new(channel.clone()).assign_payment(assign).await.unwrap_err();
    assert!(refused.message().contains("credits"), "{refused:?}");
    drop(channel);
    server.stop();
    // With a unit price in the settings it is tried again.
    stand.configure(r#"price_10 = "10""#, r#"price_10 = { credits = "10", price = "20.00 EUR" }"#);
    let server = stand.serve();
    let retried = ask(&stand, &server, &["retry", "--all"]);
    assert_eq!((&retried["settled"], &retried["waiting"]), (&1.into(), &0.into()), "{retried}");
    let found = purchase(&server.connect().await, "stripe", "pi_9").await.unwrap();
    assert_eq!((found.credits.as_str(), found.price.unwrap().amount.as_str()), ("30", "60.00"));
    server.stop();
    stand.verify();
}

/// Runs `creditledger payment ...`, which must succeed.
fn ask(stand: &Stand, server: &Server, arguments: &[&str]) -> serde_json::Value {
    stand.place.json(&[&["payment"], arguments, &["--server", server.url(), "--json"]].concat())
}

/// Runs it where it must be refused, and gives its line.
fn refused(stand: &Stand, server: &Server, arguments: &[&str]) -> String {
    let ended = stand.place.run(&[&["payment"], arguments, &["--server", server.url()]].concat());
    ended.complaint().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_are_assigned_from_the_command_line() {
    let stand = Stand::new();
    let (server, _channel) = stand.open().await;
    assert_eq!(send(&server, &Sale::new("stripe", 201).of("nobody").paid()), 200);
    stand.settled().await;
    let waiting = ask(&stand, &server, &["unmatched"]);
    let [payment] = waiting.as_array().unwrap().as_slice() else { panic!("{waiting}") };
    let shown =
        ["event", "storefront", "order_id", "customer", "credits", "price"].map(|name| &payment[name]);
    assert_eq!(shown, ["PAID", "stripe", "pi_201", "nobody", "10", "20.00 EUR"]);
    assert_eq!(payment["products"], serde_json::json!(["1 x price_10"]));
    assert!(payment["reason"].as_str().is_some_and(|reason| reason.contains("customer")), "{payment}");
    let id = payment["payment_id"].as_str().unwrap();
    let assign = ["assign", id, "acme", "--credits", "7.5", "--request-id", "a"];
    for replayed in [false, true] {
        let assigned = ask(&stand, &server, &assign);
        assert_eq!((&assigned["credits"], &assigned["available"]), (&"7.5".into(), &"7.5".into()));
        assert_eq!((&assigned["price"], &assigned["replayed"]), (&"20.00 EUR".into(), &replayed.into()));
    }
    assert_eq!(ask(&stand, &server, &["unmatched"]), serde_json::json!([]));
    assert!(refused(&stand, &server, &["assign", id, "acme"]).contains("payment_id"));
    let unknown = "01a216a5-2d77-7c0c-8000-03f1c6e0b2a4";
    assert!(refused(&stand, &server, &["assign", unknown, "acme"]).contains("PAYMENT_NOT_FOUND"));
    server.stop();
    stand.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_are_dismissed_from_the_command_line() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    // What could not be read, and an order of nobody.
    assert_eq!(send(&server, &signed("shopify", "orders/paid", "{ mistyped")), 200);
    let stranger = Sale::new("woo", 5).of("nobody");
    assert_eq!(send(&server, &stranger.paid()), 200);
    stand.settled().await;
    let waiting = ask(&stand, &server, &["unmatched"]);
    let events: Vec<_> = waiting.as_array().unwrap().iter().map(|payment| &payment["event"]).collect();
    assert_eq!(events, ["UNREADABLE", "PAID"]);
    let ids: Vec<_> =
        waiting.as_array().unwrap().iter().map(|payment| payment["payment_id"].as_str().unwrap()).collect();
    // Not without a reason, and an unreadable one is nobody's purchase.
    let ended = stand.place.run(&["payment", "dismiss", ids[0], "--server", server.url()]);
    assert!(ended.status.code() == Some(2) && ended.stderr.contains("--reason"), "{}", ended.stderr);
    assert!(refused(&stand, &server, &["assign", ids[0], "acme", "--credits", "1"]).contains("PAID"));
    for (id, request) in ids.iter().zip(["d-1", "d-2"]) {
        let dismiss = ["dismiss", id, "--reason", "a test of ours", "--by", "ann", "--request-id", request];
        for replayed in [false, true] {
            let dismissed = ask(&stand, &server, &dismiss);
            assert_eq!((&dismissed["payment_id"], &dismissed["replayed"]), (&(*id).into(), &replayed.into()));
        }
        let again = ["dismiss", id, "--reason", "once more"];
        assert!(refused(&stand, &server, &again).contains("PAYMENT_NOT_FOUND"));
    }
    assert_eq!(ask(&stand, &server, &["unmatched"]), serde_json::json!([]));
    // The payload is erased with it, and the word stays where the same is told again.
    assert_eq!(stand.count("SELECT COUNT(*) FROM storefront_payload").await, 0);
    create(&channel, "nobody").await;
    assert_eq!(send(&server, &stranger.paid()), 200);
    stand.settled().await;
    assert_eq!(purchase(&channel, "woo", "5").await, None);
    // Something new of it is for people again, or is credited where it is clear.
    assert_eq!(send(&server, &stranger.times(2).at(2).paid()), 200);
    stand.settled().await;
    assert_eq!(purchase(&channel, "woo", "5").await.unwrap().credits, "20");
    drop(channel);
    server.stop();
    stand.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_are_tried_again_from_the_command_line() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    for number in 1..=3 {
        assert_eq!(send(&server, &Sale::new("own", number).of("late").paid()), 200);
    }
    assert_eq!(send(&server, &Sale::new("woo", 4).of("never").paid()), 200);
    stand.settled().await;
    let count = |retried: &serde_json::Value| (retried["settled"].clone(), retried["waiting"].clone());
    let first = unmatched(&channel).await[0].payment_id.clone();
    assert_eq!(count(&ask(&stand, &server, &["retry", "--all"])), (0.into(), 4.into()));
    create(&channel, "late").await;
    assert_eq!(count(&ask(&stand, &server, &["retry", &first])), (1.into(), 0.into()));
    assert_eq!(
        count(&ask(&stand, &server, &["retry", "--all", "--storefront", "woo"])),
        (0.into(), 1.into())
    );
    assert_eq!(count(&ask(&stand, &server, &["retry", "--all"])), (2.into(), 1.into()));
    for number in 1..=3 {
        assert_eq!(purchase(&channel, "own", &number.to_string()).await.unwrap().customer_id, "late");
    }
    assert!(refused(&stand, &server, &["retry", &first]).contains("PAYMENT_NOT_FOUND"));
    let ended = stand.place.run(&["payment", "retry", "--server", server.url()]);
    assert!(ended.status.code() == Some(2) && ended.stderr.contains("--all"), "{}", ended.stderr);
    drop(channel);
    server.stop();
    stand.verify();
}

/// Puts copies of what waits there beside it, up to so many.
async fn fill(stand: &Stand, shop: &str, count: u64) {
    let mut engine = store::open(&stand.url, clock::now(), &Settings::default()).await.unwrap();
    let storefront = Storefront::parse(shop).unwrap();
    let mut tx = engine.orders.begin(clock::now()).await.unwrap();
    let mut room = tx.room(LedgerNo::MAIN, &storefront).await.unwrap();
    let waiting = tx.waiting(LedgerNo::MAIN, Some(&storefront), None, 1).await.unwrap();
    let [Ok(unread)] = waiting.as_slice() else { panic!("nothing waits") };
    assert!(unread.names.is_empty());
    let missing = count - room.waiting;
    for part in 0..missing.div_ceil(64) {
        let copies: Vec<_> = (part * 64..missing.min(part * 64 + 64))
            .map(|number| KeptOrder {
                id: Uuid::from_u128(unread.id.as_u128() + 1 + u128::from(number)),
                ..unread.clone()
            })
            .collect();
        tx.put(&copies).await.unwrap();
    }
    room.waiting = count;
    tx.put_room(LedgerNo::MAIN, &storefront, room).await.unwrap();
    tx.commit().await.unwrap();
    engine.writers[0].close().await.unwrap();
}

/// Most orders of one storefront that may wait.
const ROOM: u64 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storefront_without_room_is_refused_alone_until_people_make_some() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    assert_eq!(send(&server, &Sale::new("woo", 1).paid()), 200);
    assert_eq!(send(&server, &signed("woo", "order.updated", "{")), 200);
    stand.settled().await;
    drop(channel);
    server.stop();
    fill(&stand, "woo", ROOM - 1).await;
    let server = stand.serve();
    let channel = server.connect().await;

    // One place is left.
    assert_eq!(send(&server, &Sale::new("woo", 2).of("nobody").paid()), 200);
    stand.settled().await;
    let is_full = async |channel: &Channel| {
        for delivery in [Sale::new("woo", 3).paid(), signed("woo", "order.updated", "{")] {
            assert_eq!(send(&server, &delivery), 503);
        }
        assert_eq!(purchase(channel, "woo", "3").await, None, "what is refused leaves nothing behind");
    };
    is_full(&channel).await;
    // What is known still changes, other goods take no room, and other shops are served.
    assert_eq!(send(&server, &Sale::new("woo", 1).at(2).refunded(true)), 200);
    assert_eq!(send(&server, &Sale::new("woo", 1).at(3).refunded(false)), 200);
    assert_eq!(send(&server, &Sale::new("woo", 900).with("555").paid()), 200);
    for (shop, _) in SHOPS.into_iter().filter(|(shop, _)| *shop != "woo") {
        assert_eq!(send(&server, &Sale::new(shop, 4).paid()), 200, "{shop}");
    }
    stand.settled().await;
    assert_eq!(purchase(&channel, "woo", "1").await.unwrap().refunded_credits, "0");
    assert_eq!(purchase(&channel, "stripe", "pi_4").await.unwrap().credits, "10");
    is_full(&channel).await;

    // Tried again, the stranger's order is somebody's, and its place is free.
    create(&channel, "nobody").await;
    let stranger = last_of(&stand, &server);
    assert_eq!(ask(&stand, &server, &["retry", &stranger])["settled"], 1);
    assert_eq!(send(&server, &Sale::new("woo", 3).paid()), 200);
    stand.settled().await;
    assert_eq!(purchase(&channel, "woo", "3").await.unwrap().credits, "10");
    // What is settled takes no place; what cannot be read does.
    assert_eq!(send(&server, &signed("woo", "order.updated", "{")), 200);
    assert_eq!(send(&server, &Sale::new("woo", 5).paid()), 503);
    let unreadable = last_of(&stand, &server);
    ask(&stand, &server, &["dismiss", &unreadable, "--reason", "not ours"]);
    assert_eq!(send(&server, &Sale::new("woo", 5).paid()), 200);
    stand.settled().await;
    assert_eq!(purchase(&channel, "woo", "5").await.unwrap().credits, "10");
    drop(channel);
    server.stop();
    stand.verify();
}

/// The payment of WooCommerce that has waited shortest.
fn last_of(stand: &Stand, server: &Server) -> String {
    let waiting = ask(stand, server, &["unmatched", "--limit", "20000"]);
    let waiting = waiting.as_array().unwrap();
    let last = waiting.iter().max_by_key(|payment| payment["payment_id"].as_str().unwrap().to_owned());
    last.unwrap()["payment_id"].as_str().unwrap().to_owned()
}

/// By command as many as there is room for, and one: `CREDITLEDGER_TEST_TIMES=100`. In CI the storefront is nearly full
/// before, so that any order that took a place would be refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_other_goods_are_answered_and_take_nothing() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    assert_eq!(send(&server, &signed("woo", "order.updated", "{")), 200);
    drop(channel);
    server.stop();
    fill(&stand, "woo", ROOM - 1).await;
    let server = stand.serve();
    let channel = server.connect().await;
    let kept = stand.kept().await;
    let others = u64::try_from(101 * times()).unwrap();
    for shop in ["woo", "stripe"] {
        let mut sender = Sender::connect(server.address()).unwrap();
        for number in 0..others {
            let product = if shop == "woo" { "555" } else { "shirt" };
            let other = Sale::new(shop, 1_000 + number).with(product);
            assert_eq!(sender.send(&request(&other.paid(), "")).unwrap(), 200, "{shop} {number}");
        }
    }
    // Nothing of them is kept: how new those of WooCommerce were is noted in 16 rows, however many there are.
    assert!(stand.kept().await <= kept + 16);
    assert_eq!(stand.due().await, 0);
    for (shop, _) in SHOPS {
        let sale = Sale::new(shop, 7);
        assert_eq!(send(&server, &sale.paid()), 200, "{shop}");
        stand.settled().await;
        assert_eq!(purchase(&channel, shop, &sale.order()).await.unwrap().credits, "10", "{shop}");
    }
    drop(channel);
    server.stop();
    stand.verify();
}

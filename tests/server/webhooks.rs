//! Webhooks of storefronts over real sockets: what is answered, who is refused, and what a sender can make a server spend.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use creditledger::clock;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::{CreateLedgerRequest, PaymentEvent, context};

use super::process::{PATIENCE, Server};
use super::shop_rig::{
    Delivery, SHOPS, Sale, Stand, purchase, send, send_raw, signed, signed_with, unmatched, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_is_refused_without_a_word() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    for (shop, _) in SHOPS {
        let sale = Sale::new(shop, 103);
        let good = sale.paid();
        let altered = Delivery { body: good.body.replace("20", "21"), ..good.clone() };
        let unsigned = Delivery { headers: good.headers[..1].to_vec(), ..good.clone() };
        let wrong = signed_with("another secret", shop, &good.topic, &good.body, 0);
        let mut nonsense = good.clone();
        nonsense.headers.last_mut().unwrap().1 = "t=1,v1=zz,nonsense".into();
        let mut empty = good.clone();
        empty.headers.last_mut().unwrap().1 = String::new();
        // Signed with another shop's secret, and unreadable on top of it: nobody is told more.
        let unreadable = signed_with("another secret", shop, &good.topic, "{", 0);
        for bad in [altered, unsigned, wrong, nonsense, empty, unreadable] {
            assert_eq!(send(&server, &bad), 401, "{shop}");
        }
        assert_eq!(purchase(&channel, shop, &sale.order()).await, None);
    }
    // Nothing is left behind of what was refused.
    assert_eq!((stand.kept().await, unmatched(&channel).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_with_a_time_are_good_for_a_while_and_several_secrets_are_good_at_once() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    // Stripe and Standard Webhooks sign a time; others have a retry of an hour ago signed like the first one.
    for shop in ["stripe", "own"] {
        let body = Sale::new(shop, 104).paid().body;
        let secret = format!("{shop} secret");
        for (age, status) in [(400, 401), (-400, 401), (200, 200), (-200, 200)] {
            assert_eq!(send(&server, &signed_with(&secret, shop, "", &body, age)), status, "{shop} {age}");
        }
    }
    // While a secret is being replaced either is good.
    let sale = Sale::new("stripe", 105);
    assert_eq!(send(&server, &signed_with("old secret", "stripe", "", &sale.paid().body, 0)), 200);
    until("a purchase", async || purchase(&channel, "stripe", &sale.order()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_delivery_has_its_status() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    let ping = Delivery {
        shop: "woo",
        topic: String::new(),
        headers: vec![("content-type", "application/x-www-form-urlencoded".into())],
        body: "webhook_id=7".into(),
    };
    assert_eq!(send(&server, &ping), 200);
    assert_eq!(send(&server, &Delivery { shop: "stripe", ..ping.clone() }), 401);
    assert_eq!(send(&server, &Delivery { body: "webhook_id=7x".into(), ..ping }), 401);
    assert_eq!(send(&server, &Delivery { shop: "nowhere", ..signed("stripe", "", "{}") }), 404);
    let get = b"GET /webhooks/stripe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(send_raw(&server, get).0, 405);
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(send(&server, &signed("shopify", "orders/paid", &large)), 413);
    // About no money: nothing of it is kept.
    assert_eq!(send(&server, &signed("shopify", "products/update", r#"{"id":1}"#)), 200);
    assert_eq!((stand.kept().await, unmatched(&channel).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_and_cannot_be_read_is_taken_and_kept_as_it_came() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    let mut text = signed("shopify", "orders/paid", "two of them");
    text.headers[0].1 = "text/plain".into();
    let mut bare = Sale::new("woo", 7).paid();
    bare.headers.remove(0);
    let largest = format!("[{}", " ".repeat((1 << 20) - 1));
    let error =
        r#"{"code":"woocommerce_rest_shop_order_invalid_id","message":"Invalid ID.","data":{"status":404}}"#;
    let deliveries = [
        text,
        signed("shopify", "orders/paid", "{"),
        signed("shopify", "orders/paid", r#"{"id":1}"#),
        signed("shopify", "orders/paid", &largest),
        signed("stripe", "", "[]"),
        // What a plugin of WooCommerce sends where it could not load the order.
        signed("woo", "order.updated", error),
        signed("own", "", r#"{"order":"1","version":1,"totl":"20.00"}"#),
    ];
    for delivery in &deliveries {
        assert_eq!(send(&server, delivery), 200, "{} {:.80}", delivery.shop, delivery.body);
    }
    let waiting = unmatched(&channel).await;
    let shown: Vec<_> =
        waiting.iter().map(|payment| (payment.storefront.as_str(), payment.event())).collect();
    let unreadable = PaymentEvent::Unreadable;
    let shops = ["shopify", "shopify", "shopify", "shopify", "stripe", "woo", "own"];
    assert_eq!(shown, shops.map(|shop| (shop, unreadable)));
    for (payment, reason) in
        waiting.iter().zip(["not JSON", "not JSON", "updated_at", "not JSON", "type", "id", "totl"])
    {
        assert!(payment.reason.contains(reason), "{reason}: {payment:?}");
        assert_eq!(
            (payment.order_id.as_str(), payment.customer.as_str(), payment.credits.as_str()),
            ("", "", "")
        );
    }
    let bytes: usize = deliveries.iter().map(|delivery| delivery.body.len()).sum();
    assert_eq!(
        stand.count("SELECT SUM(LENGTH(payload)) FROM storefront_payload").await,
        i64::try_from(bytes).unwrap()
    );
    // The type of the content decides nothing: what is JSON is read.
    assert_eq!(send(&server, &bare), 200);
    until("a purchase", async || purchase(&channel, "woo", "7").await).await;
    server.stop();
    stand.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_and_currencies_that_are_none_are_kept_and_credit_nothing() {
    let stand = Stand::new();
    let (server, channel) = stand.open().await;
    for (number, from, to, event) in [
        (301, "\"EUR\"", "\"ZZZ\"", "UNREADABLE"),
        (302, "\"20.00\"", "\"-20.00\"", "PAID"),
        (303, "\"20.00\"", "\"twenty\"", "PAID"),
        (304, "\"quantity\":1", "\"quantity\":1.5", "PAID"),
    ] {
        let body = Sale::new("shopify", number).paid().body;
        let changed = body.replace(from, to);
        assert_ne!(changed, body, "{from}");
        assert_eq!(send(&server, &signed("shopify", "orders/paid", &changed)), 200, "{to}");
        stand.settled().await;
        let waiting = unmatched(&channel).await;
        let last = waiting.last().unwrap();
        assert_eq!(last.event().as_str_name(), format!("PAYMENT_EVENT_{event}"), "{to}: {last:?}");
        assert_eq!(purchase(&channel, "shopify", &number.to_string()).await, None, "{to}");
    }
    // More digits than the currency has are rounded, as the lines say.
    let body = Sale::new("shopify", 305).paid().body.replace("20.00", "19.9912");
    assert_eq!(send(&server, &signed("shopify", "orders/paid", &body)), 200);
    let found = until("a purchase", async || purchase(&channel, "shopify", "305").await).await;
    assert_eq!((found.credits.as_str(), found.price.unwrap().amount.as_str()), ("10", "19.99"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storefront_of_a_ledger_that_is_not_there_yet_is_asked_to_send_again() {
    let stand = Stand::new();
    stand.configure("vendor = \"generic\"", "vendor = \"generic\"\nledger = \"later\"");
    let (server, channel) = stand.open().await;
    let sale = Sale::new("own", 1).paid();
    assert_eq!(send(&server, &sale), 503);
    assert_eq!(send(&server, &Sale::new("woo", 1).paid()), 200);
    let later = CreateLedgerRequest { context: Some(context("later", "")), ledger_id: "later".into() };
    LedgerServiceClient::new(channel.clone()).create_ledger(later).await.unwrap();
    assert_eq!(send(&server, &sale), 200);
    stand.settled().await;
    assert_eq!(purchase(&channel, "own", "1").await, None, "it is not of the main ledger");
}

/// The first line of a delivery to `shop`, its headers, and the beginning of its body.
fn begin(server: &Server, shop: &str, headers: &str, length: usize) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let head =
        format!("POST /webhooks/{shop} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{{");
    socket.write_all(head.as_bytes()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn status(socket: TcpStream) -> u16 {
    told(socket).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_signatures_costs_nothing_and_is_refused_before_the_body() {
    let stand = Stand::new();
    let (server, _) = stand.open().await;
    let time = clock::now().micros() / 1_000_000;
    // The body never comes, so a server that waits for it answers 408.
    for count in [1_000, 10_000] {
        let header = format!("stripe-signature: t={time}{}\r\n", ",v1=ab".repeat(count));
        let told = status(begin(&server, "stripe", &header, 1 << 20));
        assert_eq!(told, 431, "{count}");
    }
    // As many as fit in a header of a legal size, over the largest body: refused like any wrong one.
    let body = format!("{{{}}}", " ".repeat((1 << 20) - 2));
    let header = format!("t={time}{}", ",v1=ab".repeat(300));
    let headers = vec![("content-type", "application/json".to_owned()), ("stripe-signature", header)];
    let forged = Delivery { shop: "stripe", topic: String::new(), headers, body };
    assert_eq!(send(&server, &forged), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storefront_that_is_kept_busy_keeps_no_other_out() {
    let stand = Stand::new();
    let (server, _) = stand.open().await;
    // More than may be hashed at a time, and by what they announce more than may arrive.
    let slow: Vec<_> = (0..60).map(|_| begin(&server, "stripe", "", 1 << 20)).collect();
    for shop in ["stripe", "shopify"] {
        assert_eq!(send(&server, &Sale::new(shop, 77).paid()), 200, "{shop}");
    }
    for socket in slow {
        assert_eq!(status(socket), 408);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_arrive_have_a_bound_for_each_storefront() {
    let stand = Stand::new();
    let (server, _) = stand.open().await;
    // All but the last byte of a megabyte: the first is there already.
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let mut socket = begin(&server, "stripe", "", 1 << 20);
            std::thread::spawn(move || {
                // A server that refuses early may close before all is written.
                let _ = socket.write_all(&vec![b' '; (1 << 20) - 2]);
                socket
            })
        })
        .collect();
    let slow: Vec<_> = slow.into_iter().map(|writing| writing.join().unwrap()).collect();
    // The other storefront has its own.
    assert_eq!(send(&server, &Sale::new("shopify", 77).paid()), 200);
    // What is no delivery is told so at once, without its body.
    for (request, told) in [("GET /webhooks/stripe", 405), ("POST /webhooks/nowhere", 404)] {
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n");
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(status(socket), told);
    }
    let told: Vec<_> = slow.into_iter().map(told).collect();
    let late = told.iter().filter(|status| **status == Some(408)).count();
    assert!(late <= 4 && !told.contains(&Some(200)), "{told:?}");
    assert_eq!(send(&server, &Sale::new("stripe", 77).paid()), 200);
}

/// The status of an answer; `None` where the server has closed without one that could be read.
fn told(mut socket: TcpStream) -> Option<u16> {
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
}

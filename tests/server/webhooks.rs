//! Webhooks of storefronts over real sockets. The payloads have the shapes that the vendors publish, cut to what is read:
//! Stripe <https://docs.stripe.com/api/events/types> (checkout session, charge and dispute objects), Shopify
//! <https://shopify.dev/docs/api/webhooks?reference=toml> (`orders/paid`, `refunds/create`), WooCommerce
//! <https://woocommerce.github.io/woocommerce-rest-api-docs/#order-properties>.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creditledger::clock;
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tonic::transport::Channel;

use crate::process::{Place, Server};

const CONFIG: &str = r#"
[[storefronts]]
id = "stripe"
vendor = "stripe"
secrets = ["old secret", "stripe secret"]
customer = "client_reference_id"
product = "metadata.product"
credits = { price_10 = "10" }

[[storefronts]]
id = "shopify"
vendor = "shopify"
secrets = ["shopify secret"]
customer = "note_attributes.customer_id"
credits = { "632910392" = "10" }

[[storefronts]]
id = "woo"
vendor = "woocommerce"
secrets = ["woo secret"]
customer = "meta_data.customer_id"
credits = { "93" = "10" }
"#;

/// A delivery: its headers and body.
#[derive(Clone)]
struct Delivery {
    shop: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn mac(secret: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// Signed as its vendor does, so many seconds ago.
fn signed_with(secret: &str, shop: &'static str, topic: &str, body: &str, age: i64) -> Delivery {
    let json = ("content-type", "application/json; charset=utf-8".to_owned());
    let in_header = STANDARD.encode(mac(secret, body));
    let headers = match shop {
        "stripe" => {
            let time = clock::now().micros() / 1_000_000 - age;
            let signature = hex(&mac(secret, &format!("{time}.{body}")));
            vec![json, ("stripe-signature", format!("t={time},v1={signature},v0=ff"))]
        }
        "shopify" => {
            vec![json, ("x-shopify-topic", topic.to_owned()), ("x-shopify-hmac-sha256", in_header)]
        }
        _ => vec![json, ("x-wc-webhook-topic", topic.to_owned()), ("x-wc-webhook-signature", in_header)],
    };
    Delivery { shop, headers, body: body.to_owned() }
}

fn signed(shop: &'static str, topic: &str, body: &str) -> Delivery {
    signed_with(&format!("{shop} secret"), shop, topic, body, 0)
}

fn send_raw(server: &Server, request: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    // A server that refuses early may close before all is written.
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}

fn send(server: &Server, delivery: &Delivery) -> u16 {
    let mut request = format!(
        "POST /webhooks/{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
        delivery.shop,
        delivery.body.len()
    );
    for (name, value) in &delivery.headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request.push_str("\r\n");
    request.push_str(&delivery.body);
    let (status, body) = send_raw(server, request.as_bytes());
    assert_eq!(body, "", "no detail is told");
    status
}

/// The order `order` of `customer` for 10 credits at 20.00 EUR, in each vendor's words.
fn paid(shop: &'static str, order: &str, customer: &str, product: &str) -> Delivery {
    match shop {
        "stripe" => signed(
            shop,
            "",
            &format!(
                r#"{{"id":"evt_1","object":"event","type":"checkout.session.completed","data":{{"object":{{
                "id":"cs_{order}","object":"checkout.session","amount_total":2000,"currency":"eur",
                "client_reference_id":"{customer}","payment_intent":"{order}","payment_status":"paid",
                "metadata":{{"product":"{product}"}}}}}}}}"#
            ),
        ),
        "shopify" => signed(
            shop,
            "orders/paid",
            &format!(
                r#"{{"id":{order},"currency":"EUR","total_price":"20.00","financial_status":"paid",
                "note_attributes":[{{"name":"customer_id","value":"{customer}"}}],
                "line_items":[{{"id":1,"product_id":{product},"variant_id":7,"sku":"s","quantity":1,"price":"20.00",
                "total_discount":"0.00"}}]}}"#
            ),
        ),
        _ => signed(shop, "order.updated", &woo(order, customer, product, "completed", "")),
    }
}

fn woo(order: &str, customer: &str, product: &str, status: &str, refunds: &str) -> String {
    format!(
        r#"{{"id":{order},"status":"{status}","currency":"EUR","total":"20.00","date_paid":"2026-01-01T00:00:00",
            "meta_data":[{{"id":1,"key":"customer_id","value":"{customer}"}}],
            "line_items":[{{"id":1,"product_id":{product},"variation_id":0,"quantity":1,"total":"20.00","sku":""}}],
            "refunds":[{refunds}]}}"#
    )
}

/// 8.00 EUR of the order went back.
fn refunded(shop: &'static str, order: &str) -> Delivery {
    match shop {
        "stripe" => signed(
            shop,
            "",
            &format!(
                r#"{{"id":"evt_2","object":"event","type":"charge.refunded","data":{{"object":{{"id":"ch_1","object":"charge",
                "amount":2000,"amount_refunded":800,"currency":"eur","payment_intent":"{order}"}}}}}}"#
            ),
        ),
        "shopify" => signed(
            shop,
            "refunds/create",
            &format!(
                r#"{{"id":509,"order_id":{order},"refund_line_items":[],"transactions":[{{"id":1,"kind":"refund",
                "status":"success","amount":"8.00","currency":"EUR"}}]}}"#
            ),
        ),
        // An order that is told of with its refunds is told of as paid, too.
        _ => {
            let refund = r#"{"id":77,"reason":"","total":"-8.00"}"#;
            signed(shop, "order.updated", &woo(order, "acme", "93", "completed", refund))
        }
    }
}

async fn purchase(channel: &Channel, shop: &str, order: &str) -> Option<Purchase> {
    let target = Some(PurchaseTarget::order(shop, order));
    let request = GetPurchaseRequest { target, ..Default::default() };
    PurchaseServiceClient::new(channel.clone()).get_purchase(request).await.ok()?.into_inner().purchase
}

async fn unmatched(channel: &Channel) -> Vec<UnmatchedPayment> {
    let list = ListUnmatchedPaymentsRequest::default();
    PurchaseServiceClient::new(channel.clone())
        .list_unmatched_payments(list)
        .await
        .unwrap()
        .into_inner()
        .payments
}

async fn serve(place: &Place) -> (Server, Channel) {
    let config = place.write("shops.toml", CONFIG).display().to_string();
    let server = Server::start(place.command(&["serve", "--listen", "127.0.0.1:0", "--config", &config]));
    let channel = server.connect().await;
    let create = CreateCustomerRequest { context: Some(context("1", "acme")), ..Default::default() };
    CustomerServiceClient::new(channel.clone()).create_customer(create).await.unwrap();
    (server, channel)
}

/// The mapped product of each shop.
const SHOPS: [(&str, &str); 3] = [("stripe", "price_10"), ("shopify", "632910392"), ("woo", "93")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_and_repeated_deliveries_have_one_effect_in_any_order() {
    let place = Place::new();
    let (server, channel) = serve(&place).await;
    for (shop, product) in SHOPS {
        for (order, refund_first) in [("101", false), ("102", true)] {
            let mut deliveries = vec![paid(shop, order, "acme", product), refunded(shop, order)];
            if refund_first {
                deliveries.reverse();
            }
            for delivery in deliveries.iter().chain(&deliveries) {
                assert_eq!(send(&server, delivery), 200, "{shop}");
            }
            let found = purchase(&channel, shop, order).await.unwrap();
            let price = found.refunded_price.unwrap().amount;
            assert_eq!(
                (found.credits.as_str(), found.refunded_credits.as_str()),
                ("10", "4"),
                "{shop} {order}"
            );
            assert_eq!((price.as_str(), found.refunds.len()), ("8.00", 1), "{shop} {order}");
        }
    }
    assert_eq!(unmatched(&channel).await, []);
    let server = server.stop();
    assert!(server.status.success());
    place.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_is_refused_without_a_word() {
    let place = Place::new();
    let (server, channel) = serve(&place).await;
    for (shop, product) in SHOPS {
        let good = paid(shop, "103", "acme", product);
        let altered = Delivery { body: good.body.replace("20", "21"), ..good.clone() };
        let unsigned = Delivery { headers: good.headers[..1].to_vec(), ..good.clone() };
        let wrong = signed_with("another secret", shop, "orders/paid", &good.body, 0);
        let mut nonsense = good.clone();
        nonsense.headers.last_mut().unwrap().1 = "t=1,v1=zz,nonsense".into();
        for bad in [altered, unsigned, wrong, nonsense] {
            assert_eq!(send(&server, &bad), 400, "{shop}");
        }
        assert_eq!(purchase(&channel, shop, "103").await, None);
    }
    // Stripe says when it signed; others have a retry of an hour ago signed like the first one.
    let body = paid("stripe", "104", "acme", "price_10").body;
    assert_eq!(send(&server, &signed_with("stripe secret", "stripe", "", &body, 400)), 400);
    assert_eq!(send(&server, &signed_with("stripe secret", "stripe", "", &body, -400)), 400);
    assert_eq!(send(&server, &signed_with("stripe secret", "stripe", "", &body, 200)), 200);
    // While a secret is being replaced either is good.
    assert_eq!(send(&server, &signed_with("old secret", "stripe", "", &body, 0)), 200);
    assert!(purchase(&channel, "stripe", "104").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_mapped_is_kept_and_assigned_later() {
    let place = Place::new();
    let (server, channel) = serve(&place).await;
    let mut purchases = PurchaseServiceClient::new(channel.clone());
    for (number, (shop, product)) in SHOPS.into_iter().enumerate() {
        let stranger = paid(shop, "201", "nobody", product);
        let unknown = paid(shop, "202", "acme", "5550");
        for delivery in [&stranger, &unknown, &refunded(shop, "201"), &stranger, &unknown] {
            // A WooCommerce order that is told of with its refund is told of as acme's.
            if shop != "woo" || !delivery.body.contains("-8.00") {
                assert_eq!(send(&server, delivery), 200, "{shop}");
            }
        }
        let waiting = unmatched(&channel).await;
        let own: Vec<_> = waiting.iter().filter(|payment| payment.storefront == shop).collect();
        let orders: Vec<_> = own.iter().map(|payment| payment.order_id.as_str()).collect();
        let expected: &[&str] = if shop == "woo" { &["201", "202"] } else { &["201", "202", "201"] };
        assert_eq!(orders, expected, "{waiting:?}");
        assert_eq!((own[0].customer.as_str(), own[0].credits.as_str()), ("nobody", "10"));
        assert_eq!((own[1].credits.as_str(), own[1].products.len()), ("", 1));
        let assign = |payment: &UnmatchedPayment, credits: Option<&str>| AssignPaymentRequest {
            context: Some(context(format!("assign {number} {}", payment.order_id), "acme")),
            payment_id: payment.payment_id.clone(),
            credits: credits.map(str::to_owned),
        };
        let without = purchases.assign_payment(assign(own[1], None)).await.unwrap_err();
        assert!(without.message().contains("credits"), "{without:?}");
        let first = purchases.assign_payment(assign(own[0], None)).await.unwrap().into_inner();
        assert_eq!(first.outcome().purchase.unwrap().price.unwrap().amount, "20.00");
        purchases.assign_payment(assign(own[1], Some("7.5"))).await.unwrap();
        // What was told of the order while it waited is applied.
        let refunded = purchase(&channel, shop, "201").await.unwrap().refunded_credits;
        assert_eq!(refunded, if shop == "woo" { "0" } else { "4" }, "{shop}");
        assert_eq!(purchase(&channel, shop, "202").await.unwrap().credits, "7.5");
        // Told once more, it is nobody's loss.
        assert_eq!((send(&server, &stranger), send(&server, &unknown)), (200, 200));
        assert!(unmatched(&channel).await.iter().all(|payment| payment.storefront != shop));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_are_assigned_from_the_command_line() {
    let place = Place::new();
    let (server, _channel) = serve(&place).await;
    assert_eq!(send(&server, &paid("stripe", "201", "nobody", "price_10")), 200);
    let ask = |arguments: &[&str]| {
        place.json(&[&["payment"], arguments, &["--server", server.url(), "--json"]].concat())
    };
    let waiting = ask(&["unmatched"]);
    let [payment] = waiting.as_array().unwrap().as_slice() else { panic!("{waiting}") };
    let shown =
        ["event", "storefront", "order_id", "customer", "credits", "price"].map(|name| &payment[name]);
    assert_eq!(shown, ["PAID", "stripe", "201", "nobody", "10", "20.00 EUR"]);
    assert_eq!(payment["products"], serde_json::json!(["1 x price_10"]));
    let id = payment["payment_id"].as_str().unwrap();
    let assign = ["assign", id, "acme", "--credits", "7.5", "--request-id", "a"];
    for replayed in [false, true] {
        let assigned = ask(&assign);
        assert_eq!((&assigned["credits"], &assigned["available"]), (&"7.5".into(), &"7.5".into()));
        assert_eq!((&assigned["price"], &assigned["replayed"]), (&"20.00 EUR".into(), &replayed.into()));
    }
    assert_eq!(ask(&["unmatched"]), serde_json::json!([]));
    let refused = place.run(&["payment", "assign", id, "acme", "--server", server.url()]);
    assert!(!refused.complaint().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disputes_of_stripe_are_recorded_and_resolved() {
    let place = Place::new();
    let (server, channel) = serve(&place).await;
    let dispute = |kind: &str, status: &str, order: &str| {
        signed(
            "stripe",
            "",
            &format!(
                r#"{{"id":"evt_3","object":"event","type":"charge.dispute.{kind}","data":{{"object":{{"id":"dp_{order}",
                "object":"dispute","amount":2000,"charge":"ch_1","currency":"eur","payment_intent":"{order}",
                "reason":"fraudulent","status":"{status}"}}}}}}"#
            ),
        )
    };
    for (order, status, state) in [("pi_1", "won", RefundState::Won), ("pi_2", "lost", RefundState::Lost)] {
        // The end comes before the beginning, and that before the order.
        for delivery in [
            dispute("closed", status, order),
            dispute("created", "needs_response", order),
            paid("stripe", order, "acme", "price_10"),
            dispute("created", "needs_response", order),
            dispute("closed", status, order),
        ] {
            assert_eq!(send(&server, &delivery), 200);
        }
        let refunds = purchase(&channel, "stripe", order).await.unwrap().refunds;
        assert_eq!(
            (refunds.len(), refunds[0].state(), refunds[0].credits.as_str()),
            (1, state, "10"),
            "{refunds:?}"
        );
    }
    // An inquiry moves no money.
    assert_eq!(send(&server, &paid("stripe", "pi_3", "acme", "price_10")), 200);
    assert_eq!(send(&server, &dispute("created", "warning_needs_response", "pi_3")), 200);
    assert_eq!(purchase(&channel, "stripe", "pi_3").await.unwrap().refunds, []);
    assert_eq!(unmatched(&channel).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_delivery_has_its_status() {
    let place = Place::new();
    let (server, channel) = serve(&place).await;
    let ping = Delivery {
        shop: "woo",
        headers: vec![("content-type", "application/x-www-form-urlencoded".into())],
        body: "webhook_id=7".into(),
    };
    assert_eq!(send(&server, &ping), 200);
    assert_eq!(send(&server, &Delivery { shop: "stripe", ..ping }), 400);
    assert_eq!(send(&server, &Delivery { shop: "nowhere", ..signed("stripe", "", "{}") }), 404);
    assert_eq!(send(&server, &signed("shopify", "orders/paid", "{")), 400);
    assert_eq!(send(&server, &signed("shopify", "orders/paid", r#"{"id":1}"#)), 400);
    assert_eq!(send(&server, &signed("shopify", "products/update", r#"{"id":1}"#)), 200);
    let mut form = signed("shopify", "orders/paid", "{}");
    form.headers[0].1 = "text/plain".into();
    assert_eq!(send(&server, &form), 415);
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(send(&server, &signed("shopify", "orders/paid", &large)), 413);
    let get = b"GET /webhooks/stripe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(send_raw(&server, get).0, 405);
    // Amounts that are none: an unknown currency, too many digits, less than nothing.
    for (from, to) in [("\"EUR\"", "\"ZZZ\""), ("20.00", "20.001"), ("20.00", "-20.00")] {
        let body = paid("shopify", "301", "acme", "632910392").body.replacen(from, to, 1);
        assert_eq!(send(&server, &signed("shopify", "orders/paid", &body)), 400, "{to}");
    }
    assert_eq!(purchase(&channel, "shopify", "301").await, None);
}

/// The first line of a delivery to `shop`, its headers, and the beginning of its body.
fn begin(server: &Server, shop: &str, headers: &str, length: usize) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let head =
        format!("POST /webhooks/{shop} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{{");
    socket.write_all(head.as_bytes()).unwrap();
    socket.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    socket
}

fn status(socket: TcpStream) -> u16 {
    told(socket).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_signatures_costs_nothing_and_is_refused_before_the_body() {
    let place = Place::new();
    let (server, _) = serve(&place).await;
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
    assert_eq!(send(&server, &Delivery { shop: "stripe", headers, body }), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storefront_that_is_kept_busy_keeps_no_other_out() {
    let place = Place::new();
    let (server, _) = serve(&place).await;
    // More than may be hashed at a time, and by what they announce more than may arrive.
    let slow: Vec<_> = (0..60).map(|_| begin(&server, "stripe", "", 1 << 20)).collect();
    for (shop, order, product) in [("stripe", "pi_77", "price_10"), ("shopify", "77", "632910392")] {
        assert_eq!(send(&server, &paid(shop, order, "acme", product)), 200, "{shop}");
    }
    for socket in slow {
        assert_eq!(status(socket), 408);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_arrive_have_a_bound_for_each_storefront() {
    let place = Place::new();
    let (server, _) = serve(&place).await;
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
    assert_eq!(send(&server, &paid("shopify", "77", "acme", "632910392")), 200);
    // What is no delivery is told so at once, without its body.
    for (request, told) in [("GET /webhooks/stripe", 405), ("POST /webhooks/nowhere", 404)] {
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n");
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
        assert_eq!(status(socket), told);
    }
    let told: Vec<_> = slow.into_iter().map(told).collect();
    let late = told.iter().filter(|status| **status == Some(408)).count();
    assert!(late <= 4 && !told.contains(&Some(200)), "{told:?}");
    assert_eq!(send(&server, &paid("stripe", "pi_77", "acme", "price_10")), 200);
}

/// The status of an answer; `None` where the server has closed without one that could be read.
fn told(mut socket: TcpStream) -> Option<u16> {
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
}

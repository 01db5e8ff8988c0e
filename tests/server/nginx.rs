//! `deploy/nginx.conf` with a real nginx in front of real servers: deliveries, streams, content types, servers that
//! start again, and no server.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creditledger::grpc::wire::batch_command::Command as Bulk;
use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use prost::Message as _;
use sha2::Sha256;
use tonic::transport::{Channel, Endpoint};

use super::postgres;
use super::postgres_rig::Site;
use super::process::{PATIENCE, Place, Running, Server};
use super::shop_rig::until;

const CONF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nginx.conf");
const SHOP: &str = "[[storefronts]]\nid = \"shop\"\nvendor = \"shopify\"\nsecrets = [\"shop secret\"]\n\
                    customer = \"note_attributes.customer_id\"\ncredits = { \"7\" = \"10\" }\n";
/// A second, as the settings say, and what nginx's clock may lag.
const FAIL_TIMEOUT: Duration = Duration::from_millis(1_500);
/// More than one message or body may have.
const STREAM_BYTES: usize = 64 << 20;

/// nginx with settings of `deploy/`, in front of servers.
pub struct Proxy {
    _process: Running,
    /// Where it speaks HTTP/2, and where HTTP/1.1: before 1.25.1, nginx speaks one of them on a port without TLS.
    pub http2: String,
    http1: String,
}

/// The program, where it is installed.
pub fn nginx() -> Option<&'static str> {
    let found =
        ["nginx", "/usr/sbin/nginx"].into_iter().find(|name| Command::new(name).arg("-v").output().is_ok());
    let required = std::env::var_os("CREDITLEDGER_REQUIRE_NGINX").is_some();
    assert!(found.is_some() || !required, "nginx must be installed for the tests of deploy/nginx.conf");
    if found.is_none() {
        eprintln!("nginx is not installed: the tests of deploy/nginx.conf are left out");
    }
    found
}

/// An address on which nothing listens.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "deploy/nginx.conf has {from:?}");
    text.replace(from, to)
}

impl Proxy {
    fn start(program: &str, place: &Place, servers: [&str; 2]) -> Self {
        let names = ["server-1:50051", "server-2:50051"];
        Self::with(program, CONF, place, names.into_iter().zip(servers))
    }

    /// With a file of settings, whose names of servers become addresses.
    pub fn with<'s>(
        program: &str,
        conf: &str,
        place: &Place,
        servers: impl IntoIterator<Item = (&'s str, &'s str)>,
    ) -> Self {
        let (http2, http1) = (free(), free());
        let mut conf = std::fs::read_to_string(conf).unwrap();
        for (name, address) in servers {
            conf = replaced(&conf, name, address);
        }
        let conf = replaced(&conf, "listen 50051;", &format!("listen {http2} http2; listen {http1};"));
        let conf = replaced(&conf, "http2 on;", "");
        // Names are looked up again from 1.27.3 on; here are none.
        let conf = replaced(&conf, "resolver 127.0.0.11 valid=5s;", "");
        let conf = replaced(&conf, " resolve ", " ");
        // Everything that it writes goes into the place, and one process is enough.
        let folder = place.path("").display().to_string();
        let mut own = format!("daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n");
        own.push_str(&replaced(&conf, "worker_processes auto;", ""));
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders = kinds.map(|kind| format!("{kind}_temp_path {folder}/{kind};")).concat();
        let own = replaced(&own, "access_log off;", &format!("access_log off; {folders}"));
        let path = place.write("nginx.conf", &own).display().to_string();
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p", &folder, "-c", &path]);
        let process = Running::start(command);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&http2).is_err() || TcpStream::connect(&http1).is_err() {
            if Instant::now() > deadline {
                process.signal("TERM");
                panic!("nginx does not listen: {}", process.end().stderr);
            }
            std::thread::yield_now();
        }
        Self { _process: process, http2, http1 }
    }

    pub async fn connect(&self) -> Channel {
        Endpoint::new(format!("http://{}", self.http2)).unwrap().connect().await.unwrap()
    }

    /// Posts over HTTP/1.1, and gives the status and the whole answer.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut socket = TcpStream::connect(&self.http1).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        // Who refuses a body early may close before all is written.
        let _ = socket.write_all(body);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer")).parse().unwrap(), answer)
    }

    /// A delivery of the shop: the order is paid.
    fn deliver(&self, order: u32) -> u16 {
        let body = format!(
            r#"{{"id":{order},"updated_at":"2026-11-28T10:00:00Z","currency":"EUR","total_price":"20.00","financial_status":"paid",
            "note_attributes":[{{"name":"customer_id","value":"acme"}}],
            "line_items":[{{"id":1,"product_id":7,"variant_id":8,"sku":"s","quantity":1,"price":"20.00",
            "total_discount":"0.00"}}]}}"#
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(b"shop secret").unwrap();
        mac.update(body.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("x-shopify-topic", "orders/paid"),
            ("x-shopify-hmac-sha256", &signature),
        ];
        self.post("/webhooks/shop", &headers, body.as_bytes()).0
    }
}

async fn serve(place: &Place) -> Server {
    place.write("shop.toml", SHOP);
    let server = Server::start(place.command(&["serve", "--listen", "127.0.0.1:0", "--config", "shop.toml"]));
    let created = CreateCustomerRequest { context: Some(context("c", "acme")), ..Default::default() };
    CustomerServiceClient::new(server.connect().await).create_customer(created).await.unwrap();
    server
}

async fn available(channel: Channel) -> String {
    let request = GetBalanceRequest { customer_id: "acme".to_owned(), ..Default::default() };
    let answer = LedgerServiceClient::new(channel).get_balance(request).await.unwrap().into_inner();
    answer.balance.unwrap().available_credits
}

/// Waits until the ledger has followed the deliveries.
async fn has(channel: Channel, credits: u32) {
    until("the ledger has followed", async || {
        (available(channel.clone()).await == credits.to_string()).then_some(())
    })
    .await;
}

fn grant() -> GrantCreditsRequest {
    GrantCreditsRequest {
        context: Some(context("g", "acme").because("a test")),
        credits: "5".to_owned(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_nobody_is_told_that_something_was_taken() {
    let Some(program) = nginx() else { return };
    let place = Place::new();
    let (one, other) = (free(), free());
    let proxy = Proxy::start(program, &place, [&one, &other]);
    assert_eq!(proxy.deliver(1), 502, "a storefront sends it again");
    let status = PurchaseServiceClient::new(proxy.connect().await).grant_credits(grant()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    let json = [("content-type", "application/json")];
    let (status, answer) = proxy.post("/creditledger.v1.PurchaseService/GrantCredits", &json, b"{}");
    assert!(status == 503 && answer.contains("\"code\":\"unavailable\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_taken_by_a_server_that_is_there() {
    let Some(program) = nginx() else { return };
    let place = Place::new();
    let server = serve(&place).await;
    let gone = free();
    let proxy = Proxy::start(program, &place, [&gone, server.address()]);
    for order in 1..=4 {
        assert_eq!(proxy.deliver(order), 200, "{order}");
    }
    has(server.connect().await, 40).await;
    // Calls and deliveries in turn, so that neither gets a connection of the other.
    for order in 5..=8 {
        has(proxy.connect().await, (order - 1) * 10).await;
        assert_eq!(proxy.deliver(order), 200, "{order}");
    }
    let unsigned = proxy.post("/webhooks/shop", &[("content-type", "application/json")], b"{}").0;
    assert!((400..500).contains(&unsigned), "{unsigned}");
    assert_eq!(proxy.post("/webhooks/nobody", &[], b"{}").0, 404);
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(proxy.post("/webhooks/shop", &[("content-type", "application/json")], &large).0, 413);
    drop(server);
    assert!(proxy.deliver(9) >= 500, "its server is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_not_cut() {
    let Some(program) = nginx() else { return };
    let place = Place::new();
    let server = serve(&place).await;
    let proxy = Proxy::start(program, &place, [server.address(), server.address()]);
    // A list of orders.
    let order = |n: usize| StorefrontPurchase { order_id: format!("#{n:0>126}"), ..Default::default() };
    let part = |first: usize| ReconcilePurchasesRequest {
        storefront: if first == 0 { "shop".to_owned() } else { String::new() },
        orders: (first..first + 10_000).map(order).collect(),
        ..Default::default()
    };
    let parts: Vec<_> = (0..16).map(|n| part(n * 10_000)).collect();
    let bytes: usize = parts.iter().map(|part| part.encoded_len()).sum();
    assert!(bytes > STREAM_BYTES / 4, "{bytes}");
    let mut client = LedgerServiceClient::new(proxy.connect().await);
    let found = client.reconcile_purchases(tokio_stream::iter(parts)).await.unwrap().into_inner();
    assert_eq!(found.missing_in_ledger_count, 160_000);
    // Commands.
    let note = "x".repeat(1_000);
    let command = |n: usize| {
        let metadata = (0..32).map(|key| (format!("key-{key}"), note.clone())).collect();
        let context = CommandContext { metadata, ..context(format!("g-{n}"), "acme").because("a test") };
        let grant = GrantCreditsRequest { context: Some(context), ..grant() };
        let command = Some(BatchCommand { command: Some(Bulk::GrantCredits(grant)) });
        ExecuteStreamRequest { correlation_id: i64::try_from(n).unwrap(), command }
    };
    let count = STREAM_BYTES / command(0).encoded_len() + 1;
    let commands = tokio_stream::iter((0..count).map(command).collect::<Vec<_>>());
    let mut client = BatchServiceClient::new(proxy.connect().await);
    let mut answers = client.execute_stream(commands).await.unwrap().into_inner();
    let mut accepted = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        let result = answer.result.unwrap().result.unwrap();
        assert!(matches!(result, batch_result::Result::Accepted(_)), "{result:?}");
        accepted += 1;
    }
    assert_eq!(accepted, count);
    server.stop();
}

/// Servers of one database are stopped in order and started again, one after the other, under calls.
#[tokio::test(flavor = "multi_thread")]
async fn servers_start_again_under_load_without_a_failed_call() {
    let Some(program) = nginx().filter(|_| postgres::available()) else { return };
    let site = Site::new().await;
    let mut servers = [site.serve(), site.serve()];
    let created = CreateCustomerRequest { context: Some(context("c", "acme")), ..Default::default() };
    CustomerServiceClient::new(servers[0].connect().await).create_customer(created).await.unwrap();
    let proxy = Proxy::start(program, &site.place, [servers[0].address(), servers[1].address()]);
    let (stop, granted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut callers = Vec::new();
    for caller in 0..4 {
        let mut client = PurchaseServiceClient::new(proxy.connect().await);
        let (stop, granted) = (Arc::clone(&stop), Arc::clone(&granted));
        callers.push(tokio::spawn(async move {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let context = context(format!("g-{caller}-{number}"), "acme").because("a test");
                let request = GrantCreditsRequest {
                    context: Some(context),
                    credits: "1".to_owned(),
                    ..Default::default()
                };
                client.grant_credits(request).await.unwrap();
                granted.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for round in 0..6 {
        let seen = granted.load(Ordering::Relaxed);
        until("calls go on", async || (granted.load(Ordering::Relaxed) > seen + 40).then_some(())).await;
        let server = &mut servers[round % 2];
        let address = server.address().to_owned();
        server.process.signal("TERM");
        let gone = async || TcpStream::connect(&address).is_err().then_some(());
        until("the server is gone", gone).await;
        *server = site.serve_on(&address);
        // Until then nginx takes it for gone.
        let served = Instant::now();
        let tried_again = async || (served.elapsed() > FAIL_TIMEOUT).then_some(());
        until("nginx tries it again", tried_again).await;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let channel = servers[0].connect().await;
    assert_eq!(available(channel).await, granted.load(Ordering::Relaxed).to_string());
    for server in servers {
        server.stop();
    }
    site.verify();
}

/// A page of any site can send such a request to any server that its reader reaches.
#[tokio::test(flavor = "multi_thread")]
async fn a_content_type_that_is_not_ours_is_refused_through_nginx() {
    let Some(program) = nginx() else { return };
    let place = Place::new();
    let server = serve(&place).await;
    let proxy = Proxy::start(program, &place, [server.address(), server.address()]);
    let message = grant().encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(&message);
    for address in [&*proxy.http2, server.address()] {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
            let request =
                Request::post(format!("http://{address}/creditledger.v1.PurchaseService/GrantCredits"))
                    .header("te", "trailers")
                    .header("content-type", content_type);
            let mut requests = requests.clone().ready().await.unwrap();
            let (answer, mut sink) = requests.send_request(request.body(()).unwrap(), false).unwrap();
            let _ = sink.send_data(frame.clone().into(), true);
            assert_eq!(answer.await.unwrap().status(), 415, "{address} {content_type}");
        }
    }
    let path = "/creditledger.v1.PurchaseService/GrantCredits";
    assert_eq!(proxy.post(path, &[("content-type", "text/plain")], &frame).0, 415);
    assert_eq!(available(server.connect().await).await, "0");
    // The same bytes under their own name are a grant.
    PurchaseServiceClient::new(proxy.connect().await).grant_credits(grant()).await.unwrap();
    assert_eq!(available(server.connect().await).await, "5");
}

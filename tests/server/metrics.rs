//! Metrics of real servers, scraped under load: every instrument is there, and tells what was done.

use std::collections::BTreeSet;
use std::net::TcpListener;

use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::*;
use creditledger::metrics::{INSTRUMENTS, Kind};

use super::metrics_rig::{CALLERS, HOLDS, Measured, Scrape, load};
use super::process::Place;
use super::receiver::{Receiver, Reply};
use super::shop_rig::{Stand, until};

/// Instruments of the table that are not in a scrape, apart from those of another engine and of refused callers.
fn missing(scrape: &Scrape, others: &[&str]) -> Vec<String> {
    let names = INSTRUMENTS.iter().map(|instrument| instrument.prometheus_name());
    names.filter(|name| !others.contains(&&**name) && !scrape.types.contains_key(name)).collect()
}

const OF_SQLITE: [&str; 2] = ["creditledger_sqlite_wal_size_bytes", "creditledger_sqlite_checkpoints_total"];
const OF_POSTGRES: [&str; 2] = ["creditledger_sequencer_pending", "creditledger_sequencer_lag_seconds"];
/// What the order that was bought is worth, until it is worked for.
const DEFERRED: [(&str, &str); 2] =
    [("creditledger_account", "deferred_revenue"), ("creditledger_currency", "EUR")];
const OF_REFUSED: &str = "creditledger_access_refusals_total";

/// Puts load on a server and waits until a scrape has everything but `others`.
async fn scraped(stand: &Stand, more: &[&str], others: &[&str]) -> (Measured, Scrape) {
    let measured = Measured::start(stand, more);
    let receiver = Receiver::start(|_| Reply::Status(204, None)).await;
    let refusing = Receiver::start(|_| Reply::Status(500, None)).await;
    for url in [&receiver.url, &refusing.url] {
        stand.place.json(&["webhook", "create", url, "--server", measured.server.url(), "--json"]);
    }
    let channel = measured.server.connect().await;
    let during = {
        let mut done = std::pin::pin!(load(stand, &measured, &channel));
        let mut during = BTreeSet::new();
        loop {
            tokio::select! {
                () = &mut done => break during,
                () = tokio::task::yield_now() => {
                    let scrape = measured.scrape();
                    during.extend(scrape.names().into_iter().map(str::to_owned));
                }
            }
        }
    };
    assert!(during.contains("rpc_server_call_duration_seconds_count"), "{during:?}");
    let status = CustomerServiceClient::new(channel.clone())
        .get_customer(GetCustomerRequest { customer_id: "nobody".to_owned(), ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    let endpoints = [("creditledger_outcome", "taken"), ("creditledger_outcome", "again")];
    let whole = until("a scrape with everything", async || {
        let scrape = measured.scrape();
        let sent =
            |label: &(&str, &str)| scrape.sum("creditledger_outbox_messages_total", &[*label]).is_some();
        let waits = scrape.sum("creditledger_storefront_orders", &[("creditledger_state", "waiting")]);
        let due = scrape.sum("creditledger_storefront_orders", &[("creditledger_state", "due")]);
        let lag = scrape.sum("creditledger_outbox_lag", &[]).is_some();
        // Rows and balances may be some seconds old.
        let deferred = scrape.sum("creditledger_account_money", &DEFERRED);
        let position = scrape.sum("creditledger_journal_position", &[("creditledger_ledger", "main")]);
        let is_new = position == scrape.sum("creditledger_postings_total", &[]) && deferred == Some(20.0);
        let is_whole = missing(&scrape, others).is_empty() && endpoints.iter().all(sent) && lag && is_new;
        (is_whole && waits == Some(1.0) && due == Some(0.0)).then_some(scrape)
    });
    let whole = whole.await;
    (measured, whole)
}

/// What the scrape tells must be what [`load`] did.
fn tells_what_was_done(scrape: &Scrape) {
    let holds = f64::from(u32::try_from(CALLERS * HOLDS).unwrap());
    let method = |name: &'static str, status: &'static str| {
        let labels =
            [("rpc_method", name), ("rpc_response_status_code", status), ("rpc_system_name", "grpc")];
        scrape.sum("rpc_server_call_duration_seconds_count", &labels)
    };
    assert_eq!(method("creditledger.v1.HoldService/PlaceHold", "OK"), Some(holds));
    assert_eq!(method("creditledger.v1.CustomerService/GetCustomer", "NOT_FOUND"), Some(1.0));
    let kind = |name| scrape.sum("creditledger_postings_total", &[("creditledger_kind", name)]);
    assert_eq!(kind("PLACE_HOLD"), Some(holds));
    assert_eq!(kind("PURCHASE_CREDITS"), Some(1.0));
    let postings = scrape.sum("creditledger_postings_total", &[]);
    let main = [("creditledger_ledger", "main")];
    assert_eq!(scrape.sum("creditledger_journal_position", &main), postings, "{}", scrape.text);
    let top_ups = scrape.sum("creditledger_top_ups_total", &[("creditledger_event", "requested")]);
    assert_eq!(top_ups, Some(1.0));
    // Every stage of a batch is measured, as often as a batch was committed.
    let stage =
        |name| scrape.sum("creditledger_batch_duration_seconds_count", &[("creditledger_stage", name)]);
    assert_eq!(stage("append"), stage("commit"));
    assert!(stage("load") >= stage("append") && stage("append") > Some(1.0), "{}", scrape.text);
    let commands = scrape.sum("creditledger_batch_commands_sum", &[]).unwrap();
    assert!(commands >= postings.unwrap() / 2.0, "{commands}");
    let deliveries = |outcome| {
        let labels = [("creditledger_storefront", "shopify"), ("creditledger_outcome", outcome)];
        scrape.sum("creditledger_storefront_deliveries_total", &labels)
    };
    assert_eq!((deliveries("stored"), deliveries("unsigned")), (Some(2.0), Some(1.0)));
    // The books balance, and show what customers are owed.
    assert_eq!(scrape.sum("creditledger_account_credits", &main).map(f64::round), Some(0.0));
    let eur = [("creditledger_currency", "EUR")];
    assert_eq!(scrape.sum("creditledger_account_money", &eur).map(f64::round), Some(0.0));
    assert_eq!(scrape.sum("creditledger_account_money", &DEFERRED), Some(20.0));
    assert_eq!(scrape.sum("creditledger_sample_failures_total", &[]), Some(0.0));
    assert_eq!(scrape.sum("creditledger_queue_commands", &[]), Some(0.0));
    assert_eq!(scrape.sum("creditledger_outbox_endpoints", &[]), Some(2.0));
}

/// Names, types, labels and their bounds are those of the table.
fn fits_the_table(scrape: &Scrape) {
    let of = |name: &str| {
        INSTRUMENTS
            .iter()
            .find(|instrument| instrument.prometheus_name() == *name)
            .unwrap_or_else(|| panic!("{name}"))
    };
    for (name, kind) in &scrape.types {
        let instrument = of(name);
        let expected = match instrument.kind {
            Kind::Counter | Kind::Total => "counter",
            Kind::Histogram(_) => "histogram",
            Kind::Gauge => "gauge",
        };
        assert_eq!(kind, expected, "{name}");
        assert!(scrape.text.contains(&format!("# HELP {name} {}\n", instrument.description)), "{name}");
        let mut labels: BTreeSet<String> =
            scrape.labels(name).keys().map(|label| (*label).to_owned()).collect();
        labels.remove("le");
        let told: BTreeSet<String> =
            instrument.attributes.iter().map(|name| name.replace('.', "_")).collect();
        assert_eq!(labels, told, "{name}");
    }
    // No customer and no caller is a label.
    assert!(!scrape.text.contains("\"c0\"") && !scrape.text.contains("acme"), "{}", scrape.text);
    // 1 MiB is far more than a scrape of few ledgers has.
    assert!(scrape.text.len() < 1 << 20, "{}", scrape.text.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_scrape_under_load_has_every_instrument_and_tells_what_was_done() {
    let stand = Stand::new();
    let (measured, scrape) = scraped(&stand, &[], &[&OF_POSTGRES[..], &[OF_REFUSED]].concat()).await;
    fits_the_table(&scrape);
    tells_what_was_done(&scrape);
    assert!(scrape.sum(OF_SQLITE[0], &[]) > Some(0.0));
    let facts = [("version", env!("CARGO_PKG_VERSION")), ("engine", "sqlite")];
    assert_eq!(scrape.sum("creditledger_build_info", &facts), Some(1.0));
    let start = scrape.sum("process_start_time_seconds", &[]).unwrap();
    let now = jiff::Timestamp::now().as_second();
    assert!(start > 0.0 && start < f64::from(u32::try_from(now + 1).unwrap()), "{start}");
    // What was long ago is in no bucket below it: the histogram begins at 10 us.
    let least = [("le", "0.00001"), ("rpc_method", "creditledger.v1.HoldService/PlaceHold")];
    assert_eq!(scrape.sum("rpc_server_call_duration_seconds_bucket", &least), Some(0.0));
    measured.server.stop();
    stand.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres_the_sequencer_is_measured() {
    let Some(stand) = Stand::on_postgres().await else { return };
    let (_measured, scrape) = scraped(&stand, &[], &[&OF_SQLITE[..], &[OF_REFUSED]].concat()).await;
    fits_the_table(&scrape);
    tells_what_was_done(&scrape);
    let lag = scrape.sum(OF_POSTGRES[1], &[]).unwrap();
    assert!((0.0..60.0).contains(&lag), "{lag}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_callers_are_counted_by_reason() {
    let stand = Stand::new();
    let measured = Measured::start(&stand, &["--authenticate"]);
    let mut client = LedgerServiceClient::new(measured.server.connect().await);
    for _ in 0..3 {
        let refused = client.get_balance(GetBalanceRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    }
    let scrape = measured.scrape();
    let reason = [("creditledger_reason", "UNAUTHENTICATED")];
    assert_eq!(scrape.sum(OF_REFUSED, &reason), Some(3.0));
    let status = [("rpc_response_status_code", "UNAUTHENTICATED")];
    assert_eq!(scrape.sum("rpc_server_call_duration_seconds_count", &status), Some(3.0));
    fits_the_table(&scrape);
}

#[test]
fn what_is_no_scrape_is_refused_and_a_silent_sender_keeps_nobody_out() {
    let stand = Stand::new();
    let measured = Measured::start(&stand, &[]);
    let status = |request: &str| measured.answer(request).0.lines().next().unwrap_or_default().to_owned();
    assert_eq!(status("GET / HTTP/1.1\r\nhost: x\r\n\r\n"), "HTTP/1.1 404 Not Found");
    assert_eq!(
        status("POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"),
        "HTTP/1.1 405 Method Not Allowed"
    );
    let long = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    assert!(!status(&long).contains(" 200 "), "{}", status(&long));
    let silent = std::net::TcpStream::connect(&measured.address).unwrap();
    measured.scrape();
    drop(silent);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let place = Place::new();
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", &taken]);
    assert!(ended.complaint().contains(&format!("cannot listen for metrics on {taken}")), "{}", ended.stderr);
    assert!(!place.path("creditledger.db").exists());
}

#[test]
fn without_an_address_nothing_is_served() {
    let place = Place::new();
    let server = place.serve();
    let ended = server.stop();
    assert_eq!(ended.stdout, "", "a fourth line would name an address");
}

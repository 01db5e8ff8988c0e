//! A server comes up, says so, and ends in order.

use std::time::{Duration, SystemTime};

use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::{PostingKind, StreamJournalRequest};
use prost_types::Timestamp;
use tokio_stream::wrappers::ReceiverStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::process::{Place, Server};

#[test]
fn it_says_what_it_is_where_it_listens_and_on_which_database() {
    let place = Place::new();
    let server = place.serve();
    let [what, address, database] = &server.said;
    assert!(what.starts_with(concat!("creditledger ", env!("CARGO_PKG_VERSION"), ": ")), "{what}");
    assert!(address.starts_with("listening on http://127.0.0.1:"), "{address}");
    assert_eq!(database, "database sqlite://./creditledger.db");
    server.stop();
    assert!(place.verify().contains(" 0 postings"));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_it_in_order_with_open_streams_and_idle_connections() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let server = place.serve();
        let channel = server.connect().await;
        let mut health = HealthClient::new(channel.clone());
        let all = HealthCheckRequest { service: String::new() };
        let status = health.check(all.clone()).await.unwrap().into_inner();
        assert_eq!(status.status(), ServingStatus::Serving);
        let mut watch = health.watch(all).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        let follow = StreamJournalRequest { follow: true, ..Default::default() };
        let mut journal =
            LedgerServiceClient::new(channel.clone()).stream_journal(follow).await.unwrap().into_inner();
        let idle = server.connect().await;

        server.process.signal(signal);
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert!(watch.message().await.unwrap().is_none());
        // The stream ends, with or without a word; it does not hang.
        while let Ok(Some(_)) = journal.message().await {}
        let ended = server.process.end();
        assert!(ended.status.success(), "{signal}: {:?} {}", ended.status, ended.stderr);
        assert!(
            ended.stderr.contains(if signal == "TERM" { "SIGTERM" } else { "Ctrl-C" }),
            "{}",
            ended.stderr
        );
        drop(idle);
        place.verify();
    }
}

#[test]
fn a_hangup_ends_no_server_that_has_nothing_to_read_again() {
    let place = Place::new();
    let server = place.serve();
    for nth in 1..=2 {
        server.process.signal("HUP");
        let told = |log: &str| log.matches("SIGHUP: nothing is read again").count() == nth;
        assert!(server.process.logs(Duration::from_mins(1), told), "{nth}");
    }
    place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    server.stop();
    place.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_is_cut_off() {
    let place = Place::new();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--shutdown-timeout-ms", "200"];
    let server = Server::start(place.command(&arguments));
    // Reflection waits for more questions as long as the caller keeps its side open.
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let (ask, questions) = tokio::sync::mpsc::channel(1);
    ask.send(question).await.unwrap();
    let mut reflection = ServerReflectionClient::new(server.connect().await);
    let answers = reflection.server_reflection_info(ReceiverStream::new(questions)).await.unwrap();
    let mut answers = answers.into_inner();
    assert!(answers.message().await.unwrap().is_some());
    let ended = server.stop();
    assert!(ended.stderr.contains("cut off"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_applied_to_customers_that_send_nothing() {
    let place = Place::new();
    let server =
        Server::start(place.command(&["serve", "--listen", "127.0.0.1:0", "--expiry-interval-ms", "10"]));
    let ask = |arguments: &[&str]| place.json(&[arguments, &["--server", server.url(), "--json"]].concat());
    ask(&["customer", "create", "acme"]);
    ask(&["purchase", "acme", "10", "--order", "1"]);
    let soon = Timestamp::from(SystemTime::now() + Duration::from_secs(1)).to_string();
    assert_eq!(ask(&["hold", "place", "acme", "I", "--credits", "4", "--expires-at", &soon])["held"], "4");
    let follow = StreamJournalRequest { follow: true, ..Default::default() };
    let mut client = LedgerServiceClient::new(server.connect().await);
    let mut journal = client.stream_journal(follow).await.unwrap().into_inner();
    loop {
        let posting = journal.message().await.unwrap().unwrap().posting.unwrap();
        if posting.kind() == PostingKind::ExpireHold {
            assert_eq!(posting.balance_after.unwrap().available_credits, "10");
            break;
        }
    }
    drop((journal, client));
    server.stop();
    place.verify();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let place = Place::new();
    let server = place.serve();
    let other = Place::new();
    let ended = other.run(&["serve", "--listen", server.address()]);
    let expected = format!("creditledger: cannot listen on {}: ", server.address());
    assert!(ended.complaint().starts_with(&expected), "{}", ended.stderr);
    assert!(!other.path("creditledger.db").exists());
    server.stop();
}

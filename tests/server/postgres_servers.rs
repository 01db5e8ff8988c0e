//! Several servers on one PostgreSQL database: a replay over all of them comes to what one server on SQLite comes to,
//! and readers of one server hear of what others commit, whoever dies.

use std::time::Duration;

use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::{PurchaseCreditsRequest, context};
use sqlx::{Connection as _, PgConnection};

use super::postgres;
use super::postgres_rig::{Book, Journal, Site};
use super::process::{Server, incidents};
use super::replay::incidents_of_all_kinds;

/// A replay over three servers, checked from outside while it runs and afterwards.
async fn three_servers(csv: String, isolation: &'static str) {
    let book = Book::of(csv).await;
    let site = Site::new().await.at(isolation);
    let servers = [site.serve(), site.serve(), site.serve()];
    let replay = site.replay(&book, &servers);
    let mut journal = Journal::default();
    for (part, server) in (1..).zip(&servers) {
        journal.reach(server, book.postings * part / 4).await;
        site.verify();
    }
    book.must_be_in(&site, replay).await;
    for server in &servers {
        // Each tells the same journal to its end.
        let mut journal = Journal::default();
        journal.reach(server, book.postings).await;
    }
    for server in servers {
        server.stop();
    }
    // Again by servers that have seen nothing of it: nothing changes.
    let servers = [site.serve(), site.serve()];
    let replay = site.replay(&book, &servers);
    book.must_be_in(&site, replay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_over_three_servers_comes_to_the_same() {
    if postgres::available() {
        three_servers(incidents_of_all_kinds(), "read-committed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_over_three_servers_comes_to_the_same_when_serializable() {
    if postgres::available() {
        three_servers(incidents(120, 15), "serializable").await;
    }
}

/// Who has the lease, and whether it still counts.
async fn lease(url: &str) -> (uuid::Uuid, bool) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let look = "SELECT holder, held_until > EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 FROM sequencer";
    sqlx::query_as(look).fetch_one(&mut connection).await.unwrap()
}

async fn purchase(server: &Server, number: usize) {
    let request = PurchaseCreditsRequest {
        context: Some(context(format!("request-{number}"), "acme")),
        storefront: "web".into(),
        order_id: format!("order-{number}"),
        credits: "1".into(),
        ..Default::default()
    };
    PurchaseServiceClient::new(server.connect().await).purchase_credits(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_when_the_server_with_the_lease_dies() {
    if !postgres::available() {
        return;
    }
    let site = Site::new().await;
    let first = site.serve();
    site.place.json(&["customer", "create", "acme", "--server", first.url(), "--json"]);
    let mut journal = Journal::default();
    journal.reach(&first, 1).await;
    let (first_id, _) = lease(&site.url).await;
    let second = site.serve();
    // Whoever places it: the first one asks for its own lease again where it has run out.
    let mut number = 0;
    let mut holds_it = false;
    while !holds_it {
        number += 1;
        assert!(number < 1_000, "the first server never has the lease");
        purchase(&first, number).await;
        holds_it = lease(&site.url).await == (first_id, true);
    }
    let survives = async {
        // The last of these may have no place yet.
        purchase(&first, number + 1).await;
        first.process.signal("KILL");
        for more in 2..12 {
            purchase(&second, number + more).await;
        }
        // The customer, and all purchases.
        journal.reach(&second, i64::try_from(number + 12).unwrap()).await;
    };
    tokio::time::timeout(Duration::from_secs(5), survives).await.expect("nobody places what comes");
    let orders: Vec<_> = journal.read.iter().skip(1).map(|posting| posting.request_id.clone()).collect();
    let expected: Vec<_> = (1..number + 12).map(|number| format!("request-{number}")).collect();
    assert_eq!(orders, expected);
    assert_ne!(lease(&site.url).await.0, first_id);
    assert!(!first.process.end().status.success());
    site.verify();
}

//! kill -9 in the middle of a replay: what was acknowledged stays, and the replay goes on where it was.

use creditledger::grpc::wire::StreamJournalRequest;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use serde_json::Value;

use super::process::{Place, Running, Server, decimal, expected_charge, incidents};
use super::replay::totals;

/// Waits until the journal has so many postings.
pub async fn reaches(server: &Server, postings: i64) {
    let follow = StreamJournalRequest { follow: true, ..Default::default() };
    let mut client = LedgerServiceClient::new(server.connect().await);
    let mut journal = client.stream_journal(follow).await.unwrap().into_inner();
    while let Some(next) = journal.message().await.unwrap() {
        if next.posting.unwrap().position >= postings {
            return;
        }
    }
    panic!("the journal has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_same_replay_ends_with_the_same_totals() {
    let csv = incidents(300, 20);
    let undisturbed = Place::new();
    undisturbed.write("i.csv", &csv);
    let expected = undisturbed.json(&["replay", "i.csv", "--json"]);
    assert_eq!(expected["credits_charged"], decimal(expected_charge(&csv)));
    assert_eq!(expected["verified"], true);

    let place = Place::new();
    place.write("i.csv", &csv);
    for postings in [150, 400, 700] {
        let server = place.serve();
        let replay = Running::start(place.command(&["replay", "i.csv", "--server", server.url()]));
        reaches(&server, postings).await;
        server.process.signal("KILL");
        replay.signal("KILL");
        assert!(!server.process.end().status.success());
        assert!(!replay.end().status.success());
        place.verify();
    }
    let server = place.serve();
    for _ in 0..2 {
        let summary = place.json(&["replay", "i.csv", "--server", server.url(), "--json"]);
        assert_eq!(totals(&summary), totals(&expected));
        assert_eq!(summary["verified"], true);
    }
    server.stop();
    place.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_the_server_it_talks_to() {
    let csv = incidents(200, 20);
    let place = Place::new();
    place.write("i.csv", &csv);
    let server = place.serve();
    let address = server.address().to_owned();
    let replay = Running::start(place.command(&["replay", "i.csv", "--json", "--server", server.url()]));
    reaches(&server, 200).await;
    server.process.signal("KILL");
    assert!(!server.process.end().status.success());
    let server = place.serve_on(&address);
    let ended = replay.end();
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    let summary: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(summary["credits_charged"], decimal(expected_charge(&csv)));
    server.stop();
    place.verify();
}

//! `replay` on its own server: the totals, in any parallelism, any number of times; and files that do not parse.

use std::collections::BTreeMap;

use creditledger::ledger::Balances;
use serde_json::Value;

use super::process::{Place, Running, Server, decimal, expected_charge, incidents};

/// Real incidents, where they are present beside the repository. The repository does not carry them.
const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/incidents.csv");

/// Generated incidents, and where they are present the first of the real ones, which is enough for all that can happen.
pub fn incidents_of_all_kinds() -> String {
    let mut csv = incidents(250, 30);
    if let Ok(real) = std::fs::read_to_string(REAL) {
        csv.extend(real.split_inclusive('\n').skip(1).take(250));
    }
    csv
}

/// What two runs over the same file must agree on.
pub fn totals(summary: &Value) -> [&Value; 6] {
    [
        "incidents",
        "purchases",
        "credits_purchased",
        "credits_charged",
        "credits_written_off",
        "credits_available",
    ]
    .map(|name| &summary[name])
}

/// Balances and number of postings of each customer in a database.
pub async fn customers(url: &str) -> BTreeMap<String, (Balances, u64)> {
    let database = creditledger::store::open_to_read(url).await.unwrap();
    let customers = database.stored_customers(None, 1_000).await.unwrap();
    assert!(customers.len() < 1_000);
    customers
        .into_iter()
        .map(|customer| (customer.id.to_string(), (customer.balances, customer.sequence)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_at_a_time_or_many_the_results_are_the_same() {
    let csv = incidents_of_all_kinds();
    let count = csv.lines().count() - 1;
    let mut seen = Vec::new();
    for concurrency in ["1", "64"] {
        let place = Place::new();
        place.write("i.csv", &csv);
        let url = place.url();
        let arguments = ["replay", "i.csv", "--json", "--concurrency", concurrency, "--database-url", &url];
        let summary = place.json(&arguments);
        assert_eq!(summary["incidents"], count);
        assert_eq!(summary["credits_charged"], decimal(expected_charge(&csv)));
        assert_eq!((&summary["credits_written_off"], &summary["verified"]), (&"0".into(), &true.into()));
        let first = customers(&url).await;
        // Again, on what the first run has kept: nothing changes.
        let again = place.json(&arguments);
        for name in ["purchases", "credits_purchased", "credits_charged", "credits_available", "verified"] {
            assert_eq!(again[name], summary[name], "{name}");
        }
        assert_eq!(customers(&url).await, first);
        seen.push((first, summary["purchases"].clone(), summary["credits_available"].clone()));
    }
    assert_eq!(seen[0], seen[1]);
}

/// The engine in memory forgets with its server, so the server is asked while it runs.
#[test]
fn the_reference_engine_comes_to_the_same() {
    let place = Place::new();
    let csv = incidents(120, 15);
    place.write("i.csv", &csv);
    let server =
        Server::start(place.command(&["serve", "--listen", "127.0.0.1:0", "--database-url", "memory:"]));
    let summary = place.json(&["replay", "i.csv", "--json", "--server", server.url()]);
    assert_eq!(summary["credits_charged"], decimal(expected_charge(&csv)));
    assert_eq!(summary["verified"], true);
    server.stop();
}

/// Started half hours, at least one, a credit each: from the columns of the file and nothing else, in hundredths.
fn half_hours(csv: &str) -> u64 {
    let worked = csv.lines().skip(1).map(|line| line.split(',').nth(4).unwrap().parse::<u64>().unwrap());
    worked.map(|minutes| minutes.max(1).div_ceil(30) * 100).sum()
}

#[test]
fn another_rate_card_comes_to_its_own_total() {
    let place = Place::new();
    let csv = incidents_of_all_kinds();
    let count = csv.lines().count() - 1;
    place.write("i.csv", &csv);
    let url = place.url();
    let arguments = ["replay", "i.csv", "--json", "--rate-card", "half-hour", "--database-url", &url];
    let summary = place.json(&arguments);
    assert_eq!((&summary["incidents"], &summary["verified"]), (&count.into(), &true.into()));
    assert_eq!(summary["credits_charged"], decimal(half_hours(&csv)));
    // A second run finds the card and the charges there.
    assert_eq!(totals(&place.json(&arguments)), totals(&summary));
    place.verify();
}

#[test]
fn the_url_of_the_database_may_stand_in_a_file() {
    let place = Place::new();
    place.write("i.csv", &incidents(10, 2));
    place.write("url", &place.url());
    let summary = place.json(&["replay", "i.csv", "--database-url-file", "url", "--json"]);
    assert_eq!(summary["verified"], true);
    place.verify();
    let url = place.url();
    let ended = place.run(&["replay", "i.csv", "--database-url-file", "url", "--database-url", &url]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    let ended = place.run(&["replay", "i.csv", "--database-url-file", "none"]);
    assert!(
        ended.complaint().contains("--database-url-file names none, which cannot be read: "),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_summary_for_people() {
    let place = Place::new();
    let csv = incidents(40, 4);
    place.write("i.csv", &csv);
    let mut command = place.command(&["replay", "i.csv"]);
    // Neither a server that the client commands talk to nor a server's settings are the replay's.
    command.env("CREDITLEDGER_SERVER", "http://192.0.2.1:1").env("CREDITLEDGER_LISTEN", "192.0.2.1:1");
    let ended = Running::start(command).end();
    assert!(ended.status.success(), "{}", ended.stderr);
    let charged = format!("charged       {} credits\n", decimal(expected_charge(&csv)));
    assert!(ended.stdout.starts_with("incidents     40, all settled\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains(&charged) && ended.stdout.contains("█"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nverify        clean: "), "{}", ended.stdout);
    // No bar where it is not a terminal, and no database where none was asked for.
    assert_eq!(ended.stderr, "");
    assert!(!place.path("creditledger.db").exists());
}

#[test]
fn a_file_that_does_not_parse_is_not_sent() {
    let place = Place::new();
    let good = incidents(20, 3);
    let url = place.url();
    for (csv, complaint) in [
        (
            good.replace("INC00007", "INC00003"),
            "i.csv: line 9, column 1 (incident_id): INC00003 is on line 5 already",
        ),
        (good[..good.len() - 5].to_owned(), "i.csv: line 21, column 7 (closed_at): must be an RFC 3339 time"),
        (good[..good.len() - 30].to_owned(), "i.csv: line 21, column 7 (closed_at): is missing"),
        (good.replace("worked_minutes", "worked"), "i.csv: line 1: the header has no column worked_minutes"),
        (String::new(), "i.csv: line 1: the header is missing"),
    ] {
        place.write("i.csv", &csv);
        let ended = place.run(&["replay", "i.csv", "--database-url", &url]);
        assert!(ended.complaint().starts_with(&format!("creditledger: {complaint}")), "{}", ended.stderr);
        assert!(!place.path("creditledger.db").exists());
    }
    let ended = place.run(&["replay", "none.csv"]);
    assert!(ended.complaint().starts_with("creditledger: none.csv cannot be read: "), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_settled_is_left_over_and_said() {
    let place = Place::new();
    let csv = incidents(10, 2);
    place.write("i.csv", &csv);
    let server = place.serve();
    place.json(&["customer", "create", "customer-0", "--server", server.url(), "--json"]);
    place.json(&["customer", "close", "customer-0", "--server", server.url(), "--json"]);
    let ended = place.run(&["replay", "i.csv", "--server", server.url()]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stdout.starts_with("incidents     10, only 5 settled\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("CUSTOMER_CLOSED"), "{}", ended.stdout);
    assert!(ended.stdout.contains("verify        clean, over the API: "), "{}", ended.stdout);
    server.stop();
    place.verify();
}

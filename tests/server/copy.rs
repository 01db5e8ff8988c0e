//! `creditledger copy`: killed in the middle it goes on, and what it refuses it refuses in one line.

use std::sync::Arc;
use std::time::Instant;

use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::decide::decide;
use creditledger::ledger::{LedgerNo, Request, RequestKey, Text};
use creditledger::store::{KeptOrder, OrderState, Settings, open};
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::process::{PATIENCE, Place, Running};
use crate::desk::{START, id, place, purchase, said, work};

/// More than a page of everything.
const CUSTOMERS: usize = 1_200;

/// A source with 4 postings a customer, closed. Returns how many there are.
async fn fill(url: &str) -> i64 {
    let mut engine = open(url, START, &Settings::default()).await.unwrap();
    let writer = &mut engine.writers[0];
    let mut cards = Arc::new(creditledger::cards::built_in());
    let commands: [fn(usize) -> Command; 4] = [
        |_| Command::CreateCustomer(CreateCustomer::default()),
        |customer| purchase(&format!("order-{customer}"), "10"),
        |_| place("i1", "2.5"),
        |_| work("i1", 30),
    ];
    for (nth, command) in commands.iter().enumerate() {
        let requests: Vec<Request> = (0..CUSTOMERS)
            .map(|customer| Request {
                ledger: LedgerNo::MAIN,
                customer: id(&format!("customer-{customer}")),
                request: Some(RequestKey::parse(&format!("request {nth} {customer}")).unwrap()),
                said: said(),
                command: command(customer),
            })
            .collect();
        for batch in requests.chunks(400) {
            let batch: Vec<&Request> = batch.iter().collect();
            let mut book = writer.load(&batch, START, 7, &mut cards).await.unwrap();
            for request in batch {
                decide(&mut book, request).unwrap().unwrap();
            }
            writer.append(&book).await.unwrap();
        }
    }
    for first in (1..=CUSTOMERS).step_by(300) {
        let orders = (first..first + 300).map(|number| KeptOrder {
            id: Uuid::from_u128(number as u128),
            ledger: LedgerNo::MAIN,
            storefront: id("web"),
            names: vec![Text::parse(&format!("pi_{number}")).unwrap()],
            state: OrderState::Settled,
            due_at: START,
            revision: 1,
            body: vec![7; 300],
        });
        let mut tx = engine.orders.begin(START).await.unwrap();
        tx.put(&orders.collect::<Vec<_>>()).await.unwrap();
        tx.commit().await.unwrap();
    }
    engine.writers[0].close().await.unwrap();
    i64::try_from(CUSTOMERS * commands.len()).unwrap()
}

/// Postings in the database of a place, `None` while there is none to look into.
fn postings(place: &Place) -> Option<i64> {
    let database =
        Connection::open_with_flags(place.path("creditledger.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    database.query_row("SELECT COUNT(*) FROM posting", [], |row| row.get(0)).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_is_finished_by_running_it_again() {
    let (source, target) = (Place::new(), Place::new());
    let (from, to) = (source.url(), target.url());
    let total = fill(&from).await;
    let copy = ["copy", "--from", &from, "--to", &to];
    for seen in [1, 3_000] {
        let running = Running::start(target.command(&copy));
        let begun = Instant::now();
        while postings(&target).is_none_or(|postings| postings < seen) {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        running.signal("KILL");
        assert!(!running.end().status.success());
        let there = postings(&target).unwrap();
        assert!((seen..=total).contains(&there), "{there}");
        // Whoever else opens it is told what it is.
        for (command, status) in
            [(&["serve", "--listen", "127.0.0.1:0"][..], 1), (&["verify"], 2), (&["migrate"], 1)]
        {
            let ended = target.run(command);
            let complaint = ended.complaint_with(status);
            assert!(complaint.contains("is an unfinished copy; run the same"), "{command:?}: {complaint}");
        }
    }
    let copied = target.json(&["copy", "--from", &from, "--to", &to, "--json"]);
    assert_eq!(copied["verified"], true);
    assert_eq!((&copied["postings"], &copied["ledgers"]), (&total.into(), &1.into()));
    assert_eq!((&copied["customers"], &copied["holds"]), (&CUSTOMERS.into(), &CUSTOMERS.into()));
    assert_eq!((&copied["lots"], &copied["orders"]), (&CUSTOMERS.into(), &CUSTOMERS.into()));
    assert_eq!(copied["storefront_orders"], CUSTOMERS);
    let digest = copied["journal_sha256"].as_str().unwrap();
    assert!(digest.len() == 64 && digest.chars().all(|digit| digit.is_ascii_hexdigit()), "{digest}");
    assert_eq!(target.verify(), source.verify());

    // It is a database like any other: it can be served, and copied, and not copied to.
    let again = Place::new();
    let ended = again.run(&["copy", "--from", &to, "--to", &again.url()]);
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", ended.stderr);
    assert_eq!(
        ended.stdout,
        format!(
            "copied and verified: {total} postings of 1 ledger, {CUSTOMERS} customers, {CUSTOMERS} holds, {CUSTOMERS} \
             lots, {CUSTOMERS} orders, {CUSTOMERS} entries of work, {CUSTOMERS} kept orders of storefronts; journal sha256 {digest}\n"
        )
    );
    let server = target.serve();
    let buy =
        ["purchase", "customer-7", "5", "--order", "after-the-move", "--server", server.url(), "--json"];
    let answer = target.json(&buy);
    assert_eq!((&answer["available"], &answer["sequence"]), (&"12.5".into(), &5.into()));
    let complaint = source.run(&copy);
    assert!(complaint.complaint().contains("another creditledger has"), "{}", complaint.stderr);
    server.stop();
    target.verify();
    let complaint = source.run(&copy);
    assert!(complaint.complaint().contains("the target is not empty"), "{}", complaint.stderr);
}

/// A password in a URL is on no command line then.
#[test]
fn the_urls_of_both_databases_may_stand_in_files() {
    let (source, target) = (Place::new(), Place::new());
    let migrated = source.run(&["migrate"]);
    assert!(migrated.status.success(), "{}", migrated.stderr);
    target.write("from", &format!("{}\n", source.url()));
    target.write("to", &target.url());
    let copied = target.json(&["copy", "--from-file", "from", "--to-file", "to", "--json"]);
    assert_eq!((&copied["verified"], &copied["postings"]), (&true.into(), &0.into()));
    target.verify();
    let (from, to) = (source.url(), target.url());
    target.write("empty", "\n");
    for (arguments, told) in [
        (["--from-file", "none", "--to", &to], "--from-file names none, which cannot be read: "),
        (["--from", &from, "--to-file", "none"], "--to-file names none, which cannot be read: "),
        (["--from", &from, "--to-file", "empty"], "--to-file names empty, a secret that is empty"),
    ] {
        let ended = target.run(&[&["copy"], &arguments[..]].concat());
        assert!(ended.complaint().contains(told), "{}", ended.stderr);
    }
    for (arguments, told) in [
        (&["--from-file", "from"][..], "--to <URL>"),
        (&["--to-file", "to"], "--from <URL>"),
        (&["--from", &from, "--from-file", "from", "--to", &to], "'--from <URL>' cannot be used with"),
    ] {
        let ended = target.run(&[&["copy"], arguments].concat());
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
}

#[test]
fn ends_that_cannot_be_are_refused_in_one_line() {
    let place = Place::new();
    let database = place.url();
    let complaints = [
        (&database, &database, "--from and --to name the same database"),
        (&database, &"sqlite:new.db".to_owned(), "there is no database"),
        (&"memory:".to_owned(), &database, "memory: is gone with its server"),
        (&database, &"memory:".to_owned(), "memory: is gone with its server"),
        (&database, &"mysql://host/db".to_owned(), "the database URL must begin with"),
    ];
    for (from, to, told) in complaints {
        let ended = place.run(&["copy", "--from", from, "--to", to]);
        assert!(ended.complaint().contains(told), "{}", ended.stderr);
    }
    assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), 0, "nothing was made");
}

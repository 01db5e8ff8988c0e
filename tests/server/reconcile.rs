//! `creditledger reconcile` with a real server: the files that shops export, and what the ledger has of them.

use std::fmt::Write as _;

use serde_json::Value;

use super::crash::reaches;
use super::process::{Ended, Place, Running, Server};

/// A server with the customers acme and globex, and one order, `#1001` of acme.
fn serve(place: &Place) -> Server {
    let server = place.serve();
    for customer in ["acme", "globex"] {
        run(place, &server, &["customer", "create", customer]);
    }
    let order = ["purchase", "acme", "10", "--storefront", "web", "--order", "#1001", "--price", "20.00 EUR"];
    run(place, &server, &order);
    server
}

/// Runs a client command that must succeed.
fn run(place: &Place, server: &Server, arguments: &[&str]) -> Ended {
    let ended = place.run(&[arguments, &["--server", server.url()]].concat());
    assert!(ended.status.success(), "{arguments:?}: {}", ended.stderr);
    ended
}

fn reconcile(place: &Place, server: &Server, csv: &str, more: &[&str]) -> Ended {
    place.write("orders.csv", csv);
    let arguments = ["reconcile", "web", "orders.csv", "--json", "--server", server.url()];
    place.run(&[&arguments, more].concat())
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr))
}

#[test]
fn files_are_read_as_spreadsheets_and_shops_write_them() {
    let place = Place::new();
    let server = serve(&place);
    let plain =
        "order_id,customer_id,credits,amount,currency_code\n#1001,acme,10,20.00,EUR\n#1002,acme,5,,\n";
    let seen = |csv: &str| {
        let ended = reconcile(&place, &server, csv, &[]);
        let answer = json(&ended);
        assert_eq!(answer["matched"], 1, "{csv}: {answer}");
        assert_eq!(answer["missing_in_ledger"], serde_json::json!(["#1002"]), "{csv}: {answer}");
        ended
    };
    seen(plain);
    seen(&format!("\u{feff}{}", plain.replace('\n', "\r\n")));
    seen(&plain.replace(',', ";"));
    seen(&format!("{}\n\r\n,,,,\n", plain.replace("acme", "\"acme\"")));
    seen("currency_code,credits,amount,customer_id,order_id\nEUR,10,20,acme,#1001\n,5,,acme,#1002\n");
    seen("order_id\n#1001\n#1002\n");
    let told = seen("Note,order_id,Email\n\"two\nlines\",#1001,a@x.test\n,#1002,\n").stderr;
    assert_eq!(told, "columns that are not read: Note, Email\n");
    server.stop();
}

#[test]
fn what_is_wrong_with_a_file_is_named_by_line_and_column() {
    let place = Place::new();
    let server = serve(&place);
    let mut late = "order_id,credits\n".to_owned();
    for order in 0..2_500 {
        writeln!(late, "{order},1").unwrap();
    }
    for (csv, told) in [
        ("", "line 1: the header is missing: order_id,customer_id,credits,amount,currency_code"),
        ("Name,Email\n1,a\n", "line 1: the header has no column order_id"),
        ("order_id,credits,order_id\n", "line 1, column 3 (order_id): comes twice"),
        ("order_id\n\"#1\n", "line 2, column 1 (order_id): has a quote that is never closed"),
        (
            "note,order_id\n\"a\nb\",#1\nx,a b\n",
            "line 4, column 2 (order_id): must consist of letters, digits and ._:@-#",
        ),
        (
            "order_id,credits\n#1,1\n#2,1\n#1,2\n",
            "line 4, column 1 (order_id): #1 is on line 2 already, with other content",
        ),
        (&format!("{late}x,-1\n"), "line 2502, column 2 (credits): must be more than 0"),
        (
            &format!("{late}7,2\n"),
            "line 2502, column 1 (order_id): 7 is on line 9 already, with other content",
        ),
    ] {
        let ended = reconcile(&place, &server, csv, &[]);
        assert_eq!(ended.complaint(), format!("creditledger: orders.csv: {told}"));
        assert_eq!(ended.stdout, "");
    }
    server.stop();
}

fn available(place: &Place, server: &Server, customer: &str) -> String {
    let ended = run(place, server, &["balance", customer, "--json"]);
    json(&ended)["available"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_missing_is_recorded_once_and_what_differs_is_left() {
    let place = Place::new();
    let server = serve(&place);
    let csv = "order_id,customer_id,credits,amount,currency_code\n\
               #1001,acme,11,20.00,EUR\n#1002,acme,5,10.00,EUR\n#1003,globex,2.5,,\n#1004,,5,,\n#1005,acme,,1.00,EUR\n\
               #1006,nobody,1,,\n#1007,,,,\n";
    let found = reconcile(&place, &server, csv, &[]);
    assert_eq!((found.status.code(), &json(&found)["missing_in_ledger_count"]), (Some(3), &6.into()));
    assert_eq!(available(&place, &server, "acme"), "10", "nothing is recorded unless asked for");

    let done = reconcile(&place, &server, csv, &["--apply"]);
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    let first = done.stderr.lines().next().unwrap();
    assert_eq!(first, "orders to record (storefront web, ledger main): 3");
    assert!(done.stderr.contains("\"order_id\":\"#1002\""), "{}", done.stderr);
    let sums = json(&done);
    assert_eq!(sums["recorded"], 2, "{sums}");
    assert_eq!((&sums["recorded_credits"], &sums["different_count"]), (&"7.5".into(), &1.into()));
    let reasons: Vec<_> =
        sums["not_recorded"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    for (order, why) in [
        ("#1004", "the file has no customer_id"),
        ("#1005", "the file has no credits"),
        ("#1007", "the file has no customer_id and no credits"),
        ("#1006", "CUSTOMER_NOT_FOUND: "),
    ] {
        assert!(
            reasons.iter().any(|told| told.starts_with(&format!("{order}: {why}"))),
            "{order}: {reasons:?}"
        );
    }
    assert_eq!(available(&place, &server, "acme"), "15", "the order that differs is as it was");
    assert_eq!(available(&place, &server, "globex"), "2.5");

    // Again: only what could not be recorded is left.
    let again = json(&reconcile(&place, &server, csv, &["--apply", "--yes"]));
    assert_eq!((&again["recorded"], &again["not_recorded_count"]), (&0.into(), &4.into()), "{again}");
    assert_eq!(available(&place, &server, "acme"), "15");
    // Once the customer exists, its order is recorded. A list that agrees with the ledger ends with 0.
    run(&place, &server, &["customer", "create", "nobody"]);
    let whole =
        "order_id,customer_id,credits\n#1001,acme,10\n#1002,acme,5\n#1003,globex,2.5\n#1006,nobody,1\n";
    let done = reconcile(&place, &server, whole, &["--apply"]);
    assert_eq!((done.status.code(), &json(&done)["recorded"]), (Some(0), &1.into()), "{}", done.stderr);
    assert_eq!(reconcile(&place, &server, whole, &[]).status.code(), Some(0));
    let table = place.run(&["reconcile", "web", "orders.csv", "--server", server.url(), "--apply"]);
    assert!(table.status.success() && table.stdout.contains("not_recorded_count"), "{}", table.stdout);
    assert_eq!(reconcile(&place, &server, whole, &["--yes"]).status.code(), Some(2), "--yes is for --apply");
    server.stop();
    place.verify();
}

#[test]
fn a_price_in_the_list_is_the_price_of_the_purchase() {
    let place = Place::new();
    let server = serve(&place);
    let csv =
        "order_id;customer_id;credits;amount;currency_code\n#1001;acme;10;20.00;EUR\n#1002;acme;5;9.90;EUR\n";
    assert_eq!(reconcile(&place, &server, csv, &["--apply"]).status.code(), Some(0));
    assert_eq!(reconcile(&place, &server, csv, &[]).status.code(), Some(0));
    let other = reconcile(&place, &server, &csv.replace("9.90", "9.91"), &["--apply"]);
    assert_eq!((other.status.code(), &json(&other)["different"]), (Some(3), &serde_json::json!(["#1002"])));
    server.stop();
}

/// Kills of server and command while orders are recorded: each run goes on, and in the end each order is there once. There
/// are more of them than one answer lists.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on() {
    const ORDERS: i64 = 6_000;
    let place = Place::new();
    serve(&place).stop();
    let mut csv = "order_id,customer_id,credits\n#1001,acme,10\n".to_owned();
    for order in 0..ORDERS {
        writeln!(csv, "#{},{},1", order + 2_000, ["acme", "globex"][usize::try_from(order % 2).unwrap()])
            .unwrap();
    }
    place.write("orders.csv", &csv);
    // Two customers, and one purchase.
    for recorded in [200, 1_500] {
        let server = place.serve();
        let arguments = ["reconcile", "web", "orders.csv", "--apply", "--json", "--server", server.url()];
        let run = Running::start(place.command(&arguments));
        reaches(&server, recorded + 3).await;
        server.process.signal("KILL");
        run.signal("KILL");
        assert!(!server.process.end().status.success());
        assert_eq!(run.end().status.code(), None, "it was killed in the middle");
        place.verify();
    }
    let server = place.serve();
    let done = reconcile(&place, &server, &csv, &["--apply"]);
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    let sums = json(&done);
    let recorded = sums["recorded"].as_i64().unwrap();
    assert!((1..=ORDERS - 1_500).contains(&recorded), "{recorded}");
    assert_eq!(sums["missing_in_ledger_count"], recorded);
    for (customer, credits) in [("acme", "3010"), ("globex", "3000")] {
        assert_eq!(available(&place, &server, customer), credits);
    }
    let again = json(&reconcile(&place, &server, &csv, &["--apply"]));
    assert_eq!((&again["recorded"], &again["matched"]), (&0.into(), &6_001.into()));
    server.stop();
    place.verify();
}

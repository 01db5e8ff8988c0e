//! `creditledger reconcile` with a real server: the files that shops export, and what the ledger has of them.

use std::fmt::Write as _;

use serde_json::Value;

use super::process::{Ended, Place, Server};

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

//! The commands for people, from a customer's creation to its receipt.

use super::process::Place;

#[test]
fn a_round_trip_in_json() {
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--server", server.url(), "--json"]);
        place.json(&all)
    };
    let create = ["customer", "create", "acme", "--name", "Acme Ltd", "--email", "it@acme.example"];
    assert_eq!(ask(&create)["name"], "Acme Ltd");
    let purchase =
        ["purchase", "acme", "10", "--order", "1001", "--price", "99.90 EUR", "--request-id", "r-1"];
    let first = ask(&purchase);
    assert_eq!((&first["available"], &first["price"]), (&"10".into(), &"99.90 EUR".into()));
    let again = ask(&purchase);
    assert_eq!((&again["posting_id"], &again["replayed"]), (&first["posting_id"], &true.into()));

    assert_eq!(
        ask(&["hold", "estimate", "acme", "INC-1", "--minutes", "45", "--class", "c"])["state"],
        "QUOTED"
    );
    assert_eq!(ask(&["hold", "confirm", "acme", "INC-1", "--by", "ann"])["held"], "1.5");
    assert_eq!(ask(&["hold", "extend", "acme", "INC-1", "0.5"])["held_credits"], "2");
    assert_eq!(
        ask(&["hold", "work", "acme", "INC-1", "--minutes", "75", "--by", "bob"])["work_seconds"],
        4_500
    );
    let settled = ask(&["settle", "acme", "INC-1"]);
    assert_eq!((&settled["charged_credits"], &settled["available"]), (&"2.5".into(), &"7.5".into()));
    let receipt = ask(&["hold", "receipt", "acme", "INC-1"]);
    assert!(receipt["steps"][0].as_str().unwrap().contains("1 h 15 min"), "{receipt}");

    assert_eq!(ask(&["hold", "place", "acme", "INC-2", "--credits", "3"])["state"], "ACTIVE");
    assert_eq!(ask(&["release", "acme", "INC-2", "--reason", "solved by itself"])["state"], "RELEASED");
    assert_eq!(ask(&["hold", "estimate", "acme", "INC-3", "--credits", "2"])["state"], "QUOTED");
    assert_eq!(ask(&["hold", "decline", "acme", "INC-3"])["state"], "DECLINED");
    assert_eq!(ask(&["hold", "get", "acme", "INC-2"])["end_reason"], serde_json::Value::Null);
    assert_eq!(ask(&["hold", "list", "--state", "settled"])[0]["incident_id"], "INC-1");
    assert_eq!(ask(&["hold", "list", "--limit", "2"]).as_array().unwrap().len(), 2);

    assert_eq!(ask(&["balance", "acme"])["available"], "7.5");
    assert_eq!(ask(&["balance", "acme", "--sequence", "2"])["available"], "10");
    let transfers = ask(&["transfers", "acme"]);
    assert_eq!(transfers[0]["debit_account"], "sales:manual");
    assert_eq!(transfers[0]["credit_account"], "available");
    assert_eq!(ask(&["customer", "update", "acme", "--name", "Acme GmbH"])["email"], "it@acme.example");
    assert_eq!(ask(&["customer", "get", "acme"])["name"], "Acme GmbH");
    assert_eq!(ask(&["customer", "list"])[0]["available"], "7.5");
    assert_eq!(ask(&["customer", "close", "acme", "--reason", "moved"])["closed"], true);
    server.stop();
    place.verify();
}

#[test]
fn people_read_tables_and_one_line_when_it_fails() {
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("CREDITLEDGER_SERVER", server.url());
        super::process::Running::start(command).end()
    };
    let table = ask(&["customer", "create", "acme"]).stdout;
    assert!(table.lines().any(|line| line.contains("customer_id") && line.contains("acme")), "{table}");
    assert_eq!(ask(&["transfers", "acme"]).stdout, "nothing found\n");
    for (arguments, complaint) in [
        (&["balance", "nobody"][..], "CUSTOMER_NOT_FOUND: "),
        (
            &["customer", "create", "a b"],
            "INVALID_FIELD: customer_id must consist of letters, digits and ._:@-",
        ),
        (&["customer", "create", "acme"], "CUSTOMER_EXISTS: "),
        (&["purchase", "acme", "1e3", "--order", "1"], "INVALID_FIELD: credits must be a decimal number"),
        (
            &["hold", "place", "acme", "I", "--credits", "5"],
            "INSUFFICIENT_CREDITS: 5 credits are required, 0 are",
        ),
        (&["settle", "acme", "I"], "HOLD_NOT_FOUND: "),
        (&["balance", "acme", "--ledger", "other"], "LEDGER_NOT_FOUND: "),
    ] {
        let ended = ask(arguments);
        assert!(ended.complaint().starts_with(&format!("creditledger: {complaint}")), "{}", ended.stderr);
    }
    let address = server.address().to_owned();
    server.stop();
    let ended = place.run(&["balance", "acme", "--server", &address]);
    assert!(ended.complaint().starts_with(&format!("creditledger: no server answers at {address}: ")));
}

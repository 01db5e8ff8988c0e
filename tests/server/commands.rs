//! The commands for people, from a customer's creation to its receipt.

use std::io::Read as _;
use std::time::Duration;

use super::process::{Place, Running};

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
    assert_eq!(again["request_id"], "r-1");

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
    let receipt = ask(&["receipt", "INC-1", "--customer", "acme"]);
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
    let settled = transfers.as_array().unwrap().iter().filter(|row| row["kind"] == "SETTLE_HOLD");
    let from: Vec<_> = settled.map(|row| row["debit_account"].as_str().unwrap()).collect();
    assert_eq!(from, ["held", "available"]);
    let refund = ["refund", "create", "acme", "--order", "1001", "--credits", "2", "--reason", "too many"];
    let refund = ask(&refund);
    assert_eq!((&refund["state"], &refund["available"]), (&"REFUNDED".into(), &"5.5".into()));
    let id = refund["refund_id"].as_str().unwrap();
    let reverse = ["refund", "reverse", "acme", "--order", "1001", "--refund-id", id, "--reason", "bounced"];
    assert_eq!(ask(&reverse)["available"], "7.5");
    let disputed = ask(&["chargeback", "record", "acme", "--order", "1001"]);
    assert_eq!((&disputed["state"], &disputed["owed"]), (&"DISPUTED".into(), &"2.5".into()));
    assert_eq!(ask(&["chargeback", "won", "acme", "--order", "1001"])["available"], "7.5");
    assert_eq!(ask(&["customer", "update", "acme", "--name", "Acme GmbH"])["email"], "it@acme.example");
    assert_eq!(ask(&["customer", "get", "acme"])["name"], "Acme GmbH");
    assert_eq!(ask(&["customer", "list"])[0]["available"], "7.5");
    assert_eq!(ask(&["customer", "close", "acme", "--reason", "moved"])["closed"], true);
    assert_eq!(ask(&["customer", "reopen", "acme", "--reason", "back again"])["closed"], false);
    server.stop();
    place.verify();
}

#[test]
fn wrong_work_and_wrong_charges_are_taken_back() {
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| place.json(&[arguments, &["--server", server.url(), "--json"]].concat());
    ask(&["customer", "create", "acme"]);
    ask(&["purchase", "acme", "10", "--order", "1"]);
    ask(&["hold", "place", "acme", "I-1", "--minutes", "1.5"]);
    let worked = ask(&["hold", "work", "acme", "I-1", "--minutes", "90.5", "--note", "for another one"]);
    assert_eq!(worked["work_seconds"], 5_430);
    let work_id = worked["work"][0]["work_id"].as_str().unwrap();
    let voided = ask(&["hold", "void", "acme", "I-1", work_id, "--reason", "a typing error"]);
    assert_eq!(
        (&voided["work_seconds"], &voided["work"][0]["voided"]),
        (&0.into(), &"a typing error".into())
    );
    ask(&["hold", "work", "acme", "I-1", "--minutes", "60"]);
    assert_eq!(ask(&["settle", "acme", "I-1"])["available"], "8");
    let part = ask(&["hold", "reverse", "acme", "I-1", "--credits", "0.5", "--reason", "goodwill"]);
    assert_eq!((&part["reversed_credits"], &part["available"]), (&"0.5".into(), &"8.5".into()));
    let all = ask(&["hold", "reverse", "acme", "I-1", "--reason", "our own fault"]);
    assert_eq!((&all["reversed_credits"], &all["available"]), (&"2".into(), &"10".into()));
    let charged = ask(&["charge", "acme", "I-2", "--minutes", "45", "--max-charge", "2"]);
    assert_eq!((&charged["charged_credits"], &charged["available"]), (&"1.5".into(), &"8.5".into()));
    server.stop();
    place.verify();
}

#[test]
fn a_list_that_is_cut_says_so() {
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| {
        let ended = place.run(&[arguments, &["--server", server.url(), "--json"]].concat());
        assert!(ended.status.success(), "{}", ended.stderr);
        let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        (answer, ended.stderr)
    };
    ask(&["customer", "create", "acme"]);
    for credits in ["1", "2", "3"] {
        ask(&["purchase", "acme", credits, "--order", credits]);
    }
    let credits = |arguments: &[&str]| {
        let (rows, said) = ask(&[&["transfers", "acme"], arguments].concat());
        let rows = rows.as_array().unwrap().iter().map(|row| row["credits"].as_str().unwrap().to_owned());
        (rows.collect::<Vec<_>>().join(" "), said)
    };
    let (whole, more) = (String::new(), "... more; use --limit\n".to_owned());
    assert_eq!(credits(&[]), ("1 2 3".to_owned(), whole.clone()));
    assert_eq!(credits(&["--limit", "3"]), ("1 2 3".to_owned(), whole.clone()));
    // The newest that fit, in the order in which they happened.
    assert_eq!(credits(&["--limit", "2"]), ("2 3".to_owned(), more.clone()));
    assert_eq!(credits(&["--limit", "2", "--newest-first"]), ("3 2".to_owned(), more.clone()));
    ask(&["customer", "create", "beta"]);
    assert_eq!(ask(&["customer", "list", "--limit", "1"]).1, more);
    assert_eq!(ask(&["customer", "list", "--limit", "2"]).1, whole);
    let none = place.run(&["customer", "list", "--limit", "0", "--server", server.url()]);
    assert_eq!(none.status.code(), Some(2), "{}", none.stderr);
    server.stop();
}

#[test]
fn top_ups_are_set_told_and_ended() {
    let tomorrow = prost_types::Timestamp::from(std::time::SystemTime::now() + Duration::from_hours(24));
    let until = prost_types::Timestamp { nanos: 0, ..tomorrow }.to_string();
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| place.json(&[arguments, &["--server", server.url(), "--json"]].concat());
    ask(&["customer", "create", "acme"]);
    ask(&["purchase", "acme", "10", "--order", "1"]);
    let set = ["customer", "top-up", "acme", "--below", "5", "--target", "20", "--monthly-cap", "100"];
    let terms = &ask(&[&set[..], &["--lapse", "7200"]].concat())["top_up"];
    assert_eq!((&terms["below_credits"], &terms["monthly_cap_credits"]), (&"5".into(), &"100".into()));
    assert_eq!((&terms["cool_down_seconds"], &terms["lapse_seconds"]), (&3_600.into(), &7_200.into()));
    ask(&["hold", "place", "acme", "I-1", "--credits", "8"]);
    let told = ask(&["events", "--type", "top_up.requested"]);
    assert_eq!((&told["type"], &told["credits"]), (&"top_up.requested".into(), &"18".into()));
    let line = place.run(&["events", "--type", "top_up.requested", "--server", server.url()]).stdout;
    assert!(line.contains("  top_up.requested       acme  credits 18  available 2  lapses at "), "{line}");
    let id = told["top_up_id"].as_str().unwrap();
    let pending = ask(&["top-up", "report", "acme", id, "--pending-until", &until]);
    assert_eq!(pending["open_top_up"]["lapses_at"], until.as_str());
    let ended = ask(&["customer", "top-up", "acme", "--none"]);
    assert_eq!(
        (&ended["top_up"], &ended["open_top_up"]["credits"]),
        (&serde_json::Value::Null, &"18".into())
    );
    let declined = ask(&["top-up", "report", "acme", id, "--declined", "--reason", "no funds"]);
    assert_eq!(declined["open_top_up"], serde_json::Value::Null);
    let server_url = ["--server", server.url()];
    for wrong in [&["--below", "5"][..], &["--none", "--below", "5"], &[]] {
        let refused = place.run(&[&["customer", "top-up", "acme"][..], wrong, &server_url].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {}", refused.stderr);
    }
    for wrong in [&[][..], &["--declined", "--pending-until", &until]] {
        let refused = place.run(&[&["top-up", "report", "acme", id][..], wrong, &server_url].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {}", refused.stderr);
    }
    for (given, expected) in [
        (&["--declined"][..], "context.reason"),
        (&["--declined", "--reason", "no funds"], "TOP_UP_NOT_FOUND"),
    ] {
        let refused = place.run(&[&["top-up", "report", "acme", id][..], given, &server_url].concat());
        assert!(refused.stderr.contains(expected), "{given:?}: {}", refused.stderr);
    }
    server.stop();
}

#[test]
fn thresholds_are_set_and_events_are_followed() {
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| place.json(&[arguments, &["--server", server.url(), "--json"]].concat());
    ask(&["customer", "create", "acme", "--name", "Acme Ltd"]);
    ask(&["purchase", "acme", "10", "--order", "1"]);
    assert_eq!(ask(&["alerts", "3"])["alerts"][0]["threshold"], "3");
    let default = ask(&["alerts", "--customer", "acme"]);
    assert_eq!((&default["is_default"], &default["alerts"][0]["armed"]), (&true.into(), &true.into()));
    let own = ask(&["alerts", "--customer", "acme", "50%", "2"]);
    assert_eq!((&own["is_default"], &own["alerts"][1]["level_credits"]), (&false.into(), &"5".into()));
    let follow = ["events", "--follow", "--after", "0", "--type", "balance.low", "--server", server.url()];
    let follower = Running::start(place.command(&[&follow[..], &["--json"]].concat()));
    ask(&["hold", "place", "acme", "I-1", "--credits", "6"]);
    let low: serde_json::Value = serde_json::from_str(&follower.line().unwrap()).unwrap();
    assert_eq!((&low["type"], &low["crossed_credits"][0]), (&"balance.low".into(), &"5".into()));
    assert_eq!(low["customer_name"], "Acme Ltd");
    let lines = place.run(&["events", "--customer", "acme", "--server", server.url()]).stdout;
    let types: Vec<_> = lines.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(types, ["purchase.completed", "hold.placed", "balance.low"], "{lines}");
    let own = ask(&["alerts", "--customer", "acme", "2", "--margin-percent", "50", "--margin-min", "0.5"]);
    assert_eq!((&own["margin_percent"], &own["margin_min_credits"]), (&50.into(), &"0.5".into()));
    assert_eq!(own["alerts"][0]["armed_above_credits"], "3");
    let wrong = place.run(&["alerts", "--customer", "acme", "--margin-min", "1", "--server", server.url()]);
    assert_eq!(wrong.status.code(), Some(2), "a margin without thresholds: {}", wrong.stderr);
    assert_eq!(ask(&["alerts", "--customer", "acme", "--use-default"])["is_default"], true);
    let unused = ask(&["balance", "acme", "--forecast"]);
    assert_eq!((&unused["open_holds"], &unused["run_out_date"]), (&1.into(), &"".into()));
    ask(&["refund", "create", "acme", "--order", "1", "--credits", "4", "--reason", "too many"]);
    let refunded = ["events", "--type", "purchase.refunded", "--server", server.url()];
    let line = place.run(&refunded).stdout;
    assert!(line.contains(" credits 4 "), "{line}");
    let wrong = place.run(&["events", "--type", "balance.lowest"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", wrong.stderr);
    // A follower goes on until its server says that it stops.
    server.stop();
    assert!(follower.end().stderr.contains("SHUTTING_DOWN"));
    place.verify();
}

#[test]
fn a_change_without_an_answer_can_be_repeated() {
    let place = Place::new();
    // Takes the request, and hangs up.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let (mut read, mut bytes) = (Vec::new(), [0; 4_096]);
        while !read.windows(4).any(|window| window == b"acme") {
            let count = connection.read(&mut bytes).unwrap();
            assert!(count > 0, "the request did not come");
            read.extend_from_slice(&bytes[..count]);
        }
    });
    let sent = ["purchase", "acme", "1", "--order", "1", "--request-id", "r-1", "--server", &address];
    let ended = Running::start(place.command(&sent)).end();
    server.join().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[1], "the outcome is unknown; repeat with --request-id r-1");
}

#[test]
fn people_read_tables_and_one_line_when_it_fails() {
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("CREDITLEDGER_SERVER", server.url());
        Running::start(command).end()
    };
    let table = ask(&["customer", "create", "acme"]).stdout;
    assert!(table.lines().any(|line| line.contains("customer_id") && line.contains("acme")), "{table}");
    assert_eq!(ask(&["transfers", "acme"]).stdout, "nothing found\n");
    for (arguments, complaint) in [
        (&["balance", "nobody"][..], "CUSTOMER_NOT_FOUND: "),
        (
            &["customer", "create", "a b"],
            "INVALID_FIELD: context.customer_id must consist of letters, digits and ._:@-",
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

#[test]
fn prices_need_no_server() {
    let place = Place::new();
    let price = |arguments: &[&str]| {
        let all = [&["price"], arguments, &["--json"]].concat();
        place.json(&all)
    };
    let prepaid = price(&["--card", "prepaid", "--minutes", "45"]);
    assert_eq!((&prepaid["credits"], &prepaid["steps"][0]["rule"]), (&"1.5".into(), &"TIME".into()));
    assert_eq!(price(&["--minutes", "40"])["credits"], "1.33");
    assert_eq!(price(&["--card", "half-hour", "--minutes", "31"])["credits"], "2");
    assert_eq!(price(&["--card", "half-hour", "--minutes", "31", "--emergency"])["credits"], "0");
    assert_eq!(price(&["--card", "flat-then-quoted", "--minutes", "24", "--solutions", "2"])["credits"], "2");
    let refused = price(&["--card", "flat-then-quoted", "--minutes", "25"]);
    assert_eq!(
        (&refused["rejection"], &refused["credits"]),
        (&"QUOTE_REQUIRED".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        price(&["--card", "three-lines", "--minutes", "5", "--class", "teaching"])["rejection"],
        "OUT_OF_SCOPE"
    );
    let lines = [
        "--card",
        "three-lines",
        "--minutes",
        "50",
        "--line",
        "first",
        "--minutes",
        "45",
        "--line",
        "second",
    ];
    assert_eq!(price(&lines)["credits"], "1.5");

    let good =
        "rate_card = \"mine\"\ncredits_per_hour = 2\n[packages]\ngold = 1.5\n[multipliers]\non-site = 2\n";
    place.write("mine.toml", good);
    let own = ["--card", "mine.toml", "--minutes", "60", "--package", "gold", "--label", "on-site"];
    assert_eq!(price(&own)["credits"], "3");
    place.write("bad.toml", "rate_card = \"mine\"\ncredits_per_hour = -2\nincrement_minutes = 0\n");
    let refused = place.run(&["price", "--card", "bad.toml", "--minutes", "60"]);
    assert!(!refused.status.success());
    for fault in
        ["line 2: credits_per_hour must not be negative", "line 3: increment_minutes must be more than 0"]
    {
        assert!(refused.stderr.contains(fault), "{}", refused.stderr);
    }
    // For people: the steps, then what they come to.
    let told = place.run(&["price", "--minutes", "75"]).stdout;
    assert_eq!(
        told,
        "1 h 15 min recorded\n1 h 15 min at 2 credits per hour = 2.5 credits\ncharge: 2.5 credits\n"
    );
}

#[test]
fn rate_cards_are_applied_once_and_receipts_are_told_in_words() {
    let place = Place::new();
    let server = place.serve();
    let ask = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--server", server.url(), "--json"]);
        place.json(&all)
    };
    let hourly = |rate: &str| {
        place.write(
            "mine.toml",
            &format!("rate_card = \"mine\"\ncredits_per_hour = {rate}\ntime_basis = \"sum\"\n"),
        );
        ask(&["rate-card", "apply", "mine.toml"])
    };
    let versions = ["2", "2.0", "3"].map(|rate| hourly(rate)["version"].clone());
    // The same content adds nothing.
    assert_eq!(versions, [1, 1, 2]);
    assert_eq!(ask(&["rate-card", "default", "mine"])["is_default"], true);
    let shown = ask(&["rate-card", "show", "mine", "--version", "1"]);
    assert_eq!((&shown["credits_per_hour"], &shown["is_default"]), (&"2".into(), &false.into()));
    assert_eq!(ask(&["rate-card", "show"])["credits_per_hour"], "3");
    let listed = ask(&["rate-card", "list"]);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|card| card["rate_card_id"].clone()).collect();
    assert_eq!(names, ["flat-then-quoted", "half-hour", "mine", "mine", "prepaid", "three-lines"]);

    ask(&["customer", "create", "acme"]);
    ask(&["purchase", "acme", "10", "--order", "1"]);
    ask(&["hold", "place", "acme", "INC-1", "--minutes", "60"]);
    ask(&["hold", "work", "acme", "INC-1", "--minutes", "40"]);
    let hold = ask(&["settle", "acme", "INC-1"])["hold_id"].as_str().unwrap().to_owned();
    let told = place.run(&["receipt", &hold, "--server", server.url()]).stdout;
    for line in [
        "incident INC-1 of customer acme",
        "rate card mine version 2",
        "  40 min recorded",
        "  40 min at 3 credits per hour = 2 credits",
        "charge: 2 credits",
        "paid: 2 from the hold, 0 from available credits",
    ] {
        assert!(told.contains(line), "{told}");
    }
    place.write("bad.toml", "rate_card = \"mine\"\ncredits_per_hour = 2\ncharge_scale = 5\n");
    let refused = place.run(&["rate-card", "apply", "bad.toml", "--server", server.url()]);
    assert!(refused.stderr.contains("line 3: charge_scale must be at most 4"), "{}", refused.stderr);
    server.stop();
    place.verify();
}

//! `bench` with tiny sizes: every line is there with its figures, on either engine; and what it refuses to measure.

use serde_json::Value;

use super::postgres;
use super::process::Place;

const TINY: [&str; 10] = [
    "--seconds",
    "0.05",
    "--customers",
    "20",
    "--many-customers",
    "40",
    "--in-flight",
    "1,8",
    "--batch",
    "10,100",
];

/// (name, in flight, batch)
fn lines(report: &Value) -> Vec<(&str, u64, Option<u64>)> {
    let line = |line: &'_ Value| (line["in_flight"].as_u64().unwrap(), line["batch"].as_u64());
    let lines = report.as_array().unwrap();
    lines.iter().map(|each| (each["name"].as_str().unwrap(), line(each).0, line(each).1)).collect()
}

fn must_be_whole(report: &Value) {
    let expected = [
        ("ceiling", 64, None),
        ("ceiling", 1, None),
        ("hold", 1, Some(1)),
        ("settle", 1, Some(1)),
        ("ceiling", 8, None),
        ("hold", 8, Some(1)),
        ("settle", 8, Some(1)),
        ("batch", 2, Some(10)),
        ("batch", 2, Some(100)),
        ("stream", 1_000, Some(1)),
        ("balance", 64, None),
        ("balance_beside_holds", 64, None),
        ("hold_beside_balances", 64, Some(1)),
        ("hold_settle", 64, Some(1)),
        ("hot_customer", 64, Some(1)),
        ("webhooks", 32, None),
        ("hold_without_webhooks", 64, Some(1)),
        ("hold_beside_webhooks", 64, Some(1)),
        ("webhooks_beside_holds", 32, None),
        ("fill", 2, Some(80)),
        ("hold_many_customers", 64, Some(1)),
        ("batch_many_customers", 2, Some(1_000)),
    ];
    assert_eq!(lines(report)[..expected.len()], expected);
    let (webhooks, others): (Vec<&Value>, Vec<&Value>) = report.as_array().unwrap()[..expected.len()]
        .iter()
        .partition(|line| line["name"].as_str().unwrap().contains("webhooks"));
    must_be_whole_webhooks(&webhooks);
    for line in others {
        for figure in ["commands_per_second", "p50_us", "p99_us", "p999_us"] {
            assert!(line[figure].as_u64().unwrap() > 0, "{figure}: {line}");
        }
        assert!(line["ratio_to_ceiling"].as_f64().unwrap() > 0.0, "{line}");
        let alone = !line["name"].as_str().unwrap().contains("_beside_");
        assert_eq!(
            line["cpu_seconds_per_1000"].as_f64().is_some_and(|seconds| seconds > 0.0),
            alone,
            "{line}"
        );
        assert_eq!(line["database_bytes_per_command"].is_u64(), alone && line["batch"].is_u64(), "{line}");
        // Where the system tells.
        assert!(line["peak_memory_bytes"].as_u64().is_none_or(|bytes| bytes > 1 << 20), "{line}");
    }
}

fn must_be_whole_webhooks(lines: &[&Value]) {
    let [backlog, without, beside, events] = lines else { panic!("{lines:?}") };
    assert!(lines.iter().all(|line| line["commands_per_second"].as_u64().unwrap() > 0), "{lines:?}");
    assert!(backlog["cpu_seconds_per_1000"].as_f64().unwrap() > 0.0, "{backlog}");
    for line in [without, beside, events] {
        assert!(line["p50_us"].as_u64().unwrap() > 0 && line["p999_us"].as_u64().unwrap() > 0, "{line}");
    }
    let of = |line: &Value| line["commands_per_second"].as_f64().unwrap();
    let ratio = beside["ratio_to_alone"].as_f64().unwrap();
    assert!((ratio - of(beside) / of(without)).abs() < 0.002, "{lines:?}");
}

#[test]
fn every_line_has_its_figures() {
    let place = Place::new();
    let report = place.json(&[&["bench", "--json"], &TINY[..]].concat());
    must_be_whole(&report);
    assert_eq!(report[0]["durability"], "SQLite: journal_mode=wal, synchronous=FULL");
    // The database was a temporary one.
    assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), 0);
}

#[test]
fn people_read_a_table_and_the_book_is_right() {
    let place = Place::new();
    let url = place.url();
    let ended = place.run(&[&["bench", "--database-url", &url], &TINY[..]].concat());
    assert!(ended.status.success(), "{}", ended.stderr);
    // No bar where it is not a terminal.
    assert_eq!(ended.stderr, "");
    for text in [
        "│ hot customer ",
        "The ceiling is a health check",
        "Of their speed without webhooks the holds keep ",
        "Durability: SQLite: journal_mode=wal, synchronous=FULL",
    ] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
    place.verify();
}

#[test]
fn what_metrics_cost_is_measured_in_turns() {
    let place = Place::new();
    let tiny = ["bench", "--metrics", "--json", "--seconds", "0.05", "--customers", "50"];
    let report = place.json(&tiny);
    let [without, with] = &report.as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!(
        (&without["name"], &with["name"]),
        (&"hold_without_metrics".into(), &"hold_with_metrics".into())
    );
    for line in [without, with] {
        assert!(line["commands_per_second"].as_u64().unwrap() > 0, "{line}");
        assert!(line["cpu_seconds_per_1000"].as_f64().unwrap() > 0.0, "{line}");
    }
    let of = |line: &Value| line["commands_per_second"].as_f64().unwrap();
    let ratio = with["ratio_to_alone"].as_f64().unwrap();
    assert!((ratio - of(with) / of(without)).abs() < 0.002, "{report}");
    assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_measured_by_the_same_lines() {
    if !postgres::available() {
        return;
    }
    let url = postgres::database().await;
    let report = Place::new().json(&[&["bench", "--json", "--database-url", &url], &TINY[..]].concat());
    must_be_whole(&report);
    let durability = report[0]["durability"].as_str().unwrap();
    assert!(durability.starts_with("PostgreSQL: synchronous_commit=on, fsync="), "{durability}");
}

#[test]
fn tokens_have_a_line_for_each_algorithm_beside_holds_without() {
    let place = Place::new();
    place.write("url", &place.url());
    let auth = ["bench", "--auth", "--seconds", "0.05", "--customers", "50"];
    let report = place.json(&[&auth[..], &["--json", "--database-url-file", "url"]].concat());
    let expected = ["hold_without_token", "hold_by_es256", "hold_by_rs256"].map(|name| (name, 64, Some(1)));
    assert_eq!(lines(&report), expected);
    let all = report.as_array().unwrap();
    for line in all {
        for figure in ["commands_per_second", "p50_us", "p99_us", "p999_us"] {
            assert!(line[figure].as_u64().unwrap() > 0, "{figure}: {line}");
        }
        assert!(line["cpu_seconds_per_1000"].as_f64().unwrap() > 0.0, "{line}");
    }
    let of = |line: &Value| line["commands_per_second"].as_f64().unwrap();
    assert!(all[0]["ratio_to_alone"].is_null());
    for line in &all[1..] {
        let ratio = line["ratio_to_alone"].as_f64().unwrap();
        assert!((ratio - of(line) / of(&all[0])).abs() < 0.002, "{report}");
    }
    place.verify();
    // The holds of callers who show a token have them in the journal.
    let subjects = super::process::sqlite(&place.path("creditledger.db")).query_row(
        "SELECT COUNT(*) FROM posting WHERE INSTR(detail, CAST('the-helpdesk-of-the-benchmark' AS BLOB)) > 0",
        [],
        |row| row.get::<_, i64>(0),
    );
    assert!(subjects.unwrap() > 0);
    let ended = place.run(&auth);
    assert!(ended.status.success(), "{}", ended.stderr);
    for text in ["│ hold by es256 ", "│ hold by rs256 ", "Of their speed without a token the holds keep "]
    {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
}

#[test]
fn growth_has_a_step_for_each_size() {
    let place = Place::new();
    let tiny = ["--seconds", "0.05", "--customers", "20"];
    let url = place.url();
    let grow = [&["bench", "--grow", "20000", "--database-url", &url], &tiny[..]].concat();
    let report = place.json(&[&grow[..], &["--json"]].concat());
    let steps = report.as_array().unwrap();
    assert!(steps.len() > 1, "{report}");
    for figure in [
        "transfers",
        "batch_commands_per_second",
        "hold_commands_per_second",
        "hold_p50_us",
        "hold_p99_us",
        "balance_p50_us",
        "balance_p99_us",
        "start_us",
        "database_bytes",
    ] {
        assert!(steps.iter().all(|step| step[figure].as_u64().unwrap() > 0), "{figure}: {report}");
    }
    let sizes: Vec<u64> = steps.iter().map(|step| step["transfers"].as_u64().unwrap()).collect();
    assert!(sizes.is_sorted() && sizes.last().is_some_and(|last| *last >= 20_000), "{sizes:?}");
    place.verify();
    // It goes on from what is there, and says so where there is nothing to do.
    let complaint = place.run(&grow);
    assert!(complaint.complaint().ends_with(" transfers already"), "{}", complaint.stderr);
    let larger = ["bench", "--grow", "26000", "--database-url", &url];
    let ended = place.run(&[&larger[..], &tiny[..]].concat());
    assert!(ended.status.success(), "{}", ended.stderr);
    for text in ["│ transfers ", "\nholds/s, 64 in flight\n", "█", "Durability: SQLite: "] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let place = Place::new();
    for (arguments, said) in [
        (&["--seconds", "0.01"][..], "must be 0.05 to 600 seconds"),
        (&["--seconds", "many"], "must be 0.05 to 600 seconds"),
        (&["--in-flight", "0"], "0 is not in 1..=4096"),
        (&["--batch", "100,10001"], "10001 is not in 1..=10000"),
        (&["--auth", "--grow", "1000"], "'--auth' cannot be used with '--grow <TRANSFERS>'"),
        (&["--auth", "--in-flight", "5"], "'--auth' cannot be used with '--in-flight <COUNTS>'"),
        (&["--grow", "1000", "--batch", "5"], "'--grow <TRANSFERS>' cannot be used with '--batch <COUNTS>'"),
        (&["--grow", "1000", "--many-customers", "5"], "cannot be used with '--many-customers <COUNT>'"),
    ] {
        let ended = place.run(&[&["bench"], arguments].concat());
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
    let ended = place.run(&["bench", "--database-url", "memory:"]);
    assert_eq!(ended.complaint(), "creditledger: memory: is not made to be measured");
}

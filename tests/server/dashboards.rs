//! `deploy/grafana`, `deploy/alerts.yml` and the tables of `deploy/README.md`: every query names a metric that is there, and
//! a real Prometheus answers all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use creditledger::metrics::{INSTRUMENTS, Instrument, Kind};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::metrics_rig::{Measured, load};
use super::process::{PATIENCE, Place, Running};
use super::shop_rig::{Stand, until};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/");
/// The program of Prometheus that checks rules.
const PROMTOOL: &str = "promtool";

fn deployed(name: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}{name}")).unwrap()
}

/// A query, with where it stands.
#[derive(Debug)]
struct Query {
    place: String,
    text: String,
}

/// All queries of the dashboard, with the variables that Grafana fills in.
fn dashboard() -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(&deployed("grafana/creditledger.json")).unwrap();
    let fill = |text: &str| {
        text.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$ledger", ".*")
    };
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = fill(target["expr"].as_str().unwrap());
            assert!(!text.contains('$'), "{text}");
            queries.push(Query { place: format!("the panel {}", panel["title"]), text });
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            let (metric, _) = query.strip_prefix("label_values(").unwrap().split_once(',').unwrap();
            queries
                .push(Query { place: format!("the variable {}", variable["name"]), text: metric.to_owned() });
        }
    }
    queries
}

/// The alerts: name, query, runbook. The file has the form that it has, so that no reader of YAML is needed.
fn alerts() -> Vec<(String, String, String)> {
    let text = deployed("alerts.yml");
    let mut alerts: Vec<(String, String, String)> = Vec::new();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push((name.to_owned(), String::new(), String::new()));
        } else if let Some(query) = line.strip_prefix("expr: ") {
            let mut query = query.trim_start_matches('|').to_owned();
            while lines.peek().is_some_and(|next| !next.starts_with("for: ") && !next.starts_with("labels: "))
            {
                write!(query, " {}", lines.next().unwrap()).unwrap();
            }
            alerts.last_mut().unwrap().1 = query.trim().to_owned();
        } else if let Some(runbook) = line.strip_prefix("runbook: ") {
            runbook.clone_into(&mut alerts.last_mut().unwrap().2);
        }
    }
    assert_eq!(alerts.len(), text.matches("alert:").count());
    alerts
}

/// The names of series in a query: what is no label, no function, no word of the language and no number.
fn names(query: &str) -> BTreeSet<String> {
    let mut bare = String::new();
    let mut depth = 0;
    let mut quoted = false;
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    for grouping in ["by (", "without (", "on (", "ignoring ("] {
        while let Some(start) = bare.find(grouping) {
            let end = start + bare[start..].find(')').unwrap();
            bare.replace_range(start..=end, " ");
        }
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut names = BTreeSet::new();
    let mut rest = bare.as_str();
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |end| start + end);
        let (word, after) = (&rest[start..end], rest[end..].trim_start());
        rest = &rest[end..];
        let is_function = after.starts_with('(') || ["sum", "max", "min"].contains(&word);
        let is_word = ["or", "and", "unless", "offset"].contains(&word);
        if !is_function && !is_word && !word.starts_with(|c: char| c.is_ascii_digit()) {
            names.insert(word.to_owned());
        }
    }
    names
}

/// The series that an instrument has in Prometheus.
fn series(instrument: &Instrument) -> Vec<String> {
    let name = instrument.prometheus_name();
    match instrument.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")).to_vec(),
        Kind::Counter | Kind::Total | Kind::Gauge => vec![name],
    }
}

#[test]
fn names_are_found_in_queries() {
    let query = "histogram_quantile(0.99, sum by (le, a_b) (rate(x_bucket{l=~\"a|b{\", m=\"n\"}[5m]))) / max(y) > 1e3";
    assert_eq!(names(query), BTreeSet::from(["x_bucket".to_owned(), "y".to_owned()]));
}

/// That each instrument is in a real scrape is shown in `metrics.rs`.
#[test]
fn every_query_names_metrics_that_exist_and_every_instrument_is_shown() {
    let known: BTreeSet<String> = INSTRUMENTS.iter().flat_map(|instrument| series(instrument)).collect();
    let mut shown = BTreeSet::new();
    let dashboard = dashboard();
    let panels = dashboard.iter().map(|query| (&query.place, &query.text));
    let alerts = alerts();
    for (place, text) in panels.clone().chain(alerts.iter().map(|(name, query, _)| (name, query))) {
        let names = names(text);
        assert!(!names.is_empty(), "{place}: {text}");
        for name in names {
            assert!(name == "up" || known.contains(&name), "{place} names {name}, which does not exist");
        }
    }
    for (_, text) in panels {
        shown.extend(names(text));
    }
    for instrument in INSTRUMENTS {
        let is_shown = series(instrument).iter().any(|name| shown.contains(name));
        assert!(is_shown, "no panel shows {}", instrument.name);
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let readme = deployed("README.md");
    let alerts = alerts();
    let mut rows = 0;
    for (name, _, runbook) in &alerts {
        let anchor = name.to_lowercase();
        assert_eq!(*runbook, format!("deploy/README.md#{anchor}"));
        let row = readme.lines().find(|line| line.contains(&format!("<a id=\"{anchor}\"></a>`{name}`")));
        let row = row.unwrap_or_else(|| panic!("deploy/README.md has no row for {name}"));
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| cell.len() > 10), "{row}");
        rows += 1;
    }
    assert_eq!(readme.matches("<a id=\"creditledger").count(), rows, "a row without an alert");
}

#[test]
fn the_table_of_metrics_is_that_of_the_program() {
    let readme = deployed("README.md");
    let mut table = "| metric | type | labels | what it tells |\n|---|---|---|---|\n".to_owned();
    for instrument in INSTRUMENTS {
        let kind = match instrument.kind {
            Kind::Counter | Kind::Total => "counter",
            Kind::Histogram(_) => "histogram",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<String> =
            instrument.attributes.iter().map(|name| format!("`{}`", name.replace('.', "_"))).collect();
        let (name, labels) = (instrument.prometheus_name(), labels.join(", "));
        writeln!(table, "| `{name}` | {kind} | {labels} | {} |", instrument.description).unwrap();
    }
    assert!(readme.contains(&table), "deploy/README.md must have this table:\n\n{table}");
}

/// Prometheus in a folder, scraping a server each second, with the alerts.
struct Prometheus {
    _process: Running,
    address: String,
}

/// True where it is installed.
fn is_installed() -> bool {
    let found =
        ["prometheus", PROMTOOL].iter().all(|name| Command::new(name).arg("--version").output().is_ok());
    let required = std::env::var_os("CREDITLEDGER_REQUIRE_PROMETHEUS").is_some();
    assert!(found || !required, "Prometheus must be installed for the tests of dashboards and alerts");
    if !found {
        eprintln!("Prometheus is not installed: its queries and alerts are not tried");
    }
    found
}

impl Prometheus {
    fn start(place: &Place, scraped: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let conf = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{ROOT}alerts.yml\"]\n\
             scrape_configs:\n\
             - job_name: creditledger\n  \
               static_configs: [{{targets: [\"{scraped}\"]}}]\n"
        );
        let conf = place.write("prometheus.yml", &conf);
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", conf.display()))
            .arg(format!("--storage.tsdb.path={}", place.path("tsdb").display()))
            .arg(format!("--web.listen-address={address}"));
        Self { _process: Running::start(command), address }
    }

    /// Asks its API. `None` while it does not answer.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut socket = TcpStream::connect(&self.address).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(socket, "GET {path} HTTP/1.0\r\nhost: x\r\n\r\n").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The result of a query, which it must understand.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let answer = self.ask(&format!("/api/v1/query?query={query}"))?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_answers_all_queries_and_takes_all_alerts() {
    if !is_installed() {
        return;
    }
    let checked =
        Command::new(PROMTOOL).args(["check", "rules", &format!("{ROOT}alerts.yml")]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let stand = Stand::new();
    let measured = Measured::start(&stand, &[]);
    let channel = measured.server.connect().await;
    let prometheus = Prometheus::start(&stand.place, &measured.address);
    let up = "rate(rpc_server_call_duration_seconds_count[1m])";
    // A rate needs two scrapes.
    load(&stand, &measured, &channel).await;
    until("two scrapes", async || prometheus.query(up).filter(|found| !found.is_empty())).await;
    // What this server has nothing of: another engine, messages, refused callers.
    let absent = ["sequencer", "outbox_messages", "outbox_failures", "outbox_lag", "access_refusals"];
    let mut empty = Vec::new();
    for Query { place, text } in dashboard() {
        let may_be_empty = absent.iter().any(|name| text.contains(name));
        let found = until("a sample of each query", async || {
            prometheus.query(&text).filter(|found| may_be_empty || !found.is_empty())
        });
        if found.await.is_empty() {
            empty.push(place);
        }
    }
    assert!(empty.len() <= 7, "{empty:?}");
    let rules = until("all alerts are evaluated", async || {
        let rules = prometheus.ask("/api/v1/rules")?;
        let rules = rules["data"]["groups"][0]["rules"].as_array()?.clone();
        let states: BTreeMap<String, String> = rules
            .iter()
            .map(|rule| {
                (rule["name"].as_str().unwrap().to_owned(), rule["health"].as_str().unwrap().to_owned())
            })
            .collect();
        let is_done = states.values().all(|health| health != "unknown");
        is_done.then_some((states, rules))
    });
    let (states, rules) = rules.await;
    assert_eq!(states.len(), alerts().len());
    assert!(states.values().all(|health| health == "ok"), "{rules:?}");
    // One order waits for a person, and one that is up is not down.
    let state = |name: &str| {
        let rule = rules.iter().find(|rule| rule["name"] == *name).unwrap();
        rule["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("CreditledgerDown"), "inactive");
    let waits = until("an order that waits is pending", async || {
        let found = prometheus.query("ALERTS{alertname=\"CreditledgerOrdersWait\"}")?;
        found.first().map(|alert| alert["metric"]["alertstate"].as_str().unwrap().to_owned())
    });
    assert_eq!(waits.await, "pending");
}

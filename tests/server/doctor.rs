//! `creditledger doctor`: each thing that can be wrong is told in its line, with what to do, and in bounded time.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use creditledger::clock;
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::decide::decide;
use creditledger::ledger::{LedgerNo, Request};
use creditledger::store::{Settings, open};
use serde_json::Value;

use super::mail::{MailServer, Mode, Reply};
use super::process::{Place, Server};
use crate::authority::Authority;
use crate::desk::{id, said};
use crate::postgres;

const CHECKS: [&str; 9] =
    ["versions", "configuration", "database", "disk", "clock", "tls", "keys", "mail", "endpoints"];

/// What `doctor` tells: (check, state, text and what to do).
fn findings(place: &Place, arguments: &[&str]) -> (bool, Vec<(String, String, String)>) {
    let ended = place.run(&[&["doctor", "--json"], arguments].concat());
    let told: Value = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let list = told["findings"].as_array().unwrap().iter();
    let list: Vec<_> = list
        .map(|one| {
            let told = format!("{} -> {}", text(one, "what"), text(one, "to_do"));
            (text(one, "check"), text(one, "state"), told)
        })
        .collect();
    let is_good = list.iter().all(|(_, state, _)| state != "fail");
    assert_eq!(told["ok"], is_good);
    assert_eq!(ended.status.code(), Some(i32::from(!is_good)), "{list:?}");
    for (check, state, told) in &list {
        assert_eq!(
            state == "ok",
            told.ends_with(" -> "),
            "{check}: what is not ok has something to do: {told}"
        );
    }
    (is_good, list)
}

/// One finding must be this; none that is worse may be beside it.
fn tells(place: &Place, arguments: &[&str], check: &str, state: &str, told: &str) {
    let (is_good, list) = findings(place, arguments);
    let is_it = |one: &&(String, String, String)| one.0 == check && one.1 == state && one.2.contains(told);
    assert!(list.iter().any(|one| is_it(&one)), "{check} {state} {told:?} is not in {list:#?}");
    assert_eq!(is_good, state != "fail", "{list:#?}");
}

/// Certificates that are good, expired, and good for ten more days.
fn certificates(authority: &Authority, folder: &Path) {
    authority.expired(&["localhost"]).write(folder, "old");
    authority.issue(&["localhost"]).write(folder, "good");
    let soon = jiff::Timestamp::now().as_second() + 10 * 86_400;
    let soon = jiff::Timestamp::from_second(soon).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = (i32::from(soon.year()), soon.month().unsigned_abs(), soon.day().unsigned_abs());
    authority.until(&["localhost"], day).write(folder, "soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_well_is_told_so_while_it_runs() {
    let place = Place::new();
    tells(&place, &[], "database", "warn", "is not there -> serve makes it");
    assert!(!place.path("creditledger.db").exists(), "a look makes nothing");
    let server = place.serve();
    place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    let (is_good, list) = findings(&place, &[]);
    assert!(is_good);
    let checks: Vec<_> = list.iter().map(|(check, ..)| check.as_str()).collect();
    assert_eq!(checks, CHECKS);
    for (check, state, told) in &list {
        // The room on the disk is as it is.
        assert!(state == "ok" || check == "disk", "{check}: {told}");
    }
    assert!(
        list[0].2.contains(concat!("creditledger ", env!("CARGO_PKG_VERSION"), ", SQLite 3.")),
        "{list:?}"
    );
    let lines = place.run(&["doctor"]).stdout;
    assert!(lines.starts_with("ok   versions      creditledger "), "{lines}");
    place.json(&["customer", "create", "zeta", "--server", server.url(), "--json"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_line() {
    let place = Place::new();
    assert!(place.run(&["migrate"]).status.success());
    let at = |name: &str| place.path(name).to_str().unwrap().to_owned();
    // Settings.
    place.write("wrong.toml", "listn = 1\nlog_format = \"xml\"\n");
    let wrong = at("wrong.toml");
    tells(
        &place,
        &["--config", &wrong],
        "configuration",
        "fail",
        "line 1: listn is not a setting -> correct",
    );
    tells(&place, &["--config", &wrong], "configuration", "fail", "line 2: log_format must be");
    tells(&place, &["--listen", "0.0.0.0:1"], "configuration", "fail", "callers are not authenticated");
    tells(&place, &["--sealing-key-file", "absent"], "configuration", "fail", "sealing_key_file");
    // The database.
    place.write("text.db", &"This is no database at all. ".repeat(50));
    for (url, told) in [
        ("sqlite:no/such/place.db", "there is no directory"),
        ("sqlite:text.db", "is not an SQLite database"),
        ("mysql://h/d", "the database URL must begin with"),
    ] {
        let (_, list) = findings(&place, &["--database-url", url]);
        let found = list
            .iter()
            .any(|(check, state, text)| check == "database" && state == "fail" && text.contains(told));
        assert!(found, "{url}: {list:#?}");
    }
    let kept = std::fs::File::open("tests/databases/v0.1.0/sqlite.db.gz").unwrap();
    let mut older = std::fs::File::create(place.path("older.db")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(kept), &mut older).unwrap();
    tells(
        &place,
        &["--database-url", "sqlite:older.db"],
        "database",
        "warn",
        "an older one -> serve migrates",
    );
    // A log that somebody keeps: a file of that size without a byte on the disk.
    std::fs::copy(place.path("creditledger.db"), place.path("long.db")).unwrap();
    let log = std::fs::File::create(place.path("long.db-wal")).unwrap();
    log.set_len(300 << 20).unwrap();
    tells(&place, &["--database-url", "sqlite:long.db"], "database", "warn", "is long, because a reader");
    // The clock.
    assert!(place.run(&["migrate", "--database-url", "sqlite:ahead.db"]).status.success());
    let mut engine =
        open(&format!("sqlite:{}", at("ahead.db")), clock::now(), &Settings::default()).await.unwrap();
    let create = Request {
        ledger: LedgerNo::MAIN,
        customer: id("acme"),
        request: None,
        said: said(),
        command: Command::CreateCustomer(CreateCustomer::default()),
    };
    let cards = &mut Arc::new(creditledger::cards::built_in());
    let tomorrow = clock::now().plus_days(1);
    let mut book = engine.writers[0].load(&[&create], tomorrow, 7, cards).await.unwrap();
    decide(&mut book, &create).unwrap().unwrap();
    engine.writers[0].append(&book).await.unwrap();
    engine.writers[0].close().await.unwrap();
    tells(
        &place,
        &["--database-url", "sqlite:ahead.db"],
        "clock",
        "fail",
        "ahead of the clock -> set the clock",
    );
    // TLS.
    certificates(&Authority::new("ours"), &place.path("."));
    for (name, state, told) in [
        ("good", "ok", "certificate and key fit"),
        ("old", "warn", "the certificate has expired -> renew"),
        ("soon", "warn", "expires within 30 days -> renew"),
        ("absent", "fail", "cannot be read"),
    ] {
        let (certificate, key) = (at(&format!("{name}.pem")), at(&format!("{name}.key")));
        if name != "absent" {
            std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        }
        let files = ["--tls-certificate-file", &certificate, "--tls-key-file", &key];
        tells(&place, &files, "tls", state, told);
    }
    std::fs::set_permissions(place.path("good.key"), Permissions::from_mode(0o644)).unwrap();
    let (certificate, key) = (at("good.pem"), at("good.key"));
    let files = ["--tls-certificate-file", &certificate, "--tls-key-file", &key];
    tells(&place, &files, "tls", "warn", "-> chmod 600");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_told_in_bounded_time() {
    let place = Place::new();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--webhook-development"];
    let server = Server::start(place.command(&serve));
    let closed = format!("http://127.0.0.1:{}/hook", postgres::free_port());
    place.json(&["webhook", "create", &closed, "--server", server.url(), "--json"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let mail = |port: u16| {
        format!(
            "[email]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"a@example.com\"\n\
             top_up_link = \"https://shop.example.com/credits?for={{customer_id}}\"\n"
        )
    };
    let provider = |url: &str| {
        format!(
            "authenticate = true\n[auth.providers.idp]\nissuer = \"https://idp\"\naudience = \"us\"\n\
             jwks_url = \"{url}\"\nledgers = \"*\"\n"
        )
    };
    place.write(
        "down.toml",
        &format!("{}{}", provider(&format!("http://{silent}/keys")), mail(postgres::free_port())),
    );
    let down = place.path("down.toml");
    let begun = Instant::now();
    let (is_good, list) = findings(&place, &["--config", down.to_str().unwrap(), "--webhook-development"]);
    let lasted = begun.elapsed();
    assert!(!is_good);
    // The checks have 5 s, all at the same time; the rest is for a machine that is busy.
    assert!(lasted < Duration::from_secs(40), "{lasted:?}");
    for (check, state, told) in [
        ("keys", "fail", "the keys of provider idp cannot be read: no answer within 4 s"),
        ("mail", "fail", "cannot be used: "),
        ("endpoints", "warn", "cannot be reached: "),
        ("database", "ok", "has this version's schema"),
    ] {
        let found = list.iter().any(|one| one.0 == check && one.1 == state && one.2.contains(told));
        assert!(found, "{check} {state} {told:?} is not in {list:#?}");
    }
    // And where they answer.
    let mails = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    // The key of RFC 8037.
    let key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let keys = format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "{key}"}}]}}"#);
    let keys = place.write("keys.json", &keys);
    let by_file =
        provider("").replace("jwks_url = \"\"", &format!("algorithms = [\"EdDSA\"]\njwks_file = {keys:?}"));
    place.write("up.toml", &(by_file + &mail(mails.port)));
    let up = place.path("up.toml");
    let (_, list) = findings(&place, &["--config", up.to_str().unwrap()]);
    for (check, told) in [("keys", "provider idp has 1 keys"), ("mail", "takes connections")] {
        let found = list.iter().any(|one| one.0 == check && one.1 == "ok" && one.2.contains(told));
        assert!(found, "{check}: {list:#?}");
    }
    assert!(mails.taken().is_empty(), "a look sends nothing");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_is_looked_at_too() {
    if !postgres::available() {
        return;
    }
    let place = Place::new();
    let url = postgres::database().await;
    tells(&place, &["--database-url", &url], "database", "warn", "has no schema or an older one");
    assert!(place.run(&["migrate", "--database-url", &url]).status.success());
    let (is_good, list) = findings(&place, &["--database-url", &url]);
    assert!(is_good && list[0].2.contains(", PostgreSQL "), "{list:#?}");
    assert!(list.iter().any(|one| one.0 == "database" && one.1 == "ok"), "{list:#?}");
    let nobody = format!("postgres://127.0.0.1:{}/none", postgres::free_port());
    let (is_good, list) = findings(&place, &["--database-url", &nobody]);
    assert!(!is_good);
    assert!(list.iter().any(|one| one.0 == "database" && one.2.contains("cannot be reached")), "{list:#?}");
}

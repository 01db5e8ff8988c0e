//! A server that cannot work on its database says why in one line and ends; nowhere does it say a password.

use std::net::TcpListener;
use std::path::Path;

use super::postgres::{self, Cluster};
use super::postgres_rig::{Site, execute};
use super::process::{PATIENCE, Place, Server};

const PASSWORD: &str = "open-sesame-7";

/// The one line in which a server on this database ends before it serves.
fn refusal(url: &str) -> String {
    let place = Place::new();
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", url]);
    let line = ended.complaint().to_owned();
    assert_eq!(ended.stdout, "");
    assert!(line.starts_with("creditledger: "), "{line}");
    assert!(!line.contains(PASSWORD), "{line}");
    // The other commands say no more.
    let ended = place.run(&["verify", "--database-url", url]);
    assert!(!ended.complaint_with(2).contains(PASSWORD), "{}", ended.stderr);
    line
}

/// A URL of a cluster's database over TCP.
fn tcp(cluster: &Cluster, user: &str, database: &str) -> String {
    format!("postgres://{user}@{}/{database}", cluster.address())
}

/// Makes a database with the schema of this version, or an empty one.
async fn database(cluster: &Cluster, name: &str, migrated: bool) -> String {
    execute(&cluster.url("postgres"), format!("CREATE DATABASE {name}")).await;
    let url = cluster.url(name);
    if migrated {
        let ended = Place::new().run(&["migrate", "--database-url", &url]);
        assert!(ended.status.success(), "{}", ended.stderr);
    }
    url
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = refusal(&format!("postgres://ada:{PASSWORD}@{free}/ledger"));
    assert!(line.contains(&format!("postgres://ada:***@{free}/ledger: cannot be reached: ")), "{line}");
    // Connections wait in its queue, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = refusal(&format!("postgres://ada:{PASSWORD}@{}/ledger", silent.local_addr().unwrap()));
    assert!(line.ends_with(": no answer within 3 s"), "{line}");
}

#[test]
fn a_url_that_cannot_be_read_is_not_repeated() {
    for url in [
        format!("postgres://ada:{PASSWORD}@host:port/ledger"),
        format!("postgres://ada:{PASSWORD}/ledger"),
        format!("postgres://ada:a/{PASSWORD}@host/ledger"),
        format!("postgres://ada:{PASSWORD}@host/ledger?sslmode=perhaps"),
        format!("postgres://ada:{PASSWORD}@host,other:port/ledger"),
        format!("postgres://ada@host,other/ledger?port=1,2,3&password={PASSWORD}"),
        format!("postgres://ada:{PASSWORD}@host/ledger?schema=Ada&target_session_attrs=standby"),
        format!("postgres://ada@host:port/ledger?password={PASSWORD}"),
    ] {
        let line = refusal(&url);
        assert!(line.contains("the database URL cannot be read: ") && !line.contains("ada"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_no_password_shown() {
    if !Cluster::available() {
        return;
    }
    let mut cluster = Cluster::start();
    execute(&cluster.url("postgres"), format!("CREATE ROLE ada LOGIN SUPERUSER PASSWORD '{PASSWORD}'")).await;
    ask_for_passwords(cluster.directory());
    cluster.stop_immediately();
    cluster.start_again();
    let line = refusal(&tcp(&cluster, &format!("ada:{PASSWORD}-not"), "postgres"));
    assert!(line.ends_with("password authentication failed for user \"ada\""), "{line}");
    let line = refusal(&tcp(&cluster, &format!("ada:{PASSWORD}"), "none"));
    assert!(line.ends_with("database \"none\" does not exist"), "{line}");

    let parameter = format!("{}?password={PASSWORD}", tcp(&cluster, "ada", "postgres"));
    for url in [tcp(&cluster, &format!("ada:{PASSWORD}"), "postgres"), parameter] {
        let place = Place::new();
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
        command.env("CREDITLEDGER_LOG_FILTER", "trace");
        let server = Server::start(command);
        assert!(server.said[2].starts_with("database postgres://ada"), "{:?}", server.said);
        assert!(server.said[2].contains("***"), "{:?}", server.said);
        place.json(&["customer", "list", "--server", server.url(), "--json"]);
        let ended = server.stop();
        assert!(!ended.stderr.contains(PASSWORD) && !ended.stdout.contains(PASSWORD), "{}", ended.stderr);
        let ended = place.run(&["migrate", "--database-url", &url]);
        assert!(ended.stdout.ends_with(" is up to date\n"), "{}{}", ended.stdout, ended.stderr);
        assert!(!ended.stdout.contains(PASSWORD), "{}", ended.stdout);
    }
}

/// From now on that role needs its password over TCP.
fn ask_for_passwords(directory: &Path) {
    let file = directory.join("data/pg_hba.conf");
    let rules = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("host all ada 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_needs_its_privileges() {
    if !Cluster::available() {
        return;
    }
    let cluster = Cluster::start();
    let url = database(&cluster, "ledger", true).await;
    execute(&url, "CREATE ROLE nobody LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE writer LOGIN").await;
    execute(&url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader").await;
    execute(&url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer").await;
    let line = refusal(&tcp(&cluster, "nobody", "ledger"));
    assert!(line.contains("permission denied for table _sqlx_migrations"), "{line}");
    let reader = tcp(&cluster, "reader", "ledger");
    let place = Place::new();
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", &reader]);
    let line = ended.complaint();
    assert!(line.contains("the role lacks privileges: ") && line.contains("INSERT on posting"), "{line}");
    assert!(!line.contains("SELECT"), "{line}");
    // To check a book is to read it.
    let ended = place.run(&["verify", "--database-url", &reader]);
    assert!(ended.stdout.starts_with("clean: "), "{}{}", ended.stdout, ended.stderr);
    // A role that may not change the schema can serve, and do everything.
    let site = Site::on(tcp(&cluster, "writer", "ledger"));
    let server = site.serve();
    site.place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    site.place.json(&["purchase", "acme", "10", "--order", "1", "--server", server.url(), "--json"]);
    site.place.json(&["charge", "acme", "I", "--minutes", "45", "--server", server.url(), "--json"]);
    server.stop();
    site.verify();
    // One privilege less is found at the start, not by the first command that needs it.
    execute(&url, "REVOKE UPDATE ON hold FROM writer").await;
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", &site.url]);
    assert!(ended.complaint().ends_with("the role lacks privileges: UPDATE on hold"), "{}", ended.stderr);
    // Where the tables are still to be made, that is what it may not.
    database(&cluster, "empty", false).await;
    let place = Place::new();
    let url = tcp(&cluster, "nobody", "empty");
    execute(&cluster.url("empty"), "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
    assert!(ended.complaint().contains("permission denied for schema public"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_not_keep_what_it_is_given_is_refused() {
    if !Cluster::available() {
        return;
    }
    let cluster = Cluster::start();
    for (name, setting, complaint) in [
        ("hasty", "synchronous_commit = off", "synchronous_commit is off"),
        ("frozen", "default_transaction_read_only = on", "it is read-only; a server must write to it"),
    ] {
        let url = database(&cluster, name, true).await;
        execute(&url, format!("ALTER DATABASE {name} SET {setting}")).await;
        let ended = Place::new().run(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
        assert!(ended.complaint().contains(complaint), "{}", ended.stderr);
    }
    // A commit that no standby has is not refused, but told of where a standby should have it.
    let url = database(&cluster, "local", true).await;
    execute(&url, "ALTER DATABASE local SET synchronous_commit = local").await;
    let warns = |log: &str| {
        log.contains("synchronous_commit is local although the database has synchronous standbys")
    };
    assert!(!warns(&Site::on(url.clone()).serve().stop().stderr));
    execute(&url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    execute(&url, "SELECT pg_reload_conf()").await;
    let server = Site::on(url.clone()).serve();
    assert!(server.process.logs(PATIENCE, warns));
    server.stop();
    // Whoever is not content with that waits for a standby.
    execute(&url, "ALTER SYSTEM RESET synchronous_standby_names").await;
    execute(&url, "SELECT pg_reload_conf()").await;
    let url = database(&cluster, "frozen_empty", false).await;
    execute(&url, "ALTER DATABASE frozen_empty SET default_transaction_read_only = on").await;
    let ended = Place::new().run(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
    assert!(ended.complaint().contains("in a read-only transaction"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_others_is_left_alone() {
    if !postgres::available() {
        return;
    }
    let newer = Site::new().await;
    newer.serve().stop();
    execute(
        &newer.url,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (999999, 'of tomorrow', TRUE, '\\x00', 0)",
    )
    .await;
    let line = refusal(&newer.url);
    assert!(line.ends_with("it was written by a newer version of creditledger"), "{line}");
    let theirs = Site::new().await;
    execute(&theirs.url, "CREATE TABLE customer (name text)").await;
    let line = refusal(&theirs.url);
    assert!(line.ends_with("it has tables of another program"), "{line}");
    // Made by the same tool for another program.
    let theirs = Site::new().await;
    execute(
        &theirs.url,
        "CREATE TABLE _sqlx_migrations (
             version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(),
             success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL
         );
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1, 'recipes', TRUE, '\\x00', 0)",
    )
    .await;
    let line = refusal(&theirs.url);
    assert!(line.ends_with("it has tables of another program"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_together_make_one_schema() {
    if !postgres::available() {
        return;
    }
    for _ in 0..3 {
        let site = Site::new().await;
        let servers: Vec<Server> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| site.serve())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        for (number, server) in (0..).zip(&servers) {
            let id = format!("customer-{number}");
            site.place.json(&["customer", "create", &id, "--server", server.url(), "--json"]);
        }
        site.verify();
    }
}

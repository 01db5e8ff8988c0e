//! PgBouncer in between: a pool by session works, and any other is refused with its reason.

use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use super::postgres::{self, Cluster};
use super::postgres_rig::{Book, Journal, Site};
use super::process::{PATIENCE, Place, Running, incidents};

/// The program, where it is installed.
fn pgbouncer() -> Option<&'static str> {
    let found = ["pgbouncer", "/usr/sbin/pgbouncer"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok());
    let required = std::env::var_os("CREDITLEDGER_REQUIRE_PGBOUNCER").is_some();
    assert!(found.is_some() || !required, "pgbouncer must be installed for its tests");
    if found.is_none() {
        eprintln!("pgbouncer is not installed: its tests are left out");
    }
    found
}

/// One in front of a cluster.
struct Pooler {
    _process: Running,
    /// Of the database `postgres`, through it.
    url: String,
}

impl Pooler {
    fn start(program: &str, place: &Place, cluster: &Cluster, mode: &str) -> Self {
        let port = postgres::free_port();
        let (host, server_port) = (cluster.directory().display(), cluster.port());
        let settings = format!(
            "[databases]\npostgres = host={host} port={server_port} user=postgres\n[pgbouncer]\nauth_type = any\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = {mode}\n\
             default_pool_size = 60\n"
        );
        let path = place.write("pgbouncer.ini", &settings);
        let mut command = Command::new(program);
        // As root it does not run. Who is not root stays who he is.
        if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
            command.args(["-u", "postgres"]);
        }
        let process = Running::start({
            command.arg(path);
            command
        });
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                process.signal("KILL");
                panic!("pgbouncer does not listen: {}", process.end().stderr);
            }
            std::thread::yield_now();
        }
        Self { _process: process, url: format!("postgres://ada@127.0.0.1:{port}/postgres?sslmode=disable") }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_by_session_works() {
    let Some(program) = pgbouncer() else { return };
    if !Cluster::available() {
        return;
    }
    let book = Book::of(incidents(60, 12)).await;
    let cluster = Cluster::start();
    let site = Site::on(cluster.url("postgres"));
    let pooler = Pooler::start(program, &site.place, &cluster, "session");
    let servers = [(); 2].map(|()| site.serve_through(&pooler.url, "127.0.0.1:0"));
    let replay = site.replay(&book, &servers);
    book.must_be_in(&site, replay).await;
    for server in servers {
        Journal::default().reach(&server, book.postings).await;
        server.stop();
    }
    // A cell is found through it, too: the schema is set in each session.
    let cell = format!("{}&schema=cell", pooler.url);
    let server = site.serve_through(&cell, "127.0.0.1:0");
    site.place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    server.stop();
    let ended = site.place.run(&["verify", "--database-url", &cell]);
    assert!(ended.stdout.starts_with("clean: 1 ledgers, 1 postings"), "{}{}", ended.stdout, ended.stderr);
    site.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_by_transaction_or_statement_is_refused() {
    let Some(program) = pgbouncer() else { return };
    if !Cluster::available() {
        return;
    }
    let cluster = Cluster::start();
    for (mode, reason) in [
        (
            "transaction",
            "a pooler in transaction mode is in between; connect to PostgreSQL itself, or pool by session",
        ),
        ("statement", "statement pooling"),
    ] {
        let place = Place::new();
        let pooler = Pooler::start(program, &place, &cluster, mode);
        // Each time, also where connections of the pool are idle already.
        for _ in 0..3 {
            let arguments = ["serve", "--listen", "127.0.0.1:0", "--database-url", &pooler.url];
            let ended = place.run(&arguments);
            assert!(ended.complaint().contains(reason), "{}", ended.stderr);
        }
        let ended = place.run(&["verify", "--database-url", &pooler.url]);
        assert!(ended.complaint_with(2).contains(reason), "{}", ended.stderr);
    }
}

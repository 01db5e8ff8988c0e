//! What the tests of servers on PostgreSQL share: places that use a database there, and what a book must come to.

use std::collections::BTreeMap;

use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::{Posting, StreamJournalRequest};
use creditledger::ledger::Balances;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::postgres;
use super::process::{PATIENCE, Place, Running, Server, decimal, expected_charge};
use super::replay::{customers, totals};

/// A database in PostgreSQL, and what runs on it.
pub struct Site {
    pub place: Place,
    /// The database without anything in between.
    pub url: String,
    isolation: &'static str,
}

impl Site {
    /// On a fresh database of the shared PostgreSQL.
    pub async fn new() -> Self {
        Self::on(postgres::database().await)
    }

    pub fn on(url: String) -> Self {
        Self { place: Place::new(), url, isolation: "read-committed" }
    }

    pub fn at(self, isolation: &'static str) -> Self {
        Self { isolation, ..self }
    }

    /// Starts a server.
    pub fn serve(&self) -> Server {
        // Below what systems give to outgoing connections, so that it can be started again there.
        self.serve_on(&format!("127.0.0.1:{}", postgres::free_port()))
    }

    pub fn serve_on(&self, listen: &str) -> Server {
        self.serve_through(&self.url, listen)
    }

    /// Starts a server that reaches the database by another URL.
    pub fn serve_through(&self, url: &str, listen: &str) -> Server {
        let arguments =
            ["serve", "--listen", listen, "--database-url", url, "--postgres-isolation", self.isolation];
        Server::start(self.place.command(&arguments))
    }

    /// Starts a replay of a book's incidents on these servers.
    pub fn replay(&self, book: &Book, servers: &[Server]) -> Running {
        self.place.write("i.csv", &book.csv);
        let servers: Vec<&str> = servers.iter().map(Server::url).collect();
        let arguments = ["replay", "i.csv", "--json", "--concurrency", "64", "--server", &servers.join(",")];
        Running::start(self.place.command(&arguments))
    }

    /// `verify` must find nothing, whoever writes meanwhile; gives what it counted.
    pub fn verify(&self) -> String {
        let ended = self.place.run(&["verify", "--database-url", &self.url]);
        assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.starts_with("clean: "), "{}", ended.stdout);
        ended.stdout
    }

    /// How many postings are committed.
    pub async fn postings(&self) -> i64 {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM posting").fetch_one(&mut connection).await.unwrap()
    }
}

/// Runs statements on a database.
pub async fn execute(url: &str, sql: impl Into<String>) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Incidents, and what an undisturbed replay of them on SQLite comes to.
pub struct Book {
    pub csv: String,
    summary: Value,
    customers: BTreeMap<String, (Balances, u64)>,
    /// How long its journal is.
    pub postings: i64,
}

impl Book {
    pub async fn of(csv: String) -> Self {
        let place = Place::new();
        place.write("i.csv", &csv);
        let url = place.url();
        let summary = place.json(&["replay", "i.csv", "--json", "--database-url", &url]);
        assert_eq!(summary["credits_charged"], decimal(expected_charge(&csv)));
        assert_eq!(summary["verified"], true);
        let customers = customers(&url).await;
        let postings = customers.values().map(|(_, sequence)| i64::try_from(*sequence).unwrap()).sum();
        Self { csv, summary, customers, postings }
    }

    /// The replay must end well, and the database have what the book has: no posting less, none more.
    pub async fn must_be_in(&self, site: &Site, replay: Running) {
        let ended = replay.end();
        assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
        let summary: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(totals(&summary), totals(&self.summary));
        assert_eq!(summary["verified"], true);
        assert_eq!(customers(&site.url).await, self.customers);
        assert_eq!(site.postings().await, self.postings);
        let counted = site.verify();
        assert!(counted.contains(&format!(" {} postings", self.postings)), "{counted}");
    }
}

/// A journal as it is read, by whichever server: every position once, none left out.
#[derive(Default)]
pub struct Journal {
    pub read: Vec<Posting>,
}

impl Journal {
    fn position(&self) -> i64 {
        i64::try_from(self.read.len()).unwrap()
    }

    /// Follows it on a server until it has so many postings, through every interruption that says it is passing.
    pub async fn reach(&mut self, server: &Server, postings: i64) {
        let url = server.url().to_owned();
        let follow = async {
            while self.position() < postings {
                if let Err(status) = self.follow(&url, postings).await {
                    assert_eq!(status.code(), Code::Unavailable, "{status}");
                }
            }
        };
        tokio::time::timeout(PATIENCE, follow).await.expect("the journal does not grow");
    }

    async fn follow(&mut self, url: &str, postings: i64) -> Result<(), Status> {
        let channel = Endpoint::new(url.to_owned()).unwrap().connect().await.unwrap();
        let mut client = LedgerServiceClient::new(channel);
        let request =
            StreamJournalRequest { follow: true, after_position: self.position(), ..Default::default() };
        let mut journal = client.stream_journal(request).await?.into_inner();
        while self.position() < postings {
            let next = journal.message().await?.expect("a followed journal does not end");
            let posting = next.posting.unwrap();
            assert_eq!(posting.position, self.position() + 1);
            self.read.push(posting);
        }
        Ok(())
    }
}

//! The faults of the proxy before PostgreSQL are the ones that it counts: what a client is told of a commit, and what
//! the database then has.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::pg_proxy::Fault::{Deadlock, LostAfter, LostBefore, SerializationFailure};
use crate::pg_proxy::Proxy;
use crate::postgres;

/// What a client knows of its commit.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Done,
    NotDone(String),
    Unknown,
}

/// A database with a table, seen through a proxy and without it.
struct Rows {
    proxy: Proxy,
    url: String,
    direct: PgConnection,
    client: PgConnection,
}

impl Rows {
    async fn new(seed: u64) -> Self {
        let url = postgres::database().await;
        let mut direct = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE rows (n bigint PRIMARY KEY)").execute(&mut direct).await.unwrap();
        let proxy = Proxy::start(postgres::tcp_address(), seed);
        let url = postgres::through(&url, proxy.address());
        let client = PgConnection::connect(&url).await.unwrap();
        Self { proxy, url, direct, client }
    }

    async fn reconnect(&mut self) {
        self.client = PgConnection::connect(&self.url).await.unwrap();
    }

    /// Commits a row, and connects again where the connection is lost.
    async fn commit(&mut self, n: i64) -> Fate {
        sqlx::raw_sql("BEGIN").execute(&mut self.client).await.unwrap();
        sqlx::query("INSERT INTO rows VALUES ($1)").bind(n).execute(&mut self.client).await.unwrap();
        match sqlx::raw_sql("COMMIT").execute(&mut self.client).await {
            Ok(_) => Fate::Done,
            Err(sqlx::Error::Database(error)) => Fate::NotDone(error.code().unwrap().into_owned()),
            Err(_) => {
                self.reconnect().await;
                Fate::Unknown
            }
        }
    }

    async fn rows(&mut self) -> BTreeSet<i64> {
        let rows = sqlx::query("SELECT n FROM rows").fetch_all(&mut self.direct).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    fn counts(&self) -> [u64; 5] {
        let counts = self.proxy.counts();
        [
            &counts.undisturbed,
            &counts.serialization_failures,
            &counts.deadlocks,
            &counts.lost_before,
            &counts.lost_after,
        ]
        .map(|count| count.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn each_fault_does_what_it_says() {
    if !postgres::available() {
        return;
    }
    let mut rows = Rows::new(0).await;
    let faults = [
        (None, Fate::Done, true),
        (Some(SerializationFailure), Fate::NotDone("40001".into()), false),
        (Some(Deadlock), Fate::NotDone("40P01".into()), false),
        (Some(LostBefore), Fate::Unknown, false),
        (Some(LostAfter), Fate::Unknown, true),
        (None, Fate::Done, true),
    ];
    for (n, (fault, fate, is_there)) in (0..).zip(faults) {
        if let Some(fault) = fault {
            rows.proxy.fail_next(fault);
        }
        assert_eq!(rows.commit(n).await, fate, "{fault:?}");
        assert_eq!(rows.rows().await.contains(&n), is_there, "{fault:?}");
    }
    assert_eq!(rows.counts(), [2, 1, 1, 1, 1]);
}

#[tokio::test]
async fn what_is_acknowledged_is_there_and_what_is_there_may_have_been_done() {
    if !postgres::available() {
        return;
    }
    let mut rows = Rows::new(20_261_121).await;
    rows.proxy.set_fault_share(30);
    let (mut done, mut unknown, mut not_done) = (BTreeSet::new(), BTreeSet::new(), 0);
    for n in 0..300 {
        match rows.commit(n).await {
            Fate::Done => _ = done.insert(n),
            Fate::Unknown => _ = unknown.insert(n),
            Fate::NotDone(_) => not_done += 1,
        }
    }
    let there = rows.rows().await;
    assert!(there.is_superset(&done));
    let more: BTreeSet<i64> = there.difference(&done).copied().collect();
    assert!(unknown.is_superset(&more), "{more:?} were refused");

    let counts = rows.counts();
    let [undisturbed, serialization_failures, deadlocks, lost_before, lost_after] =
        counts.map(|count| usize::try_from(count).unwrap());
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    assert_eq!(done.len(), undisturbed);
    assert_eq!(not_done, serialization_failures + deadlocks);
    assert_eq!(unknown.len(), lost_before + lost_after);
    assert_eq!(more.len(), lost_after);
}

#[tokio::test]
async fn connections_are_cut_and_new_ones_served() {
    if !postgres::available() {
        return;
    }
    let mut rows = Rows::new(0).await;
    // One that asks for TLS before it does without.
    let asks = rows.url.replace("sslmode=disable", "sslmode=prefer");
    let mut other = PgConnection::connect(&asks).await.unwrap();
    other.ping().await.unwrap();
    rows.proxy.cut_all();
    assert!(other.ping().await.is_err());
    assert!(rows.client.ping().await.is_err());
    rows.reconnect().await;
    assert_eq!(rows.commit(1).await, Fate::Done);
}

#[tokio::test]
async fn messages_larger_than_any_buffer_pass() {
    if !postgres::available() {
        return;
    }
    let mut rows = Rows::new(0).await;
    let text = "x".repeat(3_000_000);
    let echo: String = sqlx::query_scalar("SELECT $1").bind(&text).fetch_one(&mut rows.client).await.unwrap();
    assert_eq!(echo, text);
    let many = sqlx::query("SELECT generate_series(1, 50000)").fetch_all(&mut rows.client).await.unwrap();
    assert_eq!(many.len(), 50_000);
}

#[tokio::test]
async fn a_commit_sent_before_the_answers_to_others_gets_its_own() {
    if !postgres::available() {
        return;
    }
    let mut rows = Rows::new(0).await;
    let database = rows.url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
    let user = rows.url.strip_prefix("postgres://").unwrap().split('@').next().unwrap().to_owned();
    if user.contains(':') {
        return; // The few messages below know of no passwords; this is about the proxy, not about the server.
    }
    rows.proxy.fail_next(Deadlock);
    let mut client = TcpStream::connect(rows.proxy.address()).await.unwrap();
    let startup = format!("\0\x03\0\0user\0{user}\0database\0{database}\0\0");
    let mut sent = u32::try_from(startup.len() + 4).unwrap().to_be_bytes().to_vec();
    sent.extend(startup.bytes());
    for text in ["BEGIN", "INSERT INTO rows VALUES (1)", "COMMIT", "INSERT INTO rows VALUES (2)"] {
        sent.push(b'Q');
        sent.extend(u32::try_from(text.len() + 5).unwrap().to_be_bytes());
        sent.extend(text.bytes());
        sent.push(0);
    }
    client.write_all(&sent).await.unwrap();

    // The kinds of the answers, each with its text where that matters.
    let mut answers = Vec::new();
    while answers.iter().filter(|(kind, _)| *kind == b'Z').count() < 5 {
        let kind = client.read_u8().await.unwrap();
        let mut body = vec![0; client.read_u32().await.unwrap() as usize - 4];
        client.read_exact(&mut body).await.unwrap();
        if b"CEZ".contains(&kind) {
            answers.push((kind, String::from_utf8(body).unwrap()));
        }
    }
    let answers: Vec<&str> = answers.iter().map(|(_, body)| body.trim_end_matches('\0')).collect();
    let deadlock = "SERROR\0VERROR\0C40P01\0Mdeadlock detected (a test's fault)";
    assert_eq!(answers, ["I", "BEGIN", "T", "INSERT 0 1", "T", deadlock, "I", "INSERT 0 1", "I"]);
    assert_eq!(rows.rows().await, BTreeSet::from([2]));
}

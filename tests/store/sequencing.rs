//! Several servers on one PostgreSQL: what a reader has seen stays true, however late a commit comes and however wrong
//! a server's clock is.

use std::sync::Arc;

use creditledger::audit::verify;
use creditledger::ledger::book::Book;
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::decide::decide;
use creditledger::ledger::{Credits, CustomerKey, LedgerNo, Request, RequestKey, Timestamp};
use creditledger::store::{
    At, AuditStore, Position, ReadStore, Recorded, Settings, StoreError, WriteStore, migrate, open,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::desk::{grant, id, said};
use crate::postgres::{available, database};

/// A server, as far as the store is concerned. Its clock may be wrong.
struct Server {
    writer: Box<dyn WriteStore>,
    reader: Arc<dyn ReadStore>,
    audit: Arc<dyn AuditStore>,
    ahead_seconds: i64,
    commands: u32,
}

impl Server {
    async fn on(url: &str, ahead_seconds: i64) -> Self {
        let settings = Settings { lanes: 1, ..Settings::default() };
        let mut engine = open(url, creditledger::clock::now(), &settings).await.unwrap();
        let writer = engine.writers.remove(0);
        Self { writer, reader: engine.reader, audit: engine.audit, ahead_seconds, commands: 0 }
    }

    fn clock(&self) -> Timestamp {
        creditledger::clock::now().plus_seconds(self.ahead_seconds)
    }

    fn request(&mut self, customer: &str, command: Command) -> Request {
        self.commands += 1;
        let name = format!("{} {}", self.ahead_seconds, self.commands);
        let request = Some(RequestKey::parse(&name).unwrap());
        Request { ledger: LedgerNo::MAIN, customer: id(customer), request, said: said(), command }
    }

    /// Decides a command and leaves its transaction open.
    async fn begin(&mut self, request: &Request) -> Book {
        let (clock, random) = (self.clock(), creditledger::clock::random().unwrap());
        let mut book = self
            .writer
            .load(&[request], clock, random, &mut Arc::new(creditledger::cards::built_in()))
            .await
            .unwrap();
        decide(&mut book, request).unwrap().unwrap();
        book
    }

    async fn run(&mut self, customer: &str, command: Command) {
        let request = self.request(customer, command);
        let book = self.begin(&request).await;
        self.writer.append(&book).await.unwrap();
    }

    async fn create(&mut self, customer: &str) {
        self.run(customer, Command::CreateCustomer(CreateCustomer::default())).await;
    }

    async fn feed(&self, after: u64) -> Vec<Recorded> {
        self.reader.feed(LedgerNo::MAIN, Position(after), 1_000).await.unwrap().items
    }

    async fn balance_at(&self, customer: &str, time: Timestamp) -> (bool, Option<Credits>) {
        let key = CustomerKey::of(LedgerNo::MAIN, &id(customer));
        let is_final = self.reader.watermark(time, self.clock()).await.unwrap() >= time;
        let found = self.reader.posting_at(key, At::Time(time)).await.unwrap();
        (is_final, found.map(|found| found.posting.after.available))
    }
}

/// Which customers' postings a reader finds that goes on after what it has seen, a look before and a look after the late
/// commit.
async fn seen_by_a_reader(url: &str) -> [Vec<String>; 2] {
    let (mut early, mut late) = (Server::on(url, 0).await, Server::on(url, 0).await);
    for customer in ["early", "late"] {
        early.create(customer).await;
    }
    let start = early.reader.last_position(LedgerNo::MAIN).await.unwrap().0;
    // Begun first, stamped first, committed last.
    let request = late.request("late", grant("1"));
    let book = late.begin(&request).await;
    early.run("early", grant("2")).await;
    let first = early.feed(start).await;
    late.writer.append(&book).await.unwrap();
    let after = first.last().unwrap().position.0;
    let second = early.feed(after).await;
    let names = |recorded: Vec<Recorded>| {
        recorded.iter().map(|recorded| recorded.posting.after.available.to_string()).collect()
    };
    [names(first), names(second)]
}

/// The same with a number that each row takes before its commit, as a sequence gives it.
async fn seen_with_a_plain_sequence(url: &str) -> [Vec<String>; 2] {
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(PgConnection::connect(url).await.unwrap());
    }
    let [early, late, reader] = &mut connections[..] else { panic!("three connections") };
    sqlx::raw_sql("CREATE TABLE plain (n BIGSERIAL PRIMARY KEY, credits TEXT NOT NULL)")
        .execute(&mut *reader)
        .await
        .unwrap();
    let read = "SELECT n, credits FROM plain WHERE n > $1 ORDER BY n";
    sqlx::raw_sql("BEGIN; INSERT INTO plain (credits) VALUES ('1')").execute(&mut *late).await.unwrap();
    sqlx::raw_sql("INSERT INTO plain (credits) VALUES ('2')").execute(&mut *early).await.unwrap();
    let first: Vec<(i64, String)> = sqlx::query_as(read).bind(0_i64).fetch_all(&mut *reader).await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut *late).await.unwrap();
    let after = first.last().unwrap().0;
    let second: Vec<(i64, String)> = sqlx::query_as(read).bind(after).fetch_all(&mut *reader).await.unwrap();
    [first, second].map(|rows| rows.into_iter().map(|(_, credits)| credits).collect())
}

#[tokio::test]
async fn a_reader_never_skips_a_late_commit() {
    if !available() {
        return;
    }
    let expected = [vec!["2".to_owned()], vec!["1".to_owned()]];
    assert_eq!(seen_by_a_reader(&database().await).await, expected);
    // The test can fail: this is what a reader of a plain sequence misses for ever.
    assert_eq!(seen_with_a_plain_sequence(&database().await).await, [vec!["2".to_owned()], vec![]]);
}

#[tokio::test]
async fn clocks_that_are_five_seconds_apart_change_nothing() {
    if !available() {
        return;
    }
    let url = database().await;
    let mut servers = [Server::on(&url, 5).await, Server::on(&url, 0).await, Server::on(&url, -5).await];
    servers[0].create("acme").await;
    for nth in 0..30 {
        let before = creditledger::clock::now();
        servers[nth % 3].run("acme", grant("1")).await;
        let server = &servers[(nth + 1) % 3];
        let last = server.feed(0).await.pop().unwrap();
        let now = creditledger::clock::now();
        // The database's clock is this machine's.
        let recorded_at = last.posting.recorded_at;
        assert!(before <= recorded_at && recorded_at <= now, "{before:?} {recorded_at:?} {now:?}");
        let (_, balance) = server.balance_at("acme", recorded_at).await;
        assert_eq!(balance, Some(Credits::whole(i64::try_from(nth).unwrap() + 1)));
    }
    let feed = servers[0].feed(0).await;
    assert!(feed.is_sorted_by_key(|recorded| (recorded.posting.recorded_at, recorded.position)));
    assert_eq!(
        feed.iter().map(|recorded| recorded.position.0).collect::<Vec<_>>(),
        (1..=31).collect::<Vec<_>>()
    );
    let report = verify(&*servers[2].audit, |_| {}).await.unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_told_as_final_stays_so_when_a_commit_comes_late() {
    if !available() {
        return;
    }
    let url = database().await;
    let (mut early, mut late) = (Server::on(&url, 0).await, Server::on(&url, 0).await);
    early.create("acme").await;
    early.create("other").await;
    let request = late.request("acme", grant("7"));
    let book = late.begin(&request).await;
    let stamp = book.now;
    // Until the watermark has passed it, an answer is provisional; then it is final, though the commit is yet to come.
    let mut answer = early.balance_at("acme", stamp).await;
    assert_eq!(answer, (false, Some(Credits::ZERO)));
    while !answer.0 {
        answer = early.balance_at("acme", stamp).await;
    }
    assert_eq!(answer, (true, Some(Credits::ZERO)));
    // Others go on meanwhile, and get their places: within one turn the stamps would decide.
    early.run("other", grant("1")).await;
    assert_eq!(early.feed(0).await.len(), 3);
    late.writer.append(&book).await.unwrap();
    for server in [&early, &late] {
        assert_eq!(server.balance_at("acme", stamp).await, (true, Some(Credits::ZERO)));
        // Now is after the watermark of the turn that placed it.
        let (_, balance) = server.balance_at("acme", server.clock()).await;
        assert_eq!(balance, Some(Credits::whole(7)));
    }
    let feed = early.feed(0).await;
    assert_eq!(
        feed.last().map(|last| last.posting.recorded_at),
        Some(stamp),
        "the order is that of the commits"
    );
    assert_eq!(verify(&*early.audit, |_| {}).await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_customer_that_another_server_has_locked_is_waited_for_and_read_anew() {
    if !available() {
        return;
    }
    let url = database().await;
    let (mut one, mut other) = (Server::on(&url, 0).await, Server::on(&url, 0).await);
    one.create("acme").await;
    let request = one.request("acme", grant("3"));
    let book = one.begin(&request).await;
    let mut waiting = Box::pin(other.run("acme", grant("4")));
    // The second is under way, and cannot end before the first.
    let probe = async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity
                                    WHERE datname = current_database() AND wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut connection).await.unwrap() {}
    };
    tokio::select! {
        () = &mut waiting => panic!("it did not wait"),
        () = probe => {}
    }
    one.writer.append(&book).await.unwrap();
    waiting.await;
    let feed = one.feed(0).await;
    let last = feed.last().unwrap();
    assert_eq!((last.posting.sequence, last.posting.after.available), (3, Credits::whole(7)));
}

#[tokio::test]
async fn an_append_of_unknown_fate_is_found_out_by_the_next_attempt() {
    if !available() {
        return;
    }
    let url = database().await;
    let mut server = Server::on(&url, 0).await;
    server.create("acme").await;
    let request = server.request("acme", grant("3"));
    // Once stored and once not; in both cases the answer is taken for lost.
    for stored in [false, true] {
        let book = server.begin(&request).await;
        if stored {
            server.writer.append(&book).await.unwrap();
        } else {
            server.writer.abandon().await.unwrap();
        }
        let mut cards = Arc::new(creditledger::cards::built_in());
        server.writer.load(&[&request], server.clock(), 1, &mut cards).await.unwrap();
        assert_eq!(server.writer.was_stored(&book).await.unwrap(), stored);
        server.writer.abandon().await.unwrap();
    }
}

#[tokio::test]
async fn an_orphaned_lock_is_given_up_on_and_tried_again() {
    if !available() {
        return;
    }
    let url = database().await;
    let (mut one, mut other) = (Server::on(&url, 0).await, Server::on(&url, 0).await);
    one.create("acme").await;
    let request = one.request("acme", grant("3"));
    let _orphan = one.begin(&request).await;
    let request = other.request("acme", grant("4"));
    let mut cards = Arc::new(creditledger::cards::built_in());
    let loaded = other.writer.load(&[&request], other.clock(), 1, &mut cards).await;
    assert!(matches!(loaded, Err(StoreError::Locked(_))), "{loaded:?}");
    let (acme, nobody) = (request.customer_key(), CustomerKey::of(LedgerNo::MAIN, &id("nobody")));
    assert_eq!(other.writer.locked(&[acme, nobody]).await.unwrap(), [acme].into());
}

#[tokio::test]
async fn a_server_that_is_gone_in_the_middle_of_a_batch_costs_the_others_no_command() {
    if !available() {
        return;
    }
    let url = database().await;
    let mut gone = Server::on(&url, 0).await;
    gone.create("acme").await;
    let request = gone.request("acme", grant("3"));
    // As of a machine without power: nobody closes its connection.
    let _orphan = gone.begin(&request).await;
    let engine = open(&url, creditledger::clock::now(), &Settings::default()).await.unwrap();
    let limits = creditledger::writer::Limits::default();
    let cards = Arc::new(creditledger::cards::built_in());
    let (writer, _end) = creditledger::writer::Writer::start(engine.writers, &cards, limits).unwrap();
    let outcome = writer.submit(request, None).await.unwrap().unwrap();
    assert_eq!(outcome.balances.available, Credits::whole(3));
}

#[tokio::test]
async fn a_server_goes_on_once_what_it_was_connected_to_is_not_read_only_any_more() {
    if !available() {
        return;
    }
    let url = database().await;
    let mut server = Server::on(&url, 0).await;
    server.create("acme").await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut admin).await.unwrap();
    // As after a fail-over, where the name leads to the old server for a while: it follows now, and is read-only.
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    sqlx::raw_sql(AssertSqlSafe(read_only)).execute(&mut admin).await.unwrap();
    sqlx::raw_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let request = server.request("acme", grant("1"));
    let key = CustomerKey::of(LedgerNo::MAIN, &id("acme"));
    for _ in 0..3 {
        let loaded = server
            .writer
            .load(&[&request], server.clock(), 1, &mut Arc::new(creditledger::cards::built_in()))
            .await;
        assert!(matches!(loaded, Err(StoreError::Again(_))), "{loaded:?}");
    }
    // What it has may be old.
    assert!(server.reader.customer(key).await.is_err());
    assert!(server.reader.last_position(LedgerNo::MAIN).await.is_err());
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    sqlx::raw_sql(AssertSqlSafe(reset)).execute(&mut admin).await.unwrap();
    let book = server.begin(&request).await;
    server.writer.append(&book).await.unwrap();
    assert_eq!(server.feed(0).await.len(), 2);
    assert_eq!(server.reader.customer(key).await.unwrap().unwrap().sequence, 2);
}

#[tokio::test]
async fn servers_that_start_together_on_a_new_database_all_come_up() {
    if !available() {
        return;
    }
    for _ in 0..5 {
        let url = database().await;
        let settings = Settings::default();
        let first = open(&url, creditledger::clock::now(), &settings);
        // As soon as the first has begun, and has made no table of ours yet.
        let other = async || {
            let mut probe = PgConnection::connect(&url).await.unwrap();
            let begun = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
            while !sqlx::query_scalar::<_, bool>(begun).fetch_one(&mut probe).await.unwrap() {}
            open(&url, creditledger::clock::now(), &settings).await
        };
        let opened = tokio::join!(first, other(), other(), other());
        assert!(matches!(opened, (Ok(_), Ok(_), Ok(_), Ok(_))), "{opened:?}");
    }
}

#[tokio::test]
async fn a_start_that_was_cut_off_before_the_first_table_is_gone_on_with() {
    if !available() {
        return;
    }
    let url = database().await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    migrate(&url).await.unwrap();
    let list: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let drop_all = format!(
        "DROP TABLE {} CASCADE; DROP FUNCTION posting_is_append_only, rate_cards_are_append_only, posting_words_are_only_erased; TRUNCATE _sqlx_migrations",
        list.join(", ")
    );
    sqlx::raw_sql(AssertSqlSafe(drop_all)).execute(&mut admin).await.unwrap();
    let mut server = Server::on(&url, 0).await;
    server.create("acme").await;
    // A list of others, without our tables, is another program's.
    let other = database().await;
    let mut admin = PgConnection::connect(&other).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, success BOOLEAN, checksum BYTEA);
         INSERT INTO _sqlx_migrations VALUES (1, TRUE, 'x')",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let opened = open(&other, creditledger::clock::now(), &Settings::default()).await;
    assert!(matches!(opened, Err(StoreError::Unusable(_))), "{opened:?}");
}

#[tokio::test]
async fn a_server_that_was_away_when_a_copy_began_writes_nothing_into_it() {
    if !available() {
        return;
    }
    let url = database().await;
    let mut server = Server::on(&url, 0).await;
    // It has no connection for writing yet; as after one that was lost.
    let mut copy = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("INSERT INTO unfinished_copy VALUES (TRUE, 1)").execute(&mut copy).await.unwrap();
    let request = server.request("acme", Command::CreateCustomer(CreateCustomer::default()));
    let loaded = server
        .writer
        .load(&[&request], server.clock(), 1, &mut Arc::new(creditledger::cards::built_in()))
        .await;
    assert!(matches!(loaded, Err(StoreError::Unusable(_))), "{loaded:?}");
}

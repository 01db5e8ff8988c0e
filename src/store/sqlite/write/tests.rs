//! The writing side where disks are full, commits fail, and readers hold up the log.

use super::checkpoints::{CHECKPOINT_PAGES, LOOK_AFTER_COMMITS, RESTART_PAGES, checkpoint};
use super::*;
use crate::ledger::commands::{Command, CreateCustomer, GrantCredits, Said, UpdateCustomer};
use crate::ledger::decide::decide;
use crate::ledger::{Credits, CustomerId, LedgerNo, Text};

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

struct Rig {
    writer: SqliteWriter,
    now: Timestamp,
    directory: tempfile::TempDir,
    said: Said,
}

impl Rig {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _) = crate::store::sqlite::open(&directory.path().join("a.db"), NOW).unwrap();
        Self { writer, now: NOW, directory, said: Said::default() }
    }

    async fn run(&mut self, command: Command) -> Result<(), StoreError> {
        let customer = CustomerId::parse("acme").unwrap();
        let request =
            Request { ledger: LedgerNo::MAIN, customer, request: None, said: self.said.clone(), command };
        self.now = self.now.plus_seconds(1);
        let mut book = self.writer.load(&[&request], self.now, 7, &mut Arc::new(Cards::none())).await?;
        decide(&mut book, &request).unwrap().unwrap();
        self.writer.append(&book).await?;
        self.writer.tidy().await
    }

    fn sql(&self, sql: &str) {
        self.writer.connection().unwrap().connection.execute_batch(sql).unwrap();
    }

    fn postings(&self) -> i64 {
        let connection = &self.writer.connection().unwrap().connection;
        connection.query_row("SELECT COUNT(*) FROM posting", [], |row| row.get(0)).unwrap()
    }
}

fn grant() -> Command {
    Command::GrantCredits(GrantCredits { credits: Credits::whole(1), expires_at: None })
}

#[tokio::test]
async fn a_full_disk_stores_nothing_and_room_mends_it() {
    let mut rig = Rig::new();
    rig.run(Command::CreateCustomer(CreateCustomer::default())).await.unwrap();
    rig.sql("PRAGMA max_page_count = 1");
    let mut stored = 1;
    rig.said.reason = Text::parse(&"x".repeat(1_000)).unwrap();
    let error = loop {
        match rig.run(grant()).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StoreError::Failed(source) if source.to_string().contains("full")), "{error:?}");
    assert_eq!(rig.postings(), stored);
    rig.sql("PRAGMA max_page_count = 1000000");
    rig.run(grant()).await.unwrap();
    assert_eq!(rig.postings(), stored + 1);
}

#[tokio::test]
async fn a_failed_commit_leaves_its_fate_open() {
    let mut rig = Rig::new();
    rig.run(Command::CreateCustomer(CreateCustomer::default())).await.unwrap();
    // SQLite checks this while it commits, so the commit fails.
    rig.sql(
        "PRAGMA foreign_keys = ON;
         CREATE TABLE late (key INTEGER REFERENCES late_parent (key) DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE late_parent (key INTEGER PRIMARY KEY);
         CREATE TRIGGER late_check AFTER INSERT ON posting BEGIN INSERT INTO late VALUES (1); END;",
    );
    let error = rig.run(grant()).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownFate(_)), "{error:?}");
}

/// Thousands of commits with a reader beside them; the log stays short.
#[tokio::test]
async fn the_log_begins_anew_under_load() {
    let mut rig = Rig::new();
    rig.run(Command::CreateCustomer(CreateCustomer::default())).await.unwrap();
    let reader =
        crate::store::open_to_read(&format!("sqlite:{}", rig.directory.path().join("a.db").display()))
            .await
            .unwrap();
    let mut longest = 0;
    for _ in 0..2_500 {
        rig.run(grant()).await.unwrap();
        reader.stored_accounts().await.unwrap();
        // How many commits fit in depends on the machine.
        while rig.writer.checkpoints.at_work.as_ref().is_some_and(|at_work| !at_work.is_finished()) {
            tokio::task::yield_now().await;
        }
        longest = longest.max(rig.writer.wal_bytes());
    }
    let page = 4_096 + 24;
    let written = rig.writer.stats().rows * page;
    let bound = CHECKPOINT_PAGES.unsigned_abs() * page * 5 / 4;
    assert!(
        longest < bound && bound < written,
        "{longest} bytes at most, {written} written, {bound} allowed"
    );
}

#[tokio::test]
async fn a_log_that_readers_hold_up_is_waited_for() {
    let mut rig = Rig::new();
    rig.run(Command::CreateCustomer(CreateCustomer::default())).await.unwrap();
    rig.writer.checkpoints.restart_at = 1;
    for _ in 1..LOOK_AFTER_COMMITS {
        rig.run(grant()).await.unwrap();
    }
    assert_eq!(rig.writer.checkpoints.restart_at, RESTART_PAGES);
    let log = checkpoint(rig.writer.connection().unwrap(), "PRAGMA wal_checkpoint(NOOP)").unwrap();
    assert_eq!(log.pages, 0);
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_growing_is_told_once_for_each_doubling() {
    let mut rig = Rig::new();
    rig.run(Command::CreateCustomer(CreateCustomer::default())).await.unwrap();
    let path = rig.directory.path().join("a.db");
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM posting").unwrap();
    assert!(!rig.writer.checkpoints.watch_size(), "a short log is no news");
    rig.writer.checkpoints.tell_at = rig.writer.wal_bytes() + 1;
    let (begin, mut told) = (rig.writer.wal_bytes(), Vec::new());
    while told.len() < 3 {
        rig.run(grant()).await.unwrap();
        if rig.writer.checkpoints.watch_size() {
            told.push(rig.writer.wal_bytes());
            assert!(!rig.writer.checkpoints.watch_size(), "the same size is no news");
        }
        assert!(rig.writer.wal_bytes() < 20 * begin.max(100_000), "{told:?}");
    }
    assert!(told.windows(2).all(|pair| pair[1] >= 2 * pair[0]), "{told:?}");
    assert_eq!(crate::store::wal_bytes(&format!("sqlite:{}", path.display())), told.last().copied());
    assert_eq!(crate::store::wal_bytes("postgres://h/d"), None);
    // Once the log was emptied, growth is news again.
    drop(reader);
    checkpoint(rig.writer.connection().unwrap(), "PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let at = rig.writer.checkpoints.tell_at;
    rig.writer.checkpoints.tell_at = u64::MAX;
    assert!(!rig.writer.checkpoints.watch_size());
    assert!(rig.writer.checkpoints.tell_at < u64::MAX, "{at}");
}

#[tokio::test]
async fn an_account_that_is_full_refuses_a_command_and_not_the_server() {
    let mut rig = Rig::new();
    rig.run(Command::CreateCustomer(CreateCustomer::default())).await.unwrap();
    rig.writer.tail.system.insert((LedgerNo::MAIN, "promotions".to_owned()), i64::MIN + 5);
    assert!(matches!(rig.run(grant()).await, Err(StoreError::Refused(_))));
    rig.run(Command::UpdateCustomer(UpdateCustomer::default())).await.unwrap();
    assert_eq!(rig.postings(), 2);
}

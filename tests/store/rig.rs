//! An engine under test, with a clock that the test drives and short ways to run commands.

use std::path::PathBuf;
use std::sync::Arc;

use creditledger::ledger::book::{Answer, Book};
use creditledger::ledger::card::{CardEdit, CardRequest, Cards};
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::decide::{Outcome, decide};
use creditledger::ledger::{
    CustomerId, CustomerKey, LedgerId, LedgerNo, Rejection, Request, RequestKey, Timestamp,
};
use creditledger::store::memory::Memory;
use creditledger::store::orders::OrderStore;
use creditledger::store::webhooks::WebhookStore;
use creditledger::store::{
    AuditStore, CardsChanged, CommitNotifier, Engine, EngineClock, Isolation, LedgerCreated, NewLedger,
    ReadStore, Readable, RecordStore, Settings, StoreError, Time, TokenStore, WriteStore, open,
};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::desk::{START, id, said};

pub struct Rig {
    pub writer: Box<dyn WriteStore>,
    pub reader: Arc<dyn ReadStore>,
    pub audit: Arc<dyn AuditStore>,
    pub webhooks: Arc<dyn WebhookStore>,
    pub orders: Arc<dyn OrderStore>,
    pub tokens: Arc<dyn TokenStore>,
    pub records: Arc<dyn RecordStore>,
    pub notifier: CommitNotifier,
    pub clock: EngineClock,
    pub now: Timestamp,
    pub ledger: LedgerNo,
    pub customer: CustomerId,
    /// What the writer knows of rate cards.
    pub cards: Arc<Cards>,
    requests: u32,
    /// No two batches on one database make the same ids; two engines that are compared do.
    random: u64,
    /// Where it is opened again.
    url: Option<String>,
    directory: Option<TempDir>,
}

/// The test drives the time, on every engine.
pub const SETTINGS: Settings =
    Settings { lanes: 1, isolation: Isolation::ReadCommitted, time: Time::Caller, clock_gap_max: None };

impl Rig {
    fn of(engine: Engine, url: Option<String>, directory: Option<TempDir>) -> Self {
        let Engine {
            mut writers,
            reader,
            audit,
            webhooks,
            orders,
            tokens,
            records,
            notifier,
            gauges: _,
            clock,
        } = engine;
        let writer = writers.remove(0);
        let customer = id("acme");
        let ledger = LedgerNo::MAIN;
        let cards = Arc::new(creditledger::cards::built_in());
        let requests = 0;
        Self {
            writer,
            reader,
            audit,
            webhooks,
            orders,
            tokens,
            records,
            notifier,
            clock,
            now: START,
            ledger,
            customer,
            cards,
            requests,
            random: 7,
            url,
            directory,
        }
    }

    pub fn memory() -> Self {
        Self::of(Memory::new(START).engine(), None, None)
    }

    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("test.db").display());
        Self::of(open(&url, START, &SETTINGS).await.unwrap(), Some(url), Some(directory))
    }

    /// On a database of its own.
    pub async fn postgres(isolation: Isolation) -> Self {
        let url = crate::postgres::database().await;
        let settings = Settings { isolation, ..SETTINGS };
        Self::of(open(&url, START, &settings).await.unwrap(), Some(url), None)
    }

    /// The database that the URL names, made where needed.
    pub async fn open(url: &str) -> Self {
        let opened = Self::of(open(url, START, &SETTINGS).await.unwrap(), Some(url.to_owned()), None);
        let postings = opened.reader.last_position(LedgerNo::MAIN).await.unwrap().0;
        Self { random: opened.random + 1_000 * postings, ..opened }
    }

    /// The database file of a SQLite rig.
    pub fn path(&self) -> PathBuf {
        self.directory.as_ref().unwrap().path().join("test.db")
    }

    /// Closes the database and opens it again; an engine in memory just stays.
    pub async fn reopen(mut self) -> Self {
        let Some(url) = self.url.take() else { return self };
        let (now, ledger, customer, requests) = (self.now, self.ledger, self.customer.clone(), self.requests);
        let directory = self.close().await;
        let again = Self::of(open(&url, START, &SETTINGS).await.unwrap(), Some(url), directory);
        Self { now, ledger, customer, requests, ..again }
    }

    /// Closes the database with everything that has it open; the folder goes with what is returned.
    pub async fn close(mut self) -> Option<TempDir> {
        self.writer.close().await.unwrap();
        self.directory.take()
    }

    /// Changes the database behind the program's back. False where there is none.
    pub async fn execute(&self, sql: &'static str) -> bool {
        let Some(url) = &self.url else { return false };
        if url.starts_with("sqlite:") {
            rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        true
    }

    pub fn is_in_memory(&self) -> bool {
        self.url.is_none()
    }

    pub fn key(&self) -> CustomerKey {
        CustomerKey::of(self.ledger, &self.customer)
    }

    /// A request with an id of its own.
    pub fn request(&mut self, command: Command) -> Request {
        self.requests += 1;
        let request = RequestKey::parse(&format!("request {}", self.requests)).unwrap();
        let request = (command != Command::ApplyDue).then_some(request);
        Request { ledger: self.ledger, customer: self.customer.clone(), request, said: said(), command }
    }

    pub async fn load(&mut self, requests: &[Request]) -> Book {
        let requests: Vec<&Request> = requests.iter().collect();
        self.random += 1;
        self.writer.load(&requests, self.now, self.random, &mut self.cards).await.unwrap()
    }

    /// One commit, a second after the one before.
    pub async fn batch(&mut self, requests: &[Request]) -> Vec<Outcome> {
        self.now = self.now.plus_seconds(1);
        let mut book = self.load(requests).await;
        let outcomes = requests.iter().map(|request| decide(&mut book, request).unwrap()).collect();
        self.writer.append(&book).await.unwrap();
        self.writer.tidy().await.unwrap();
        outcomes
    }

    pub async fn send(&mut self, request: &Request) -> Outcome {
        self.batch(std::slice::from_ref(request)).await.remove(0)
    }

    pub async fn run(&mut self, command: Command) -> Outcome {
        let request = self.request(command);
        self.send(&request).await
    }

    pub async fn ok(&mut self, command: Command) -> Answer {
        match self.run(command.clone()).await {
            Ok(answer) => answer,
            Err(rejection) => panic!("{command:?} was rejected: {rejection}"),
        }
    }

    pub async fn rejected(&mut self, command: Command) -> Rejection {
        self.run(command).await.unwrap_err()
    }

    /// Turns to another customer, who is made.
    pub async fn new_customer(&mut self, customer: &str) {
        self.customer = id(customer);
        self.ok(Command::CreateCustomer(CreateCustomer::default())).await;
    }

    pub async fn create_ledger(&mut self, ledger: &str, request: &str) -> Result<LedgerCreated, StoreError> {
        let id = LedgerId::parse(ledger).unwrap();
        let request = RequestKey::parse(request).unwrap();
        self.writer.create_ledger(&NewLedger { id, request }, self.now).await
    }

    /// Asks for a change of the ledger's rate cards.
    pub async fn change_cards(&mut self, request: &str, change: CardEdit) -> CardsChanged {
        self.now = self.now.plus_seconds(1);
        let request = RequestKey::parse(request).unwrap();
        let request = CardRequest { ledger: self.ledger, request, change, by: id("op") };
        self.writer.change_cards(&request, self.now, &mut self.cards).await.unwrap()
    }

    /// Turns to another ledger, which is made.
    pub async fn new_ledger(&mut self, ledger: &str) {
        match self.create_ledger(ledger, ledger).await.unwrap() {
            LedgerCreated::Created { ledger, replayed: false } => self.ledger = ledger.no,
            other => panic!("{other:?}"),
        }
    }
}

/// The rows of a list, all of which can be read.
pub fn readable<T>(rows: Vec<Readable<T>>) -> Vec<T> {
    rows.into_iter().map(|row| row.unwrap()).collect()
}

/// Runs each test on each engine.
macro_rules! on_each_engine {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::rig::Rig::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::rig::Rig::sqlite().await).await;
            })*
        }
        mod postgres {
            use creditledger::store::Isolation;

            $(#[tokio::test]
            async fn $name() {
                if crate::postgres::available() {
                    super::$name(crate::rig::Rig::postgres(Isolation::ReadCommitted).await).await;
                }
            })*
        }
        mod postgres_serializable {
            use creditledger::store::Isolation;

            $(#[tokio::test]
            async fn $name() {
                if crate::postgres::available() {
                    super::$name(crate::rig::Rig::postgres(Isolation::Serializable).await).await;
                }
            })*
        }
    };
}
pub(crate) use on_each_engine;

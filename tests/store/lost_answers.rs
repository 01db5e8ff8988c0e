//! The writer where the answer to a commit was lost: whoever is told anything is told that the outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use creditledger::ledger::book::Book;
use creditledger::ledger::card::{CardEdit, CardRequest, Cards};
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{CustomerId, LedgerId, LedgerNo, Request, RequestKey, Timestamp};
use creditledger::store::memory::Memory;
use creditledger::store::{
    CardsChanged, DefaultAlertsSet, Erased, LedgerCreated, NewDefaultAlerts, NewLedger, StoreError,
    WriteStore,
};
use creditledger::writer::{Limits, SubmitError, Writer, WriterEnd};

use crate::desk::{START, id};
use crate::writer::request;

/// A store in memory where the answer to the first commit is lost, and everything after it fails.
struct Unanswered {
    inner: Box<dyn WriteStore>,
    lost: bool,
    /// Loads after it that clash before one fails.
    clashes: u32,
}

impl Unanswered {
    fn start() -> (Writer, WriterEnd) {
        Self::clashing(0)
    }

    fn clashing(clashes: u32) -> (Writer, WriterEnd) {
        let inner = Memory::new(START).engine().writers.remove(0);
        let limits = Limits { retry_for: Duration::from_millis(20), ..Limits::default() };
        Writer::start(
            vec![Box::new(Self { inner, lost: false, clashes })],
            &Arc::new(creditledger::cards::built_in()),
            limits,
        )
        .unwrap()
    }

    fn lose<T>(&mut self) -> Result<T, StoreError> {
        self.lost = true;
        Err(StoreError::Unsure("lost".into()))
    }
}

#[async_trait]
impl WriteStore for Unanswered {
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        if self.lost && self.clashes > 0 {
            self.clashes -= 1;
            return Err(StoreError::Clash("a row with the same key".into()));
        }
        if self.lost {
            return Err(StoreError::Damaged("it cannot be read".to_owned()));
        }
        self.inner.load(requests, clock, random, cards).await
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        self.inner.append(book).await?;
        self.lose()
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.inner.abandon().await
    }

    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError> {
        if self.lost {
            return Err(StoreError::Again("the database is away".into()));
        }
        self.inner.create_ledger(ledger, now).await?;
        self.lose()
    }

    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        if self.lost {
            return Err(StoreError::Again("the database is away".into()));
        }
        self.inner.change_cards(request, now, cards).await?;
        self.lose()
    }

    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        if self.lost {
            return Err(StoreError::Again("the database is away".into()));
        }
        self.inner.set_default_alerts(alerts, now).await?;
        self.lose()
    }

    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        self.inner.erase_words(ledger, customer, now).await
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        self.inner.tidy().await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

#[tokio::test]
async fn after_a_lost_answer_nobody_is_told_that_nothing_was_done() {
    let (writer, end) = Unanswered::start();
    let create = Command::CreateCustomer(CreateCustomer::default());
    assert_eq!(writer.submit(request("acme", "1", create), None).await, Err(SubmitError::Unknown));
    let end = end.stopped.await.unwrap();
    assert_eq!(
        end,
        Err("the database is damaged: it cannot be read (before it, the answer to a commit was lost)"
            .to_owned())
    );

    let (writer, _end) = Unanswered::start();
    let ledger =
        NewLedger { id: LedgerId::parse("other").unwrap(), request: RequestKey::parse("1").unwrap() };
    assert_eq!(writer.create_ledger(ledger, None).await, Err(SubmitError::Unknown));

    let (writer, _end) = Unanswered::start();
    let request = CardRequest {
        ledger: LedgerNo::MAIN,
        request: RequestKey::parse("1").unwrap(),
        change: CardEdit::Default(id("half-hour")),
        by: id("op"),
    };
    assert_eq!(writer.change_cards(request, None).await.map(drop), Err(SubmitError::Unknown));
}

/// So many clashes that the batch is run one by one: the doubt goes with each of its commands.
#[tokio::test]
async fn a_doubt_outlives_the_batch_that_it_came_from() {
    let (writer, end) = Unanswered::clashing(6);
    let create = |name| request(name, "1", Command::CreateCustomer(CreateCustomer::default()));
    let outcomes = writer.submit_bulk(vec![create("acme"), create("zeta")], None).await.unwrap();
    assert_eq!(outcomes, [Err(SubmitError::Unknown), Err(SubmitError::Unknown)]);
    assert!(end.stopped.await.unwrap().is_err());
}

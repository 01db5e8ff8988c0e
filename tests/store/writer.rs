//! The writer in front of a store whose commits the test holds back, counts or fails.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use creditledger::ledger::book::Book;
use creditledger::ledger::card::{CardRequest, Cards};
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{CustomerId, LedgerNo, Rejection, Request, RequestKey, Timestamp};
use creditledger::store::memory::Memory;
use creditledger::store::{
    CardsChanged, DefaultAlertsSet, Erased, LedgerCreated, NewDefaultAlerts, NewLedger, Position, ReadStore,
    StoreError, WriteStore,
};
use creditledger::writer::{Limits, SubmitError, Writer, WriterEnd};
use tokio::sync::Semaphore;

use crate::desk::{START, grant, id, place, said};

/// What a commit does instead of storing, for batches with a command of the customer `poison`.
#[derive(Clone, Copy, PartialEq)]
enum Poison {
    Refused,
    /// Refused with others; alone the fate of its commit is unknown.
    RefusedThenUnknown,
    Failed,
    /// Fails before anything is begun.
    Unloadable,
}

/// A store in memory whose every commit takes a permit.
struct Gated {
    inner: Box<dyn WriteStore>,
    permits: Arc<Semaphore>,
    /// Commits begun, those that still wait for a permit included.
    begun: Arc<AtomicUsize>,
    commits: Arc<Mutex<Vec<usize>>>,
    poison: Poison,
    poisoned: bool,
}

#[async_trait]
impl WriteStore for Gated {
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        self.poisoned = requests.iter().any(|request| request.customer.as_str() == "poison");
        if self.poisoned && self.poison == Poison::Unloadable {
            return Err(StoreError::Failed("busy".into()));
        }
        self.inner.load(requests, clock, random, cards).await
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        if self.poisoned {
            self.inner.abandon().await?;
            let error = "poison".into();
            return Err(match self.poison {
                Poison::Refused => StoreError::Refused(error),
                Poison::RefusedThenUnknown if book.journal().len() > 1 => StoreError::Refused(error),
                Poison::RefusedThenUnknown => StoreError::UnknownFate(error),
                Poison::Failed | Poison::Unloadable => StoreError::Failed(error),
            });
        }
        self.commits.lock().unwrap().push(book.journal().len());
        self.inner.append(book).await
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.inner.abandon().await
    }

    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError> {
        self.inner.create_ledger(ledger, now).await
    }

    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        self.inner.change_cards(request, now, cards).await
    }

    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        self.inner.set_default_alerts(alerts, now).await
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

struct Bench {
    writer: Writer,
    end: WriterEnd,
    reader: Arc<dyn ReadStore>,
    permits: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    commits: Arc<Mutex<Vec<usize>>>,
}

impl Bench {
    /// A writer with the customers `acme` and `poison`, after which commits wait for permits.
    async fn new(limits: Limits, poison: Poison) -> Self {
        let mut engine = Memory::new(START).engine();
        let permits = Arc::new(Semaphore::new(0));
        let begun = Arc::new(AtomicUsize::new(0));
        let commits = Arc::new(Mutex::new(Vec::new()));
        let mut inner = engine.writers.remove(0);
        let create: Vec<Request> = ["acme", "poison"]
            .map(|name| request(name, "create", Command::CreateCustomer(CreateCustomer::default())))
            .into();
        let mut cards = Arc::new(creditledger::cards::built_in());
        let all: Vec<&Request> = create.iter().collect();
        let mut book = inner.load(&all, START, 1, &mut cards).await.unwrap();
        for request in &create {
            creditledger::ledger::decide::decide(&mut book, request).unwrap().unwrap();
        }
        inner.append(&book).await.unwrap();
        let store = Gated {
            inner,
            permits: Arc::clone(&permits),
            begun: Arc::clone(&begun),
            commits: Arc::clone(&commits),
            poison,
            poisoned: false,
        };
        let (writer, end) = Writer::start(vec![Box::new(store)], &cards, limits).unwrap();
        Self { writer, end, reader: engine.reader, permits, begun, commits }
    }

    fn submit(&self, customer: &str, name: &str) -> tokio::task::JoinHandle<creditledger::writer::Submitted> {
        let (writer, request) = (self.writer.clone(), request(customer, name, grant("1")));
        tokio::spawn(async move { writer.submit(request, None).await })
    }

    /// Submits a command and returns once the writer waits in its commit.
    async fn block(
        &self,
        customer: &str,
        name: &str,
    ) -> tokio::task::JoinHandle<creditledger::writer::Submitted> {
        let task = self.submit(customer, name);
        while self.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        task
    }

    async fn until_queue_is(&self, commands: usize) {
        while self.writer.queued() != commands {
            tokio::task::yield_now().await;
        }
    }

    async fn postings(&self) -> usize {
        self.reader.feed(LedgerNo::MAIN, Position(0), 100_000).await.unwrap().items.len()
    }
}

pub fn request(customer: &str, name: &str, command: Command) -> Request {
    Request {
        ledger: LedgerNo::MAIN,
        customer: id(customer),
        request: Some(RequestKey::parse(name).unwrap()),
        said: said(),
        command,
    }
}

#[tokio::test]
async fn what_waits_while_one_commits_shares_the_next_commit() {
    let bench = Bench::new(Limits::default(), Poison::Failed).await;
    let first = bench.block("acme", "first").await;
    let more: Vec<_> = (0..50).map(|n| bench.submit("acme", &format!("more {n}"))).collect();
    bench.until_queue_is(50).await;
    bench.permits.add_permits(2);
    first.await.unwrap().unwrap().unwrap();
    for one in more {
        one.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(*bench.commits.lock().unwrap(), [1, 50]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_forgets_nothing_it_took() {
    let limits = Limits { queue_commands_max: 3, ..Limits::default() };
    let bench = Bench::new(limits, Poison::Failed).await;
    let first = bench.block("acme", "first").await;
    let waiting: Vec<_> = (0..3).map(|n| bench.submit("acme", &format!("waiting {n}"))).collect();
    bench.until_queue_is(3).await;
    let over = bench.writer.submit(request("acme", "over", grant("1")), None).await;
    assert_eq!(over, Err(SubmitError::Overloaded));
    let bulk = (0..4).map(|n| request("acme", &format!("bulk {n}"), grant("1"))).collect();
    assert_eq!(bench.writer.submit_bulk(bulk, None).await, Err(SubmitError::Overloaded));
    bench.permits.add_permits(10);
    for task in waiting.into_iter().chain([first]) {
        task.await.unwrap().unwrap().unwrap();
    }
    bench.writer.submit(request("acme", "over", grant("1")), None).await.unwrap().unwrap();
    assert_eq!(bench.postings().await, 2 + 5);
}

#[tokio::test]
async fn a_command_whose_deadline_has_passed_is_not_run() {
    let bench = Bench::new(Limits::default(), Poison::Failed).await;
    bench.permits.add_permits(10);
    let past = Instant::now().checked_sub(Duration::from_secs(1));
    let late = bench.writer.submit(request("acme", "late", grant("1")), past).await;
    assert_eq!(late, Err(SubmitError::DeadlineExceeded));
    let bulk = vec![request("acme", "late 1", grant("1")), request("acme", "late 2", grant("1"))];
    let late = bench.writer.submit_bulk(bulk, past).await.unwrap();
    assert_eq!(late, vec![Err(SubmitError::DeadlineExceeded); 2]);
    assert_eq!(bench.postings().await, 2);
}

#[tokio::test]
async fn a_bulk_keeps_its_order_over_many_commits_and_lets_single_commands_by() {
    let limits = Limits { batch_commands_max: 100, ..Limits::default() };
    let bench = Bench::new(limits, Poison::Failed).await;
    // Each hold takes one of the credits granted just before it; out of order they would be short.
    let bulk: Vec<Request> = (0..500)
        .flat_map(|n| {
            let hold = request("acme", &format!("hold {n}"), place(&format!("i{n}"), "1"));
            [request("acme", &format!("grant {n}"), grant("1")), hold]
        })
        .collect();
    let writer = bench.writer.clone();
    let bulk = tokio::spawn(async move { writer.submit_bulk(bulk, None).await });
    bench.until_queue_is(900).await;
    let single = bench.submit("acme", "single");
    bench.until_queue_is(901).await;
    // The first hundred of the bulk, then a batch with the single command in it.
    bench.permits.add_permits(2);
    single.await.unwrap().unwrap().unwrap();
    assert!(!bulk.is_finished());
    bench.permits.add_permits(20);
    let outcomes = bulk.await.unwrap().unwrap();
    assert_eq!(outcomes.len(), 1_000);
    let mut last = 0;
    for outcome in outcomes {
        let sequence = outcome.unwrap().unwrap().posting.sequence;
        assert!(sequence > last);
        last = sequence;
    }
    assert!(bench.commits.lock().unwrap().iter().all(|commands| *commands <= 100));
}

#[tokio::test]
async fn a_rejected_command_fails_no_neighbour() {
    let bench = Bench::new(Limits::default(), Poison::Failed).await;
    bench.permits.add_permits(1);
    let bulk = vec![
        request("acme", "1", grant("1")),
        request("acme", "2", place("i", "5")),
        request("nobody", "3", grant("1")),
        request("acme", "4", place("i", "1")),
    ];
    let outcomes = bench.writer.submit_bulk(bulk, None).await.unwrap();
    let told: Vec<Result<(), Rejection>> =
        outcomes.into_iter().map(|outcome| outcome.unwrap().map(drop)).collect();
    assert!(matches!(
        told.as_slice(),
        [Ok(()), Err(Rejection::InsufficientCredits { .. }), Err(Rejection::CustomerNotFound), Ok(())]
    ));
}

#[tokio::test]
async fn a_command_that_the_database_refuses_is_run_alone() {
    let bench = Bench::new(Limits::default(), Poison::Refused).await;
    bench.permits.add_permits(10);
    let bulk = ["acme", "poison", "acme"];
    let bulk = bulk.iter().zip(0..).map(|(name, n)| request(name, &format!("{n}"), grant("1"))).collect();
    let outcomes = bench.writer.submit_bulk(bulk, None).await.unwrap();
    assert_eq!(outcomes[1], Err(SubmitError::Internal));
    assert!([&outcomes[0], &outcomes[2]].iter().all(|outcome| matches!(outcome, Ok(Ok(_)))));
    assert_eq!(bench.postings().await, 4);
}

#[tokio::test]
async fn commands_that_are_run_alone_are_each_told_their_own_fate() {
    let bench = Bench::new(Limits::default(), Poison::RefusedThenUnknown).await;
    bench.permits.add_permits(10);
    let bulk = ["acme", "poison", "acme", "acme"];
    let bulk = bulk.iter().zip(0..).map(|(name, n)| request(name, &format!("{n}"), grant("1"))).collect();
    let outcomes = bench.writer.submit_bulk(bulk, None).await.unwrap();
    // The first is stored, the second may be, the others were not begun.
    assert!(matches!(outcomes[0], Ok(Ok(_))), "{:?}", outcomes[0]);
    assert_eq!(outcomes[1], Err(SubmitError::Unknown));
    assert_eq!(outcomes[2..], [Err(SubmitError::ShuttingDown), Err(SubmitError::ShuttingDown)]);
    assert_eq!(bench.postings().await, 3);
    assert_eq!(bench.end.stopped.await.unwrap(), Err("the fate of a commit is unknown: poison".to_owned()));
}

#[tokio::test]
async fn what_could_not_be_begun_is_told_so_and_the_writer_goes_on() {
    let bench = Bench::new(Limits::default(), Poison::Unloadable).await;
    bench.permits.add_permits(10);
    let busy = bench.writer.submit(request("poison", "1", grant("1")), None).await;
    assert_eq!(busy, Err(SubmitError::StorageUnavailable));
    bench.writer.submit(request("acme", "2", grant("1")), None).await.unwrap().unwrap();
    assert_eq!(bench.postings().await, 3);
}

#[tokio::test]
async fn a_failed_commit_is_never_acknowledged_and_stops_the_writer() {
    let bench = Bench::new(Limits::default(), Poison::Failed).await;
    let failing = bench.block("poison", "first").await;
    let waiting = bench.submit("acme", "waiting");
    bench.until_queue_is(1).await;
    bench.permits.add_permits(10);
    assert_eq!(failing.await.unwrap(), Err(SubmitError::StorageUnavailable));
    assert_eq!(waiting.await.unwrap(), Err(SubmitError::ShuttingDown));
    let end = bench.end.stopped.await.unwrap();
    assert_eq!(end, Err("the database failed: poison".to_owned()));
    let after = bench.writer.submit(request("acme", "after", grant("1")), None).await;
    assert_eq!(after, Err(SubmitError::ShuttingDown));
    assert_eq!(bench.reader.feed(LedgerNo::MAIN, Position(0), 10).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn closing_runs_what_waits_and_takes_nothing_new() {
    let bench = Bench::new(Limits::default(), Poison::Failed).await;
    let first = bench.block("acme", "first").await;
    let waiting = bench.submit("acme", "waiting");
    bench.until_queue_is(1).await;
    bench.writer.close();
    let new = bench.writer.submit(request("acme", "new", grant("1")), None).await;
    assert_eq!(new, Err(SubmitError::ShuttingDown));
    bench.permits.add_permits(10);
    for task in [first, waiting] {
        task.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(bench.end.stopped.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_a_whole_command_or_none() {
    let bench = Bench::new(Limits::default(), Poison::Failed).await;
    let gone = bench.block("acme", "gone").await;
    gone.abort();
    bench.permits.add_permits(10);
    // The same request finds out what became of it.
    let again = bench.writer.submit(request("acme", "gone", grant("1")), None).await.unwrap().unwrap();
    assert!(again.replayed);
    assert_eq!(bench.postings().await, 3);
}

#[test]
fn a_bulk_that_is_too_large_takes_nobody_elses_place() {
    let limits = Limits { queue_commands_max: 100, ..Limits::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new(limits, Poison::Failed));
    bench.permits.add_permits(100_000);
    let too_large: Vec<Request> =
        (0..101).map(|n| request("acme", &format!("large {n}"), grant("1"))).collect();
    let ended = Arc::new(AtomicUsize::new(0));
    let large: Vec<_> = (0..2)
        .map(|_| {
            let (writer, bulk, ended) = (bench.writer.clone(), too_large.clone(), Arc::clone(&ended));
            runtime.spawn(async move {
                while ended.load(Ordering::SeqCst) == 0 {
                    assert_eq!(writer.submit_bulk(bulk.clone(), None).await, Err(SubmitError::Overloaded));
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for n in 0..20_000 {
            // Its answer is that it is late: the queue has room for it all the time.
            let late = Some(Instant::now());
            let small = bench.writer.submit(request("acme", &format!("{n}"), grant("1")), late).await;
            assert_eq!(small, Err(SubmitError::DeadlineExceeded), "{n}");
        }
        ended.store(1, Ordering::SeqCst);
        for task in large {
            task.await.unwrap();
        }
    });
}

#[tokio::test]
async fn single_commands_starve_no_bulk_however_small_a_commit_is() {
    let limits = Limits { batch_commands_max: 1, ..Limits::default() };
    let bench = Bench::new(limits, Poison::Failed).await;
    let first = bench.block("acme", "first").await;
    let writer = bench.writer.clone();
    let bulk = vec![request("acme", "bulk", grant("1"))];
    let bulk = tokio::spawn(async move { writer.submit_bulk(bulk, None).await });
    bench.until_queue_is(1).await;
    let singles: Vec<_> = (0..10).map(|n| bench.submit("acme", &format!("single {n}"))).collect();
    bench.until_queue_is(11).await;
    bench.permits.add_permits(2);
    bulk.await.unwrap().unwrap().remove(0).unwrap().unwrap();
    first.await.unwrap().unwrap().unwrap();
    assert!(!singles.last().unwrap().is_finished());
}

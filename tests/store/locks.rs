//! PostgreSQL: a row that somebody else keeps locked stalls its customer, not the lane.

use std::sync::Arc;
use std::time::Duration;

use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{CustomerKey, LedgerNo};
use creditledger::store::{Settings, open};
use creditledger::writer::{Limits, SubmitError, Submitted, Writer};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::desk::{START, grant, id, place, purchase, release};
use crate::writer::request;

/// What must not wait for the lock; far more than it takes on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Commands that keep the lane busy.
const BUSY: usize = 64;

/// One lane, with two customers who have bought credits. `stuck` is locked by another connection.
struct Locked {
    writer: Writer,
    lock: PgConnection,
}

async fn at_once<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, answer).await.expect("an answer that waits for nobody")
}

/// What the other connection has locked of `stuck`.
#[derive(Clone, Copy)]
enum Row {
    Customer,
    Hold,
}

impl Locked {
    async fn new(row: Row, retry_for: Duration) -> Self {
        let url = crate::postgres::database().await;
        let settings = Settings { lanes: 1, ..Settings::default() };
        let engine = open(&url, START, &settings).await.unwrap();
        let cards = Arc::new(creditledger::cards::built_in());
        let limits = Limits { retry_for, ..Limits::default() };
        let (writer, _) = Writer::start(engine.writers, &cards, limits).unwrap();
        for customer in ["free", "stuck"] {
            let create = Command::CreateCustomer(CreateCustomer::default());
            writer.submit(request(customer, "create", create), None).await.unwrap().unwrap();
            let buy = purchase(&format!("{customer}-1"), "50");
            writer.submit(request(customer, "buy", buy), None).await.unwrap().unwrap();
        }
        let place = request("stuck", "place-0", place("i-0", "1"));
        writer.submit(place, None).await.unwrap().unwrap();
        let mut lock = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("BEGIN").execute(&mut lock).await.unwrap();
        let key = CustomerKey::of(LedgerNo::MAIN, &id("stuck"));
        let lock_rows = match row {
            Row::Customer => "SELECT 1 FROM customer WHERE customer = $1 FOR UPDATE",
            Row::Hold => "SELECT 1 FROM hold WHERE customer = $1 FOR UPDATE",
        };
        sqlx::query(lock_rows).bind(key.raw()).execute(&mut lock).await.unwrap();
        Self { writer, lock }
    }

    fn submit(&self, customer: &str, name: &str, command: Command) -> JoinHandle<Submitted> {
        let (writer, request) = (self.writer.clone(), request(customer, name, command));
        tokio::spawn(async move { writer.submit(request, None).await })
    }

    async fn unlock(&mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.lock).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_customer_waits_alone_and_in_order() {
    if !crate::postgres::available() {
        return;
    }
    let mut locked = Locked::new(Row::Customer, Duration::from_mins(5)).await;
    let first = locked.submit("stuck", "place", place("i-1", "2"));
    // Held back: it counts as waiting again.
    at_once(async {
        while locked.writer.queued() != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let second = locked.submit("stuck", "release", release("i-1"));
    let bulk = {
        let writer = locked.writer.clone();
        let requests = vec![
            request("free", "bulk-1", grant("1")),
            request("stuck", "bulk-2", grant("1")),
            request("free", "bulk-3", grant("1")),
        ];
        tokio::spawn(async move { writer.submit_bulk(requests, None).await })
    };
    for nth in 0..50 {
        let answer = locked.submit("free", &format!("grant-{nth}"), grant("1"));
        at_once(answer).await.unwrap().unwrap().unwrap();
    }
    assert!(!first.is_finished() && !second.is_finished() && !bulk.is_finished());
    locked.unlock().await;
    // The release finds the hold, so it was run after it.
    for answer in [first, second] {
        at_once(answer).await.unwrap().unwrap().unwrap();
    }
    for outcome in at_once(bulk).await.unwrap().unwrap() {
        outcome.unwrap().unwrap();
    }
    assert_eq!(locked.writer.queued(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_that_stays_locked_is_told_that_nothing_was_done() {
    if !crate::postgres::available() {
        return;
    }
    let mut locked = Locked::new(Row::Customer, Duration::from_secs(1)).await;
    let stuck = locked.submit("stuck", "place", place("i-1", "2"));
    let refused = at_once(stuck).await.unwrap();
    assert_eq!(refused.unwrap_err(), SubmitError::StorageUnavailable);
    assert_eq!(locked.writer.queued(), 0);
    locked.unlock().await;
    let again = locked.submit("stuck", "place", place("i-1", "2"));
    let answer = at_once(again).await.unwrap().unwrap().unwrap();
    assert!(!answer.replayed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_never_idle_forgets_nobody() {
    if !crate::postgres::available() {
        return;
    }
    let mut locked = Locked::new(Row::Customer, Duration::from_mins(5)).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let busy: Vec<_> = (0..BUSY)
        .map(|task| {
            let (writer, stopped) = (locked.writer.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut nth = 0;
                while !*stopped.borrow() {
                    let request = request("free", &format!("{task}-{nth}"), grant("0.0001"));
                    writer.submit(request, None).await.unwrap().unwrap();
                    nth += 1;
                }
                nth
            })
        })
        .collect();
    let stuck = locked.submit("stuck", "place", place("i-1", "2"));
    let writer = locked.writer.clone();
    let late = request("stuck", "late", grant("1"));
    let deadline = Some(std::time::Instant::now() + Duration::from_millis(500));
    let late = tokio::spawn(async move { writer.submit(late, deadline).await });
    // Told while the row is still locked.
    assert_eq!(at_once(late).await.unwrap().unwrap_err(), SubmitError::DeadlineExceeded);
    assert!(!stuck.is_finished());
    locked.unlock().await;
    at_once(stuck).await.unwrap().unwrap().unwrap();
    stop.send_replace(true);
    for task in busy {
        assert!(at_once(task).await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_hold_stalls_its_customer_alone() {
    if !crate::postgres::available() {
        return;
    }
    let mut locked = Locked::new(Row::Hold, Duration::from_mins(5)).await;
    // In one batch with others.
    let requests = vec![
        request("free", "bulk-1", grant("1")),
        request("stuck", "bulk-2", release("i-0")),
        request("stuck", "bulk-3", grant("1")),
        request("free", "bulk-4", grant("1")),
    ];
    let writer = locked.writer.clone();
    let bulk = tokio::spawn(async move { writer.submit_bulk(requests, None).await });
    for nth in 0..10 {
        let answer = locked.submit("free", &format!("grant-{nth}"), grant("1"));
        at_once(answer).await.unwrap().unwrap().unwrap();
    }
    assert!(!bulk.is_finished());
    locked.unlock().await;
    for outcome in at_once(bulk).await.unwrap().unwrap() {
        outcome.unwrap().unwrap();
    }
}

//! How often a batch waits for PostgreSQL: as often for a thousand commands as for ten. Each statement is a round trip,
//! which over a network is what a batch takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use creditledger::ledger::commands::{Command, CreateCustomer, Said};
use creditledger::ledger::decide::decide;
use creditledger::ledger::{LedgerNo, Request, RequestKey};
use creditledger::store::{WriteStore, open};

use crate::desk::{START, id, place, purchase, settle, work};
use crate::pg_proxy::Proxy;
use crate::postgres::{available, database, tcp_address, through};
use crate::rig::SETTINGS;

struct Lane {
    writer: Box<dyn WriteStore>,
    proxy: Proxy,
    batches: u64,
    /// What is said with each command.
    said: Said,
}

impl Lane {
    /// One batch, a command for each of so many customers; how many round trips it took.
    async fn batch(&mut self, customers: usize, command: impl Fn(usize) -> Command) -> u64 {
        self.batches += 1;
        let request = |nth| Request {
            ledger: LedgerNo::MAIN,
            customer: id(&format!("customer-{nth}")),
            request: Some(RequestKey::parse(&format!("{} {nth}", self.batches)).unwrap()),
            said: self.said.clone(),
            command: command(nth),
        };
        let requests: Vec<Request> = (0..customers).map(request).collect();
        let all: Vec<&Request> = requests.iter().collect();
        let before = self.proxy.counts().round_trips.load(Ordering::Relaxed);
        let now = START.plus_seconds(i64::try_from(self.batches).unwrap());
        let mut book = self
            .writer
            .load(&all, now, self.batches, &mut Arc::new(creditledger::cards::built_in()))
            .await
            .unwrap();
        for request in all {
            decide(&mut book, request).unwrap().unwrap();
        }
        self.writer.append(&book).await.unwrap();
        self.proxy.counts().round_trips.load(Ordering::Relaxed) - before
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_the_same_round_trips_whatever_its_size() {
    if !available() {
        return;
    }
    let proxy = Proxy::start(tcp_address(), 0);
    let url = through(&database().await, proxy.address());
    // The reading side, and with it the background task, ends here: only the lane is counted.
    let writer = open(&url, START, &SETTINGS).await.unwrap().writers.remove(0);
    let mut lane = Lane { writer, proxy, batches: 0, said: Said::default() };
    lane.batch(1_000, |_| Command::CreateCustomer(CreateCustomer::default())).await;
    let mut took = Vec::new();
    // The first round prepares the statements.
    for (round, customers) in [3, 10, 1_000].into_iter().enumerate() {
        let named = |what: &str, nth: usize| format!("{what}-{round}-{nth}");
        took.push([
            lane.batch(customers, |nth| purchase(&named("order", nth), "100")).await,
            lane.batch(customers, |nth| place(&named("incident", nth), "1")).await,
            lane.batch(customers, |nth| work(&named("incident", nth), 30)).await,
            lane.batch(customers, |nth| settle(&named("incident", nth))).await,
        ]);
    }
    // Begin, lock, earlier answers, [orders or holds], customers, postings, [lots and orders, or holds], the batch's own
    // row, commit.
    // Recording work writes its entry besides.
    assert_eq!(took[1], [10, 9, 10, 9]);
    assert_eq!(took[2], took[1]);
    // What is said takes one more. The first time it is prepared.
    lane.said = Said { by: id("ann"), ..Said::default() };
    lane.batch(10, |nth| place(&format!("said-{nth}"), "1")).await;
    assert_eq!(lane.batch(10, |nth| work(&format!("said-{nth}"), 30)).await, took[1][2] + 1);
}

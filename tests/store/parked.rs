//! What a customer's parked holds cost its other commands: they are read, and nothing more.

use std::sync::Arc;
use std::time::Instant;

use creditledger::ledger::commands::{Command, CreateCustomer, Said};
use creditledger::ledger::decide::decide;
use creditledger::ledger::{LedgerNo, Rejection, Request, RequestKey, Timestamp};
use creditledger::store::WriteStore;
use creditledger::store::memory::Memory;
use creditledger::store::sqlite::{self, SqliteWriter};
use creditledger::writer::{Limits, Writer};

use crate::desk::{START, grant, id, place_parked};

struct Bench {
    writer: SqliteWriter,
    now: Timestamp,
    requests: u32,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _) = sqlite::open(&directory.path().join("parked.db"), START).unwrap();
        Self { writer, now: START, requests: 0, _directory: directory }
    }

    /// One commit of these commands of a customer; the last rejection.
    async fn run(&mut self, commands: Vec<Command>) -> Option<Rejection> {
        self.now = self.now.plus_seconds(1);
        let mut cards = Arc::new(creditledger::cards::built_in());
        let requests: Vec<Request> = commands
            .into_iter()
            .map(|command| {
                self.requests += 1;
                let request = Some(RequestKey::parse(&format!("request {}", self.requests)).unwrap());
                let customer = id("acme");
                Request { ledger: LedgerNo::MAIN, customer, request, said: Said::default(), command }
            })
            .collect();
        let named: Vec<&Request> = requests.iter().collect();
        let mut book = self.writer.load(&named, self.now, 7, &mut cards).await.unwrap();
        book.open_holds_max = Limits::default().open_holds_max;
        let outcomes: Vec<_> = named.iter().map(|request| decide(&mut book, request).unwrap()).collect();
        self.writer.append(&book).await.unwrap();
        outcomes.into_iter().filter_map(Result::err).last()
    }

    /// The statements and rows of one grant, which activates nothing.
    async fn grant(&mut self, what: &str) -> (u64, u64) {
        let before = self.writer.stats();
        let began = Instant::now();
        assert_eq!(self.run(vec![grant("1")]).await, None);
        println!("a grant with {what}: {:?}", began.elapsed());
        let after = self.writer.stats();
        (after.statements - before.statements, after.rows - before.rows)
    }
}

#[tokio::test]
async fn the_writer_says_how_many_open_holds_there_may_be() {
    let limits = Limits { open_holds_max: 2, ..Limits::default() };
    let cards = Arc::new(creditledger::cards::built_in());
    let (writer, _end) = Writer::start(Memory::new(START).engine().writers, &cards, limits).unwrap();
    let mut answers = Vec::new();
    for (nth, command) in [
        Command::CreateCustomer(CreateCustomer::default()),
        place_parked("a", "1"),
        place_parked("b", "1"),
        place_parked("c", "1"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = Some(RequestKey::parse(&format!("request {nth}")).unwrap());
        let customer = id("acme");
        let request = Request { ledger: LedgerNo::MAIN, customer, request, said: Said::default(), command };
        answers.push(writer.submit(request, None).await.unwrap().err());
    }
    assert_eq!(answers, [None, None, None, Some(Rejection::TooManyOpenHolds { max: 2 })]);
}

#[tokio::test]
async fn as_many_parked_holds_as_there_may_be_cost_a_grant_one_read() {
    let mut bench = Bench::new();
    bench.run(vec![Command::CreateCustomer(CreateCustomer::default())]).await;
    let park = |from: u32, until: u32| -> Vec<Command> {
        (from..until).map(|nth| place_parked(&format!("parked-{nth}"), "100")).collect()
    };
    bench.run(park(0, 1)).await;
    let one = bench.grant("one parked hold").await;
    let max = Limits::default().open_holds_max;
    assert_eq!(bench.run(park(1, max)).await, None);
    let all = bench.grant("all parked holds that there may be").await;
    assert_eq!(one, all);
    assert_eq!(bench.run(park(max, max + 1)).await, Some(Rejection::TooManyOpenHolds { max }));
}

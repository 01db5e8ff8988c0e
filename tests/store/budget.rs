//! The storage budget, counted and not timed: about 3 row operations and 1 page at a random place a command. Every
//! speed goal hangs on it.

use std::sync::Arc;

use creditledger::ledger::card::Cards;
use creditledger::ledger::commands::{Command, CreateCustomer, Said};
use creditledger::ledger::decide::decide;
use creditledger::ledger::{LedgerNo, Request, RequestKey, Timestamp};
use creditledger::store::sqlite::{self, SqliteWriter, WriteStats};
use creditledger::store::{LedgerCreated, NewLedger, WriteStore};
use uuid::Uuid;

use crate::desk::{START, grant, id, place, purchase, settle, work};

/// Many more than a batch has commands, so that their rows lie on different pages.
const CUSTOMERS: u32 = 8_000;
/// A page in the log with its header.
const PAGE_BYTES: u32 = 4_096 + 24;

struct Bench {
    writer: SqliteWriter,
    now: Timestamp,
    requests: u128,
    /// What is said with each command.
    said: Said,
    cards: Arc<Cards>,
    _directory: tempfile::TempDir,
}

/// What a command cost, or may cost at most.
#[derive(Clone, Copy, Debug)]
struct Cost {
    statements: f64,
    rows: f64,
    pages: f64,
}

impl Bench {
    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _) = sqlite::open(&directory.path().join("budget.db"), START).unwrap();
        let cards = Arc::new(creditledger::cards::built_in());
        Self { writer, now: START, requests: 0, said: Said::default(), cards, _directory: directory }
    }

    async fn new() -> Self {
        let mut bench = Self::empty();
        let all: Vec<u32> = (0..CUSTOMERS).collect();
        for some in all.chunks(1_000) {
            bench.run(some, |_| Command::CreateCustomer(CreateCustomer::default())).await;
            bench.run(some, |nth| purchase(&format!("order-{nth}"), "1000")).await;
        }
        bench
    }

    fn request(&mut self, customer: u32, command: Command) -> Request {
        // As the documentation asks of callers: UUIDs that rise with time.
        self.requests += 1;
        let request =
            RequestKey::Uuid(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + self.requests));
        let customer = id(&format!("customer-{customer}"));
        Request { ledger: LedgerNo::MAIN, customer, request: Some(request), said: self.said.clone(), command }
    }

    /// One commit: the `nth` command of a run goes to the `nth` customer of an order that jumps about.
    async fn run(&mut self, numbers: &[u32], command: impl Fn(u32) -> Command) {
        self.now = self.now.plus_seconds(1);
        let requests: Vec<Request> =
            numbers.iter().map(|nth| self.request(nth * 4_999 % CUSTOMERS, command(*nth))).collect();
        self.commit(&requests).await;
    }

    async fn commit(&mut self, requests: &[Request]) {
        let requests: Vec<&Request> = requests.iter().collect();
        let mut book = self.writer.load(&requests, self.now, 7, &mut self.cards).await.unwrap();
        for request in &requests {
            decide(&mut book, request).unwrap().unwrap();
        }
        self.writer.append(&book).await.unwrap();
    }

    /// Runs `batches` commits of `size` commands each; nothing is checkpointed, so the log grows by what is written.
    async fn cost(&mut self, (batches, size): (u32, u32), command: impl Fn(u32) -> Command) -> Cost {
        let before = (self.writer.stats(), self.writer.wal_bytes());
        let numbers: Vec<u32> = (0..batches * size).collect();
        for batch in numbers.chunks(size.try_into().unwrap()) {
            self.run(batch, &command).await;
        }
        let after = (self.writer.stats(), self.writer.wal_bytes());
        let each = |before: u64, after: u64| {
            f64::from(u32::try_from(after - before).unwrap()) / f64::from(batches * size)
        };
        let WriteStats { statements, rows, .. } = before.0;
        Cost {
            statements: each(statements, after.0.statements),
            rows: each(rows, after.0.rows),
            pages: each(before.1, after.1) / f64::from(PAGE_BYTES),
        }
    }
}

/// A database may have very many ledgers; a commit is about few of them.
#[test]
fn a_commit_costs_the_same_among_many_ledgers() {
    const LEDGERS: u32 = 300;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut bench = runtime.block_on(async {
        let mut bench = Bench::empty();
        bench.run(&[0], |_| Command::CreateCustomer(CreateCustomer::default())).await;
        bench
    });
    // A table that happens to grow just then is counted too, so it is the least of some that counts.
    let allocations = |bench: &mut Bench| {
        let count =
            |_| allocation_counter::measure(|| runtime.block_on(bench.run(&[0], |_| grant("1")))).count_total;
        (0..8).map(count).min().unwrap()
    };
    let alone = allocations(&mut bench);
    runtime.block_on(async {
        for nth in 0..LEDGERS {
            let name = format!("ledger {nth}");
            let new =
                NewLedger { id: id(&format!("ledger-{nth}")), request: RequestKey::parse(&name).unwrap() };
            let made = bench.writer.create_ledger(&new, bench.now).await.unwrap();
            let LedgerCreated::Created { ledger, .. } = made else { panic!("{made:?}") };
            let create = bench.request(0, Command::CreateCustomer(CreateCustomer::default()));
            let grants = bench.request(0, grant("1"));
            let there = [create, grants].map(|request| Request { ledger: ledger.no, ..request });
            bench.commit(&there).await;
        }
    });
    let among_many = allocations(&mut bench);
    assert!(among_many <= alone + 4, "{alone} allocations alone, {among_many} among {LEDGERS} ledgers");
}

impl Cost {
    #[track_caller]
    fn is_within(self, most: Self, what: &str, size: u32) {
        println!("{what}, {size} a batch: {self:.3?}");
        let over = self.statements > most.statements || self.rows > most.rows || self.pages > most.pages;
        assert!(!over, "{what}, {size} a batch: {self:?} is more than {most:?}");
    }
}

/// Statements a command: the incident is read; posting, customer and hold are written. The writer remembers the customers
/// of its latest batches, and knows that a request id which rises with time is new. Rows a command: the three that are
/// written. On top, a batch opens and closes its transaction, and settlements add the net of one system account.
///
/// Statements grow with the batch here, and not on PostgreSQL (`round_trips`): on the writer's own thread one costs its
/// rows and nothing for being one.
#[tokio::test]
async fn holds_and_settlements_keep_the_budget() {
    let mut bench = Bench::new().await;
    // ExclusiveLock, a command writes the last page of each tree that grows (postings, request ids, and for a new hold holds
    // and incidents), the customer's page, and a settlement the page of its hold and of the system account; now and
    // then a full page splits. That cannot be less, and one sync covers it.
    // In batches the growing ends are shared: 64 commands fill about a fifth of a page each there, and a full page
    // is written with its parent. What is left is the customer's page, the one at a random place; with 8,000
    // customers some of 64 share theirs, and of 1,000 most do. What the row keeps for thresholds, forecasts and money
    // takes its share of that.
    // A settlement finds its hold near the end of the table, on a page that it shares with those of the same batch.
    for ((batches, size), pages, pages_of_entry) in
        [((200, 1), 6.6, 1.1), ((20, 64), 1.4, 0.1), ((4, 1_000), 0.47, 0.05)]
    {
        let batch = 1.0 / f64::from(size);
        let incident = move |nth: u32| format!("{}", 1_000_000 * size + nth);
        let two = Cost { statements: 4.0 + 2.0 * batch, rows: 3.0, pages };
        let three = Cost { statements: two.statements + batch, rows: two.rows + batch, pages };
        bench.cost((batches, size), |nth| place(&incident(nth), "2")).await.is_within(two, "PlaceHold", size);
        // The entry of work is a row of its own, which never grows, on a page that those of the same batch share: alone
        // one more page, the end of its table.
        let entry = Cost { statements: two.statements + 1.0, rows: 4.0, pages: pages + pages_of_entry };
        bench.cost((batches, size), |nth| work(&incident(nth), 45)).await.is_within(
            entry,
            "RecordWork",
            size,
        );
        bench.cost((batches, size), |nth| settle(&incident(nth))).await.is_within(three, "SettleHold", size);
    }
}

/// Who says something pays one row for it, which appends: the last page of one more tree.
#[tokio::test]
async fn words_cost_one_appended_row() {
    let mut bench = Bench::new().await;
    let batch = 1.0 / 64.0;
    let silent = bench.cost((20, 64), |nth| place(&format!("silent-{nth}"), "2")).await;
    bench.said = Said { by: id("ann"), reason: id("as agreed"), ..Said::default() };
    let most = Cost { statements: 5.0 + 2.0 * batch, rows: 4.0, pages: silent.pages + 0.1 };
    bench.cost((20, 64), |nth| place(&format!("said-{nth}"), "2")).await.is_within(most, "PlaceHold", 64);
}

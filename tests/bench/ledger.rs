//! What a command costs apart from the wire: deciding it, encoding what is stored, a whole batch on a store, and what
//! of that SQLite alone takes for the rows.

#![allow(clippy::unwrap_used)] // a benchmark that panics has failed
#![allow(missing_docs)] // what the macros of criterion make

mod rows;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use creditledger::cards;
use creditledger::ledger::card::Cards;
use creditledger::ledger::codec::{Codec, decode, encode};
use creditledger::ledger::commands::{
    Command, CreateCustomer, EstimateIncident, HoldRef, Overrun, PlaceHold, PurchaseCredits, Quote, Said,
    SettleHold,
};
use creditledger::ledger::decide::decide;
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::{
    Book, Credits, CustomerId, CustomerKey, IncidentId, LedgerNo, OrderId, Posting, PostingId, Request,
    RequestKey, Storefront, Text, Timestamp,
};
use creditledger::store::WriteStore;
use creditledger::store::memory::Memory;
use creditledger::store::sqlite::{self, SqliteWriter};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rows::Rows;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// Commands in a batch, each for another customer.
const BATCH: u32 = 1_000;
/// Customers of a store: a batch finds the next of them on pages here and there.
const CUSTOMERS: u32 = 10_000;
/// Has no factor in common with [`CUSTOMERS`], so that a batch never comes to the same customer twice.
const STRIDE: u32 = 7_919;

fn customer(nth: u32) -> CustomerId {
    CustomerId::parse(&format!("customer-{nth}")).unwrap()
}

fn incident(nth: u32) -> IncidentId {
    IncidentId::parse(&format!("INC-{nth}")).unwrap()
}

/// A request whose id rises with its number, as the documentation asks of callers.
fn request(number: u32, customer: CustomerId, command: Command) -> Request {
    let id = PostingId::new(START.plus_seconds(i64::from(number)), number, 7).to_string();
    let request = Some(RequestKey::parse(&id).unwrap());
    let said = Said { by: Text::parse("ann").unwrap(), ..Said::default() };
    Request { ledger: LedgerNo::MAIN, customer, request, said, command }
}

fn purchase(nth: u32) -> Command {
    Command::PurchaseCredits(PurchaseCredits {
        storefront: Storefront::parse("web").unwrap(),
        order: OrderId::parse(&format!("order-{nth}")).unwrap(),
        credits: Credits::whole(1_000_000),
        price: None,
        expires_at: None,
    })
}

fn place(nth: u32) -> Command {
    let estimate = EstimateIncident {
        incident: incident(nth),
        class: None,
        quote: Quote::Credits(Credits::whole(2)),
        opened_at: None,
        expires_at: None,
        range_override: Text::EMPTY,
        note: Text::EMPTY,
        circumstances: Circumstances::default(),
    };
    Command::PlaceHold(PlaceHold { estimate, park: false })
}

fn settle(nth: u32) -> Command {
    Command::SettleHold(SettleHold {
        hold: HoldRef::Incident(incident(nth)),
        overrun: Overrun::TakeAvailable,
        max_charge: None,
        expected_work_seconds: None,
        waive_reason: Text::EMPTY,
        labels: Vec::new(),
        emergency: None,
        kb_answered: None,
    })
}

/// A book with one customer, who has credits and so many holds.
fn book(holds: u32) -> Book {
    let mut book = Book::new(START, 7, Arc::new(cards::built_in()));
    let create = Command::CreateCustomer(CreateCustomer::default());
    let holds = (0..holds).map(place);
    for (number, command) in (0..).zip([create, purchase(0)].into_iter().chain(holds)) {
        decided(&mut book, &request(number, customer(0), command));
    }
    book
}

fn decided(book: &mut Book, request: &Request) -> Arc<Posting> {
    decide(book, request).unwrap().unwrap().posting
}

fn core(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let commands: [(&str, u32, Command); 2] = [("hold", 0, place(0)), ("settlement", 1, settle(0))];
    for (name, holds, command) in commands {
        let request = request(100, customer(0), command);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(|| book(holds), |book| decided(book, &request), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let mut book = book(0);
    let detail = decided(&mut book, &request(100, customer(0), place(0))).detail.clone();
    let hold = detail.hold.as_deref().unwrap().clone();
    let key = CustomerKey::of(LedgerNo::MAIN, &customer(0));
    let state = book.entry(key).unwrap().customer.as_ref().unwrap().state.clone();
    both_ways(criterion, "hold", &hold);
    both_ways(criterion, "posting_detail", &detail);
    both_ways(criterion, "customer_state", &state);
}

fn both_ways<T: Codec>(criterion: &mut Criterion, name: &str, value: &T) {
    let bytes = encode(value);
    let mut group = criterion.benchmark_group("codec");
    group.bench_function(format!("encode_{name}"), |bencher| bencher.iter(|| encode(black_box(value))));
    group.bench_function(format!("decode_{name}"), |bencher| {
        bencher.iter(|| decode::<T>(black_box(&bytes)).unwrap());
    });
    group.finish();
}

/// A store with [`CUSTOMERS`] customers, and the number of its next batch.
struct Filled<S> {
    store: S,
    cards: Arc<Cards>,
    batches: u32,
}

impl<S: WriteStore> Filled<S> {
    async fn new(store: S) -> Self {
        let mut filled = Self { store, cards: Arc::new(cards::built_in()), batches: 0 };
        for _ in 0..CUSTOMERS / BATCH {
            let create = filled.requests(|_| Command::CreateCustomer(CreateCustomer::default()));
            filled.run(&create).await;
        }
        for _ in 0..CUSTOMERS / BATCH {
            let purchases = filled.requests(purchase);
            filled.run(&purchases).await;
        }
        filled
    }

    /// One command for each of the next customers.
    fn requests(&mut self, command: impl Fn(u32) -> Command) -> Vec<Request> {
        let first = self.batches * BATCH;
        self.batches += 1;
        let of = |number: u32| customer(number % CUSTOMERS * STRIDE % CUSTOMERS);
        (first..first + BATCH).map(|number| request(number, of(number), command(number))).collect()
    }

    /// Load, decide, append, commit.
    async fn run(&mut self, requests: &[Request]) {
        let now = START.plus_seconds(i64::from(self.batches));
        let requests: Vec<&Request> = requests.iter().collect();
        let mut book = self.store.load(&requests, now, 7, &mut self.cards).await.unwrap();
        for request in requests {
            decided(&mut book, request);
        }
        self.store.append(&book).await.unwrap();
        self.store.tidy().await.unwrap();
    }
}

async fn on_sqlite(directory: &TempDir, name: &str) -> Filled<SqliteWriter> {
    let (writer, _reader) = sqlite::open(&directory.path().join(name), START).unwrap();
    Filled::new(writer).await
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn stores(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("store_batch_of_1000_holds");
    group.throughput(Throughput::Elements(BATCH.into())).sample_size(20);
    group.bench_function("memory", |bencher| {
        // A new one each time: the reference engine looks through all holds for those of a customer.
        bencher.iter_batched_ref(
            || {
                let mut filled = runtime.block_on(Filled::new(Memory::new(START)));
                let requests = filled.requests(place);
                (filled, requests)
            },
            |(filled, requests)| runtime.block_on(filled.run(requests)),
            BatchSize::LargeInput,
        );
    });
    let directory = tempfile::tempdir().unwrap();
    let mut filled = runtime.block_on(on_sqlite(&directory, "whole.db"));
    group.bench_function("sqlite", |bencher| {
        bencher.iter_custom(|iterations| {
            let batch = |_| {
                let requests = filled.requests(place);
                timed(|| runtime.block_on(filled.run(&requests)))
            };
            (0..iterations).map(batch).sum()
        });
    });
    let mut rows = Rows::new(&runtime, &directory);
    group.bench_function("sqlite_rows_alone", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| rows.write_batch(&runtime)).sum());
    });
    group.finish();
}

criterion_group!(benches, core, codec, stores);
criterion_main!(benches);

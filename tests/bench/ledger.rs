//! What a command costs apart from the wire: deciding it, encoding what is stored, and a whole batch on a store.

#![allow(clippy::unwrap_used)] // a benchmark that panics has failed
#![allow(missing_docs)] // what the macros of criterion make

use std::hint::black_box;
use std::sync::Arc;

use creditledger::cards;
use creditledger::ledger::card::Cards;
use creditledger::ledger::codec::{Codec, decode, encode};
use creditledger::ledger::command::{
    Command, CreateCustomer, EstimateIncident, HoldRef, Overrun, PlaceHold, PurchaseCredits, Quote,
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
use creditledger::store::sqlite;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// Commands in a batch.
const BATCH: u32 = 1_000;

fn customer(nth: u32) -> CustomerId {
    CustomerId::parse(&format!("customer-{nth}")).unwrap()
}

fn incident(nth: u32) -> IncidentId {
    IncidentId::parse(&format!("INC-{nth}")).unwrap()
}

/// A request whose id rises with its number, as the documentation asks of callers.
fn request(number: u32, customer: CustomerId, command: Command) -> Request {
    let id = PostingId::new(START.plus_seconds(i64::from(number)), number, 7).to_string();
    Request { ledger: LedgerNo::MAIN, customer, request: Some(RequestKey::parse(&id).unwrap()), command }
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
        by: Text::parse("ann").unwrap(),
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
        by: Text::EMPTY,
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

/// A store with [`BATCH`] customers, and the number of its next batch.
struct Filled<S> {
    store: S,
    cards: Arc<Cards>,
    batches: u32,
}

impl<S: WriteStore> Filled<S> {
    fn new(runtime: &Runtime, store: S) -> Self {
        let mut filled = Self { store, cards: Arc::new(cards::built_in()), batches: 0 };
        let create = filled.requests(|_| Command::CreateCustomer(CreateCustomer::default()));
        runtime.block_on(filled.run(&create));
        let purchases = filled.requests(purchase);
        runtime.block_on(filled.run(&purchases));
        filled
    }

    /// One command for each customer.
    fn requests(&mut self, command: impl Fn(u32) -> Command) -> Vec<Request> {
        let first = self.batches * BATCH;
        self.batches += 1;
        (0..BATCH).map(|nth| request(first + nth, customer(nth), command(first + nth))).collect()
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

fn stores(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("store_batch_of_1000_holds");
    group.throughput(Throughput::Elements(BATCH.into())).sample_size(20);
    group.bench_function("memory", |bencher| {
        // A new one each time: the reference engine looks through all holds for those of a customer.
        bencher.iter_batched_ref(
            || {
                let mut filled = Filled::new(&runtime, Memory::new(START));
                let requests = filled.requests(place);
                (filled, requests)
            },
            |(filled, requests)| runtime.block_on(filled.run(requests)),
            BatchSize::LargeInput,
        );
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bench.db");
    let (writer, _reader) = runtime.block_on(sqlite::open(&path, START)).unwrap();
    let mut filled = Filled::new(&runtime, writer);
    group.bench_function("sqlite", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut elapsed = std::time::Duration::ZERO;
            for _ in 0..iterations {
                let requests = filled.requests(place);
                let start = std::time::Instant::now();
                runtime.block_on(filled.run(&requests));
                elapsed += start.elapsed();
            }
            elapsed
        });
    });
    group.finish();
}

criterion_group!(benches, core, codec, stores);
criterion_main!(benches);

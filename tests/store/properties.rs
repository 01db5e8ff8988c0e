//! Random months on each engine: a batch is the same as its commands one by one, and `verify` finds nothing to say.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

use creditledger::audit::verify;
use creditledger::ledger::card::Cards;
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::decide::{Outcome, decide};
use creditledger::ledger::{CustomerKey, LedgerNo, Rejection, Request, RequestKey, Timestamp};
use creditledger::store::{Engine, LedgerCreated, NewLedger, open};
use uuid::Uuid;

use crate::desk::{START, id, said, transfers};
use crate::random::{CUSTOMERS, Step, command, for_random_steps, refunded_order};
use crate::rig::SETTINGS;

/// An engine that lives for all cases; each case has a ledger of its own. The two ways have an engine each, so that they
/// live through the same months.
struct Case<'a> {
    engine: &'a mut Engine,
    cards: Arc<Cards>,
    ledger: LedgerNo,
    requests: u128,
    commits: u64,
}

impl<'a> Case<'a> {
    async fn new(engine: &'a mut Engine, name: &str, now: Timestamp) -> Self {
        let new = NewLedger { id: id(name), request: RequestKey::parse(name).unwrap() };
        let created = engine.writers[0].create_ledger(&new, now).await.unwrap();
        let LedgerCreated::Created { ledger, replayed: false } = created else { panic!("{created:?}") };
        let mut case = Self {
            engine,
            cards: Arc::new(creditledger::cards::built_in()),
            ledger: ledger.no,
            requests: 0,
            commits: 0,
        };
        let create: Vec<Request> = CUSTOMERS
            .iter()
            .map(|name| case.request(name, Command::CreateCustomer(CreateCustomer::default())))
            .collect();
        case.commit(&create, now).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
        case
    }

    fn request(&mut self, customer: &str, command: Command) -> Request {
        self.requests += 1;
        // Texts and UUIDs in turn: they are stored differently.
        let number = self.requests;
        let key =
            if number.is_multiple_of(2) { Uuid::from_u128(number).to_string() } else { format!("r{number}") };
        Request {
            ledger: self.ledger,
            customer: id(customer),
            request: Some(RequestKey::parse(&key).unwrap()),
            said: said(),
            command,
        }
    }

    async fn commit(&mut self, requests: &[Request], clock: Timestamp) -> Vec<Outcome> {
        let all: Vec<&Request> = requests.iter().collect();
        // Customers of one time need not share a stamp, but no two batches may share all bits of their ids.
        self.commits += 1;
        let mut book = self.engine.writers[0].load(&all, clock, self.commits, &mut self.cards).await.unwrap();
        let outcomes = requests.iter().map(|request| decide(&mut book, request).unwrap()).collect();
        self.engine.writers[0].append(&book).await.unwrap();
        self.engine.writers[0].tidy().await.unwrap();
        outcomes
    }

    /// Takes the steps of one moment, in one commit or in one each.
    async fn moment(&mut self, steps: &[Step], clock: Timestamp, in_one: bool) -> Vec<Outcome> {
        let mut requests = Vec::new();
        for step in steps {
            let customer = CUSTOMERS[step.customer];
            let mut work = Vec::new();
            for incident in 0..4 {
                let incident = id(&format!("i{incident}"));
                let key = CustomerKey::of(self.ledger, &id(customer));
                let holds = self.engine.reader.holds_of_incident(key, &incident).await.unwrap();
                if let Some(hold) = holds.last() {
                    let entries = self.engine.reader.work(hold.id, None, 10).await.unwrap().items;
                    work.push((incident.to_string(), entries));
                }
            }
            let entry = |incident: &str, nth: usize| {
                let (_, work) = work.iter().find(|(of, _)| of == incident)?;
                work.get(nth).map(|work| work.id)
            };
            let refund = match refunded_order(&step.action) {
                Some(order) => {
                    let found = self.engine.reader.order(self.ledger, &id("web"), &id(&order)).await.unwrap();
                    found.and_then(|found| found.lot.refunds.last().map(|refund| refund.id))
                }
                None => None,
            };
            let key = CustomerKey::of(self.ledger, &id(customer));
            let known = self.engine.reader.customer(key).await.unwrap();
            let top_ups = known.and_then(|known| known.state.top_ups);
            let top_up = top_ups.and_then(|top_ups| Some(top_ups.open?.id));
            let command = command(&step.action, clock, entry, refund, top_up);
            requests.push(self.request(customer, command));
        }
        if in_one {
            return self.commit(&requests, clock).await;
        }
        let mut outcomes = Vec::new();
        for request in &requests {
            outcomes.extend(self.commit(std::slice::from_ref(request), clock).await);
        }
        outcomes
    }
}

/// The steps cut into moments: those less than six hours after the one before share its commit.
fn moments(steps: &[Step], start: Timestamp) -> Vec<(Timestamp, Vec<Step>)> {
    let mut moments: Vec<(Timestamp, Vec<Step>)> = Vec::new();
    let mut clock = start;
    for step in steps {
        match moments.last_mut() {
            Some((_, together)) if step.wait_hours < 6 => together.push(step.clone()),
            Some(_) | None => {
                // A second more than whole hours: commands one by one are stamped microseconds apart, and nothing
                // may fall due between them.
                clock = clock.plus_seconds(i64::from(step.wait_hours) * 3_600 + 1);
                moments.push((clock, vec![step.clone()]));
            }
        }
    }
    moments
}

/// An outcome without ids and stamps.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Ok(answer) => {
            let hold = answer.hold.as_ref().map(|hold| {
                let charge =
                    hold.settlement.as_ref().map(|settlement| (settlement.charge, settlement.reversed));
                (hold.incident.clone(), hold.state, hold.held, hold.estimate, hold.worked_seconds(), charge)
            });
            let (balances, sequence) = (answer.balances, answer.sequence);
            let kind = answer.posting.kind;
            format!("{kind} {} {} {balances:?} {sequence} {hold:?}", answer.replayed, transfers(answer))
        }
        Err(Rejection::HoldExists { .. }) => "HoldExists".to_owned(),
        Err(Rejection::OrderAlreadyRecorded { original }) => format!("recorded as {}", original.sequence),
        Err(rejection) => format!("{rejection:?}"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn sqlite_url(directory: &Path) -> String {
    format!("sqlite://{}", directory.join("test.db").display())
}

#[test]
#[allow(clippy::await_holding_refcell_ref)] // one case at a time, on one thread
fn a_batch_is_its_commands_one_by_one() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let runtime = runtime();
    let sqlite = directories.each_ref().map(|directory| sqlite_url(directory.path()));
    let mut urls = vec![(["memory:", "memory:"].map(str::to_owned), 200), (sqlite, 200)];
    if crate::postgres::available() {
        let database = || runtime.block_on(crate::postgres::database());
        urls.push(([database(), database()], 40));
    }
    for (urls, cases) in urls {
        let engines = RefCell::new(urls.map(|url| runtime.block_on(open(&url, START, &SETTINGS)).unwrap()));
        let clock = Cell::new(START);
        let number = Cell::new(0);
        for_random_steps(cases, 40, |steps| {
            runtime.block_on(async {
                number.set(number.get() + 1);
                // The stamps of an engine never go back, so each case starts after the one before.
                let start = clock.get();
                let mut seen = Vec::new();
                for (engine, in_one) in engines.borrow_mut().iter_mut().zip([true, false]) {
                    let mut case = Case::new(engine, &format!("case-{}", number.get()), start).await;
                    let mut outcomes = Vec::new();
                    for (clock_now, together) in moments(&steps, start) {
                        outcomes.extend(case.moment(&together, clock_now, in_one).await.iter().map(told));
                        clock.set(clock_now);
                    }
                    let balances = case.engine.reader.trial_balance(case.ledger).await.unwrap();
                    seen.push((outcomes, balances));
                }
                clock.set(clock.get().plus_days(1));
                assert_eq!(seen[0], seen[1]);
            });
        });
        runtime.block_on(async {
            for mut engine in engines.into_inner() {
                engine.writers[0].close().await.unwrap();
                let report = verify(&*engine.audit, |_| {}).await.unwrap();
                // A ledger a case, and main.
                assert_eq!((report.faults, report.counts.ledgers), (Vec::<String>::new(), number.get() + 1));
            }
        });
    }
}

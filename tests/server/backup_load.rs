//! What a backup costs the callers of a server that is fully loaded.
//!
//! `CREDITLEDGER_TEST_TIMES=100 cargo test --release --test server -- backup_load --nocapture --test-threads 1` makes
//! backups of 1,000,000 postings for 5 minutes, and prints the times of holds without and beside them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use creditledger::clock;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::{
    HoldTarget, PlaceHoldRequest, ReleaseHoldRequest, context, place_hold_request,
};
use creditledger::ledger::commands::{Command, CreateCustomer, GrantCredits};
use creditledger::ledger::decide::decide;
use creditledger::ledger::{Credits, LedgerNo, Request, RequestKey};
use creditledger::store::{Settings, open};

use super::process::{Place, sqlite};
use crate::desk::{id, said};

fn times() -> usize {
    std::env::var("CREDITLEDGER_TEST_TIMES").map_or(1, |times| times.parse().unwrap())
}

/// How much is measured: in CI little, the rest is for a machine that has nothing else to do.
struct Size {
    customers: usize,
    callers: usize,
    postings: usize,
    lasts: Duration,
}

impl Size {
    fn of(times: usize) -> Self {
        let seconds = 3 * u64::try_from(times).unwrap();
        match times {
            1 => Self { customers: 100, callers: 8, postings: 400, lasts: Duration::from_secs(1) },
            _ => Self {
                customers: 1_000,
                callers: 64,
                postings: 10_000 * times,
                lasts: Duration::from_secs(seconds),
            },
        }
    }
}

/// Fills a database with so many postings, as fast as the store takes them.
async fn fill(url: &str, Size { customers, postings, .. }: &Size) {
    let mut engine = open(url, clock::now(), &Settings::default()).await.unwrap();
    let writer = &mut engine.writers[0];
    let mut cards = Arc::new(creditledger::cards::built_in());
    let numbers: Vec<usize> = (0..*postings).collect();
    for chunk in numbers.chunks(*customers) {
        let grant = GrantCredits { credits: Credits::whole(1_000), expires_at: None };
        let requests = chunk.iter().map(|number| Request {
            ledger: LedgerNo::MAIN,
            customer: id(&format!("c{}", number % customers)),
            request: Some(RequestKey::parse(&format!("fill {number}")).unwrap()),
            said: said(),
            command: match number / customers {
                0 => Command::CreateCustomer(CreateCustomer::default()),
                // Lots would make a customer's row long.
                1 => Command::GrantCredits(grant.clone()),
                round if round.is_multiple_of(2) => crate::desk::place("filled", "1"),
                _ => crate::desk::release("filled"),
            },
        });
        let requests: Vec<Request> = requests.collect();
        let requests: Vec<&Request> = requests.iter().collect();
        let mut book = writer.load(&requests, clock::now(), 7, &mut cards).await.unwrap();
        for request in &requests {
            decide(&mut book, request).unwrap().unwrap();
        }
        writer.append(&book).await.unwrap();
        writer.tidy().await.unwrap();
    }
    engine.writers[0].close().await.unwrap();
}

/// Of times, in order: the middle, and the one that a hundredth exceeds.
fn told(mut times: Vec<Duration>) -> (Duration, Duration, usize) {
    times.sort();
    let at = |of: usize| times[(times.len() * of / 100).min(times.len() - 1)];
    (at(50), at(99), times.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_ends_however_much_is_written() {
    let place = Arc::new(Place::new());
    let size = Size::of(times());
    fill(&place.url(), &size).await;
    let Size { customers, callers: count, postings, lasts } = size;
    let server = place.serve();
    let (enough, samples) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let mut callers = Vec::new();
    for caller in 0..count {
        let (channel, enough) = (server.connect().await, Arc::clone(&enough));
        let samples = Arc::clone(&samples);
        callers.push(tokio::spawn(async move {
            let mut client = HoldServiceClient::new(channel);
            let mut number = 0;
            while !enough.load(Ordering::Relaxed) {
                let customer = format!("c{}", (caller + number * count) % customers);
                let name = format!("load-{caller}-{number}");
                let hold = PlaceHoldRequest {
                    context: Some(context(name.clone(), &customer)),
                    incident_id: name.clone(),
                    quote: Some(place_hold_request::Quote::Credits("1".into())),
                    ..Default::default()
                };
                let begun = Instant::now();
                client.place_hold(hold).await.unwrap();
                samples.lock().unwrap().push(begun.elapsed());
                let release = ReleaseHoldRequest {
                    context: Some(context(format!("{name}-end"), &customer)),
                    target: Some(HoldTarget::incident(name)),
                    ..Default::default()
                };
                client.release_hold(release).await.unwrap();
                number += 1;
            }
        }));
    }
    let take = || std::mem::take(&mut *samples.lock().unwrap());
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let alone = Instant::now();
    while alone.elapsed() < lasts / 5 || samples.lock().unwrap().len() < 100 {
        looks.tick().await;
    }
    let without = told(take());
    let begun = Instant::now();
    let (mut made, mut longest, mut log) = (0_u32, Duration::ZERO, 0);
    while made == 0 || begun.elapsed() < lasts {
        let (at, file) = (Instant::now(), format!("{made}.db"));
        let here = Arc::clone(&place);
        let made_file = file.clone();
        let backup = tokio::task::spawn_blocking(move || here.json(&["backup", &made_file, "--json"]));
        while !backup.is_finished() {
            log =
                log.max(std::fs::metadata(place.path("creditledger.db-wal")).map_or(0, |facts| facts.len()));
            looks.tick().await;
        }
        assert_eq!(backup.await.unwrap()["verified"], true);
        longest = longest.max(at.elapsed());
        assert!(positions(&place.path(&file)) >= i64::try_from(postings).unwrap());
        std::fs::remove_file(place.path(&file)).unwrap();
        made += 1;
    }
    let beside = told(take());
    enough.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    println!(
        "{postings} postings, {count} callers; holds without a backup: median {:?}, p99 {:?} of {}; beside: median \
         {:?}, p99 {:?} of {}; {made} backups with their check, the longest {longest:?}; the log had {} MiB at most",
        without.0,
        without.1,
        without.2,
        beside.0,
        beside.1,
        beside.2,
        log >> 20
    );
    server.stop();
    place.verify();
}

/// The last position of a file; those before it must all be there.
fn positions(path: &Path) -> i64 {
    let (count, last) = sqlite(path)
        .query_row("SELECT COUNT(*), MAX(key) FROM posting", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .unwrap();
    assert_eq!(count, last, "positions follow each other");
    count
}

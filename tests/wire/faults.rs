//! A fault at every call of the store that a command makes: what the caller is told is compared with what is stored.

use std::collections::BTreeMap;

use creditledger::clock;
use creditledger::store::{self, Settings};
use creditledger::writer::Limits;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::faulty::{Fault, Faulty};
use crate::raw;
use crate::served::{On, Served};
use crate::world::World;

/// What a caller knows of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Done,
    /// Nothing was done.
    Nothing,
    Unknown,
}

/// Reads what an error says, by the comments of `error_reason.proto`.
fn told(answer: &Result<Vec<u8>, Status>) -> Told {
    let Err(status) = answer else { return Told::Done };
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str()).unwrap_or_default();
    match reason {
        "OUTCOME_UNKNOWN" => Told::Unknown,
        "STORAGE_UNAVAILABLE" | "INTERNAL" | "SHUTTING_DOWN" => Told::Nothing,
        other => panic!("{other}: {status}"),
    }
}

/// A server over an engine with a plan, and the requests that are still to be sent.
struct Bench {
    faulty: Faulty,
    served: Served,
    good: Vec<(&'static str, Vec<u8>)>,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new(on: On) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match on {
            On::Memory => "memory:".to_owned(),
            On::Sqlite => format!("sqlite://{}", directory.path().join("faults.db").display()),
            On::Postgres => crate::postgres::database().await,
        };
        let settings = Settings { lanes: 1, ..Settings::default() };
        let faulty = Faulty::new(store::open(&url, clock::now(), &settings).await.unwrap());
        let world = World::with(Served::on(faulty.open().await, None, Limits::default()).await).await;
        let good = world.good_requests();
        Self { faulty, served: world.served, good, _directory: directory }
    }

    /// Another server on the same engine: a fault may have stopped the writer, and what a reader remembers would shift
    /// the numbers of calls.
    async fn restart(&mut self) {
        self.served.writer.close();
        let _ = (&mut self.served.end.stopped).await;
        let again = Served::on(self.faulty.open().await, None, Limits::default()).await;
        let before = std::mem::replace(&mut self.served, again);
        let _ = before.stop.send(());
        before.server.await.unwrap().unwrap();
    }
}

/// Faults that may meet a read of the server's own instead of the command's, on a busy machine.
const STRAY: u32 = 2;

/// Sends every command with a fault at its first call of the store, its second, and so on, until it is stored or no
/// call is left to fail.
async fn every_call_fails(on: On, fault: Fault) {
    let mut bench = Bench::new(on).await;
    let mut counts: BTreeMap<Told, u32> = BTreeMap::new();
    let mut commands = 0;
    for (method, good) in std::mem::take(&mut bench.good) {
        let before = bench.faulty.stored().await;
        let mut at = 0;
        loop {
            at += 1;
            bench.faulty.plan.arm(at, fault);
            let answer = raw::call(&bench.served.channel, method, good.clone()).await;
            if !bench.faulty.plan.disarm() {
                assert!(answer.is_ok(), "{method}: {answer:?}");
                assert!(is_read(method) || bench.faulty.stored().await != before, "{method} changes nothing");
                if is_read(method) {
                    // A stream may go on reading, and would take the fault of the next command.
                    bench.restart().await;
                }
                break;
            }
            bench.restart().await;
            let is_stored = bench.faulty.stored().await != before;
            let is_read = is_read(method);
            let told = if is_read { Told::Nothing } else { told(&answer) };
            match told {
                Told::Done => assert!(is_stored, "{method}, call {at}: done, but not stored"),
                Told::Nothing => assert!(!is_stored, "{method}, call {at}: {answer:?}, but it is stored"),
                Told::Unknown => {}
            }
            if !is_read {
                *counts.entry(told).or_default() += 1;
            }
            if is_stored {
                break;
            }
        }
        commands += u32::from(!is_read(method));
    }
    let count = |told| counts.get(&told).copied().unwrap_or_default();
    let figures = format!("{on:?}, {fault:?}: {counts:?} of {commands} commands");
    eprintln!("{figures}");
    assert!(commands >= 34, "{figures}");
    // Each command loads and looks up its ledger at least; and each commits.
    assert!(count(Told::Nothing) >= commands, "{figures}");
    match fault {
        // AssignPayment and DismissPayment alone have more than one commit; after their first one they do not say that
        // nothing was done.
        Fault::Before => {
            assert_eq!(count(Told::Unknown), 2, "{figures}");
            assert!(count(Told::Done) <= STRAY, "{figures}");
        }
        Fault::Refused => assert!(count(Told::Done) >= commands * 2 / 3, "{figures}"),
        Fault::After => assert!(count(Told::Unknown) + STRAY >= commands, "{figures}"),
        // The next attempt finds out.
        Fault::Unanswered => assert!(count(Told::Done) >= commands * 2 / 3, "{figures}"),
    }
    let report = creditledger::audit::verify(&*bench.faulty.audit, |_| {}).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
}

/// Methods that change nothing.
fn is_read(method: &str) -> bool {
    let name = method.split('/').nth(1).unwrap();
    ["Get", "BatchGet", "List", "Watch", "Stream", "Preview", "Reconcile", "Retry"]
        .iter()
        .any(|read| name.starts_with(read))
}

async fn what_is_told_is_true(on: On) {
    // Those that the engine can have; the one in memory has them all.
    let faults = match on {
        On::Memory => &Fault::ALL[..],
        On::Sqlite => &[Fault::Before, Fault::After],
        On::Postgres => &[Fault::Before, Fault::Unanswered],
    };
    for fault in faults {
        every_call_fails(on, *fault).await;
    }
}

crate::served::on_each_engine! { what_is_told_is_true }

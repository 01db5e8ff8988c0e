//! Power cuts, failing disks and kills: everything acknowledged is there afterwards, and nothing was told wrongly.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use creditledger::clock;
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::{
    CreateCustomerRequest, GrantCreditsRequest, HoldTarget, PlaceHoldRequest, PurchaseCreditsRequest,
    SettleHoldRequest, context, place_hold_request,
};
use creditledger::ledger::LedgerNo;
use creditledger::store::{self, Position, Settings};
use rustix::io::Errno;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use super::disk::{Call, Disk, Random, calls, failing, recorded};
use super::process::{Place, Running, Server};

const SEED: u64 = 20_261_128;

/// How often more than in CI.
fn times() -> usize {
    std::env::var("CREDITLEDGER_TEST_TIMES").map_or(1, |times| times.parse().unwrap())
}

/// A command of one of several kinds; its request id is unique.
pub async fn send(channel: &Channel, customer: &str, number: usize) -> Result<String, Status> {
    let id = format!("{customer}-{number}");
    let about = Some(context(id.clone(), customer));
    let credits = || "1".to_owned();
    match number % 5 {
        0 => {
            let order = PurchaseCreditsRequest {
                context: about,
                storefront: "web".into(),
                order_id: id.clone(),
                credits: "10".into(),
                ..Default::default()
            };
            PurchaseServiceClient::new(channel.clone()).purchase_credits(order).await.map(drop)
        }
        2 => {
            let hold = PlaceHoldRequest {
                context: about,
                incident_id: format!("i-{customer}-{number}"),
                quote: Some(place_hold_request::Quote::Credits(credits())),
                ..Default::default()
            };
            HoldServiceClient::new(channel.clone()).place_hold(hold).await.map(drop)
        }
        3 => {
            let incident = format!("i-{customer}-{}", number - 1);
            let target = Some(HoldTarget::incident(incident));
            let settle = SettleHoldRequest { context: about, target, ..Default::default() };
            HoldServiceClient::new(channel.clone()).settle_hold(settle).await.map(drop)
        }
        _ => {
            let grant = GrantCreditsRequest { context: about, credits: credits(), ..Default::default() };
            PurchaseServiceClient::new(channel.clone()).grant_credits(grant).await.map(drop)
        }
    }
    .map(|()| id)
}

pub async fn create(channel: &Channel, customer: &str) -> Result<String, Status> {
    let id = format!("{customer}-new");
    let new = CreateCustomerRequest { context: Some(context(id.clone(), customer)), ..Default::default() };
    CustomerServiceClient::new(channel.clone()).create_customer(new).await.map(|_| id)
}

/// Opens a database as a server would, checks all of it, and gives the request ids that it has.
pub async fn requests_in(database: &Path) -> Result<BTreeSet<String>, String> {
    let url = format!("sqlite://{}", database.display());
    let mut engine =
        store::open(&url, clock::now(), &Settings::default()).await.map_err(|error| error.to_string())?;
    let report =
        creditledger::audit::verify(&*engine.audit, |_| {}).await.map_err(|error| error.to_string())?;
    if !report.is_clean() {
        return Err(format!("{:?}", report.faults));
    }
    let (mut after, mut feed) = (Some(Position(0)), Vec::new());
    while let Some(position) = after {
        let page = engine.reader.feed(LedgerNo::MAIN, position, 10_000).await;
        let page = page.map_err(|error| error.to_string())?;
        feed.extend(page.items);
        after = page.next;
    }
    let ids = feed.iter().filter_map(|recorded| recorded.posting.request.as_ref().map(ToString::to_string));
    let ids = ids.collect();
    engine.writers[0].close().await.map_err(|error| error.to_string())?;
    Ok(ids)
}

/// An empty database, as `migrate` leaves it.
pub fn migrated() -> (Place, Vec<u8>) {
    let place = Place::new();
    assert!(place.run(&["migrate"]).status.success());
    let database = std::fs::read(place.path("creditledger.db")).unwrap();
    (place, database)
}

/// What a server wrote while commands ran, and after which of its calls each was acknowledged.
struct Recorded {
    before: Vec<u8>,
    calls: Vec<Call>,
    /// Request ids, each with the length of the record once the answer was there.
    acknowledged: Vec<(String, u64)>,
}

impl Recorded {
    /// Three servers after each other: stopped, killed, and stopped.
    async fn new(commands: usize) -> Self {
        let (place, before) = migrated();
        let record = place.path("record");
        let mut acknowledged = Vec::new();
        let note = |acknowledged: &mut Vec<_>, id| {
            acknowledged.push((id, std::fs::metadata(&record).unwrap().len()));
        };
        for (part, end) in ["TERM", "KILL", "TERM"].into_iter().enumerate() {
            let serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
            let server = Server::start(recorded(serve, &record));
            let channel = server.connect().await;
            if part == 0 {
                note(&mut acknowledged, create(&channel, "acme").await.unwrap());
            }
            for number in part * commands..(part + 1) * commands {
                note(&mut acknowledged, send(&channel, "acme", number).await.unwrap());
            }
            server.process.signal(end);
            server.process.end();
        }
        Self { before, calls: calls(&record), acknowledged }
    }

    /// Cuts the power after so many calls, and says what is wrong then.
    async fn cut(&self, after: usize, keeps_syncs: bool, random: &mut Random) -> Result<(), String> {
        let mut disk = Disk::new(self.before.clone(), keeps_syncs);
        self.calls[..after].iter().for_each(|call| disk.take(call));
        let [database, log] = disk.cut(random);
        let place = Place::new();
        let path = place.path("cut.db");
        std::fs::write(&path, database).unwrap();
        std::fs::write(place.path("cut.db-wal"), log).unwrap();
        let there = requests_in(&path).await?;
        let end = after.checked_sub(1).map_or(0, |last| self.calls[last].end);
        let lost: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|(id, acknowledged)| *acknowledged <= end && !there.contains(id))
            .collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:?}")) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    // From the second time on enough commands for checkpoints beside the writer.
    let recorded = Recorded::new(if times() > 1 { 600 } else { 40 }).await;
    let count = recorded.calls.len();
    for point in 0..40 * times() {
        let seed = SEED + point as u64;
        let random = &mut Random(seed);
        let after = random.below(count + 1);
        if let Err(wrong) = recorded.cut(after, true, random).await {
            panic!("seed {seed}, after {after} of {count} calls: {wrong}");
        }
    }
    // A disk that only says that it has synced must be found out: otherwise this test shows nothing.
    let mut found = 0;
    for point in 0..10 {
        let random = &mut Random(SEED + point);
        let after = random.below(count / 2) + count / 2;
        found += u32::from(recorded.cut(after, false, random).await.is_err());
    }
    assert!(found >= 8, "only {found} of 10 cuts of a disk that lies are noticed");
    eprintln!(
        "{} power cuts within {count} calls; {found} of 10 on a disk that lies are noticed",
        40 * times()
    );
}

/// What a caller knows of its command.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Done,
    Nothing,
    Unknown,
}

fn told(answer: &Result<String, Status>) -> Told {
    let Err(status) = answer else { return Told::Done };
    let details = status.get_error_details();
    match details.error_info().map(|info| info.reason.as_str()) {
        // The connection is gone.
        None | Some("OUTCOME_UNKNOWN") => Told::Unknown,
        // What the others of the sequence had to do may be missing.
        Some(_) => Told::Nothing,
    }
}

/// Runs a server whose `call`-th write or sync fails; `false` where it makes fewer. Compares what was told.
async fn fails_at(before: &[u8], call: usize, error: Errno) -> bool {
    let place = Place::new();
    let database: PathBuf = place.path("creditledger.db");
    std::fs::write(&database, before).unwrap();
    let hit = place.path("hit");
    let serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    let process = Running::start(failing(serve, call, error, &hit));
    let mut answers = Vec::new();
    if let (Some(_), Some(address), Some(_)) = (process.line(), process.line(), process.line()) {
        let url = address.split(' ').find(|word| word.starts_with("http://")).unwrap().to_owned();
        if let Ok(channel) = tonic::transport::Endpoint::new(url).unwrap().connect().await {
            answers.push(("acme-new".to_owned(), create(&channel, "acme").await));
            for number in 0..4 {
                answers.push((format!("acme-{number}"), send(&channel, "acme", number).await));
            }
        }
    }
    // It may have ended by itself.
    process.signal("TERM");
    let ended = process.end();
    if !hit.exists() {
        assert!(
            ended.status.success() && answers.iter().all(|(_, answer)| answer.is_ok()),
            "{}",
            ended.stderr
        );
        return false;
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert!(!answers.is_empty() || ended.status.code() == Some(1), "{:?}: {}", ended.status, ended.stderr);
    let what = format!("{error:?} at call {call}: {answers:?}\n{}", ended.stderr);
    let there = requests_in(&database).await.unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    for (id, answer) in &answers {
        match told(answer) {
            Told::Done => assert!(there.contains(id), "{what}: {id} is lost"),
            Told::Nothing => assert!(!there.contains(id), "{what}: {id} is stored"),
            Told::Unknown => {}
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_makes_nobody_believe_what_is_not_so() {
    let (_place, before) = migrated();
    // Each call in its turn when run for longer; in CI some of them.
    let step = if times() > 1 { 1 } else { 6 };
    for (error, first) in [(Errno::IO, 1), (Errno::NOSPC, 1 + step / 2)] {
        let mut call = first;
        while fails_at(&before, call, error).await {
            call += step;
        }
        eprintln!("{error:?}: {} of {call} calls failed in turn", (call - first) / step);
        assert!(call > 30, "a server makes more than {call} calls");
    }
}

/// Kills a server again and again while four callers are under way.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_that_was_acknowledged() {
    let place = Place::new();
    let mut acknowledged = BTreeSet::new();
    let random = &mut Random(SEED);
    let kills = 10 * times();
    for round in 0..kills {
        let server = place.serve();
        let (told, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for caller in 0..4 {
            let (channel, told) = (server.connect().await, told.clone());
            tokio::spawn(async move {
                let customer = format!("c-{round}-{caller}");
                let mut answer = create(&channel, &customer).await;
                let mut number = 0;
                while let Ok(id) = answer {
                    let _ = told.send(id);
                    answer = send(&channel, &customer, number).await;
                    number += 1;
                }
            });
        }
        drop(told);
        let enough = random.below(60) + 1;
        for _ in 0..enough {
            acknowledged.insert(answers.recv().await.unwrap());
        }
        server.process.signal("KILL");
        assert!(!server.process.end().status.success());
        while let Some(id) = answers.recv().await {
            acknowledged.insert(id);
        }
        let there = requests_in(&place.path("creditledger.db")).await.unwrap();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "seed {SEED}, kill {round}: {lost:?}");
    }
    eprintln!("{kills} kills, {} commands acknowledged", acknowledged.len());
    place.verify();
}

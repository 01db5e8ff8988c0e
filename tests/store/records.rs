//! The audit log: what the rows keep on each engine, and what a recorder writes of calls, also in a flood, and where the
//! database fails.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use creditledger::access::{CallFacts, PEERS_MAX, QUEUE_MAX, Recorder, Retention};
use creditledger::ledger::actor::{Actor, Peer, Role, Way};
use creditledger::ledger::ids::OpenText;
use creditledger::ledger::{PostingId, Text, Timestamp};
use creditledger::store::{
    AuditRecord, RecordBody, RecordFilter, RecordKind, RecordRoom, RecordStore, RecordTx, StoreError,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::clock::TestClock;
use crate::desk::{START, id};
use crate::rig::{Rig, on_each_engine};

fn open(text: &str) -> OpenText {
    OpenText(Text::parse(text).unwrap())
}

fn actor(name: &str) -> Actor {
    let peer = Some(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    Actor { subject: open(name), role: Role::Helpdesk, way: Way::Token, peer, provider: OpenText::default() }
}

/// A record, so many seconds after the start.
fn record(seconds: i64, kind: RecordKind, subject: Option<&str>) -> AuditRecord {
    let at = START.plus_seconds(seconds);
    let body = RecordBody {
        kind,
        at,
        until: None,
        count: 1,
        actor: subject.map(actor),
        peer: None,
        method: open("HoldService/PlaceHold"),
        request: open("r-1"),
        ledger: Some(id("main")),
        customer: Some(id("acme")),
        reason: open("INSUFFICIENT_CREDITS"),
        about: OpenText::default(),
    };
    AuditRecord { id: PostingId::new(at, 0, 7).uuid(), body }
}

pub async fn add(records: &dyn RecordStore, new: &[AuditRecord]) {
    let mut tx = records.begin(START).await.unwrap();
    tx.add(new).await.unwrap();
    tx.commit().await.unwrap();
}

/// Four records of two callers.
pub async fn fill(records: &dyn RecordStore) {
    let new = [
        record(1, RecordKind::Rejected, Some("ann")),
        record(2, RecordKind::PermissionDenied, Some("bob")),
        record(3, RecordKind::Unauthenticated, None),
        record(4, RecordKind::Rejected, Some("bob")),
    ];
    add(records, &new).await;
}

/// One more.
pub async fn add_another(records: &dyn RecordStore) {
    add(records, &[record(9, RecordKind::TokenCreated, Some("ann"))]).await;
}

async fn seconds(
    records: &dyn RecordStore,
    filter: &RecordFilter,
    before: Option<i64>,
    limit: usize,
) -> Vec<i64> {
    let before = before.map(|seconds| record(seconds, RecordKind::Rejected, None).id);
    let found = records.records(filter, before, limit).await.unwrap();
    let since = |record: &AuditRecord| (record.body.at.micros() - START.micros()) / 1_000_000;
    found.iter().map(since).collect()
}

async fn rows_are_kept_listed_and_counted(rig: Rig) {
    let records = &*rig.records;
    assert_eq!(records.room().await.unwrap(), RecordRoom::default());
    fill(records).await;
    let room = records.room().await.unwrap();
    assert!(room.records == 4 && room.bytes > 100, "{room:?}");
    // What is there stays as it is, and is counted once.
    fill(records).await;
    assert_eq!(records.room().await.unwrap(), room);
    let all = RecordFilter::default();
    let whole = records.records(&all, None, 1).await.unwrap();
    assert_eq!(whole, [record(4, RecordKind::Rejected, Some("bob"))]);
    assert_eq!(seconds(records, &all, None, 10).await, [4, 3, 2, 1]);
    assert_eq!(seconds(records, &all, Some(4), 2).await, [3, 2]);
    assert_eq!(seconds(records, &all, Some(1), 2).await, [0; 0]);
    let of = |subject: &str| RecordFilter { subject: Some(open(subject)), ..RecordFilter::default() };
    assert_eq!(seconds(records, &of("bob"), None, 10).await, [4, 2]);
    assert_eq!(seconds(records, &of("nobody"), None, 10).await, [0; 0]);
    let rejected = RecordFilter { kind: Some(RecordKind::Rejected), ..RecordFilter::default() };
    assert_eq!(seconds(records, &rejected, None, 10).await, [4, 1]);
    let (from, until) = (Some(START.plus_seconds(2)), Some(START.plus_seconds(4)));
    assert_eq!(seconds(records, &RecordFilter { from, until, ..all.clone() }, None, 10).await, [3, 2]);
    assert_eq!(seconds(records, &RecordFilter { from, ..rejected }, None, 10).await, [4]);
    assert_eq!(
        seconds(records, &RecordFilter { from: until, until: from, ..all.clone() }, None, 9).await,
        [0; 0]
    );

    // A dropped transaction stores nothing.
    let mut tx = records.begin(START).await.unwrap();
    tx.add(&[record(5, RecordKind::Rejected, None)]).await.unwrap();
    tx.prune(Uuid::max(), 9, false).await.unwrap();
    drop(tx);
    assert_eq!(seconds(records, &all, None, 10).await, [4, 3, 2, 1]);
    let mut tx = records.begin(START).await.unwrap();
    let removed = tx.prune(record(4, RecordKind::Rejected, None).id, 2, false).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(removed.records, 2);
    assert_eq!(seconds(records, &all, None, 10).await, [4, 3]);
    let left = records.room().await.unwrap();
    assert_eq!((left.records, left.bytes), (2, room.bytes - removed.bytes));
    assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
}

const KEEPS_ALL: Retention = Retention { days: 400, records: u64::MAX, bytes: u64::MAX };

/// A recorder with its task.
struct Recording {
    recorder: Recorder,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Recording {
    fn start(store: Arc<dyn RecordStore>, clock: Arc<TestClock>) -> Self {
        let recorder = Recorder::new(store, clock, KEEPS_ALL);
        let (stop, stopped) = watch::channel(false);
        Self { task: tokio::spawn(recorder.clone().run(stopped)), recorder, stop }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

#[allow(clippy::unnecessary_wraps)] // as a call takes it
fn peer(number: u32) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)))
}

async fn calls_become_records_that_are_found(rig: Rig) {
    let clock = TestClock::at(START);
    let recording = Recording::start(Arc::clone(&rig.records), clock.clone());
    let recorder = &recording.recorder;
    let (ann, main, acme) = (actor("ann"), id("main"), id("acme"));
    let call = CallFacts {
        actor: Some(&ann),
        peer: peer(9),
        method: "HoldService/PlaceHold",
        request: "r-1",
        ledger: Some(&main),
        customer: Some(&acme),
    };
    recorder.refused(&call, "PERMISSION_DENIED");
    clock.set(START.plus_seconds(1));
    recorder.rejected(&call, "INSUFFICIENT_CREDITS");
    recorder.changed(&CallFacts { actor: None, ..call }, RecordKind::TokenCreated, "some-id");
    // Whatever a stranger writes is cut, and breaks no line.
    let long = format!("a\nb\u{7f}{}", "é".repeat(600));
    recorder.rejected(&CallFacts { method: &long, peer: None, ..CallFacts::default() }, "");
    recorder.unauthenticated(peer(1));
    recorder.unauthenticated(peer(1));
    recorder.unauthenticated(None);
    recorder.flush().await;
    let (all, next) = recorder.page(&RecordFilter::default(), None, 100).await.unwrap();
    assert_eq!((all.len(), next), (6, None));
    let kinds: Vec<_> = all.iter().map(|record| (record.body.kind, record.body.count)).collect();
    use RecordKind::{PermissionDenied, Rejected, TokenCreated, Unauthenticated};
    assert_eq!(
        kinds,
        [
            (Unauthenticated, 2),
            (Unauthenticated, 1),
            (Rejected, 1),
            (TokenCreated, 1),
            (Rejected, 1),
            (PermissionDenied, 1)
        ]
    );
    let expected = RecordBody { kind: Rejected, ..record(1, Rejected, Some("ann")).body };
    assert_eq!(all[4].body, expected);
    assert_eq!((&all[3].body.about, all[3].body.peer), (&open("some-id"), peer(9).map(Peer)));
    let method = all[2].body.method.to_string();
    assert!(method.starts_with("a?b?é") && method.len() <= 256, "{method:?}");
    // By caller and kind, in pages of one.
    let filter =
        RecordFilter { subject: Some(open("ann")), kind: Some(PermissionDenied), ..Default::default() };
    let (found, next) = recorder.page(&filter, None, 1).await.unwrap();
    assert_eq!((found.len(), found[0].id, next), (1, all[5].id, None));
    let (mut joined, mut before) = (Vec::new(), None);
    loop {
        let (found, next) = recorder.page(&RecordFilter::default(), before, 1).await.unwrap();
        joined.extend(found);
        before = next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(joined, all);
    recording.end().await;
}

async fn a_server_that_stops_writes_what_it_has(rig: Rig) {
    let recording = Recording::start(Arc::clone(&rig.records), TestClock::at(START));
    for _ in 0..2_000 {
        recording
            .recorder
            .rejected(&CallFacts { method: "HoldService/PlaceHold", ..CallFacts::default() }, "HOLD_EXISTS");
        recording.recorder.unauthenticated(peer(1));
    }
    recording.end().await;
    assert_eq!(rig.records.room().await.unwrap().records, 2_001);
}

/// More strangers than anybody could keep one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_is_counted_in_bounded_memory() {
    const REFUSALS: u32 = 1_000_000;
    const PEERS: u32 = 100_000;
    const MINUTES: u32 = 5;
    let mut rig = Rig::sqlite().await;
    let clock = TestClock::at(START);
    let recording = Recording::start(Arc::clone(&rig.records), clock.clone());
    for number in 0..REFUSALS {
        clock.set(START.plus_seconds(i64::from(number / (REFUSALS / MINUTES)) * 60));
        recording.recorder.unauthenticated(peer(number % PEERS));
    }
    recording.recorder.flush().await;
    recording.end().await;
    let mut records = rig.audit.stored_records(None, usize::MAX).await.unwrap();
    let counted: u64 = records.iter().map(|record| record.body.count).sum();
    assert_eq!(counted, u64::from(REFUSALS), "none is missing");
    assert!(records.len() <= MINUTES as usize * (PEERS_MAX + 1), "{} records", records.len());
    records.retain(|record| record.body.peer.is_none());
    assert_eq!(records.len(), MINUTES as usize, "the others, once a minute");
    rig.writer.close().await.unwrap();
}

/// A store that fails as it is told.
struct Failing {
    store: Arc<dyn RecordStore>,
    mode: Arc<AtomicU8>,
}

const WORKS: u8 = 0;
const FAILS: u8 = 1;
/// The commit is made, and its answer is lost.
const ANSWERS_NOT: u8 = 2;

struct FailingTx {
    tx: Box<dyn RecordTx>,
    mode: Arc<AtomicU8>,
}

#[async_trait]
impl RecordStore for Failing {
    async fn records(
        &self,
        filter: &RecordFilter,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        self.store.records(filter, before, limit).await
    }

    async fn room(&self) -> Result<RecordRoom, StoreError> {
        self.store.room().await
    }

    async fn begin(&self, now: Timestamp) -> Result<Box<dyn RecordTx>, StoreError> {
        if self.mode.load(Ordering::SeqCst) == FAILS {
            return Err(StoreError::Failed("a fault".into()));
        }
        Ok(Box::new(FailingTx { tx: self.store.begin(now).await?, mode: Arc::clone(&self.mode) }))
    }
}

#[async_trait]
impl RecordTx for FailingTx {
    async fn add(&mut self, records: &[AuditRecord]) -> Result<(), StoreError> {
        self.tx.add(records).await
    }

    async fn prune(
        &mut self,
        before: Uuid,
        limit: usize,
        but_changes: bool,
    ) -> Result<RecordRoom, StoreError> {
        self.tx.prune(before, limit, but_changes).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.tx.commit().await?;
        match self.mode.swap(WORKS, Ordering::SeqCst) {
            ANSWERS_NOT => Err(StoreError::Unsure("the answer is lost".into())),
            _ => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_fails_records_wait_and_what_is_left_out_is_counted() {
    const CALLS: usize = 3 * QUEUE_MAX;
    let mut rig = Rig::sqlite().await;
    let mode = Arc::new(AtomicU8::new(FAILS));
    let failing = Failing { store: Arc::clone(&rig.records), mode: Arc::clone(&mode) };
    let recording = Recording::start(Arc::new(failing), TestClock::at(START));
    let ann = actor("ann");
    for number in 0..CALLS {
        let request = format!("r-{number}");
        let call = CallFacts { actor: Some(&ann), request: &request, ..CallFacts::default() };
        recording.recorder.rejected(&call, "HOLD_EXISTS");
    }
    assert_eq!(rig.records.room().await.unwrap().records, 0);
    // The first commit that works is not answered: its records are written again, and are there once.
    mode.store(ANSWERS_NOT, Ordering::SeqCst);
    recording.recorder.flush().await;
    let records = rig.audit.stored_records(None, usize::MAX).await.unwrap();
    let (left_out, kept): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.body.kind == RecordKind::LeftOut);
    let counted: u64 = left_out.iter().map(|record| record.body.count).sum();
    assert_eq!(kept.len() as u64 + counted, CALLS as u64);
    assert!(counted > 0 && kept.len() >= QUEUE_MAX / 2, "{} kept, {counted} left out", kept.len());
    // The first ones are there, in their order.
    let requests: Vec<_> = kept.iter().map(|record| record.body.request.to_string()).collect();
    assert!(
        (0..QUEUE_MAX / 2).all(|number| requests[number] == format!("r-{number}")),
        "{:?}",
        &requests[..9]
    );
    recording.end().await;

    // A server that stops while the database fails gives up after a while.
    mode.store(FAILS, Ordering::SeqCst);
    let failing = Failing { store: Arc::clone(&rig.records), mode };
    let recording = Recording::start(Arc::new(failing), TestClock::at(START));
    recording.recorder.rejected(&CallFacts::default(), "HOLD_EXISTS");
    recording.end().await;
    assert_eq!(rig.records.room().await.unwrap().records, records.len() as u64);
    rig.writer.close().await.unwrap();
}

async fn old_records_go_by_age_by_number_and_by_bytes(rig: Rig) {
    const COUNT: u32 = 1_200;
    let clock = TestClock::at(START);
    let day = |day: u32| i64::from(day) * 86_400;
    let new: Vec<_> = (0..COUNT).map(|n| record(day(n), RecordKind::Rejected, Some("ann"))).collect();
    add(&*rig.records, &new).await;
    clock.set(START.plus_days(COUNT));
    let left = async |retention| {
        Recorder::new(Arc::clone(&rig.records), clock.clone(), retention).prune().await.unwrap();
        assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
        rig.audit.stored_records(None, usize::MAX).await.unwrap()
    };
    assert_eq!(left(Retention { days: COUNT, ..KEEPS_ALL }).await, new);
    // In more than one slice.
    assert_eq!(left(Retention { days: 600, ..KEEPS_ALL }).await, new[600..]);
    assert_eq!(left(Retention { days: 600, records: 400, ..KEEPS_ALL }).await, new[800..]);
    let bytes = rig.records.room().await.unwrap().bytes;
    let by_bytes = left(Retention { bytes: bytes / 2, ..KEEPS_ALL }).await;
    assert_eq!(by_bytes, new[new.len() - by_bytes.len()..], "the oldest go first");
    assert!(
        rig.records.room().await.unwrap().bytes <= bytes / 2 && by_bytes.len() >= 190,
        "{}",
        by_bytes.len()
    );
    assert_eq!(left(Retention { days: 1, records: 0, bytes: 0 }).await, []);
    assert_eq!(rig.records.room().await.unwrap(), RecordRoom::default());
}

on_each_engine! {
    rows_are_kept_listed_and_counted
    calls_become_records_that_are_found
    a_server_that_stops_writes_what_it_has
    old_records_go_by_age_by_number_and_by_bytes
}

//! The audit log: who was refused, what was rejected, and what was changed without a posting.
//!
//! # What it is
//! A [`Recorder`] takes records from calls into a queue in memory, and a task of its own writes them in batches. What is
//! accepted as a posting is not here: the journal has it, with its actor.
//!
//! Callers that do not show who they are are counted by peer and minute, and written once the minute is over. A minute
//! has [`PEERS_MAX`] peers of its own; all others are counted together, as those of no peer.
//!
//! # Invariants
//! - Taking a record never waits for the database, and never fails.
//! - What is taken is written, or counted: a record of the kind `LEFT_OUT` says how much was left out, and when.
//! - A batch whose commit was not answered is written again under the same ids, and is there once.
//! - The log is bounded by the age of its records, their number, and the bytes of their bodies ([`Retention`]). The
//!   oldest go first; for want of room, records of what was not done go before those of changes.
//! - Callers cannot fill the queue with refusals: a quarter of it is kept for changes.
//!
//! # Failure
//! While the database fails, the batch that was taken waits, and the queue fills up to [`QUEUE_MAX`] records or
//! [`QUEUE_BYTES_MAX`]. What comes then is left out and counted. A process that is killed loses what waits: at most a
//! minute of counts and the queue. A server that stops writes all of it, if the database lets it within its deadline.
//!
//! # Cost
//! A record costs whoever tells of it a lock and a copy of its texts: a call, or a lane of the writer, which tells what it
//! rejects. A refused stranger costs a lock and a look into a map. A batch of up to [`BATCH_MAX`] records is one
//! transaction, at most five a second. Old records are removed [`SLICE`] at a time.

mod queue;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::clock::{self, Clock};
use crate::ledger::actor::{Actor, Peer};
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, PostingId, Text};
use crate::store::{AuditRecord, RecordBody, RecordFilter, RecordKind, RecordStore, StoreError};

use queue::Queue;
pub use queue::{PEERS_MAX, QUEUE_BYTES_MAX, QUEUE_MAX};

/// Records in one transaction.
pub const BATCH_MAX: usize = 500;
/// Old records that one transaction removes.
pub const SLICE: usize = 500;
/// How long the task waits for more before it writes.
const GATHER: Duration = Duration::from_millis(200);
/// How often the task looks whether a minute of strangers is over.
const TICK: Duration = Duration::from_secs(1);
/// How often old records are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(10);
/// How long a failed write waits for its next attempt.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Attempts of a server that stops.
const LAST_TRIES: u32 = 3;
/// The bytes that are kept of a text which a caller has chosen.
const TEXT_MAX: usize = 256;
/// Records that are read at a time, and at most, for a page with two filters.
const READ_MAX: usize = 1_000;
const READS_MAX: usize = 10;

/// How much the log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub days: u32,
    pub records: u64,
    /// Bytes of the records' bodies. A database takes about three times as much, with keys and indexes.
    pub bytes: u64,
}

/// A call, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallFacts<'c> {
    pub actor: Option<&'c Actor>,
    /// The address at the other end of the connection.
    pub peer: Option<IpAddr>,
    /// Such as `HoldService/PlaceHold`; of a stranger, whatever it asked for.
    pub method: &'c str,
    pub request: &'c str,
    pub ledger: Option<&'c LedgerId>,
    pub customer: Option<&'c CustomerId>,
}

/// Takes records. Clones share their queue.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    store: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    queue: Mutex<Queue>,
    /// Something is in the queue.
    wake: Notify,
    /// How many records were written or left out, of those that were ever taken.
    done: watch::Sender<u64>,
    /// The next id's place among those of its microsecond.
    index: AtomicU32,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    #[must_use]
    pub fn new(store: Arc<dyn RecordStore>, clock: Arc<dyn Clock>, retention: Retention) -> Self {
        let (queue, wake, done) = (Mutex::new(Queue::default()), Notify::new(), watch::Sender::new(0));
        Self(Arc::new(Shared { store, clock, retention, queue, wake, done, index: AtomicU32::new(0) }))
    }

    /// Counts a caller that did not show who it is.
    pub fn unauthenticated(&self, peer: Option<IpAddr>) {
        let now = self.0.clock.now();
        self.queue().count_stranger(peer, now);
    }

    /// Keeps that a known caller may not do what it asked for. `reason` is the reason of the error.
    pub fn refused(&self, call: &CallFacts<'_>, reason: &str) {
        self.push(call, RecordKind::PermissionDenied, reason, "");
    }

    /// Keeps that a change was rejected. `reason` is the reason of the error.
    pub fn rejected(&self, call: &CallFacts<'_>, reason: &str) {
        self.push(call, RecordKind::Rejected, reason, "");
    }

    /// Keeps a change that is no posting. `about` names what was changed.
    pub fn changed(&self, call: &CallFacts<'_>, change: RecordKind, about: &str) {
        self.push(call, change, "", about);
    }

    fn push(&self, call: &CallFacts<'_>, kind: RecordKind, reason: &str, about: &str) {
        let CallFacts { actor, peer, method, request, ledger, customer } = *call;
        let has_peer = actor.is_some_and(|actor| actor.peer.is_some());
        let body = RecordBody {
            kind,
            at: self.0.clock.now(),
            until: None,
            count: 1,
            actor: actor.cloned(),
            peer: peer.filter(|_| !has_peer).map(Peer),
            method: open(method),
            request: open(request),
            ledger: ledger.cloned(),
            customer: customer.cloned(),
            reason: open(reason),
            about: open(about),
        };
        self.queue().push(body);
        self.0.wake.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic of another caller leaves a queue that is whole.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes until it is stopped, and then what is left. It also removes what the log keeps no longer.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        // Not at once: a start reads nothing that can wait.
        let mut pruned = Instant::now();
        let mut is_stopped = false;
        while !is_stopped {
            // A sender that is gone means stop as well.
            let gathers = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {
                    is_stopped = true;
                    false
                }
                () = self.0.wake.notified() => true,
                () = tokio::time::sleep(TICK) => false,
            };
            if gathers {
                is_stopped = timeout(GATHER, stop.wait_for(|stop| *stop)).await.is_ok();
            }
            let now = self.0.clock.now();
            self.queue().close_minute(if is_stopped { None } else { Some(now) });
            self.write_all(&mut stop).await;
            if pruned.elapsed() >= PRUNE_EVERY {
                pruned = Instant::now();
                if let Err(error) = self.prune().await {
                    tracing::warn!(%error, "old audit records cannot be removed");
                }
            }
        }
        // Nobody need wait for what will not be written.
        self.0.done.send_replace(u64::MAX);
    }

    /// Writes batches until the queue is empty. A batch is tried until it is written; a server that stops gives up after
    /// a few attempts.
    async fn write_all(&self, stop: &mut watch::Receiver<bool>) {
        loop {
            let (bodies, taken) = self.queue().take(BATCH_MAX);
            if bodies.is_empty() {
                self.0.done.send_replace(taken);
                return;
            }
            let batch: Vec<AuditRecord> = bodies.into_iter().map(|body| self.identified(body)).collect();
            let mut last_tries = 0_u32;
            let mut has_failed = false;
            while let Err(error) = self.write(&batch).await {
                if !has_failed {
                    tracing::warn!(%error, records = batch.len(), "audit records cannot be written yet");
                }
                has_failed = true;
                let is_stopped = timeout(AGAIN_AFTER, stop.wait_for(|stop| *stop)).await.is_ok();
                last_tries = last_tries.saturating_add(u32::from(is_stopped));
                if last_tries >= LAST_TRIES {
                    let left = self.queue().left();
                    let records = left.saturating_add(batch.len());
                    tracing::error!(%error, records, "audit records are lost: the server stops");
                    return;
                }
                if is_stopped {
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
            self.0.done.send_replace(taken);
        }
    }

    async fn write(&self, batch: &[AuditRecord]) -> Result<(), StoreError> {
        let mut tx = self.0.store.begin(self.0.clock.now()).await?;
        tx.add(batch).await?;
        tx.commit().await
    }

    fn identified(&self, body: RecordBody) -> AuditRecord {
        let index = self.0.index.fetch_add(1, Ordering::Relaxed);
        // Without randomness two servers could make the same id in the same microsecond, and one record would be lost.
        let random = clock::random().unwrap_or_default();
        AuditRecord { id: PostingId::new(body.at, index, random).uuid(), body }
    }

    /// Waits until everything that was taken before is written or counted as left out, also the strangers of this
    /// minute.
    pub async fn flush(&self) {
        let taken = {
            let mut queue = self.queue();
            queue.close_minute(None);
            queue.pushed()
        };
        self.0.wake.notify_one();
        // Where the task has ended, nothing is written any more.
        let _ = self.0.done.subscribe().wait_for(|done| *done >= taken).await;
    }

    /// Removes what the log keeps no longer, a slice at a time.
    ///
    /// # Errors
    /// [`StoreError`]; what is not removed goes the next time.
    pub async fn prune(&self) -> Result<(), StoreError> {
        let Retention { days, records, bytes } = self.0.retention;
        let age = i64::from(days).saturating_mul(86_400);
        loop {
            let now = self.0.clock.now();
            let too_old = PostingId::new(now.plus_seconds(age.saturating_neg()), 0, 0).uuid();
            let room = self.0.store.room().await?;
            let beyond = room.records.saturating_sub(records);
            let (before, limit) = if beyond > 0 {
                (Uuid::max(), usize::try_from(beyond).unwrap_or(SLICE).min(SLICE))
            } else if room.bytes > bytes {
                // About as many as take up what is too much.
                let mean = room.bytes.checked_div(room.records).unwrap_or(1).max(1);
                let count = room.bytes.saturating_sub(bytes).div_ceil(mean);
                (Uuid::max(), usize::try_from(count).unwrap_or(SLICE).min(SLICE))
            } else {
                (too_old, SLICE)
            };
            // For want of room, what was not done goes first: nobody can push a change out by being refused.
            let is_for_room = before == Uuid::max();
            let mut tx = self.0.store.begin(now).await?;
            let mut removed = tx.prune(before, limit, is_for_room).await?;
            if removed.records == 0 && is_for_room {
                removed = tx.prune(before, limit, false).await?;
            }
            if removed.records == 0 {
                return Ok(());
            }
            tx.commit().await?;
        }
    }

    /// Records before an id, newest first, at most `limit`; and the id before which the list goes on, `None` at its end.
    /// A rare combination of filters gives short pages.
    pub async fn page(
        &self,
        filter: &RecordFilter,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<AuditRecord>, Option<Uuid>), StoreError> {
        let (mut found, mut before) = (Vec::new(), before);
        // The store looks at one of them only.
        let has_two = filter.subject.is_some() && filter.kind.is_some();
        let size = if has_two { READ_MAX } else { READ_MAX.min(limit.saturating_add(1)) };
        for _ in 0..READS_MAX {
            let read = self.0.store.records(filter, before, size).await?;
            let is_end = read.len() < size;
            for record in read {
                let is_wanted = filter.kind.is_none_or(|kind| record.body.kind == kind);
                if is_wanted && found.len() >= limit {
                    return Ok((found, before));
                }
                before = Some(record.id);
                if is_wanted {
                    found.push(record);
                }
            }
            if is_end {
                return Ok((found, None));
            }
        }
        Ok((found, before))
    }
}

/// A text that a caller may have chosen: cut, and without control characters.
fn open(text: &str) -> OpenText {
    let mut kept = String::new();
    for c in text.chars() {
        if kept.len().saturating_add(c.len_utf8()) > TEXT_MAX {
            break;
        }
        kept.push(if c.is_control() { '?' } else { c });
    }
    OpenText(Text::parse(&kept).unwrap_or_default())
}

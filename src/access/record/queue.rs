//! What waits to be written to the audit log, within bounds: records, counts of strangers, and a count of what was left
//! out.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::ledger::actor::Peer;
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, Timestamp};
use crate::store::{RecordBody, RecordKind};

/// Records that wait.
pub const QUEUE_MAX: usize = 8_192;
/// Bytes of their texts, about.
pub const QUEUE_BYTES_MAX: usize = 4 << 20;
/// Peers that are counted for themselves in one minute.
pub const PEERS_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<RecordBody>,
    bytes: usize,
    /// Records that ever came, those that were left out too.
    pushed: u64,
    left_out: Option<Tally>,
    /// The minute whose strangers are counted, and they.
    minute: i64,
    peers: HashMap<Option<IpAddr>, Tally>,
}

/// How often something happened, and when first and last.
#[derive(Clone, Copy)]
struct Tally {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Tally {
    fn add(tally: &mut Option<Self>, count: u64, at: Timestamp, last: Timestamp) {
        let tally = tally.get_or_insert(Self { count: 0, first: at, last: at });
        tally.count = tally.count.saturating_add(count);
        tally.first = tally.first.min(at);
        tally.last = tally.last.max(last);
    }

    /// A record that counts.
    fn record(self, kind: RecordKind, peer: Option<IpAddr>) -> RecordBody {
        RecordBody {
            kind,
            at: self.first,
            until: Some(self.last),
            count: self.count,
            actor: None,
            peer: peer.map(Peer),
            method: OpenText::default(),
            request: OpenText::default(),
            ledger: None,
            customer: None,
            reason: OpenText::default(),
            about: OpenText::default(),
        }
    }
}

impl Queue {
    /// Keeps a record, or counts it where there is no room.
    pub fn push(&mut self, body: RecordBody) {
        self.pushed = self.pushed.saturating_add(1);
        let bytes = bytes_of(&body);
        let share = |max: usize| if body.kind.is_change() { max } else { max / 4 * 3 };
        let is_full = self.waiting.len() >= share(QUEUE_MAX);
        if is_full || self.bytes.saturating_add(bytes) > share(QUEUE_BYTES_MAX) {
            let last = body.until.unwrap_or(body.at);
            return Tally::add(&mut self.left_out, body.count, body.at, last);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.push_back(body);
    }

    pub fn count_stranger(&mut self, peer: Option<IpAddr>, now: Timestamp) {
        self.close_minute(Some(now));
        self.minute = minute(now);
        let is_known = self.peers.contains_key(&peer) || self.peers.len() < PEERS_MAX;
        let key = if is_known { peer } else { None };
        let mut tally = self.peers.get(&key).copied();
        Tally::add(&mut tally, 1, now, now);
        self.peers.extend(tally.map(|tally| (key, tally)));
    }

    /// Makes records of the strangers of a minute that is over; of any minute without `now`.
    pub fn close_minute(&mut self, now: Option<Timestamp>) {
        if self.peers.is_empty() || now.is_some_and(|now| minute(now) == self.minute) {
            return;
        }
        let mut peers: Vec<_> = std::mem::take(&mut self.peers).into_iter().collect();
        peers.sort_unstable_by_key(|(peer, tally)| (tally.first, *peer));
        for (peer, tally) in peers {
            self.push(tally.record(RecordKind::Unauthenticated, peer));
        }
    }

    /// The next records to write, oldest first, with a word about those that were left out; and how many came so far
    /// once these are written.
    pub fn take(&mut self, max: usize) -> (Vec<RecordBody>, u64) {
        let count = self.waiting.len().min(max);
        let mut taken: Vec<_> = self.waiting.drain(..count).collect();
        for body in &taken {
            self.bytes = self.bytes.saturating_sub(bytes_of(body));
        }
        if let Some(left_out) = self.left_out.take() {
            tracing::warn!(records = left_out.count, "audit records were left out: too many came at once");
            taken.push(left_out.record(RecordKind::LeftOut, None));
        }
        (taken, self.pushed.saturating_sub(u64::try_from(self.waiting.len()).unwrap_or(0)))
    }

    /// Records that ever came.
    pub const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Records that wait.
    pub fn left(&self) -> usize {
        self.waiting.len()
    }
}

/// About what a record takes up in memory.
fn bytes_of(body: &RecordBody) -> usize {
    let texts = [&body.method, &body.request, &body.reason, &body.about].map(|text| text.0.as_str().len());
    let subject = body.subject().map_or(0, str::len);
    let ids = body.ledger.as_ref().map_or(0, |id: &LedgerId| id.as_str().len())
        + body.customer.as_ref().map_or(0, |id: &CustomerId| id.as_str().len());
    size_of::<RecordBody>() + texts.iter().sum::<usize>() + subject + ids
}

/// The number of a minute since 1970.
fn minute(now: Timestamp) -> i64 {
    const MINUTE: i64 = 60 * Timestamp::MICROS_PER_SECOND;
    now.micros().div_euclid(MINUTE)
}

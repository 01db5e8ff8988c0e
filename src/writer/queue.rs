//! The queue in front of a lane, and how it is cut into batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::SpanContext;
use tokio::sync::{mpsc, oneshot, watch};

use super::ask::{Ask, Bulk, Caller, Change, Done, Single, tell};
use super::error::{SubmitError, Submitted};
use super::held_back::Waiting;
use super::shared::{Oldest, Shared};
use crate::ledger::Request;

/// The share of a batch that is kept for bulk commands while single ones wait too: one in four, so that neither kind
/// starves.
const BULK_SHARE: usize = 4;

/// What waits: single commands before bulk ones.
pub(super) struct Queue {
    shared: Arc<Shared>,
    oldest: Arc<Oldest>,
    closing: watch::Receiver<bool>,
    single_queue: mpsc::UnboundedReceiver<Single>,
    bulk_queue: mpsc::UnboundedReceiver<Bulk>,
    singles: VecDeque<Single>,
    bulks: VecDeque<Bulk>,
}

/// The commands for one commit, and the channels for their answers.
#[derive(Default)]
pub(super) struct Batch {
    /// In the order in which they are decided.
    pub requests: Vec<Request>,
    /// Until when each request may be decided.
    pub deadlines: Vec<Option<Instant>>,
    /// Changes of ledgers; they are made before the requests.
    pub changes: Vec<Change>,
    /// Callers of the first requests, one each. The other requests belong to the bulks at the head of the queue.
    singles: Vec<Caller>,
    /// The spans of callers that are traced.
    pub traced: Vec<SpanContext>,
    /// When the oldest command was queued.
    pub oldest: Option<Instant>,
    /// When commands that were held back before are given up, in the order of `singles`; empty where none was.
    until: Vec<Option<Instant>>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.changes.is_empty()
    }

    /// Commands that were held back.
    pub fn of(commands: Vec<Waiting>) -> Self {
        let mut batch = Self::default();
        for Waiting { request, deadline, caller, until } in commands {
            batch.requests.push(request);
            batch.deadlines.push(deadline);
            batch.singles.push(caller);
            batch.until.push(until);
        }
        batch
    }
}

impl Queue {
    pub fn new(
        shared: Arc<Shared>,
        oldest: Arc<Oldest>,
        single_queue: mpsc::UnboundedReceiver<Single>,
        bulk_queue: mpsc::UnboundedReceiver<Bulk>,
    ) -> Self {
        let closing = shared.closing();
        let (singles, bulks) = (VecDeque::new(), VecDeque::new());
        Self { shared, oldest, closing, single_queue, bulk_queue, singles, bulks }
    }

    /// Waits until there is something to do, and takes at most `commands_max` commands. `None` once the writer is
    /// closed and everything is done.
    pub async fn next(&mut self, commands_max: usize) -> Option<Batch> {
        loop {
            self.oldest.clear();
            self.take_waiting();
            let batch = self.cut(commands_max);
            if let Some(since) = self.waits_since() {
                self.oldest.left(since);
            }
            if !batch.is_empty() {
                return Some(batch);
            }
            if *self.closing.borrow() {
                // Commands counted before closing are in a queue by now, or their sender finds the queue closed.
                self.single_queue.close();
                self.bulk_queue.close();
                self.take_waiting();
                if self.singles.is_empty() && self.bulks.is_empty() {
                    return None;
                }
                continue;
            }
            tokio::select! {
                // Without a sender every handle is gone, so nothing more can come.
                single = self.single_queue.recv() => self.singles.push_back(single?),
                bulk = self.bulk_queue.recv() => self.bulks.push_back(bulk?),
                // A missing sender means the same as closing; it lives as long as its lanes.
                _ = self.closing.wait_for(|closing| *closing) => {}
            }
        }
    }

    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    fn take_waiting(&mut self) {
        while let Ok(single) = self.single_queue.try_recv() {
            self.singles.push_back(single);
        }
        while let Ok(bulk) = self.bulk_queue.try_recv() {
            self.bulks.push_back(bulk);
        }
    }

    /// When the oldest of what was taken from the channels, and of no batch yet, was queued.
    fn waits_since(&self) -> Option<Instant> {
        let single = self.singles.front().map(|single| single.since);
        // The first bulk may wait for its answer only.
        let bulk = self.bulks.iter().find(|bulk| bulk.requests.len() > 0).map(|bulk| bulk.since);
        single.into_iter().chain(bulk).min()
    }

    /// Cuts a batch. Commands whose deadline has passed are answered instead of run.
    fn cut(&mut self, commands_max: usize) -> Batch {
        let now = Instant::now();
        let late = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let mut batch = Batch { oldest: self.waits_since(), ..Batch::default() };
        let kept_for_bulk = if self.bulks.is_empty() { 0 } else { (commands_max / BULK_SHARE).max(1) };
        let singles_max = (commands_max - kept_for_bulk).max(1);
        while batch.requests.len() + batch.changes.len() < singles_max
            && let Some(single) = self.singles.pop_front()
        {
            self.shared.taken(1);
            batch.traced.extend(single.traced);
            match single.ask {
                Ask::Command(request, caller) if late(single.deadline) => {
                    caller.answer(&request, Err(SubmitError::DeadlineExceeded));
                }
                Ask::Command(request, caller) => {
                    batch.requests.push(*request);
                    batch.deadlines.push(single.deadline);
                    batch.singles.push(caller);
                }
                Ask::Ledger(change) if late(single.deadline) => change.refuse(SubmitError::DeadlineExceeded),
                Ask::Ledger(change) => batch.changes.push(change),
            }
        }
        for bulk in &mut self.bulks {
            let room = commands_max.saturating_sub(batch.requests.len());
            if room == 0 {
                break;
            }
            let before = batch.requests.len();
            if late(bulk.deadline) {
                let rest = bulk.requests.len();
                self.shared.taken(rest);
                bulk.done.extend((0..rest).map(|_| Done::Now(Err(SubmitError::DeadlineExceeded))));
                bulk.requests = Vec::new().into_iter();
            } else {
                batch.traced.extend(bulk.traced.clone());
                batch.requests.extend(bulk.requests.by_ref().take(room));
                batch.deadlines.resize(batch.requests.len(), bulk.deadline);
                self.shared.taken(batch.requests.len() - before);
            }
            bulk.in_batch = batch.requests.len() - before;
        }
        self.answer_finished_bulks();
        batch
    }

    /// Answers the commands of the batch; outcome `i` belongs to request `i`. Returns those whose customers are locked:
    /// they are not answered yet.
    pub fn answer(&mut self, batch: Batch, outcomes: Vec<Submitted>) -> Vec<Waiting> {
        let Batch { requests, deadlines, changes: _, singles, traced: _, oldest: _, until } = batch;
        let mut until = until.into_iter();
        let mut decided = requests.into_iter().zip(deadlines).zip(outcomes);
        let mut held_back = Vec::new();
        for (caller, ((request, deadline), outcome)) in singles.into_iter().zip(decided.by_ref()) {
            let until = until.next().flatten();
            if outcome == Err(SubmitError::Locked) {
                held_back.push(Waiting { request, deadline, caller, until });
            } else {
                caller.answer(&request, outcome);
            }
        }
        for bulk in &mut self.bulks {
            let count = std::mem::take(&mut bulk.in_batch);
            for ((request, deadline), outcome) in decided.by_ref().take(count) {
                bulk.done.push(if outcome == Err(SubmitError::Locked) {
                    let (reply, later) = oneshot::channel();
                    let caller = Caller { reply, listener: bulk.listener.clone() };
                    held_back.push(Waiting { request, deadline, caller, until: None });
                    Done::Later(later)
                } else {
                    tell(&bulk.listener, &request, &outcome);
                    Done::Now(outcome)
                });
            }
        }
        self.answer_finished_bulks();
        held_back
    }

    fn answer_finished_bulks(&mut self) {
        while self.bulks.front().is_some_and(|bulk| bulk.requests.len() == 0 && bulk.in_batch == 0) {
            if let Some(bulk) = self.bulks.pop_front() {
                bulk.answer();
            }
        }
    }

    /// Answers everything that waits with `error`, because the writer stops.
    pub fn refuse_all(&mut self, error: SubmitError) {
        self.shared.close();
        self.single_queue.close();
        self.bulk_queue.close();
        self.take_waiting();
        for single in self.singles.drain(..) {
            match single.ask {
                Ask::Command(request, caller) => caller.answer(&request, Err(error)),
                Ask::Ledger(change) => change.refuse(error),
            }
        }
        for mut bulk in self.bulks.drain(..) {
            let rest = bulk.requests.len() + bulk.in_batch;
            bulk.done.extend((0..rest).map(|_| Done::Now(Err(error))));
            bulk.answer();
        }
    }
}

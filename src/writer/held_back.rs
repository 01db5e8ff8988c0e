//! Commands of customers whose rows somebody else has locked: they wait apart, so that their lane goes on.
//!
//! # What it is
//! A batch that meets a foreign lock is run again without the locked customers. Their commands come here, and so do
//! later ones of the same customers. From time to time the lane asks which rows are free again.
//!
//! # Invariants
//! - Commands of one customer keep their order.
//! - What waits here has not been run, so it may be refused with "nothing was done".
//! - It counts as queued, so the writer's bound on commands covers it.
//!
//! # Failure
//! A command that waits here longer than a batch is retried for is refused as STORAGE_UNAVAILABLE, or at its deadline as
//! DEADLINE_EXCEEDED.
//!
//! # Cost
//! One short transaction each time the lane looks, at growing intervals.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ask::Caller;
use super::error::SubmitError;
use super::shared::Shared;
use crate::ledger::{CustomerKey, Request};

/// The first interval between two looks; each next one is twice as long.
const LOOK_AFTER_MIN: Duration = Duration::from_millis(50);
/// The longest interval.
const LOOK_AFTER_MAX: Duration = Duration::from_millis(800);

/// A command with its caller.
#[derive(Debug)]
pub(super) struct Waiting {
    pub request: Request,
    pub deadline: Option<Instant>,
    pub caller: Caller,
    /// When it is given up; set when it is held back first.
    pub until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct HeldBack {
    shared: Arc<Shared>,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    look_at: Instant,
    interval: Duration,
}

impl HeldBack {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, waiting: Vec::new(), look_at: Instant::now(), interval: LOOK_AFTER_MIN }
    }

    /// Takes commands that were not run; each waits at most `patience`.
    pub fn take(&mut self, commands: Vec<Waiting>, patience: Duration) {
        if commands.is_empty() {
            return;
        }
        let now = Instant::now();
        if self.waiting.is_empty() {
            // What was released in vain, as where the locked row is another than the customer's, is tried less and less.
            if commands.iter().all(|it| it.until.is_none()) {
                self.interval = LOOK_AFTER_MIN;
            }
            self.look_at = now + self.interval;
        }
        self.shared.put_back(commands.len());
        let until = now + patience;
        self.waiting
            .extend(commands.into_iter().map(|it| Waiting { until: Some(it.until.unwrap_or(until)), ..it }));
    }

    /// The customers whose commands wait here.
    pub fn customers(&self) -> HashSet<CustomerKey> {
        self.waiting.iter().map(|it| it.request.customer_key()).collect()
    }

    /// True where it is time to look for rows that are free again.
    pub fn must_look(&self) -> bool {
        self.look_at().is_some_and(|at| at <= Instant::now())
    }

    /// When to look for rows that are free again; `None` where nothing waits.
    pub fn look_at(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.look_at)
    }

    /// Refuses what has waited too long, and gives out the commands of customers that are not in `locked`: a customer's
    /// all at once, and no further customer's once they are `commands_max`.
    pub fn release(&mut self, locked: &BTreeSet<CustomerKey>, commands_max: usize) -> Vec<Waiting> {
        let now = Instant::now();
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let (mut free, mut chosen, mut are_more) = (Vec::new(), HashSet::new(), false);
        for waiting in std::mem::take(&mut self.waiting) {
            let customer = waiting.request.customer_key();
            let is_free = !locked.contains(&customer);
            let has_room = free.len() < commands_max || chosen.contains(&customer);
            if is_over(waiting.deadline) {
                self.refuse(waiting, SubmitError::DeadlineExceeded);
            } else if is_free && has_room {
                chosen.insert(customer);
                self.shared.taken(1);
                free.push(waiting);
            } else if is_over(waiting.until) {
                tracing::warn!(
                    customer = %waiting.request.customer,
                    "a customer's row is locked by another program"
                );
                self.refuse(waiting, SubmitError::StorageUnavailable);
            } else {
                are_more |= is_free;
                self.waiting.push(waiting);
            }
        }
        self.interval = self.interval.saturating_mul(2).min(LOOK_AFTER_MAX);
        self.look_at = if are_more { now } else { now + self.interval };
        free
    }

    /// Answers everything that waits with `error`, because the writer stops.
    pub fn refuse_all(&mut self, error: SubmitError) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.refuse(waiting, error);
        }
    }

    fn refuse(&self, waiting: Waiting, error: SubmitError) {
        self.shared.taken(1);
        waiting.caller.answer(&waiting.request, Err(error));
    }
}

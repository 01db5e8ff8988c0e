//! The events that an endpoint did not take, by customer. The first event of a customer is tried again at its time. The
//! later ones wait behind it, so that a customer's events keep their order.

use std::collections::{BTreeMap, VecDeque};

use crate::ledger::{CustomerId, Timestamp};
use crate::store::webhooks::Delivery;

/// The retry queue of one endpoint.
#[derive(Debug, Default)]
pub(super) struct RetryQueue {
    queues: BTreeMap<CustomerId, VecDeque<Delivery>>,
    count: usize,
}

impl RetryQueue {
    /// From the stored rows, in the order of the feed.
    pub fn new(deliveries: Vec<Delivery>) -> Self {
        let mut retries = Self::default();
        for delivery in deliveries {
            retries.push(delivery);
        }
        retries
    }

    /// Puts one behind the others of its customer.
    pub fn push(&mut self, delivery: Delivery) {
        self.count = self.count.saturating_add(1);
        self.queues.entry(delivery.customer.clone()).or_default().push_back(delivery);
    }

    pub const fn len(&self) -> usize {
        self.count
    }

    /// True where events of the customer wait.
    pub fn has(&self, customer: &CustomerId) -> bool {
        self.queues.contains_key(customer)
    }

    /// When the next one is to be tried.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.queues.values().filter_map(|queue| queue.front()).map(due_at).min()
    }

    /// Takes out the first `length` events of at most `customers` customers whose first event is due; the rest stays.
    /// Events that are not delivered come back by [`RetryQueue::put_back`].
    pub fn take_due(&mut self, now: Timestamp, customers: usize, length: usize) -> Vec<Vec<Delivery>> {
        let is_due = |queue: &VecDeque<Delivery>| queue.front().is_some_and(|first| due_at(first) <= now);
        let due: Vec<CustomerId> = self
            .queues
            .iter()
            .filter(|(_, queue)| is_due(queue))
            .take(customers)
            .map(|(customer, _)| customer.clone())
            .collect();
        let mut taken = Vec::with_capacity(due.len());
        for customer in due {
            let Some(queue) = self.queues.get_mut(&customer) else { continue };
            let rest = queue.split_off(length.min(queue.len()));
            let first: Vec<Delivery> = std::mem::replace(queue, rest).into();
            self.count = self.count.saturating_sub(first.len());
            if queue.is_empty() {
                self.queues.remove(&customer);
            }
            taken.push(first);
        }
        taken
    }

    /// Puts events back in front of those that stayed, in their order.
    pub fn put_back(&mut self, deliveries: Vec<Delivery>) {
        self.count = self.count.saturating_add(deliveries.len());
        for delivery in deliveries.into_iter().rev() {
            self.queues.entry(delivery.customer.clone()).or_default().push_front(delivery);
        }
    }
}

/// An event without a time of its own is due as soon as it is first.
fn due_at(first: &Delivery) -> Timestamp {
    first.next_at.unwrap_or_default()
}

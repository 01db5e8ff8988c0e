//! A round of messages to one endpoint. Customers are served in parallel; the events of one customer go out one after
//! the other. A message that fails holds back the later events of its customer. An endpoint that asks for a wait gets
//! no more messages of the round.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::notice::Notice;
use super::transport::{SendFailure, Sender};
use crate::store::webhooks::Delivery;

/// An event on its way.
pub(super) struct Outgoing {
    pub notice: Arc<Notice>,
    /// The row, if the event comes from the retry queue.
    pub stored: Option<Delivery>,
}

/// The events of one customer, in their order.
pub(super) type Chain = Vec<Outgoing>;

/// The outcome of a chain.
#[derive(Default)]
pub(super) struct Sent {
    pub taken: Chain,
    /// The event that failed, and why.
    pub failed: Option<(Outgoing, SendFailure)>,
    /// The events behind it, and those that were not tried because another message stopped the round.
    pub rest: Chain,
}

/// Sends chains, at most `at_a_time` at once, and reports the outcome of each.
pub(super) async fn send_all(sender: Arc<dyn Sender>, at_a_time: usize, chains: Vec<Chain>) -> Vec<Sent> {
    let tasks_max = at_a_time.min(chains.len());
    let queue = Arc::new(Mutex::new(VecDeque::from(chains)));
    let stop = Arc::new(Mutex::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..tasks_max {
        let (sender, queue, stop) = (Arc::clone(&sender), Arc::clone(&queue), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut done = Vec::new();
            while let Some(chain) = next(&queue) {
                done.push(send_chain(&*sender, chain, &stop).await);
            }
            done
        });
    }
    let mut sent = Vec::new();
    while let Some(done) = tasks.join_next().await {
        // A task that panicked loses its chains. They count as not delivered, so the cursor is not moved past them.
        sent.extend(done.unwrap_or_default());
    }
    sent
}

fn next(queue: &Mutex<VecDeque<Chain>>) -> Option<Chain> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

async fn send_chain(sender: &dyn Sender, chain: Chain, stop: &Mutex<bool>) -> Sent {
    let mut sent = Sent::default();
    let mut chain = chain.into_iter();
    for outgoing in chain.by_ref() {
        if *stop.lock().unwrap_or_else(PoisonError::into_inner) {
            sent.rest.push(outgoing);
            break;
        }
        match sender.send(&outgoing.notice).await {
            Ok(()) => sent.taken.push(outgoing),
            Err(failure) => {
                if failure.disables_endpoint() || failure.retry_after.is_some() {
                    *stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
                }
                sent.failed = Some((outgoing, failure));
                break;
            }
        }
    }
    sent.rest.extend(chain);
    sent
}

//! A round of messages to one endpoint: several customers at a time, the events of each one after the other. What fails
//! holds back the rest of its customer, and an endpoint that asks to be left alone is left alone by all of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::task::JoinSet;

use super::courier::Courier;
use super::http::{Idle, SendError, Sender};
use super::signature::signatures;
use super::target::Target;
use crate::clock::Clock;
use crate::delivery::Told;
use crate::delivery::email::Mailer;
use crate::ledger::{LedgerId, Timestamp};
use crate::store::webhooks::Endpoint;

/// Messages to one endpoint at a time.
pub const MESSAGES_AT_A_TIME: usize = 32;
/// How long an endpoint may take to answer.
const ANSWER_SECONDS: i64 = 15;
/// Of what went wrong, so much is kept.
const ERROR_CHARS: usize = 200;

/// Makes the body of a message.
pub type Render = Arc<dyn Fn(&Told, &LedgerId) -> Vec<u8> + Send + Sync>;

/// What every message to an endpoint needs.
pub(super) struct Lane {
    pub endpoint: Endpoint,
    pub ledger: LedgerId,
    pub sender: Sender,
    /// The endpoint's URL, read.
    pub target: Result<Target, &'static str>,
    pub clock: Arc<dyn Clock>,
    pub render: Render,
    pub idle: Arc<Idle>,
    /// For the endpoint that stands for e-mail.
    pub mailer: Option<Arc<Mailer>>,
}

/// What a relay sends with.
pub struct Means {
    /// Posts to endpoints.
    pub sender: Sender,
    /// Makes the body of a message.
    pub render: Render,
    /// With one it sends e-mail too.
    pub mailer: Option<Arc<Mailer>>,
    /// Where messages are made and sent.
    pub courier: Courier,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Failure {
    /// The status of the answer; 0 without one.
    pub status: u16,
    /// In words.
    pub error: String,
    /// How many seconds the endpoint asks to wait.
    pub retry_after: Option<i64>,
    /// What follows.
    pub then: Then,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Then {
    /// It is tried again.
    TryAgain,
    /// It is given up at once: it would fail every time.
    GiveUp,
    /// The endpoint does not want to be told anything any more.
    Disable,
}

impl Failure {
    /// The endpoint does not want to be told anything any more.
    pub fn is_gone(&self) -> bool {
        self.then == Then::Disable
    }
}

/// The events of one customer, in their order.
pub(super) type Chain<T> = Vec<(Arc<Told>, T)>;

/// What became of a chain.
pub(super) struct Sent<T> {
    /// What was taken.
    pub taken: Vec<T>,
    /// What was not.
    pub failed: Option<(Arc<Told>, T, Failure)>,
    /// What stands behind it, or was not tried because of what another message met.
    pub rest: Chain<T>,
}

/// Sends chains, and says what became of each.
pub(super) async fn send_all<T: Send + 'static>(lane: Arc<Lane>, chains: Vec<Chain<T>>) -> Vec<Sent<T>> {
    // One connection takes one message after the other, and a server that fails is noticed before the next one.
    let at_a_time = if lane.endpoint.is_email() { 1 } else { MESSAGES_AT_A_TIME };
    let workers = at_a_time.min(chains.len());
    let queue = Arc::new(Mutex::new(VecDeque::from(chains)));
    let stop = Arc::new(Mutex::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (lane, queue, stop) = (Arc::clone(&lane), Arc::clone(&queue), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut done = Vec::new();
            while let Some(chain) = next(&queue) {
                done.push(send_chain(&lane, chain, &stop).await);
            }
            done
        });
    }
    let mut sent = Vec::new();
    while let Some(done) = tasks.join_next().await {
        // A task that panicked loses its chains, which then count as not delivered: the cursor is not moved past them.
        sent.extend(done.unwrap_or_default());
    }
    sent
}

fn next<T>(queue: &Mutex<VecDeque<Chain<T>>>) -> Option<Chain<T>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

async fn send_chain<T>(lane: &Lane, chain: Chain<T>, stop: &Mutex<bool>) -> Sent<T> {
    let mut sent = Sent { taken: Vec::new(), failed: None, rest: Vec::new() };
    let mut chain = chain.into_iter();
    for (told, own) in chain.by_ref() {
        if *stop.lock().unwrap_or_else(PoisonError::into_inner) {
            sent.rest.push((told, own));
            break;
        }
        match lane.send(&told).await {
            Ok(()) => sent.taken.push(own),
            Err(failure) => {
                if failure.is_gone() || failure.retry_after.is_some() {
                    *stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
                }
                sent.failed = Some((told, own, failure));
                break;
            }
        }
    }
    sent.rest.extend(chain);
    sent
}

impl Lane {
    async fn send(&self, told: &Told) -> Result<(), Failure> {
        let now = self.clock.now();
        if let Some(mailer) = self.mailer.as_ref().filter(|_| self.endpoint.is_email()) {
            return mailer.send(told, &self.ledger, &self.clock).await;
        }
        let body = Bytes::from((self.render)(told, &self.ledger));
        let failed = |error: String| Failure {
            status: 0,
            error: cut(&error),
            retry_after: None,
            then: Then::TryAgain,
        };
        let headers = self.headers(told, &body, now).map_err(|error| failed(error.to_string()))?;
        let target = self.target.as_ref().map_err(|&wrong| failed(SendError::Url(wrong).to_string()))?;
        let post = self.sender.post_to(target, &headers, body, &self.idle, now);
        let answer = tokio::select! {
            answer = post => answer.map_err(|error| failed(error.to_string()))?,
            () = self.clock.sleep_until(now.plus_seconds(ANSWER_SECONDS)) => {
                return Err(failed(format!("no answer within {ANSWER_SECONDS} s")));
            }
        };
        if answer.status.is_success() {
            return Ok(());
        }
        // A redirect is a failure: following it would send the message where nobody checked.
        let error = cut(&answer.status.to_string());
        let then = if answer.status == StatusCode::GONE { Then::Disable } else { Then::TryAgain };
        Err(Failure { status: answer.status.as_u16(), error, retry_after: answer.retry_after, then })
    }

    fn headers(
        &self,
        told: &Told,
        body: &[u8],
        now: Timestamp,
    ) -> Result<HeaderMap, http::header::InvalidHeaderValue> {
        let id = told.id();
        let seconds = now.micros().div_euclid(Timestamp::MICROS_PER_SECOND);
        let signed = signatures(&self.endpoint, &id, seconds, body, now);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("creditledger/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(HeaderName::from_static("webhook-id"), HeaderValue::from_str(&id)?);
        headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(seconds));
        headers.insert(HeaderName::from_static("webhook-signature"), HeaderValue::from_str(&signed)?);
        Ok(headers)
    }
}

/// As much as is kept, in one line.
pub(in crate::delivery) fn cut(error: &str) -> String {
    error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_CHARS).collect()
}

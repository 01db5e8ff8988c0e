//! The messages that callers send to the writer, with the channels for their answers.

use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::SpanContext;
use tokio::sync::oneshot;

use super::error::{SubmitError, Submitted};
use crate::ledger::card::{CardRequest, Cards};
use crate::ledger::{Rejection, Request};
use crate::store::{CardsChanged, DefaultAlertsSet, LedgerCreated, NewDefaultAlerts, NewLedger};

/// A single command, or a change of a ledger.
#[derive(Debug)]
pub(super) struct Single {
    pub ask: Ask,
    pub deadline: Option<Instant>,
    /// When it was queued.
    pub since: Instant,
    /// The span of its caller, where that is traced.
    pub traced: Option<SpanContext>,
}

#[derive(Debug)]
pub(super) enum Ask {
    Command(Box<Request>, Caller),
    Ledger(Change),
}

/// Hears of commands that are rejected, when that is decided: also of those whose callers have gone away.
pub trait Rejections: std::fmt::Debug + Send + Sync {
    /// It is called on the thread of a lane, so it must be quick.
    fn rejected(&self, request: &Request, rejection: &Rejection);
}

/// Whoever hears of rejections; `None` where nobody does.
pub(super) type Listener = Option<Arc<dyn Rejections>>;

/// Tells of an outcome, if it is a rejection.
pub(super) fn tell(listener: &Listener, request: &Request, outcome: &Submitted) {
    if let (Some(listener), Ok(Err(rejection))) = (listener, outcome) {
        listener.rejected(request, rejection);
    }
}

/// Where the outcome of a single command goes.
#[derive(Debug)]
pub(super) struct Caller {
    pub reply: oneshot::Sender<Submitted>,
    pub listener: Listener,
}

impl Caller {
    pub fn answer(self, request: &Request, outcome: Submitted) {
        tell(&self.listener, request, &outcome);
        // The caller may have gone away; the journal has the outcome all the same.
        let _ = self.reply.send(outcome);
    }
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, SubmitError>>;

#[derive(Debug)]
pub(super) enum Change {
    Create(NewLedger, Reply<LedgerCreated>),
    DefaultAlerts(NewDefaultAlerts, Reply<DefaultAlertsSet>),
    /// Its answer has the cards as they are after it.
    Cards(Box<CardRequest>, Reply<(CardsChanged, Arc<Cards>)>),
}

impl Change {
    /// Answers the caller with `error`; nothing was done.
    pub fn refuse(self, error: SubmitError) {
        // The caller may have gone away.
        match self {
            Self::Create(_, reply) => drop(reply.send(Err(error))),
            Self::DefaultAlerts(_, reply) => drop(reply.send(Err(error))),
            Self::Cards(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// Many commands with one reply.
#[derive(Debug)]
pub(super) struct Bulk {
    pub requests: std::vec::IntoIter<Request>,
    pub deadline: Option<Instant>,
    /// When it was queued.
    pub since: Instant,
    /// The span of its caller, where that is traced.
    pub traced: Option<SpanContext>,
    pub done: Vec<Done>,
    /// The number of its commands in the batch that is being run.
    pub in_batch: usize,
    pub reply: oneshot::Sender<Vec<Submitted>>,
    pub listener: Listener,
}

/// The outcome of one of many commands.
#[derive(Debug)]
pub(super) enum Done {
    Now(Submitted),
    /// Its customer is locked by somebody else.
    Later(oneshot::Receiver<Submitted>),
}

impl Bulk {
    /// Answers the caller, at once or when the last outcome is known.
    pub fn answer(self) {
        let Self { done, reply, .. } = self;
        let mut outcomes = Vec::with_capacity(done.len());
        let mut open = Vec::new();
        for done in done {
            match done {
                Done::Now(outcome) => outcomes.push(outcome),
                Done::Later(later) => {
                    open.push((outcomes.len(), later));
                    outcomes.push(Err(SubmitError::Unknown));
                }
            }
        }
        // The caller may have gone away.
        if open.is_empty() {
            let _ = reply.send(outcomes);
            return;
        }
        tokio::spawn(async move {
            for (place, later) in open {
                if let (Ok(outcome), Some(slot)) = (later.await, outcomes.get_mut(place)) {
                    *slot = outcome;
                }
            }
            let _ = reply.send(outcomes);
        });
    }
}

//! The messages that callers send to the writer, with the channels for their answers.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::error::{SubmitError, Submitted};
use crate::ledger::Request;
use crate::ledger::card::{CardRequest, Cards};
use crate::store::{CardsChanged, DefaultAlertsSet, LedgerCreated, NewDefaultAlerts, NewLedger};

/// A single command, or a change of a ledger.
#[derive(Debug)]
pub(super) struct Single {
    pub ask: Ask,
    pub deadline: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Ask {
    Command(Box<Request>, oneshot::Sender<Submitted>),
    Ledger(Change),
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
    pub done: Vec<Submitted>,
    /// The number of its commands in the batch that is being run.
    pub in_batch: usize,
    pub reply: oneshot::Sender<Vec<Submitted>>,
}

//! The writer's loop: load, decide, append, answer.

use std::sync::Arc;

use tokio::sync::watch;

use super::batch::{Batch, Queue};
use super::{SubmitError, Submitted};
use crate::clock;
use crate::ledger::Request;
use crate::ledger::book::Broken;
use crate::ledger::card::Cards;
use crate::ledger::decide::decide;
use crate::store::{StoreError, WriteStore};

/// The writer task.
pub(super) struct Task {
    pub store: Box<dyn WriteStore>,
    pub cards: Arc<Cards>,
    pub batch_commands_max: usize,
    pub commit: watch::Sender<u64>,
    pub queue: Queue,
}

/// Why the writer cannot go on.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an invariant does not hold, nothing of the batch was stored: {0}")]
    Broken(#[from] Broken),
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl Fault {
    /// What those whose commands were in the batch are told. Only a commit can leave its fate open: before it the
    /// transaction was closed, and nothing was stored.
    const fn answer(&self) -> SubmitError {
        match self {
            Self::Store(StoreError::UnknownFate(_)) => SubmitError::Unknown,
            Self::Store(StoreError::Failed(_) | StoreError::Unusable(_)) => SubmitError::StorageUnavailable,
            Self::Store(StoreError::Refused(_) | StoreError::Damaged(_))
            | Self::Broken(_)
            | Self::Randomness(_) => SubmitError::Internal,
        }
    }
}

impl Task {
    /// Runs until the writer is closed, or cannot go on. Then nothing more is acknowledged: a commit whose fate is
    /// open can be readable and yet not durable, and only a restart finds out.
    pub async fn run(mut self) -> Result<(), String> {
        while let Some(mut batch) = self.queue.next(self.batch_commands_max).await {
            match self.run_batch(&mut batch).await {
                Ok(outcomes) => self.queue.answer(batch, outcomes),
                Err(fault) => {
                    let told = batch.requests.iter().map(|_| Err(fault.answer())).collect();
                    self.queue.answer(batch, told);
                    self.queue.refuse_all(SubmitError::ShuttingDown);
                    return Err(fault.to_string());
                }
            }
            if let Err(error) = self.store.tidy().await {
                self.queue.refuse_all(SubmitError::ShuttingDown);
                return Err(error.to_string());
            }
        }
        self.store.close().await.map_err(|error| error.to_string())
    }

    async fn run_batch(&mut self, batch: &mut Batch) -> Result<Vec<Submitted>, Fault> {
        for (ledger, reply) in batch.ledgers.drain(..) {
            let created = match self.store.create_ledger(&ledger, clock::now()).await {
                Ok(created) => Ok(created),
                Err(error @ (StoreError::Refused(_) | StoreError::Failed(_))) => {
                    tracing::error!(%error, "a ledger could not be made");
                    Err(Fault::Store(error).answer())
                }
                Err(error) => return Err(error.into()),
            };
            let _ = reply.send(created);
        }
        let requests: Vec<&Request> = batch.requests.iter().collect();
        match self.commit(&requests).await {
            Err(Fault::Store(StoreError::Refused(error))) => {
                tracing::error!(%error, commands = requests.len(), "the database refused a batch");
                self.commit_one_by_one(&requests).await
            }
            done => done,
        }
    }

    /// One transaction for all of them.
    async fn commit(&mut self, requests: &[&Request]) -> Result<Vec<Submitted>, Fault> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let loaded = self.store.load(requests, clock::now(), clock::random()?, &self.cards).await;
        let mut book = match loaded {
            Ok(book) => book,
            // Nothing was begun, so there is nothing to be unsure of: the callers try again, the writer goes on.
            Err(StoreError::Failed(error)) => {
                tracing::error!(%error, commands = requests.len(), "a batch could not be loaded");
                return Ok(requests.iter().map(|_| Err(SubmitError::StorageUnavailable)).collect());
            }
            Err(error) => return Err(error.into()),
        };
        let decided: Result<Vec<_>, Broken> =
            requests.iter().map(|request| decide(&mut book, request).map(Ok)).collect();
        let outcomes = match decided {
            Ok(outcomes) => outcomes,
            Err(broken) => {
                self.store.abandon().await?;
                return Err(broken.into());
            }
        };
        if book.is_untouched() {
            self.store.abandon().await?;
        } else {
            self.store.append(&book).await?;
            self.commit.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
        Ok(outcomes)
    }

    /// Keeps one command that the database refuses from failing its neighbours.
    async fn commit_one_by_one(&mut self, requests: &[&Request]) -> Result<Vec<Submitted>, Fault> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            match self.commit(&[request]).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(Fault::Store(StoreError::Refused(error))) => {
                    tracing::error!(%error, kind = ?request.command.kind(), "the database refused a command");
                    outcomes.push(Err(SubmitError::Internal));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(outcomes)
    }
}

//! A lane's loop: load, decide, append, answer; and again where other servers were in the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ask::Change;
use super::error::{SubmitError, Submitted};
use super::limits::Limits;
use super::queue::{Batch, Queue};
use super::retry::Retry;
use crate::clock;
use crate::ledger::Request;
use crate::ledger::book::{Book, Broken};
use crate::ledger::card::Cards;
use crate::ledger::decide::decide;
use crate::store::{StoreError, WriteStore};

/// How long a batch is tried while the database seems to be away.
const AFTER_GIVING_UP: Duration = Duration::from_millis(50);

/// The task of a lane.
pub(super) struct Task {
    pub store: Box<dyn WriteStore>,
    pub cards: Arc<Cards>,
    pub limits: Limits,
    pub queue: Queue,
    /// True from when a batch was given up until one succeeds: meanwhile others are not tried for long, or all that
    /// waits behind an outage would wait for its end, batch by batch.
    pub gave_up: bool,
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
    /// What went wrong after an attempt whose commit was not answered.
    #[error("{0} (before it, the answer to a commit was lost)")]
    AfterUnanswered(Box<Fault>),
}

impl Fault {
    /// The answer to the commands of the batch. Only a commit leaves its fate open: before it nothing was stored.
    const fn answer(&self) -> SubmitError {
        match self {
            Self::Store(StoreError::UnknownFate(_) | StoreError::Unsure(_)) | Self::AfterUnanswered(_) => {
                SubmitError::Unknown
            }
            Self::Store(StoreError::Failed(_) | StoreError::Unusable(_) | StoreError::Again(_)) => {
                SubmitError::StorageUnavailable
            }
            Self::Store(StoreError::Refused(_) | StoreError::Clash(_) | StoreError::Damaged(_))
            | Self::Broken(_)
            | Self::Randomness(_) => SubmitError::Internal,
        }
    }
}

/// An attempt whose commit was not answered.
struct Unanswered {
    book: Book,
    outcomes: Vec<Submitted>,
}

impl Task {
    /// Runs until the writer is closed, or cannot go on. Then nothing more is acknowledged: a commit whose fate is
    /// open can be readable and yet not durable, and only a restart finds out.
    pub async fn run(mut self) -> Result<(), String> {
        while let Some(mut batch) = self.queue.next(self.limits.batch_commands_max.max(2)).await {
            match self.run_batch(&mut batch).await {
                Ok(outcomes) => self.queue.answer(batch, outcomes),
                Err(fault) => {
                    let answers = batch.requests.iter().map(|_| Err(fault.answer())).collect();
                    self.queue.answer(batch, answers);
                    self.queue.refuse_all(SubmitError::ShuttingDown);
                    return Err(fault.to_string());
                }
            }
            if let Err(error) = self.store.tidy().await {
                self.queue.refuse_all(SubmitError::ShuttingDown);
                return Err(error.to_string());
            }
            if self.gave_up && self.queue.is_closing() {
                // What waits is refused instead of tried: the end must not wait for a database that is away.
                self.queue.refuse_all(SubmitError::ShuttingDown);
                break;
            }
        }
        self.store.close().await.map_err(|error| error.to_string())
    }

    async fn run_batch(&mut self, batch: &mut Batch) -> Result<Vec<Submitted>, Fault> {
        for change in batch.changes.drain(..) {
            self.change(change).await?;
        }
        let commands: Vec<Submission> =
            batch.requests.iter().zip(&batch.deadlines).map(Submission::new).collect();
        match self.commit(&commands).await {
            Err(Fault::Store(StoreError::Refused(error))) => {
                tracing::error!(%error, commands = commands.len(), "the database refused a batch");
                self.commit_one_by_one(&commands).await
            }
            done => done,
        }
    }

    /// For how long the next batch, or ledger, may be tried.
    fn retry(&self) -> Retry {
        Retry::new(if self.gave_up {
            self.limits.retry_for.min(AFTER_GIVING_UP)
        } else {
            self.limits.retry_for
        })
    }

    async fn change(&mut self, change: Change) -> Result<(), Fault> {
        // The caller may have gone away.
        match change {
            Change::Create(ledger, reply) => {
                let create = async |task: &mut Self| task.store.create_ledger(&ledger, clock::now()).await;
                let _ = reply.send(self.in_own_transaction(create).await?);
            }
            Change::DefaultAlerts(alerts, reply) => {
                let set = async |task: &mut Self| task.store.set_default_alerts(&alerts, clock::now()).await;
                let _ = reply.send(self.in_own_transaction(set).await?);
            }
            Change::Cards(request, reply) => {
                let change = async |task: &mut Self| {
                    task.store.change_cards(&request, clock::now(), &mut task.cards).await
                };
                let _ = reply.send(self.in_own_transaction(change).await?);
            }
        }
        Ok(())
    }

    /// A change of a ledger is repeatable by its request id, so an attempt of unknown fate is simply made again. Where
    /// that comes to nothing, the change may be there all the same.
    async fn in_own_transaction<T>(
        &mut self,
        mut attempt: impl AsyncFnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Result<T, SubmitError>, Fault> {
        let mut retry = self.retry();
        let mut unanswered = false;
        let error = loop {
            match attempt(self).await {
                Ok(done) => {
                    self.gave_up = false;
                    return Ok(Ok(done));
                }
                Err(error @ (StoreError::Again(_) | StoreError::Clash(_) | StoreError::Unsure(_))) => {
                    unanswered |= matches!(error, StoreError::Unsure(_));
                    if !retry.pause().await {
                        self.gave_up = true;
                        break error;
                    }
                }
                Err(error @ (StoreError::Refused(_) | StoreError::Failed(_))) => break error,
                Err(error) => return Err(error.into()),
            }
        };
        tracing::error!(%error, "a ledger could not be changed");
        Ok(Err(if unanswered { SubmitError::Unknown } else { Fault::Store(error).answer() }))
    }

    /// One transaction for all of them, and another one for as long as the store asks for that. Commands whose
    /// deadline passes meanwhile are left out, unless an attempt may have stored them.
    async fn commit(&mut self, commands: &[Submission<'_>]) -> Result<Vec<Submitted>, Fault> {
        let mut retry = self.retry();
        let mut unanswered: Vec<Unanswered> = Vec::new();
        let mut live: Vec<Submission<'_>> = commands.to_vec();
        let answers = loop {
            if live.is_empty() {
                break Vec::new();
            }
            let error = match self.attempt(&live, &mut unanswered).await {
                Ok(outcomes) => {
                    self.gave_up = false;
                    break outcomes;
                }
                Err(Fault::Store(
                    error @ (StoreError::Again(_) | StoreError::Clash(_) | StoreError::Unsure(_)),
                )) => error,
                // One by one they are found out about by their request ids.
                Err(fault @ Fault::Store(StoreError::Refused(_))) => return Err(fault),
                Err(fault) if unanswered.is_empty() => return Err(fault),
                Err(fault) => return Err(Fault::AfterUnanswered(Box::new(fault))),
            };
            tracing::debug!(%error, commands = live.len(), "a batch is tried again");
            if let StoreError::Clash(error) = error {
                if retry.clashed_too_often() {
                    return Err(StoreError::Refused(error).into());
                }
            } else if !retry.pause().await {
                self.gave_up = true;
                tracing::error!(%error, commands = live.len(), "a batch could not be stored");
                let answer =
                    if unanswered.is_empty() { Fault::Store(error).answer() } else { SubmitError::Unknown };
                break live.iter().map(|_| Err(answer)).collect();
            }
            if unanswered.is_empty() {
                let now = Instant::now();
                live.retain(|command| !command.is_late(now));
            }
        };
        // What is not live any more was too late.
        let mut answers = live.iter().zip(answers).peekable();
        let answer = |command: &Submission<'_>| match answers.peek() {
            Some((live, _)) if std::ptr::eq(live.request, command.request) => {
                answers.next().map_or(Err(SubmitError::Internal), |(_, answer)| answer)
            }
            _ => Err(SubmitError::DeadlineExceeded),
        };
        Ok(commands.iter().map(answer).collect())
    }

    /// One transaction.
    async fn attempt(
        &mut self,
        commands: &[Submission<'_>],
        unanswered: &mut Vec<Unanswered>,
    ) -> Result<Vec<Submitted>, Fault> {
        let requests: Vec<&Request> = commands.iter().map(|command| command.request).collect();
        let loaded = self.store.load(&requests, clock::now(), clock::random()?, &mut self.cards).await;
        let mut book = match loaded {
            Ok(book) => book,
            // Nothing was begun, so there is nothing to be unsure of: the callers try again, the writer goes on.
            Err(StoreError::Failed(error)) if unanswered.is_empty() => {
                tracing::error!(%error, commands = requests.len(), "a batch could not be loaded");
                return Ok(requests.iter().map(|_| Err(SubmitError::StorageUnavailable)).collect());
            }
            Err(error) => return Err(error.into()),
        };
        for (nth, earlier) in unanswered.iter().enumerate() {
            if self.store.was_stored(&earlier.book).await? {
                if let Err(error) = self.store.abandon().await {
                    tracing::debug!(%error, "a transaction that found out was not closed in order");
                }
                return Ok(unanswered.swap_remove(nth).outcomes);
            }
        }
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
            return Ok(outcomes);
        }
        match self.store.append(&book).await {
            Ok(()) => Ok(outcomes),
            Err(error) => {
                if matches!(error, StoreError::Unsure(_)) {
                    unanswered.push(Unanswered { book, outcomes });
                }
                Err(error.into())
            }
        }
    }

    /// Keeps one command that the database refuses from failing its neighbours.
    async fn commit_one_by_one(&mut self, commands: &[Submission<'_>]) -> Result<Vec<Submitted>, Fault> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            match self.commit(std::slice::from_ref(command)).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(Fault::Store(StoreError::Refused(error))) => {
                    tracing::error!(%error, kind = ?command.request.command.kind(), "the database refused a command");
                    outcomes.push(Err(SubmitError::Internal));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(outcomes)
    }
}

/// A command of a batch, and until when it may be decided.
#[derive(Clone, Copy)]
struct Submission<'a> {
    request: &'a Request,
    deadline: Option<Instant>,
}

impl<'a> Submission<'a> {
    fn new((request, deadline): (&'a Request, &Option<Instant>)) -> Self {
        Self { request, deadline: *deadline }
    }

    fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

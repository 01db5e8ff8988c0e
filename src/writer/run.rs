//! The loop of a lane: load, decide, append, answer; and retry after conflicts with other servers.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use super::ask::Change;
use super::error::{SubmitError, Submitted};
use super::held_back::HeldBack;
use super::limits::Limits;
use super::measured;
use super::queue::{Batch, Queue};
use super::retry::Retry;
use super::traced;
use crate::clock;
use crate::ledger::book::{Book, Broken};
use crate::ledger::card::Cards;
use crate::ledger::decide::decide;
use crate::ledger::{CustomerKey, Request};
use crate::metrics::{Metrics, Stage};
use crate::store::{StoreError, WriteStore};

/// How long a batch is tried after an earlier one was given up.
const AFTER_GIVING_UP: Duration = Duration::from_millis(50);
/// A lane without work looks so often whether its database is still there. A commit looks by itself.
const LOOK_AFTER: Duration = Duration::from_millis(300);

pub(super) struct Task {
    pub store: Box<dyn WriteStore>,
    pub cards: Arc<Cards>,
    pub limits: Limits,
    pub metrics: Metrics,
    pub queue: Queue,
    pub held_back: HeldBack,
    /// True from when a batch was given up until one succeeds. Meanwhile batches are tried only briefly. Otherwise
    /// everything that waits during an outage would use up its retry time batch by batch.
    pub gave_up: bool,
}

/// Why the lane cannot go on.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an invariant does not hold, nothing of the batch was stored: {0}")]
    Broken(#[from] Broken),
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// A fault after an attempt whose commit was not answered.
    #[error("{0} (before it, the answer to a commit was lost)")]
    AfterUnanswered(Box<Fault>),
}

impl Fault {
    /// The answer to the commands of the batch. Only a commit can leave the outcome open; before it nothing was
    /// stored.
    const fn answer(&self) -> SubmitError {
        match self {
            Self::Store(StoreError::UnknownFate(_) | StoreError::Unsure(_)) | Self::AfterUnanswered(_) => {
                SubmitError::Unknown
            }
            Self::Store(
                StoreError::Failed(_)
                | StoreError::Unusable(_)
                | StoreError::Again(_)
                | StoreError::Locked(_),
            ) => SubmitError::StorageUnavailable,
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
    /// Runs until the writer is closed, or a fault stops it. After a fault nothing more is acknowledged. A commit
    /// with an unknown fate can be readable without being durable, and only a restart finds out.
    pub async fn run(mut self) -> Result<(), String> {
        let ended = self.run_batches().await;
        // Before a stop because of a fault something may wait; what is held back was never run.
        self.queue.refuse_all(SubmitError::ShuttingDown);
        self.held_back.refuse_all(SubmitError::ShuttingDown);
        // Bulks that waited for those answers are answered by tasks of this thread, which ends here.
        tokio::task::yield_now().await;
        ended?;
        self.store.close().await.map_err(|error| error.to_string())
    }

    async fn run_batches(&mut self) -> Result<(), String> {
        loop {
            let commands_max = self.limits.batch_commands_max.max(2);
            let next = if self.held_back.must_look() {
                // Also while the queue is never empty: nobody waits longer than he must.
                Some(self.look_around().await?)
            } else {
                let idle_until = Instant::now() + LOOK_AFTER;
                let look_at = self.held_back.look_at().map_or(idle_until, |at| at.min(idle_until));
                match tokio::time::timeout_at(look_at.into(), self.queue.next(commands_max)).await {
                    Ok(batch) => batch,
                    Err(_) => Some(self.look_around().await?),
                }
            };
            let Some(mut batch) = next else { return Ok(()) };
            if batch.is_empty() {
                continue;
            }
            if let (Some(on), Some(oldest)) = (self.metrics.get(), batch.oldest) {
                on.batch(batch.requests.len() + batch.changes.len(), oldest.elapsed());
            }
            let span = traced::batch(&batch.traced, batch.requests.len());
            let (outcomes, fault) = self.run_batch(&mut batch).instrument(span).await;
            let locked = self.queue.answer(batch, outcomes);
            self.held_back.take(locked, self.limits.retry_for);
            if let Some(fault) = fault {
                return Err(fault.to_string());
            }
            self.store.tidy().await.map_err(|error| error.to_string())?;
            if self.gave_up && self.queue.is_closing() {
                // What waits is refused instead of tried: shutting down must not wait for a database that is away.
                return Ok(());
            }
        }
    }

    /// Stops the lane where the database is not where it was. Else returns the commands that were held back and whose
    /// customers are free again.
    async fn look_around(&mut self) -> Result<Batch, String> {
        self.store.check_place().await.map_err(|error| error.to_string())?;
        if !self.held_back.must_look() {
            return Ok(Batch::default());
        }
        let customers: Vec<CustomerKey> = self.held_back.customers().into_iter().collect();
        let locked = self.store.locked(&customers).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "locks could not be looked for");
            customers.into_iter().collect()
        });
        Ok(Batch::of(self.held_back.release(&locked, self.limits.batch_commands_max.max(2))))
    }

    /// The answers to the commands, each by its own fate; and the fault, where the lane cannot go on.
    async fn run_batch(&mut self, batch: &mut Batch) -> (Vec<Submitted>, Option<Fault>) {
        let mut fault = None;
        for change in batch.changes.drain(..) {
            if fault.is_some() {
                change.refuse(SubmitError::ShuttingDown);
            } else {
                fault = self.change(change).await.err();
            }
        }
        let commands: Vec<Submission> =
            batch.requests.iter().zip(&batch.deadlines).map(Submission::new).collect();
        if fault.is_some() {
            // They were not begun.
            return (commands.iter().map(|_| Err(SubmitError::ShuttingDown)).collect(), fault);
        }
        let mut in_doubt = false;
        match self.commit(&commands, &mut in_doubt).await {
            Ok(outcomes) => (outcomes, None),
            Err(Fault::Store(StoreError::Refused(error))) => {
                tracing::error!(%error, commands = commands.len(), "the database refused a batch");
                self.commit_one_by_one(&commands, in_doubt).await
            }
            Err(Fault::Store(StoreError::Locked(error))) => {
                tracing::debug!(%error, commands = commands.len(), "a row of a batch is locked");
                self.commit_one_by_one(&commands, in_doubt).await
            }
            Err(fault) => (commands.iter().map(|_| Err(fault.answer())).collect(), Some(fault)),
        }
    }

    /// How long the next batch, or change of a ledger, may be tried.
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
                    let changed = task.store.change_cards(&request, clock::now(), &mut task.cards).await?;
                    Ok((changed, Arc::clone(&task.cards)))
                };
                let _ = reply.send(self.in_own_transaction(change).await?);
            }
        }
        Ok(())
    }

    /// Makes a change of a ledger. Its request id makes it repeatable, so an attempt with an unknown fate is simply
    /// repeated. If no repeat succeeds, the outcome is unknown.
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
                Err(
                    error @ (StoreError::Again(_)
                    | StoreError::Locked(_)
                    | StoreError::Clash(_)
                    | StoreError::Unsure(_)),
                ) => {
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

    /// Commits the commands in one transaction, and retries as long as the store asks for it. Commands whose deadline
    /// passes meanwhile are left out, unless an attempt may have stored them.
    ///
    /// `in_doubt` is true where an earlier attempt may have stored the commands, and becomes true where one of these
    /// may have. From then on no answer says that nothing was done.
    async fn commit(
        &mut self,
        commands: &[Submission<'_>],
        in_doubt: &mut bool,
    ) -> Result<Vec<Submitted>, Fault> {
        let mut retry = self.retry();
        let mut unanswered: Vec<Unanswered> = Vec::new();
        // Their earlier commands wait, and come first.
        let mut locked: HashSet<CustomerKey> = self.held_back.customers();
        let mut was_locked = false;
        let mut live: Vec<Submission<'_>> = commands.to_vec();
        let now = Instant::now();
        live.retain(|command| {
            !locked.contains(&command.request.customer_key()) && (*in_doubt || !command.is_late(now))
        });
        let answers = loop {
            if live.is_empty() {
                break Vec::new();
            }
            let error = match self.attempt(&live, &mut unanswered, in_doubt).await {
                Ok(outcomes) => {
                    self.gave_up = false;
                    break outcomes;
                }
                // The others do not wait for a customer that somebody else has locked.
                Err(Fault::Store(StoreError::Locked(error))) if !*in_doubt => {
                    let found = self.locked_of(&live).await;
                    if !found.is_empty() {
                        live.retain(|command| !found.contains(&command.request.customer_key()));
                        locked.extend(found);
                        continue;
                    }
                    // Another row of some customer: each command by itself finds out whose.
                    match (was_locked, &*live) {
                        (false, _) => was_locked = true,
                        (true, [alone]) => {
                            locked.insert(alone.request.customer_key());
                            live.clear();
                            continue;
                        }
                        (true, _) => return Err(StoreError::Locked(error).into()),
                    }
                    StoreError::Locked(error)
                }
                Err(Fault::Store(
                    error @ (StoreError::Again(_)
                    | StoreError::Locked(_)
                    | StoreError::Clash(_)
                    | StoreError::Unsure(_)),
                )) => error,
                // The caller runs the commands one by one; their request ids show which were stored.
                Err(fault @ Fault::Store(StoreError::Refused(_))) => return Err(fault),
                Err(fault) if !*in_doubt => return Err(fault),
                Err(fault) => return Err(Fault::AfterUnanswered(Box::new(fault))),
            };
            tracing::debug!(%error, commands = live.len(), "a batch is tried again");
            self.metrics.count(|on| &on.batch_retries, &[]);
            if let StoreError::Clash(error) = error {
                if retry.clashed_too_often() {
                    return Err(StoreError::Refused(error).into());
                }
            } else if !retry.pause().await {
                self.gave_up = true;
                tracing::error!(%error, commands = live.len(), "a batch could not be stored");
                let answer = if *in_doubt { SubmitError::Unknown } else { Fault::Store(error).answer() };
                break live.iter().map(|_| Err(answer)).collect();
            }
            if !*in_doubt {
                let now = Instant::now();
                live.retain(|command| !command.is_late(now));
            }
        };
        // Commands that are no longer live were too late, or their customers are locked.
        let mut answers = live.iter().zip(answers).peekable();
        let answer = |command: &Submission<'_>| match answers.peek() {
            Some((live, _)) if std::ptr::eq(live.request, command.request) => {
                answers.next().map_or(Err(SubmitError::Internal), |(_, answer)| answer)
            }
            _ if locked.contains(&command.request.customer_key()) => Err(SubmitError::Locked),
            _ => Err(SubmitError::DeadlineExceeded),
        };
        Ok(commands.iter().map(answer).collect())
    }

    /// The customers of these commands that somebody else has locked now; none where that cannot be found out.
    async fn locked_of(&mut self, commands: &[Submission<'_>]) -> BTreeSet<CustomerKey> {
        let customers: Vec<CustomerKey> =
            commands.iter().map(|command| command.request.customer_key()).collect();
        self.store.locked(&customers).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "locks could not be looked for");
            BTreeSet::new()
        })
    }

    /// One transaction.
    async fn attempt(
        &mut self,
        commands: &[Submission<'_>],
        unanswered: &mut Vec<Unanswered>,
        in_doubt: &mut bool,
    ) -> Result<Vec<Submitted>, Fault> {
        let requests: Vec<&Request> = commands.iter().map(|command| command.request).collect();
        let begun = Instant::now();
        let loaded = self.store.load(&requests, clock::now(), clock::random()?, &mut self.cards).await;
        let mut book = match loaded {
            Ok(book) => book,
            // Nothing was begun, so the outcome is not in doubt: the callers try again, and the writer goes on.
            Err(StoreError::Failed(error)) if !*in_doubt => {
                tracing::error!(%error, commands = requests.len(), "a batch could not be loaded");
                return Ok(requests.iter().map(|_| Err(SubmitError::StorageUnavailable)).collect());
            }
            Err(error) => return Err(error.into()),
        };
        book.open_holds_max = self.limits.open_holds_max;
        if let Some(judged) = clock::judged() {
            book.due_until = book.due_until.min(judged.due_until);
        }
        for (nth, earlier) in unanswered.iter().enumerate() {
            if self.store.was_stored(&earlier.book).await? {
                if let Err(error) = self.store.abandon().await {
                    tracing::debug!(%error, "a transaction that found out was not closed in order");
                }
                return Ok(unanswered.swap_remove(nth).outcomes);
            }
        }
        let loaded = Instant::now();
        let decided: Result<Vec<_>, Broken> =
            requests.iter().map(|request| decide(&mut book, request).map(Ok)).collect();
        let decided_at = Instant::now();
        if let Some(on) = self.metrics.get() {
            on.stage(Stage::Load, loaded.saturating_duration_since(begun));
            on.stage(Stage::Decide, decided_at.saturating_duration_since(loaded));
        }
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
            Ok(()) => {
                measured::committed(&self.metrics, &book, decided_at.elapsed(), self.store.last_commit());
                Ok(outcomes)
            }
            Err(error) => {
                if matches!(error, StoreError::Unsure(_)) {
                    *in_doubt = true;
                    unanswered.push(Unanswered { book, outcomes });
                }
                Err(error.into())
            }
        }
    }

    /// Keeps one command that the database refuses from failing its neighbours. Each command is answered by its own
    /// fate: those before a fault as they were stored, those after it as not begun.
    async fn commit_one_by_one(
        &mut self,
        commands: &[Submission<'_>],
        in_doubt: bool,
    ) -> (Vec<Submitted>, Option<Fault>) {
        let mut outcomes: Vec<Submitted> = Vec::with_capacity(commands.len());
        let mut fault = None;
        let mut locked: HashSet<CustomerKey> = HashSet::new();
        for command in commands {
            let customer = command.request.customer_key();
            if locked.contains(&customer) {
                // An earlier command of the customer waits, and comes first.
                outcomes.push(Err(SubmitError::Locked));
                continue;
            }
            if fault.is_some() {
                let not_begun = if in_doubt { SubmitError::Unknown } else { SubmitError::ShuttingDown };
                outcomes.push(Err(not_begun));
                continue;
            }
            let mut in_doubt = in_doubt;
            match self.commit(std::slice::from_ref(command), &mut in_doubt).await {
                Ok(outcome) => {
                    if outcome.first() == Some(&Err(SubmitError::Locked)) {
                        locked.insert(customer);
                    }
                    outcomes.extend(outcome);
                }
                Err(Fault::Store(StoreError::Refused(error))) => {
                    tracing::error!(%error, kind = ?command.request.command.kind(), "the database refused a command");
                    outcomes.push(Err(if in_doubt { SubmitError::Unknown } else { SubmitError::Internal }));
                }
                Err(stopping) => {
                    outcomes.push(Err(stopping.answer()));
                    fault = Some(stopping);
                }
            }
        }
        (outcomes, fault)
    }
}

/// A command of a batch, and the deadline for deciding it.
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

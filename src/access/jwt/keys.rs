//! The keys of one provider as they are now, and the one task that fetches them.
//!
//! Everything that callers look at is one value in a channel. They read it without waiting. Who misses a key asks the task
//! for a fetch, and may wait for its end; at most 64 callers of a provider do at a time.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, Semaphore, watch};

use super::algorithm::{Algorithm, PublicKey};
use super::key_set::KeySet;
use super::provider::Provider;
use super::source::{Fetched, Source};
use crate::clock::Clock;
use crate::ledger::Timestamp;

/// Time between the starts of two fetches, in seconds.
const FETCH_SECONDS_MIN: i64 = 30;
/// How long a fetch may take.
const FETCH_SECONDS_MAX: i64 = 10;
/// How long a caller waits for a fetch.
const WAIT_SECONDS: i64 = 3;
/// Callers that wait for a fetch at a time.
const WAITING_MAX: usize = 64;
/// How often a file is read.
const FILE_SECONDS: i64 = 1;
/// The longest pause after a fetch that failed.
const PAUSE_SECONDS_MAX: i64 = 300;
/// A shorter `max-age` of a provider counts as this.
const MAX_AGE_SECONDS_MIN: i64 = 60;

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The provider's set does not have it.
    Unknown,
    /// There is no set, or it is too old.
    NoSet,
    /// It may come with a fetch that is under way, for which the caller does not wait any longer.
    Coming,
}

/// The keys of one provider.
pub(super) struct Keys {
    state: watch::Sender<State>,
    /// Wakes the task that fetches.
    wake: Notify,
    waiting: Semaphore,
    max_age_seconds: i64,
    is_file: bool,
}

#[derive(Clone, Default)]
struct State {
    held: Option<Held>,
    /// When the last fetch began.
    started: Option<Timestamp>,
    is_fetching: bool,
    /// Somebody asks for a fetch.
    is_wanted: bool,
}

/// A set of keys that serves.
#[derive(Clone)]
pub(super) struct Held {
    pub set: Arc<KeySet>,
    /// Rises with each change of the set.
    pub generation: u64,
    fetched_at: Timestamp,
}

impl Keys {
    pub fn of(provider: &Provider, source: &Source) -> Self {
        Self {
            // As if a fetch were under way: it begins at once, and the first callers wait for it.
            state: watch::Sender::new(State { is_wanted: true, ..State::default() }),
            wake: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
            max_age_seconds: i64::from(provider.keys_max_age_hours).saturating_mul(3_600),
            is_file: source.is_file(),
        }
    }

    /// The set, unless it is too old.
    pub fn held(&self, now: Timestamp) -> Option<Held> {
        let held = self.state.borrow().held.clone()?;
        (held.fetched_at.plus_seconds(self.max_age_seconds) >= now).then_some(held)
    }

    fn look(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<(Arc<PublicKey>, u64), NoKey> {
        let held = self.held(now).ok_or(NoKey::NoSet)?;
        let key = held.set.find(kid, algorithm).ok_or(NoKey::Unknown)?;
        Ok((Arc::clone(key), held.generation))
    }

    /// The key of this name, and the generation of its set. Where it is not there, and a fetch is under way or may begin,
    /// it waits for the fetch, 3 seconds at most. Whoever finds no place to wait, or has waited so long, is told that the key
    /// may still come.
    pub async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        clock: &dyn Clock,
    ) -> Result<(Arc<PublicKey>, u64), NoKey> {
        let now = clock.now();
        let found = self.look(kid, algorithm, now);
        if found.is_ok() || !self.asks(now) {
            return found;
        }
        let Ok(_place) = self.waiting.try_acquire() else { return Err(NoKey::Coming) };
        let mut state = self.state.subscribe();
        let has_ended = tokio::select! {
            _ = state.wait_for(|state| !state.is_fetching && !state.is_wanted) => true,
            () = clock.sleep_until(now.plus_seconds(WAIT_SECONDS)) => false,
        };
        match self.look(kid, algorithm, clock.now()) {
            Err(_) if !has_ended => Err(NoKey::Coming),
            looked => looked,
        }
    }

    /// Asks for a fetch. False where none is under way and none may begin yet.
    fn asks(&self, now: Timestamp) -> bool {
        let may_begin = |state: &State| {
            // A clock that was set back does not hold fetches up.
            let is_soon = |at: Timestamp| now >= at && now < at.plus_seconds(FETCH_SECONDS_MIN);
            !self.is_file && !state.started.is_some_and(is_soon)
        };
        let (is_coming, may_begin_now) = {
            let state = self.state.borrow();
            (state.is_fetching || state.is_wanted, may_begin(&state))
        };
        if is_coming || !may_begin_now {
            return is_coming;
        }
        let mut is_coming = true;
        self.state.send_if_modified(|state| {
            let asks = !state.is_fetching && !state.is_wanted;
            // Another caller may have had a fetch in between.
            is_coming = !asks || may_begin(state);
            state.is_wanted |= asks && is_coming;
            asks && is_coming
        });
        self.wake.notify_one();
        is_coming
    }

    /// Fetches the keys again and again, for as long as the server runs.
    pub async fn follow(self: Arc<Self>, provider: Provider, source: Source, clock: Arc<dyn Clock>) {
        let name = provider.name.clone();
        let mut fetcher = Fetcher { provider, source, seen: None, complaint: None, failures: 0 };
        let mut is_out = false;
        loop {
            let began = clock.now();
            self.state.send_modify(|state| {
                (state.is_fetching, state.is_wanted, state.started) = (true, false, Some(began));
            });
            let outcome = fetcher.fetch(&*clock).await;
            let ended = clock.now();
            let set = outcome.as_ref().ok().and_then(|fetched| fetched.set.clone());
            self.state.send_modify(|state| {
                state.is_fetching = false;
                match (&mut state.held, set) {
                    (held, Some(set)) => {
                        let generation = held.as_ref().map_or(0, |held| held.generation).saturating_add(1);
                        *held = Some(Held { set, generation, fetched_at: ended });
                    }
                    (Some(held), None) if outcome.is_ok() => held.fetched_at = ended,
                    (_, None) => {}
                }
            });
            let was_out = std::mem::replace(&mut is_out, self.held(ended).is_none());
            if is_out && !was_out {
                tracing::error!(provider = name, "no keys of a provider serve: its callers get UNAVAILABLE");
            }
            let next = began.plus_seconds(fetcher.pause(&outcome));
            loop {
                tokio::select! {
                    () = clock.sleep_until(next) => break,
                    // The call to wake may be left over from before the last fetch.
                    () = self.wake.notified() => if self.state.borrow().is_wanted { break },
                }
            }
        }
    }
}

/// What a fetch brought.
struct Brought {
    /// `None` where it is what was there before.
    set: Option<Arc<KeySet>>,
    max_age: Option<u64>,
}

struct Fetcher {
    provider: Provider,
    source: Source,
    /// The digest of what was read last, and what was wrong with it.
    seen: Option<([u8; 32], Option<String>)>,
    /// What was logged last.
    complaint: Option<String>,
    /// Fetches in a row that failed.
    failures: u32,
}

impl Fetcher {
    /// Fetches once, and logs what is new about it.
    async fn fetch(&mut self, clock: &dyn Clock) -> Result<Brought, String> {
        let until = clock.now().plus_seconds(FETCH_SECONDS_MAX);
        let fetched = tokio::select! {
            fetched = self.source.fetch() => fetched.map_err(|error| error.to_string()),
            () = clock.sleep_until(until) => Err(format!("no answer within {FETCH_SECONDS_MAX} s")),
        };
        let outcome = match fetched {
            Ok(fetched) => self.read(fetched).await,
            Err(error) => Err(error),
        };
        let provider = &*self.provider.name;
        match &outcome {
            Ok(Brought { set: Some(set), .. }) => {
                let (skipped, first) = set.skipped().unwrap_or((0, ""));
                tracing::info!(
                    provider,
                    keys = set.count(),
                    skipped,
                    first,
                    "the keys of a provider are read"
                );
            }
            Ok(_) if self.complaint.is_some() => {
                tracing::info!(provider, "the keys of a provider can be read again");
            }
            Ok(_) => {}
            Err(error) if self.complaint.as_ref() != Some(error) => {
                tracing::warn!(
                    provider,
                    error,
                    "the keys of a provider cannot be read; those that are there stay"
                );
            }
            Err(_) => {}
        }
        self.failures = if outcome.is_ok() { 0 } else { self.failures.saturating_add(1) };
        self.complaint = outcome.as_ref().err().cloned();
        outcome
    }

    /// Reads what was fetched, away from the threads that serve: a large set takes a while.
    async fn read(&mut self, fetched: Fetched) -> Result<Brought, String> {
        let Fetched { body, max_age } = fetched;
        let digest: [u8; 32] = Sha256::digest(&body).into();
        match &self.seen {
            Some((seen, None)) if *seen == digest => return Ok(Brought { set: None, max_age }),
            Some((seen, Some(wrong))) if *seen == digest => return Err(wrong.clone()),
            _ => {}
        }
        let algorithms = self.provider.algorithms.clone();
        let read = tokio::task::spawn_blocking(move || KeySet::read(&body, &algorithms));
        let read = match read.await {
            Ok(read) => read.map(Arc::new).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.seen = match (&read, &self.seen) {
            // The set that serves is still the one before: should it come again, it must be no news.
            (Err(wrong), None | Some((_, Some(_)))) => Some((digest, Some(wrong.clone()))),
            (Err(_), Some((seen, None))) => Some((*seen, None)),
            (Ok(_), _) => Some((digest, None)),
        };
        Ok(Brought { set: Some(read?), max_age })
    }

    /// Seconds from the start of this fetch to that of the next.
    fn pause(&self, outcome: &Result<Brought, String>) -> i64 {
        if self.source.is_file() {
            return FILE_SECONDS;
        }
        let interval = i64::from(self.provider.keys_refresh_minutes).saturating_mul(60);
        let Ok(brought) = outcome else {
            let doublings = self.failures.saturating_sub(1).min(8);
            return FETCH_SECONDS_MIN.saturating_mul(1 << doublings).min(PAUSE_SECONDS_MAX);
        };
        let asked = brought.max_age.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        asked.map_or(interval, |asked| asked.max(MAX_AGE_SECONDS_MIN)).min(interval)
    }
}

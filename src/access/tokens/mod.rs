//! Tokens of the server's own: who shows one is known by it.
//!
//! # What it is
//! A token is 32 random bytes in a text with a checksum ([`TokenText`]). The database keeps its SHA-256 and never the
//! token. Every server has all live tokens in memory, by hash; there are at most [`TOKENS_MAX`]. A number in the
//! database rises with each change of a token. A server that is asked looks at it once a second, and reads the tokens
//! again where it has changed.
//!
//! # Invariants
//! - A revoked token is refused by every server within 5 seconds: nothing is answered from tokens that were read more
//!   than [`AGE_MAX`] before.
//! - A token that is made here is accepted here at once, and by other servers within 2 seconds.
//! - Looking up a hash in a map takes a time that depends on the hash. That tells nothing of other tokens: whoever wants
//!   to guess a stored hash bit by bit must find texts with chosen hashes, which SHA-256 makes impossible.
//!
//! # Failure
//! While the database cannot be read, known tokens are accepted for [`AGE_MAX`]. After that every token is
//! [`Refused::Unavailable`], also an unknown one: it may have been made meanwhile. A row that cannot be read makes all
//! tokens unavailable; `verify` names it.
//!
//! # Cost
//! A known token costs two hashes and a look into a map, an unknown one the same, and a text that is no token less.
//! Unknown tokens are kept nowhere and never asked for in the database, however many there are. A server that nobody
//! asks reads nothing.

mod change;
mod known;
mod text;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Caller, Refused};
use crate::clock::Clock;
use crate::store::{StoreError, StoredToken, TokenStore};

pub use change::{DAYS_MAX, LEDGERS_MAX, NewToken, TOKENS_MAX, TokenCreated};
pub use text::{PREFIX, TokenText};

use known::{Known, id_of};

/// How old what is known may be before the database is looked at again.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How old what is known may be at most. With the time that a look takes, it is below the 5 seconds of the promise.
pub const AGE_MAX: Duration = Duration::from_secs(4);
/// How long a caller waits for a look at the database, where it must.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a failed look is good for the next callers that must wait for one.
const FAILURE_LASTS: Duration = Duration::from_millis(250);
/// How often last uses are written.
const USES_WRITTEN_EVERY: Duration = Duration::from_mins(1);
/// Last uses in one transaction: on SQLite the writer waits for it.
const USES_AT_A_TIME: usize = 100;

/// Tokens of the server's own. Clones share what they know.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    store: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
    known: RwLock<Arc<Known>>,
    /// One look at the database at a time. It has the time of the last failure.
    look: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Knows nothing until the first token is shown.
    #[must_use]
    pub fn new(store: Arc<dyn TokenStore>, clock: Arc<dyn Clock>) -> Self {
        let known = RwLock::new(Arc::new(Known::nothing()));
        Self(Arc::new(Shared { store, clock, known, look: Arc::default() }))
    }

    /// The caller that shows this token. It notes that the token is used.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn verify(&self, token: &str) -> Result<Arc<Caller>, Refused> {
        let Some(sha256) = text::sha256_of(token) else {
            tracing::debug!("what is shown is not a token");
            return Err(Refused::Unauthenticated);
        };
        let known = self.fresh().await?;
        let now = self.0.clock.now();
        let Some(token) = known.tokens.get(&sha256).filter(|token| now < token.expires_at) else {
            tracing::debug!("the token is not known, was revoked, or has expired");
            return Err(Refused::Unauthenticated);
        };
        token.note_use(now);
        Ok(Arc::clone(&token.caller))
    }

    /// What is known, if it is young enough. Where it is not, the caller waits for a look at the database.
    async fn fresh(&self) -> Result<Arc<Known>, Refused> {
        let known = self.known();
        let age = known.age();
        if age < LOOK_AFTER {
            return Ok(known);
        }
        if age < AGE_MAX {
            // Nobody waits for this look, and one is enough.
            if let Ok(turn) = Arc::clone(&self.0.look).try_lock_owned() {
                let tokens = self.clone();
                tokio::spawn(async move {
                    let mut turn = turn;
                    tokens.look(&mut turn).await;
                });
            }
            return Ok(known);
        }
        self.look_now().await
    }

    /// Waits for a look at the database that began after the call, or that another caller has just made.
    async fn look_now(&self) -> Result<Arc<Known>, Refused> {
        let looked = async {
            let mut turn = self.0.look.lock().await;
            let has_just_failed = turn.is_some_and(|at| at.elapsed() < FAILURE_LASTS);
            if self.known().age() >= LOOK_AFTER && !has_just_failed {
                self.look(&mut turn).await;
            }
        };
        // Whether the look was in time or not, the age of what is known decides.
        let _ = timeout(LOOK_TIMEOUT, looked).await;
        let known = self.known();
        if known.age() < AGE_MAX { Ok(known) } else { Err(Refused::Unavailable) }
    }

    /// Looks at the database, and logs why it could not.
    async fn look(&self, failed_at: &mut Option<Instant>) {
        *failed_at = match self.read().await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "tokens cannot be read");
                Some(Instant::now())
            }
        };
    }

    /// Reads the revision, and the tokens where it has changed.
    async fn read(&self) -> Result<(), StoreError> {
        let before = self.known();
        let begun = Instant::now();
        let revision = self.0.store.revision().await?;
        let now = if before.is_of(revision) {
            before.seen_again(begun)
        } else {
            Known::read(&*self.0.store, &before, revision, begun, self.0.clock.now()).await?
        };
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
        Ok(())
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tokens after an id, oldest first, also those that are revoked or have expired; and the id after which the list goes
    /// on, `None` at its end. Those that cannot be read are left out: the log is told of each when tokens are read.
    pub async fn page(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<StoredToken>, Option<Uuid>), StoreError> {
        let page = self.0.store.tokens(after, limit).await?;
        let next = page.last().filter(|_| page.len() >= limit).map(id_of);
        Ok((page.into_iter().filter_map(Result::ok).collect(), next))
    }

    /// Writes last uses once a minute until it is stopped, and then once more. A use that could not be written is
    /// written a minute later.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            // A sender that is gone means stop as well.
            let stopped = timeout(USES_WRITTEN_EVERY, stop.wait_for(|stop| *stop)).await.is_ok();
            if let Err(error) = self.write_uses().await {
                tracing::warn!(%error, "the last uses of tokens cannot be written");
            }
            if stopped {
                return;
            }
        }
    }

    /// Writes the hours of last uses that are not written yet: at most one an hour and token.
    ///
    /// # Errors
    /// [`StoreError`]; what is not written stays to be written.
    pub async fn write_uses(&self) -> Result<(), StoreError> {
        let known = self.known();
        let unwritten: Vec<_> = known.unwritten().collect();
        for part in unwritten.chunks(USES_AT_A_TIME) {
            let mut tx = self.0.store.begin(self.0.clock.now()).await?;
            for (token, hour) in part {
                tx.used(token.id, *hour).await?;
            }
            tx.commit().await?;
            for (token, hour) in part {
                token.note_written(*hour);
            }
        }
        Ok(())
    }
}

//! What a server knows of tokens: all live ones by hash, as of one look at the database.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::access::{Bounds, Caller, Ledgers};
use crate::ledger::Timestamp;
use crate::ledger::actor::Way;
use crate::store::{Readable, StoreError, StoredToken, TokenStore, Unreadable};

/// Tokens in one read.
const PAGE: usize = 1_000;

type ByHash = HashMap<[u8; 32], Arc<KnownToken>>;
/// A token with its hash.
type Hashed = ([u8; 32], Arc<KnownToken>);

pub(super) struct Known {
    /// When the look began; `None` before the first.
    begun: Option<Instant>,
    revision: u64,
    pub tokens: Arc<ByHash>,
    /// Tokens that cannot be read, and are refused; the log was told of each.
    unreadable: Arc<BTreeSet<Uuid>>,
}

/// A live token.
pub(super) struct KnownToken {
    pub id: Uuid,
    pub caller: Arc<Caller>,
    pub expires_at: Timestamp,
    /// The hour of its last use, in microseconds: as this server has seen it, and as it is written.
    used: AtomicI64,
    written: AtomicI64,
}

impl Known {
    pub const fn is_of(&self, revision: u64) -> bool {
        self.begun.is_some() && self.revision == revision
    }

    pub fn nothing() -> Self {
        Self { begun: None, revision: 0, tokens: Arc::default(), unreadable: Arc::default() }
    }

    /// How long ago the look began.
    pub fn age(&self) -> Duration {
        self.begun.map_or(Duration::MAX, |begun| begun.elapsed())
    }

    /// The same tokens, as of another look.
    pub fn seen_again(&self, begun: Instant) -> Self {
        let (tokens, unreadable) = (Arc::clone(&self.tokens), Arc::clone(&self.unreadable));
        Self { begun: Some(begun), revision: self.revision, tokens, unreadable }
    }

    /// Reads all live tokens. The revision was read before them: a change between two pages raises it, so the next look
    /// reads them again. A token that cannot be read is nobody's; the others hold.
    pub async fn read(
        store: &dyn TokenStore,
        before: &Self,
        revision: u64,
        begun: Instant,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let (mut tokens, mut unreadable) = (ByHash::new(), BTreeSet::new());
        let mut after = None;
        loop {
            let page = store.tokens(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(id_of(last));
            for token in page {
                match token.and_then(|token| before.known(&token, now)) {
                    Ok(Some((sha256, known))) => drop(tokens.insert(sha256, known)),
                    Ok(None) => {}
                    Err(Unreadable { id, problem }) => {
                        if !before.unreadable.contains(&id) {
                            tracing::error!(%id, problem, "a token cannot be read and is refused; the others hold");
                        }
                        unreadable.insert(id);
                    }
                }
            }
        }
        let (tokens, unreadable) = (Arc::new(tokens), Arc::new(unreadable));
        Ok(Self { begun: Some(begun), revision, tokens, unreadable })
    }

    /// A token with its hash, if it is live. What is known of its use stays known.
    fn known(&self, token: &StoredToken, now: Timestamp) -> Result<Option<Hashed>, Unreadable> {
        if !token.is_live(now) {
            return Ok(None);
        }
        let known = match self.tokens.get(&token.sha256) {
            Some(known) => Arc::clone(known),
            None => Arc::new(KnownToken::of(token)?),
        };
        Ok(Some((token.sha256, known)))
    }

    /// Tokens whose last use is not written.
    pub fn unwritten(&self) -> impl Iterator<Item = (&KnownToken, Timestamp)> {
        self.tokens.values().filter_map(|token| {
            let used = token.used.load(Ordering::Relaxed);
            (used > token.written.load(Ordering::Relaxed)).then(|| (&**token, Timestamp::from_micros(used)))
        })
    }
}

/// The id of a token, whether or not it can be read.
pub(super) fn id_of(token: &Readable<StoredToken>) -> Uuid {
    token.as_ref().map_or_else(|unreadable| unreadable.id, |token| token.id)
}

impl KnownToken {
    fn of(token: &StoredToken) -> Result<Self, Unreadable> {
        let body = &token.body;
        let ledgers = match &body.ledgers {
            None => Ledgers::All,
            Some(ledgers) => Ledgers::Only(ledgers.iter().cloned().collect()),
        };
        let bounds = Bounds::new(body.role, ledgers, body.customer.clone())
            .map_err(|error| Unreadable { id: token.id, problem: error.to_owned() })?;
        let caller = Caller::known(body.name.clone(), Way::Token, bounds, Some(token.expires_at));
        let written = token.used_at.map_or(0, Timestamp::micros);
        Ok(Self {
            id: token.id,
            caller: Arc::new(caller),
            expires_at: token.expires_at,
            used: AtomicI64::new(written),
            written: AtomicI64::new(written),
        })
    }

    pub fn note_use(&self, now: Timestamp) {
        let hour = now.hour().micros();
        if self.used.load(Ordering::Relaxed) < hour {
            self.used.fetch_max(hour, Ordering::Relaxed);
        }
    }

    pub fn note_written(&self, hour: Timestamp) {
        self.written.fetch_max(hour.micros(), Ordering::Relaxed);
    }
}

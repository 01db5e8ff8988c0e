//! Making and revoking tokens, each once, in a transaction of its own.

use tokio::time::timeout;
use uuid::Uuid;

use super::text::TokenText;
use super::{LOOK_TIMEOUT, Tokens};
use crate::access::{Bounds, Ledgers};
use crate::clock;
use crate::ledger::actor::Role;
use crate::ledger::codec::{encode, record};
use crate::ledger::hash::stable_hash;
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, PostingId, RequestKey};
use crate::store::{StoreError, StoredToken, TokenBody};

/// Live tokens: all of them are in the memory of every server, a few hundred bytes each.
pub const TOKENS_MAX: u64 = 10_000;
/// Tokens that are stored, with those that are revoked or have expired. The oldest of these go first.
const STORED_MAX: u64 = 2 * TOKENS_MAX;
/// Ledgers that one token may name.
pub const LEDGERS_MAX: usize = 100;
/// The longest life of a token in days: ten years.
pub const DAYS_MAX: u32 = 3_650;
/// Attempts at a change that clashes with another server's, or whose answer was lost.
const TRIES_MAX: u32 = 5;

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The name of the caller, not empty.
    pub name: OpenText,
    pub bounds: Bounds,
    /// How long it lives: from 1 to [`DAYS_MAX`].
    pub days: u32,
}

/// The content of a request that makes a token. Its encoding is hashed, and the hash is stored.
#[derive(PartialEq)]
struct Content {
    name: OpenText,
    role: Role,
    ledgers: Option<Vec<LedgerId>>,
    customer: Option<CustomerId>,
    days: u32,
}
record!(Content { 1 => name, 2 => role, 3 => ledgers, 4 => customer, 5 => days });

/// The outcome of a request that makes a token.
#[derive(Debug)]
pub enum TokenCreated {
    /// The token, which is told now and never again.
    Made(Box<StoredToken>, TokenText),
    /// An earlier delivery of the same request made it. Its text is kept nowhere.
    Replayed(Box<StoredToken>),
    /// The request id was used for another request.
    RequestIdReused,
    /// There are [`TOKENS_MAX`] live tokens.
    TooMany,
}

/// What a change of one attempt comes to, or that the next attempt finds out.
macro_rules! tried {
    ($attempt:expr) => {{
        let mut tries = 0_u32;
        let mut is_unanswered = false;
        loop {
            tries = tries.saturating_add(1);
            let done = $attempt;
            is_unanswered |= matches!(done, Err(StoreError::Unsure(_)));
            match done {
                Err(
                    StoreError::Again(_)
                    | StoreError::Locked(_)
                    | StoreError::Clash(_)
                    | StoreError::Unsure(_),
                ) if tries < TRIES_MAX => {}
                // An error of a later attempt says nothing about the one whose answer was lost.
                Err(error) if is_unanswered => break Err(StoreError::Unsure(Box::new(error))),
                done => break done,
            }
        }
    }};
}

impl Tokens {
    /// Makes a token, once for each request.
    pub async fn create(&self, request: &RequestKey, new: &NewToken) -> Result<TokenCreated, StoreError> {
        // Of all attempts the same one: a token whose commit was not answered is found, and told.
        let text = TokenText::new([random()?, random()?, random()?, random()?]);
        let made: Result<TokenMade, StoreError> = tried!(self.try_create(request, new, &text).await);
        let created = match made? {
            TokenMade::Stored(token) if token.sha256 == text.sha256() => TokenCreated::Made(token, text),
            TokenMade::Stored(token) => TokenCreated::Replayed(token),
            TokenMade::RequestIdReused => TokenCreated::RequestIdReused,
            TokenMade::TooMany => TokenCreated::TooMany,
        };
        self.look_again().await;
        Ok(created)
    }

    async fn try_create(
        &self,
        request: &RequestKey,
        new: &NewToken,
        text: &TokenText,
    ) -> Result<TokenMade, StoreError> {
        let NewToken { name, bounds, days } = new.clone();
        let ledgers = match bounds.ledgers() {
            Ledgers::All => None,
            Ledgers::Only(ledgers) => Some(ledgers.iter().cloned().collect()),
        };
        let (role, customer) = (bounds.role(), bounds.customer().cloned());
        let content = Content { name, role, ledgers, customer, days };
        let fingerprint = stable_hash(&[&encode(&content)]);
        let mut tx = self.0.store.begin(self.0.clock.now()).await?;
        tx.raise_revision().await?;
        if let Some(token) = tx.token_of(request).await? {
            return Ok(if token.body.fingerprint == fingerprint {
                TokenMade::Stored(Box::new(token))
            } else {
                TokenMade::RequestIdReused
            });
        }
        let counts = tx.counts().await?;
        if counts.live >= TOKENS_MAX {
            return Ok(TokenMade::TooMany);
        }
        let beyond = counts.all.saturating_add(1).saturating_sub(STORED_MAX);
        if beyond > 0 {
            tx.delete_dead(beyond).await?;
        }
        let now = tx.now();
        let Content { name, role, ledgers, customer, days } = content;
        let token = StoredToken {
            id: PostingId::new(now, 0, random()?).uuid(),
            sha256: text.sha256(),
            request: request.clone(),
            expires_at: now.plus_days(days),
            revoked_at: None,
            used_at: None,
            body: TokenBody { name, role, ledgers, customer, created_at: now, fingerprint },
        };
        tx.put(&token).await?;
        tx.commit().await?;
        Ok(TokenMade::Stored(Box::new(token)))
    }

    /// Revokes a token, or finds that it is revoked. `None` where there is no such token.
    pub async fn revoke(&self, id: Uuid) -> Result<Option<StoredToken>, StoreError> {
        let revoked: Result<Option<StoredToken>, StoreError> = tried!(self.try_revoke(id).await);
        let revoked = revoked?;
        self.look_again().await;
        Ok(revoked)
    }

    async fn try_revoke(&self, id: Uuid) -> Result<Option<StoredToken>, StoreError> {
        let mut tx = self.0.store.begin(self.0.clock.now()).await?;
        tx.raise_revision().await?;
        let Some(mut token) = tx.token(id).await? else { return Ok(None) };
        if token.revoked_at.is_none() {
            token.revoked_at = Some(tx.now());
            tx.put(&token).await?;
            tx.commit().await?;
        }
        Ok(Some(token))
    }

    /// Has this server know of a change at once. Where the look fails, the next one finds the change.
    async fn look_again(&self) {
        let looked = async {
            let mut turn = self.0.look.lock().await;
            self.look(&mut turn).await;
        };
        let _ = timeout(LOOK_TIMEOUT, looked).await;
    }
}

/// What an attempt at making a token came to.
enum TokenMade {
    /// The token that this request made, now or before.
    Stored(Box<StoredToken>),
    RequestIdReused,
    TooMany,
}

fn random() -> Result<u64, StoreError> {
    clock::random().map_err(StoreError::failed)
}

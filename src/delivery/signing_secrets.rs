//! The signing secrets of all endpoints, as this server can use them: sealed anew at its start, and opened to sign.
//!
//! # What it is
//! Each server seals once, before it first looks for endpoints to send to, what is not sealed with its current key:
//! secrets in the clear, and those under old keys. One endpoint is a transaction, so that callers hardly wait. A server
//! without a key changes nothing.
//!
//! # Failure
//! A storage error is tried again at the next look at the endpoints. A secret that does not open stays as it is. It is
//! logged once, as long as it does not open.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::sealing::{NotOpened, SealingKeys};
use crate::clock::Clock;
use crate::hidden::Hidden;
use crate::ledger::{Text, Timestamp};
use crate::store::StoreError;
use crate::store::signing_secret::StoredSecret;
use crate::store::webhooks::{Endpoint, OldSecret, WebhookStore};

pub struct SigningSecrets {
    keys: Arc<SealingKeys>,
    rows: Arc<dyn WebhookStore>,
    clock: Arc<dyn Clock>,
    /// True once all secrets were looked at.
    is_sealed: AtomicBool,
    /// Endpoints whose secret did not open the last time.
    unusable: Mutex<BTreeSet<Uuid>>,
}

/// The opened secrets of an endpoint.
pub(super) struct Signing {
    pub current: Hidden<Text>,
    /// The one before, and until when it signs too.
    pub old: Option<(Hidden<Text>, Timestamp)>,
}

impl std::fmt::Debug for SigningSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningSecrets").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl SigningSecrets {
    #[must_use]
    pub fn new(keys: Arc<SealingKeys>, rows: Arc<dyn WebhookStore>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, rows, clock, is_sealed: AtomicBool::default(), unusable: Mutex::default() }
    }

    /// True where messages to this endpoint can be signed. The first time that they cannot is logged.
    pub(super) fn can_sign(&self, endpoint: &Endpoint) -> bool {
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        match self.keys.secret_of(endpoint) {
            Ok(_) => {
                unusable.remove(&endpoint.id);
                true
            }
            Err(problem) => {
                if unusable.insert(endpoint.id) {
                    tracing::error!(
                        endpoint = %endpoint.id,
                        %problem,
                        "nothing is sent to an endpoint: its signing secret cannot be opened"
                    );
                }
                false
            }
        }
    }

    /// Opens what the messages to an endpoint are signed with. A secret that was replaced and does not open is left out:
    /// the current one signs.
    pub(super) fn open(&self, endpoint: &Endpoint) -> Result<Signing, NotOpened> {
        let current = self.keys.secret_of(endpoint)?;
        let old = endpoint.old_secret.as_ref().and_then(|OldSecret { secret, until }| {
            match self.keys.open(endpoint.ledger, endpoint.id, secret) {
                Ok(secret) => Some((secret, *until)),
                Err(problem) => {
                    tracing::warn!(endpoint = %endpoint.id, %problem, "messages are signed with the new secret alone");
                    None
                }
            }
        });
        Ok(Signing { current, old })
    }

    /// Seals what is not sealed with the current key, once.
    pub(super) async fn seal_all(&self) -> Result<(), StoreError> {
        if self.is_sealed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut tx = self.rows.begin(self.clock.now()).await?;
        let mut endpoints = tx.endpoints().await?;
        tx.commit().await?;
        endpoints.retain(|endpoint| !endpoint.is_email());
        let (mut anew, mut unusable) = (0_usize, 0_usize);
        for endpoint in &endpoints {
            match self.seal_again(endpoint).await? {
                Some(true) => anew = anew.saturating_add(1),
                Some(false) => {}
                None => unusable = unusable.saturating_add(1),
            }
        }
        self.is_sealed.store(true, Ordering::Relaxed);
        let count = endpoints.len();
        let in_the_clear = |endpoint: &&Endpoint| matches!(endpoint.secret, StoredSecret::Clear(_));
        match self.keys.current() {
            Some(key) if count > 0 => {
                tracing::info!(%key, endpoints = count, anew, unusable, "signing secrets are sealed with this key");
            }
            None if endpoints.iter().any(|endpoint| in_the_clear(&endpoint)) => {
                let endpoints = endpoints.iter().filter(in_the_clear).count();
                tracing::warn!(
                    endpoints,
                    "signing secrets of webhooks stand in the database in the clear: sealing_key_file seals them"
                );
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Seals the secrets of an endpoint where they are not sealed with the current key: whether it changed them. `None`
    /// where they do not open.
    async fn seal_again(&self, seen: &Endpoint) -> Result<Option<bool>, StoreError> {
        if self.is_current(seen) {
            return Ok(Some(false));
        }
        let mut tx = self.rows.begin(self.clock.now()).await?;
        let now = tx.now();
        let Some(mut endpoint) = tx.endpoint(seen.id).await? else { return Ok(Some(false)) };
        endpoint.old_secret = endpoint.old_secret.filter(|old| old.until > now);
        let (ledger, id) = (endpoint.ledger, endpoint.id);
        let mut is_whole = true;
        let old = endpoint.old_secret.as_mut().map(|old| &mut old.secret);
        for stored in std::iter::once(&mut endpoint.secret).chain(old) {
            match self.keys.open(ledger, id, stored) {
                Ok(secret) => *stored = self.keys.seal(ledger, id, secret)?,
                Err(_) => is_whole = false,
            }
        }
        tx.put_endpoint(&endpoint).await?;
        tx.commit().await?;
        Ok(is_whole.then_some(true))
    }

    fn is_current(&self, endpoint: &Endpoint) -> bool {
        let old = endpoint.old_secret.as_ref().map(|old| &old.secret);
        std::iter::once(&endpoint.secret).chain(old).all(|stored| self.keys.is_current(stored))
    }
}

//! Tokens in the reference engine: changes that take the place of what was there.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::ledger::{RequestKey, Timestamp};
use crate::store::error::{Readable, StoreError};
use crate::store::tokens::{StoredToken, TokenCounts, TokenStore, TokenTx};

/// Tokens; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryTokens(Arc<Mutex<Rows>>);

/// All rows.
#[derive(Clone, Debug, Default)]
struct Rows {
    revision: u64,
    tokens: BTreeMap<Uuid, StoredToken>,
}

struct TokenChanges {
    now: Timestamp,
    rows: Rows,
    home: OwnedMutexGuard<Rows>,
}

#[async_trait]
impl TokenStore for MemoryTokens {
    async fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.0.lock().await.revision)
    }

    async fn tokens(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<StoredToken>>, StoreError> {
        let rows = self.0.lock().await;
        let tokens = rows.tokens.values().filter(|token| after.is_none_or(|after| token.id > after));
        Ok(tokens.take(limit).cloned().map(Ok).collect())
    }

    async fn begin(&self, now: Timestamp) -> Result<Box<dyn TokenTx>, StoreError> {
        let home = Mutex::lock_owned(Arc::clone(&self.0)).await;
        Ok(Box::new(TokenChanges { now, rows: home.clone(), home }))
    }
}

#[async_trait]
impl TokenTx for TokenChanges {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn raise_revision(&mut self) -> Result<(), StoreError> {
        self.rows.revision = self.rows.revision.saturating_add(1);
        Ok(())
    }

    async fn token(&mut self, id: Uuid) -> Result<Option<StoredToken>, StoreError> {
        Ok(self.rows.tokens.get(&id).cloned())
    }

    async fn token_of(&mut self, request: &RequestKey) -> Result<Option<StoredToken>, StoreError> {
        Ok(self.rows.tokens.values().find(|token| token.request == *request).cloned())
    }

    async fn counts(&mut self) -> Result<TokenCounts, StoreError> {
        let count = |wanted: &dyn Fn(&&StoredToken) -> bool| {
            u64::try_from(self.rows.tokens.values().filter(wanted).count()).unwrap_or(u64::MAX)
        };
        Ok(TokenCounts { all: count(&|_| true), live: count(&|token| token.is_live(self.now)) })
    }

    async fn put(&mut self, token: &StoredToken) -> Result<(), StoreError> {
        let clashes = |other: &StoredToken| {
            other.id != token.id && (other.sha256 == token.sha256 || other.request == token.request)
        };
        if self.rows.tokens.values().any(clashes) {
            return Err(StoreError::Refused("two tokens share a hash or a request".into()));
        }
        match self.rows.tokens.get_mut(&token.id) {
            Some(stored) => stored.revoked_at = token.revoked_at,
            None => drop(self.rows.tokens.insert(token.id, token.clone())),
        }
        Ok(())
    }

    async fn delete_dead(&mut self, count: u64) -> Result<(), StoreError> {
        let dead = self.rows.tokens.values().filter(|token| !token.is_live(self.now)).map(|token| token.id);
        let dead: Vec<Uuid> = dead.take(usize::try_from(count).unwrap_or(usize::MAX)).collect();
        for id in dead {
            self.rows.tokens.remove(&id);
        }
        Ok(())
    }

    async fn used(&mut self, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
        if let Some(token) = self.rows.tokens.get_mut(&id) {
            token.used_at = token.used_at.max(Some(at));
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        *self.home = self.rows;
        Ok(())
    }
}

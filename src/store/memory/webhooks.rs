//! Endpoints and what they did not take, in the reference engine: changes that take the place of what was there.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::ledger::Timestamp;
use crate::store::webhooks::{Asked, AskedScope, Delivery, Endpoint, WebhookStore, WebhookTx};
use crate::store::{Position, StoreError};

/// Endpoints and deliveries; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryWebhooks(Arc<Mutex<Rows>>);

/// All rows.
#[derive(Clone, Debug, Default)]
struct Rows {
    endpoints: BTreeMap<Uuid, Endpoint>,
    deliveries: BTreeMap<(Uuid, Position, u32), Delivery>,
    asked: BTreeMap<AskedScope, Asked>,
    relays: BTreeMap<Uuid, Timestamp>,
}

struct WebhookChanges {
    now: Timestamp,
    rows: Rows,
    home: OwnedMutexGuard<Rows>,
}

#[async_trait]
impl WebhookStore for MemoryWebhooks {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        let home = Mutex::lock_owned(Arc::clone(&self.0)).await;
        Ok(Box::new(WebhookChanges { now, rows: home.clone(), home }))
    }

    async fn read(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        self.begin(now).await
    }
}

#[async_trait]
impl WebhookTx for WebhookChanges {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn asked(&mut self, scope: &AskedScope) -> Result<Option<Asked>, StoreError> {
        Ok(self.rows.asked.get(scope).copied())
    }

    async fn put_asked(&mut self, scope: &AskedScope, asked: Asked) -> Result<(), StoreError> {
        match self.rows.asked.insert(scope.clone(), asked) {
            Some(_) => Err(StoreError::Clash("a request about endpoints was kept before".into())),
            None => Ok(()),
        }
    }

    async fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError> {
        Ok(self.rows.endpoints.values().cloned().collect())
    }

    async fn endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.rows.endpoints.get(&id).cloned())
    }

    async fn put_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        self.rows.endpoints.insert(endpoint.id, endpoint.clone());
        Ok(())
    }

    async fn delete_endpoint(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.rows.endpoints.remove(&id);
        self.rows.deliveries.retain(|(endpoint, _, _), _| *endpoint != id);
        Ok(())
    }

    async fn deliveries(
        &mut self,
        endpoint: Uuid,
        dead: bool,
        after: Option<(Position, u32)>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let wanted = |delivery: &&Delivery| {
            delivery.endpoint == endpoint
                && delivery.dead_at.is_some() == dead
                && after.is_none_or(|after| delivery.at() > after)
        };
        Ok(self.rows.deliveries.values().filter(wanted).take(limit).cloned().collect())
    }

    async fn put_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let key = (delivery.endpoint, delivery.position, delivery.place);
        self.rows.deliveries.insert(key, delivery.clone());
        Ok(())
    }

    async fn delete_delivery(&mut self, endpoint: Uuid, at: (Position, u32)) -> Result<(), StoreError> {
        self.rows.deliveries.remove(&(endpoint, at.0, at.1));
        Ok(())
    }

    async fn relays(&mut self) -> Result<Vec<(Uuid, Timestamp)>, StoreError> {
        Ok(self.rows.relays.iter().map(|(relay, until)| (*relay, *until)).collect())
    }

    async fn put_relay(&mut self, relay: Uuid, there_until: Option<Timestamp>) -> Result<(), StoreError> {
        match there_until {
            Some(until) => self.rows.relays.insert(relay, until),
            None => self.rows.relays.remove(&relay),
        };
        Ok(())
    }

    async fn all_asked(&mut self) -> Result<Vec<(AskedScope, Asked)>, StoreError> {
        Ok(self.rows.asked.iter().map(|(scope, asked)| (scope.clone(), *asked)).collect())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        *self.home = self.rows;
        Ok(())
    }
}

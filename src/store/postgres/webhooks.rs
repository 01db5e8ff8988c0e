//! Webhook endpoints and their undelivered events, on a connection of their own. A dropped transaction takes the
//! connection with it.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::connect::Address;
use super::errors::not_answered;
use crate::ledger::Timestamp;
use crate::store::engine::Time;
use crate::store::error::StoreError;
use crate::store::sql::database::{Database, Sql as _, Work};
use crate::store::sql::webhooks::{SqlWebhookTx, Transaction};
use crate::store::webhooks::{WebhookStore, WebhookTx};

#[derive(Debug)]
pub struct PgWebhooks {
    address: Arc<Address>,
    time: Time,
    connection: Arc<Mutex<Option<PgConnection>>>,
}

impl PgWebhooks {
    /// Connects at the first transaction.
    pub(super) fn new(address: Arc<Address>, time: Time) -> Self {
        Self { address, time, connection: Arc::default() }
    }
}

struct OpenTransaction {
    connection: Mutex<PgConnection>,
    home: OwnedMutexGuard<Option<PgConnection>>,
}

#[async_trait]
impl WebhookStore for PgWebhooks {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        let mut home = Mutex::lock_owned(Arc::clone(&self.connection)).await;
        let mut connection = match home.take() {
            Some(connection) => connection,
            None => self.address.connect_to_write().await?,
        };
        // READ COMMITTED is enough: rows are locked before they are changed.
        sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut connection).await?;
        let now = match self.time {
            Time::Caller => now,
            Time::Database => {
                let clock = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
                Timestamp::from_micros(connection.one(clock, &[], |row| row.get(0)).await?)
            }
        };
        let transaction = OpenTransaction { connection: Mutex::new(connection), home };
        Ok(Box::new(SqlWebhookTx { now, transaction }))
    }
}

impl Database for OpenTransaction {
    type Connection = PgConnection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        work(&mut *self.connection.lock().await).await
    }
}

impl Transaction for OpenTransaction {
    async fn commit(mut self) -> Result<(), StoreError> {
        let mut connection = self.connection.into_inner();
        sqlx::raw_sql("COMMIT").execute(&mut connection).await.map_err(not_answered)?;
        *self.home = Some(connection);
        Ok(())
    }
}

#[derive(Debug)]
pub struct OneConnection(Mutex<PgConnection>);

impl OneConnection {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self(Mutex::new(connection))
    }
}

impl Database for OneConnection {
    type Connection = PgConnection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        work(&mut *self.0.lock().await).await
    }
}

//! Endpoints and what they did not take: on a connection of its own, whose short transactions take turns with the
//! writer's. A transaction that is dropped takes its connection with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::rows::{damaged, decoded, ledger_no_of, limit_of, request_column, request_of, uuid_of};
use super::{BUSY_TIMEOUT, Turns, failed};
use crate::ledger::codec::encode;
use crate::ledger::{RequestKey, Timestamp};
use crate::store::webhooks::{Asked, AskedScope, Delivery, Endpoint, Method, WebhookStore, WebhookTx};
use crate::store::{Position, StoreError};

/// Keeps the rows in a file.
#[derive(Debug)]
pub struct SqliteWebhooks {
    path: PathBuf,
    connection: Arc<Mutex<Option<SqliteConnection>>>,
    turns: Turns,
}

impl SqliteWebhooks {
    /// In this file, which is opened when there is something to do.
    #[must_use]
    pub(crate) fn of(path: &Path, turns: Turns) -> Self {
        Self { path: path.to_owned(), connection: Arc::default(), turns }
    }

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(false)
            .synchronous(SqliteSynchronous::Full)
            // The writer sees to checkpoints.
            .pragma("wal_autocheckpoint", "0")
            .disable_statement_logging();
        options.connect().await.map_err(failed)
    }
}

struct Tx {
    now: Timestamp,
    connection: SqliteConnection,
    home: OwnedMutexGuard<Option<SqliteConnection>>,
    _turn: OwnedMutexGuard<()>,
}

#[async_trait]
impl WebhookStore for SqliteWebhooks {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        let mut home = Mutex::lock_owned(Arc::clone(&self.connection)).await;
        let mut connection = match home.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let turn = Mutex::lock_owned(Arc::clone(&self.turns)).await;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
        Ok(Box::new(Tx { now, connection, home, _turn: turn }))
    }
}

fn place_of(at: (Position, u32)) -> Result<(i64, i64), StoreError> {
    let position = i64::try_from(at.0.0).map_err(|_| damaged("a position is too large"))?;
    Ok((position, at.1.into()))
}

/// A request id is a BLOB or a TEXT, so it is bound as what it is.
macro_rules! bind_request {
    ($query:expr, $request:expr) => {
        match $request {
            RequestKey::Uuid(uuid) => $query.bind(uuid.as_bytes().to_vec()),
            RequestKey::Text(text) => $query.bind(text.to_string()),
        }
    };
}

#[async_trait]
impl WebhookTx for Tx {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn asked(&mut self, (ledger, method, request): &AskedScope) -> Result<Option<Asked>, StoreError> {
        let query = sqlx::query_scalar::<_, Vec<u8>>(
            "SELECT body FROM webhook_request WHERE ledger_no = ? AND method = ? AND request = ?",
        );
        let query = bind_request!(query.bind(ledger.get()).bind(method.code()), request);
        let body = query.fetch_optional(&mut self.connection).await.map_err(failed)?;
        body.map(|body| decoded(&body, "a request about endpoints")).transpose()
    }

    async fn put_asked(
        &mut self,
        (ledger, method, request): &AskedScope,
        asked: Asked,
    ) -> Result<(), StoreError> {
        let query =
            sqlx::query("INSERT INTO webhook_request (ledger_no, method, request, body) VALUES (?, ?, ?, ?)");
        let query = bind_request!(query.bind(ledger.get()).bind(method.code()), request);
        query.bind(encode(&asked)).execute(&mut self.connection).await.map_err(failed).map(drop)
    }

    async fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError> {
        let bodies: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT body FROM webhook_endpoint ORDER BY endpoint_id")
                .fetch_all(&mut self.connection)
                .await
                .map_err(failed)?;
        bodies.iter().map(|body| decoded(body, "an endpoint")).collect()
    }

    async fn endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        let body: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT body FROM webhook_endpoint WHERE endpoint_id = ?")
                .bind(id.as_bytes().to_vec())
                .fetch_optional(&mut self.connection)
                .await
                .map_err(failed)?;
        body.map(|body| decoded(&body, "an endpoint")).transpose()
    }

    async fn put_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO webhook_endpoint (endpoint_id, body)
             VALUES (?, ?)
             ON CONFLICT (endpoint_id) DO UPDATE
             SET body = excluded.body",
        )
        .bind(endpoint.id.as_bytes().to_vec())
        .bind(encode(endpoint))
        .execute(&mut self.connection)
        .await
        .map_err(failed)
        .map(drop)
    }

    async fn delete_endpoint(&mut self, id: Uuid) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM webhook_endpoint WHERE endpoint_id = ?",
            "DELETE FROM webhook_delivery WHERE endpoint_id = ?",
        ] {
            let query = sqlx::query(statement).bind(id.as_bytes().to_vec());
            query.execute(&mut self.connection).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn deliveries(
        &mut self,
        endpoint: Uuid,
        dead: bool,
        after: Option<(Position, u32)>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        // Positions begin at 1.
        let (position, place) = place_of(after.unwrap_or_default())?;
        let bodies: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT body
             FROM webhook_delivery
             WHERE endpoint_id = ?
               AND is_dead = ?
               AND (position, place) > (?, ?)
             ORDER BY position, place
             LIMIT ?",
        )
        .bind(endpoint.as_bytes().to_vec())
        .bind(dead)
        .bind(position)
        .bind(place)
        .bind(limit_of(limit))
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed)?;
        bodies.iter().map(|body| decoded(body, "a delivery")).collect()
    }

    async fn put_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        self.delete_delivery(delivery.endpoint, delivery.at()).await?;
        let (position, place) = place_of(delivery.at())?;
        sqlx::query(
            "INSERT INTO webhook_delivery (endpoint_id, is_dead, position, place, body)
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(delivery.endpoint.as_bytes().to_vec())
        .bind(delivery.dead_at.is_some())
        .bind(position)
        .bind(place)
        .bind(encode(delivery))
        .execute(&mut self.connection)
        .await
        .map_err(failed)
        .map(drop)
    }

    async fn delete_delivery(&mut self, endpoint: Uuid, at: (Position, u32)) -> Result<(), StoreError> {
        let (position, place) = place_of(at)?;
        sqlx::query(
            "DELETE FROM webhook_delivery
             WHERE endpoint_id = ?
               AND is_dead IN (0, 1)
               AND position = ?
               AND place = ?",
        )
        .bind(endpoint.as_bytes().to_vec())
        .bind(position)
        .bind(place)
        .execute(&mut self.connection)
        .await
        .map_err(failed)
        .map(drop)
    }

    async fn relays(&mut self) -> Result<Vec<(Uuid, Timestamp)>, StoreError> {
        let rows: Vec<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT relay_id, there_until FROM webhook_relay ORDER BY relay_id")
                .fetch_all(&mut self.connection)
                .await
                .map_err(failed)?;
        rows.into_iter()
            .map(|(relay, until)| Ok((uuid_of(&relay, "a relay")?, Timestamp::from_micros(until))))
            .collect()
    }

    async fn put_relay(&mut self, relay: Uuid, there_until: Option<Timestamp>) -> Result<(), StoreError> {
        let relay = relay.as_bytes().to_vec();
        let query = match there_until {
            Some(until) => sqlx::query(
                "INSERT INTO webhook_relay (relay_id, there_until)
                 VALUES (?, ?)
                 ON CONFLICT (relay_id) DO UPDATE
                 SET there_until = excluded.there_until",
            )
            .bind(relay)
            .bind(until.micros()),
            None => sqlx::query("DELETE FROM webhook_relay WHERE relay_id = ?").bind(relay),
        };
        query.execute(&mut self.connection).await.map_err(failed).map(drop)
    }

    async fn all_asked(&mut self) -> Result<Vec<(AskedScope, Asked)>, StoreError> {
        let rows = sqlx::query(
            "SELECT ledger_no, method, request, body FROM webhook_request ORDER BY ledger_no, method, request",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let ledger = ledger_no_of(row.try_get(0).map_err(failed)?)?;
                let method: u8 = row.try_get(1).map_err(failed)?;
                let method = Method::from_code(method).ok_or_else(|| damaged("an unknown method"))?;
                let request = request_of(request_column(row, 2).map_err(failed)?, "endpoints")?;
                let request = request.ok_or_else(|| damaged("a request without an id"))?;
                let body: Vec<u8> = row.try_get(3).map_err(failed)?;
                Ok(((ledger, method, request), decoded(&body, "a request about endpoints")?))
            })
            .collect()
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await.map_err(failed)?;
        let Self { connection, mut home, .. } = *self;
        *home = Some(connection);
        Ok(())
    }
}

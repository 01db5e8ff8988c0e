//! Endpoints and what they did not take: on a connection of its own, which a transaction that is dropped takes with it.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::Address;
use super::errors::{damaged, failed, not_answered};
use super::rows::{decoded, ledger_no_of, request_bytes, request_of, sql_count, sql_ledger};
use crate::ledger::Timestamp;
use crate::ledger::codec::encode;
use crate::store::webhooks::{Asked, AskedScope, Delivery, Endpoint, Method, WebhookStore, WebhookTx};
use crate::store::{Position, StoreError, Time};

/// Keeps the rows in a database.
#[derive(Debug)]
pub struct PgWebhooks {
    address: Arc<Address>,
    time: Time,
    connection: Arc<Mutex<Option<PgConnection>>>,
}

impl PgWebhooks {
    /// It connects when there is something to do.
    pub(super) fn new(address: Arc<Address>, time: Time) -> Self {
        Self { address, time, connection: Arc::default() }
    }
}

struct Tx {
    now: Timestamp,
    connection: PgConnection,
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
        // Rows are locked before they are changed, so this is enough.
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        sqlx::raw_sql(begin).execute(&mut connection).await.map_err(failed)?;
        let now = match self.time {
            Time::Caller => now,
            Time::Database => {
                let clock = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
                let clock = sqlx::query_scalar(clock).fetch_one(&mut connection).await;
                Timestamp::from_micros(clock.map_err(failed)?)
            }
        };
        Ok(Box::new(Tx { now, connection, home }))
    }
}

fn sql_place(place: u32) -> i32 {
    i32::try_from(place).unwrap_or(i32::MAX)
}

#[async_trait]
impl WebhookTx for Tx {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn asked(&mut self, (ledger, method, request): &AskedScope) -> Result<Option<Asked>, StoreError> {
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT body FROM webhook_request WHERE ledger_no = $1 AND method = $2 AND request = $3",
        )
        .bind(sql_ledger(*ledger))
        .bind(i16::from(method.code()))
        .bind(request_bytes(request))
        .fetch_optional(&mut self.connection)
        .await
        .map_err(failed)?;
        body.map(|body| decoded(&body, "a request about endpoints")).transpose()
    }

    async fn put_asked(
        &mut self,
        (ledger, method, request): &AskedScope,
        asked: Asked,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO webhook_request (ledger_no, method, request, body) VALUES ($1, $2, $3, $4)")
            .bind(sql_ledger(*ledger))
            .bind(i16::from(method.code()))
            .bind(request_bytes(request))
            .bind(encode(&asked))
            .execute(&mut self.connection)
            .await
            .map_err(failed)
            .map(drop)
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
            sqlx::query_scalar("SELECT body FROM webhook_endpoint WHERE endpoint_id = $1 FOR UPDATE")
                .bind(id)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(failed)?;
        body.map(|body| decoded(&body, "an endpoint")).transpose()
    }

    async fn peek_endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        let body: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT body FROM webhook_endpoint WHERE endpoint_id = $1")
                .bind(id)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(failed)?;
        body.map(|body| decoded(&body, "an endpoint")).transpose()
    }

    async fn put_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO webhook_endpoint (endpoint_id, body)
             VALUES ($1, $2)
             ON CONFLICT (endpoint_id) DO UPDATE
             SET body = excluded.body",
        )
        .bind(endpoint.id)
        .bind(encode(endpoint))
        .execute(&mut self.connection)
        .await
        .map_err(failed)
        .map(drop)
    }

    async fn delete_endpoint(&mut self, id: Uuid) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM webhook_endpoint WHERE endpoint_id = $1",
            "DELETE FROM webhook_delivery WHERE endpoint_id = $1",
        ] {
            sqlx::query(statement).bind(id).execute(&mut self.connection).await.map_err(failed)?;
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
        let (position, place) = after.unwrap_or_default();
        let bodies: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT body
             FROM webhook_delivery
             WHERE endpoint_id = $1
               AND is_dead = $2
               AND (position, place) > ($3, $4)
             ORDER BY position, place
             LIMIT $5",
        )
        .bind(endpoint)
        .bind(dead)
        .bind(sql_count(position.0))
        .bind(sql_place(place))
        .bind(sql_count(limit))
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed)?;
        bodies.iter().map(|body| decoded(body, "a delivery")).collect()
    }

    async fn put_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        self.delete_delivery(delivery.endpoint, delivery.at()).await?;
        sqlx::query(
            "INSERT INTO webhook_delivery (endpoint_id, is_dead, position, place, body)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(delivery.endpoint)
        .bind(delivery.dead_at.is_some())
        .bind(sql_count(delivery.position.0))
        .bind(sql_place(delivery.place))
        .bind(encode(delivery))
        .execute(&mut self.connection)
        .await
        .map_err(failed)
        .map(drop)
    }

    async fn delete_delivery(&mut self, endpoint: Uuid, at: (Position, u32)) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM webhook_delivery
             WHERE endpoint_id = $1
               AND is_dead = ANY(ARRAY[FALSE, TRUE])
               AND position = $2
               AND place = $3",
        )
        .bind(endpoint)
        .bind(sql_count(at.0.0))
        .bind(sql_place(at.1))
        .execute(&mut self.connection)
        .await
        .map_err(failed)
        .map(drop)
    }

    async fn relays(&mut self) -> Result<Vec<(Uuid, Timestamp)>, StoreError> {
        let rows: Vec<(Uuid, i64)> =
            sqlx::query_as("SELECT relay_id, there_until FROM webhook_relay ORDER BY relay_id")
                .fetch_all(&mut self.connection)
                .await
                .map_err(failed)?;
        Ok(rows.into_iter().map(|(relay, until)| (relay, Timestamp::from_micros(until))).collect())
    }

    async fn put_relay(&mut self, relay: Uuid, there_until: Option<Timestamp>) -> Result<(), StoreError> {
        let query = match there_until {
            Some(until) => sqlx::query(
                "INSERT INTO webhook_relay (relay_id, there_until)
                 VALUES ($1, $2)
                 ON CONFLICT (relay_id) DO UPDATE
                 SET there_until = excluded.there_until",
            )
            .bind(relay)
            .bind(until.micros()),
            None => sqlx::query("DELETE FROM webhook_relay WHERE relay_id = $1").bind(relay),
        };
        query.execute(&mut self.connection).await.map_err(failed).map(drop)
    }

    async fn all_asked(&mut self) -> Result<Vec<(AskedScope, Asked)>, StoreError> {
        let rows: Vec<(i32, i16, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT ledger_no, method, request, body FROM webhook_request ORDER BY ledger_no, method, request",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed)?;
        rows.into_iter()
            .map(|(ledger, method, request, body)| {
                let method = u8::try_from(method).ok().and_then(Method::from_code);
                let method = method.ok_or_else(|| damaged("an unknown method".to_owned()))?;
                let scope = (ledger_no_of(ledger)?, method, request_of(&request, "endpoints")?);
                Ok((scope, decoded(&body, "a request about endpoints")?))
            })
            .collect()
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await.map_err(not_answered)?;
        let Self { connection, mut home, .. } = *self;
        *home = Some(connection);
        Ok(())
    }
}

//! Webhook endpoints and their undelivered events: the statements of one transaction.

use async_trait::async_trait;
use uuid::Uuid;

use super::database::{Database, Dialect, Sql};
use super::row::sql_count;
use super::rows::body;
use super::side::{SideConnections, SideStore, SideTx, Transaction};
use crate::ledger::Timestamp;
use crate::ledger::codec::encode;
use crate::store::error::{StoreError, damaged};
use crate::store::recorded::Position;
use crate::store::stored::ledger_no_of;
use crate::store::webhooks::{Asked, AskedScope, Delivery, Endpoint, Method, WebhookStore, WebhookTx};

const ASKED: &str = "a request about endpoints";
const ENDPOINT: &str = "an endpoint";

#[async_trait]
impl<C: SideConnections> WebhookStore for SideStore<C> {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        Ok(self.open(now).await?)
    }

    async fn read(&self, now: Timestamp) -> Result<Box<dyn WebhookTx>, StoreError> {
        Ok(self.open_to_read(now).await?)
    }
}

type DialectOf<D> = <<D as Database>::Connection as Sql>::Dialect;

#[async_trait]
impl<D: Transaction> WebhookTx for SideTx<D> {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn asked(&mut self, scope: &AskedScope) -> Result<Option<Asked>, StoreError> {
        let scope = scope.clone();
        self.run(|sql| Box::pin(asked(sql, scope))).await
    }

    async fn put_asked(&mut self, scope: &AskedScope, asked: Asked) -> Result<(), StoreError> {
        let scope = scope.clone();
        self.run(move |sql| Box::pin(put_asked(sql, scope, asked))).await
    }

    async fn endpoints(&mut self) -> Result<Vec<Endpoint>, StoreError> {
        self.run(|sql| Box::pin(endpoints(sql))).await
    }

    async fn endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        let text = DialectOf::<D>::ENDPOINT_TO_CHANGE;
        self.run(move |sql| Box::pin(endpoint(sql, text, id))).await
    }

    async fn peek_endpoint(&mut self, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        let text = "SELECT body FROM webhook_endpoint WHERE endpoint_id = $1";
        self.run(move |sql| Box::pin(endpoint(sql, text, id))).await
    }

    async fn put_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let (id, body) = (endpoint.id, encode(endpoint));
        self.run(move |sql| Box::pin(put_endpoint(sql, id, body))).await
    }

    async fn delete_endpoint(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.run(move |sql| Box::pin(delete_endpoint(sql, id))).await
    }

    async fn deliveries(
        &mut self,
        endpoint: Uuid,
        dead: bool,
        after: Option<(Position, u32)>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.run(move |sql| Box::pin(deliveries(sql, endpoint, dead, after, limit))).await
    }

    async fn put_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let delivery = delivery.clone();
        self.run(|sql| Box::pin(put_delivery(sql, delivery))).await
    }

    async fn delete_delivery(&mut self, endpoint: Uuid, at: (Position, u32)) -> Result<(), StoreError> {
        self.run(move |sql| Box::pin(delete_delivery(sql, endpoint, at))).await
    }

    async fn relays(&mut self) -> Result<Vec<(Uuid, Timestamp)>, StoreError> {
        self.run(|sql| Box::pin(relays(sql))).await
    }

    async fn put_relay(&mut self, relay: Uuid, there_until: Option<Timestamp>) -> Result<(), StoreError> {
        self.run(move |sql| Box::pin(put_relay(sql, relay, there_until))).await
    }

    async fn all_asked(&mut self) -> Result<Vec<(AskedScope, Asked)>, StoreError> {
        self.run(|sql| Box::pin(all_asked(sql))).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.transaction.commit().await
    }
}

async fn asked(
    sql: &mut impl Sql,
    (ledger, method, request): AskedScope,
) -> Result<Option<Asked>, StoreError> {
    let text = "SELECT body FROM webhook_request WHERE ledger_no = $1 AND method = $2 AND request = $3";
    let params = [ledger.into(), i64::from(method.code()).into(), (&request).into()];
    sql.first(text, &params, |row| body(row, 0, ASKED)).await
}

async fn put_asked(
    sql: &mut impl Sql,
    (ledger, method, request): AskedScope,
    asked: Asked,
) -> Result<(), StoreError> {
    let text = "INSERT INTO webhook_request (ledger_no, method, request, body) VALUES ($1, $2, $3, $4)";
    let asked = encode(&asked);
    let params = [ledger.into(), i64::from(method.code()).into(), (&request).into(), (&asked).into()];
    sql.run(text, &params).await.map(drop)
}

pub async fn endpoints(sql: &mut impl Sql) -> Result<Vec<Endpoint>, StoreError> {
    let text = "SELECT body FROM webhook_endpoint ORDER BY endpoint_id";
    sql.all(text, &[], |row| body(row, 0, ENDPOINT)).await
}

async fn endpoint(sql: &mut impl Sql, text: &'static str, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
    sql.first(text, &[id.into()], |row| body(row, 0, ENDPOINT)).await
}

async fn put_endpoint(sql: &mut impl Sql, id: Uuid, body: Vec<u8>) -> Result<(), StoreError> {
    sql.run(
        "INSERT INTO webhook_endpoint (endpoint_id, body)
         VALUES ($1, $2)
         ON CONFLICT (endpoint_id) DO UPDATE
         SET body = excluded.body",
        &[id.into(), (&body).into()],
    )
    .await
    .map(drop)
}

async fn delete_endpoint(sql: &mut impl Sql, id: Uuid) -> Result<(), StoreError> {
    sql.run("DELETE FROM webhook_endpoint WHERE endpoint_id = $1", &[id.into()]).await?;
    sql.run("DELETE FROM webhook_delivery WHERE endpoint_id = $1", &[id.into()]).await.map(drop)
}

async fn deliveries(
    sql: &mut impl Sql,
    endpoint: Uuid,
    dead: bool,
    after: Option<(Position, u32)>,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    // Positions begin at 1.
    let (position, place) = after.unwrap_or_default();
    sql.all(
        "SELECT body
         FROM webhook_delivery
         WHERE endpoint_id = $1
           AND is_dead = $2
           AND (position, place) > ($3, $4)
         ORDER BY position, place
         LIMIT $5",
        &[
            endpoint.into(),
            dead.into(),
            sql_count(position.0).into(),
            i64::from(place).into(),
            sql_count(limit).into(),
        ],
        |row| body(row, 0, "a delivery"),
    )
    .await
}

async fn put_delivery(sql: &mut impl Sql, delivery: Delivery) -> Result<(), StoreError> {
    delete_delivery(sql, delivery.endpoint, delivery.at()).await?;
    sql.run(
        "INSERT INTO webhook_delivery (endpoint_id, is_dead, position, place, body)
         VALUES ($1, $2, $3, $4, $5)",
        &[
            delivery.endpoint.into(),
            delivery.dead_at.is_some().into(),
            sql_count(delivery.position.0).into(),
            i64::from(delivery.place).into(),
            (&encode(&delivery)).into(),
        ],
    )
    .await
    .map(drop)
}

async fn delete_delivery(
    sql: &mut impl Sql,
    endpoint: Uuid,
    (position, place): (Position, u32),
) -> Result<(), StoreError> {
    sql.run(
        "DELETE FROM webhook_delivery
         WHERE endpoint_id = $1
           AND is_dead IN (FALSE, TRUE)
           AND position = $2
           AND place = $3",
        &[endpoint.into(), sql_count(position.0).into(), i64::from(place).into()],
    )
    .await
    .map(drop)
}

async fn relays(sql: &mut impl Sql) -> Result<Vec<(Uuid, Timestamp)>, StoreError> {
    let text = "SELECT relay_id, there_until FROM webhook_relay ORDER BY relay_id";
    sql.all(text, &[], |row| Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?)))).await
}

async fn put_relay(
    sql: &mut impl Sql,
    relay: Uuid,
    there_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    let Some(until) = there_until else {
        return sql.run("DELETE FROM webhook_relay WHERE relay_id = $1", &[relay.into()]).await.map(drop);
    };
    sql.run(
        "INSERT INTO webhook_relay (relay_id, there_until)
         VALUES ($1, $2)
         ON CONFLICT (relay_id) DO UPDATE
         SET there_until = excluded.there_until",
        &[relay.into(), until.into()],
    )
    .await
    .map(drop)
}

async fn all_asked(sql: &mut impl Sql) -> Result<Vec<(AskedScope, Asked)>, StoreError> {
    let text =
        "SELECT ledger_no, method, request, body FROM webhook_request ORDER BY ledger_no, method, request";
    sql.all(text, &[], |row| {
        let method = u8::try_from(row.get::<i64>(1)?).ok().and_then(Method::from_code);
        let method = method.ok_or_else(|| damaged("an unknown method"))?;
        let request = row.request(2)?.ok_or_else(|| damaged("a request without an id"))?.key(ASKED)?;
        Ok(((ledger_no_of(row.get(0)?)?, method, request), body(row, 3, ASKED)?))
    })
    .await
}

//! Orders of storefronts: the statements of one transaction, and those of a copy.

use async_trait::async_trait;
use uuid::Uuid;

use super::database::{Database, Dialect, Sql};
use super::row::{Row, alone, sql_count};
use super::side::{SideConnections, SideStore, SideTx, Transaction};
use crate::ledger::{LedgerNo, Storefront, Text, Timestamp};
use crate::store::error::{Readable, StoreError, damaged};
use crate::store::orders::{
    KeptOrder, OrderState, OrderStore, OrderTx, OrdersMark, Room, StorefrontRoom, WithPayload, without_order,
};
use crate::store::read_store::READ_BYTES_MAX;
use crate::store::stored::{checksum, count_of, ledger_no_of, stored_count};

/// The columns of an order `o`, in the order in which [`kept`] reads them. Its names come as lines: no name has a line
/// end.
macro_rules! order_columns {
    () => {
        "o.order_id, o.ledger_no, o.storefront, o.state, o.due_at, o.revision, o.body,
         (SELECT STRING_AGG(n.name, '\n' ORDER BY n.name)
          FROM storefront_order_name n
          WHERE n.order_id = o.order_id)"
    };
}

pub(in crate::store) use order_columns;

pub const ORDER_COLUMNS: usize = 8;

/// Creates or replaces an order: $1 to $8. An order that would change its ledger or storefront is left as it is.
macro_rules! on_the_same_order {
    () => {
        " ON CONFLICT (order_id) DO UPDATE
         SET state = excluded.state,
             due_at = excluded.due_at,
             revision = excluded.revision,
             body = excluded.body,
             checksum = excluded.checksum
         WHERE storefront_order.ledger_no = excluded.ledger_no
           AND storefront_order.storefront = excluded.storefront"
    };
}

pub(in crate::store) use on_the_same_order;

/// Reads an order from a row of [`order_columns`].
///
/// # Errors
/// [`StoreError::Damaged`], naming the order.
pub fn kept(row: &dyn Row) -> Result<KeptOrder, StoreError> {
    kept_from(row, 0)
}

/// Reads [`order_columns`] from column `first` on.
///
/// # Errors
/// As [`kept`].
pub fn kept_from(row: &dyn Row, first: usize) -> Result<KeptOrder, StoreError> {
    let id: Uuid = row.get(first)?;
    let what = format!("order {id} of a storefront");
    let code: i64 = row.get(first + 3)?;
    let state = u8::try_from(code).ok().and_then(OrderState::from_code);
    let names: Option<String> = row.get(first + 7)?;
    let names = names
        .iter()
        .flat_map(|names| names.split('\n'))
        .map(|name| Text::parse(name).map_err(|error| damaged(format!("{what}: its name {name:?} {error}"))));
    Ok(KeptOrder {
        id,
        ledger: ledger_no_of(row.get(first + 1)?)?,
        storefront: storefront_of(row, first + 2, &what)?,
        names: names.collect::<Result<_, _>>()?,
        state: state.ok_or_else(|| damaged(format!("{what}: unknown state {code}")))?,
        due_at: Timestamp::from_micros(row.get(first + 4)?),
        revision: count_of(row.get(first + 5)?, &what)?,
        body: row.get(first + 6)?,
    })
}

fn storefront_of(row: &dyn Row, column: usize, what: &str) -> Result<Storefront, StoreError> {
    Storefront::parse(&row.get::<String>(column)?)
        .map_err(|error| damaged(format!("{what}: its storefront {error}")))
}

/// The checksum of an order's columns. It is stored, so what it covers must never change.
///
/// # Errors
/// [`StoreError::Damaged`] for a revision that no order reaches.
pub fn checksum_of(order: &KeptOrder) -> Result<i64, StoreError> {
    let KeptOrder { id, ledger, storefront, names: _, state, due_at, revision, body } = order;
    let numbers =
        [i64::from(ledger.get()), i64::from(state.code()), due_at.micros(), stored_count(*revision)?];
    Ok(checksum(numbers, &[id.as_bytes(), storefront.as_str().as_bytes(), body]))
}

/// The checksum of a payload. It is stored, so what it covers must never change.
pub fn payload_checksum(id: Uuid, payload: &[u8]) -> i64 {
    checksum([], &[id.as_bytes(), payload])
}

#[async_trait]
impl<C: SideConnections> OrderStore for SideStore<C> {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError> {
        Ok(self.open(now).await?)
    }

    async fn read(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError> {
        Ok(self.open_to_read(now).await?)
    }
}

type DialectOf<D> = <<D as Database>::Connection as Sql>::Dialect;

#[async_trait]
impl<D: Transaction> OrderTx for SideTx<D> {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn room(&mut self, ledger: LedgerNo, storefront: &Storefront) -> Result<Room, StoreError> {
        let storefront = storefront.clone();
        self.run(move |sql| Box::pin(room(sql, ledger, storefront))).await
    }

    async fn put_room(
        &mut self,
        ledger: LedgerNo,
        storefront: &Storefront,
        room: Room,
    ) -> Result<(), StoreError> {
        let room = (ledger, storefront.clone(), room);
        self.run(move |sql| Box::pin(async move { put_room(sql, &room).await })).await
    }

    async fn named(
        &mut self,
        ledger: LedgerNo,
        storefront: &Storefront,
        names: &[Text],
    ) -> Result<Vec<KeptOrder>, StoreError> {
        let (storefront, names) = (storefront.clone(), names.to_vec());
        self.run(move |sql| {
            Box::pin(async move { DialectOf::<D>::orders_named(sql, ledger, &storefront, &names).await })
        })
        .await
    }

    async fn orders(&mut self, ledger: LedgerNo, ids: &[Uuid]) -> Result<Vec<KeptOrder>, StoreError> {
        let ids = ids.to_vec();
        self.run(move |sql| Box::pin(async move { DialectOf::<D>::orders_by_id(sql, ledger, &ids).await }))
            .await
    }

    async fn put(&mut self, orders: &[KeptOrder]) -> Result<(), StoreError> {
        let orders = orders.to_vec();
        self.run(move |sql| Box::pin(async move { DialectOf::<D>::put_orders(sql, &orders).await })).await
    }

    async fn delete(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.run(move |sql| Box::pin(delete(sql, id))).await
    }

    async fn payload(&mut self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(move |sql| Box::pin(payload(sql, id))).await
    }

    async fn put_payload(&mut self, id: Uuid, payload: Option<&[u8]>) -> Result<(), StoreError> {
        let payload = payload.map(<[u8]>::to_vec);
        self.run(move |sql| Box::pin(async move { put_payload(sql, id, payload.as_deref()).await })).await
    }

    async fn due(&mut self, until: Timestamp, limit: usize) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
        self.run(move |sql| Box::pin(due(sql, until, limit))).await
    }

    async fn waiting(
        &mut self,
        ledger: LedgerNo,
        storefront: Option<&Storefront>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
        let storefront = storefront.cloned();
        self.run(move |sql| Box::pin(waiting(sql, ledger, storefront, after, limit))).await
    }

    async fn all(&mut self, after: Option<Uuid>, limit: usize) -> Result<Vec<WithPayload>, StoreError> {
        self.run(move |sql| Box::pin(all(sql, after, limit))).await
    }

    async fn rooms(&mut self) -> Result<Vec<StorefrontRoom>, StoreError> {
        self.run(|sql| Box::pin(rooms(sql))).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.transaction.commit().await
    }
}

async fn room<S: Sql>(sql: &mut S, ledger: LedgerNo, storefront: Storefront) -> Result<Room, StoreError> {
    let params = [ledger.into(), storefront.as_str().into()];
    let read = |row: &dyn Row| room_of(row, 0);
    if let Some(room) = sql.first(S::Dialect::ROOM_TO_CHANGE, &params, read).await? {
        return Ok(room);
    }
    // There must be a row to lock. Another server may make it at the same time.
    sql.run(
        "INSERT INTO storefront_room (ledger_no, storefront, waiting, due, payload_bytes)
         VALUES ($1, $2, 0, 0, 0)
         ON CONFLICT (ledger_no, storefront) DO NOTHING",
        &params,
    )
    .await?;
    sql.one(S::Dialect::ROOM_TO_CHANGE, &params, read).await
}

fn room_of(row: &dyn Row, first: usize) -> Result<Room, StoreError> {
    let what = "the room of a storefront";
    Ok(Room {
        waiting: count_of(row.get(first)?, what)?,
        due: count_of(row.get(first + 1)?, what)?,
        payload_bytes: count_of(row.get(first + 2)?, what)?,
    })
}

async fn put_room(sql: &mut impl Sql, (ledger, storefront, room): &StorefrontRoom) -> Result<(), StoreError> {
    let Room { waiting, due, payload_bytes } = *room;
    sql.run(
        "INSERT INTO storefront_room (ledger_no, storefront, waiting, due, payload_bytes)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (ledger_no, storefront) DO UPDATE
         SET waiting = excluded.waiting,
             due = excluded.due,
             payload_bytes = excluded.payload_bytes",
        &[
            (*ledger).into(),
            storefront.as_str().into(),
            stored_count(waiting)?.into(),
            stored_count(due)?.into(),
            stored_count(payload_bytes)?.into(),
        ],
    )
    .await
    .map(drop)
}

/// A name as it is stored.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn name_of(text: &str) -> Result<Text, StoreError> {
    Text::parse(text).map_err(|error| damaged(format!("a name of an order {error}")))
}

async fn delete(sql: &mut impl Sql, id: Uuid) -> Result<(), StoreError> {
    for text in [
        "DELETE FROM storefront_order_name WHERE order_id = $1",
        "DELETE FROM storefront_payload WHERE order_id = $1",
        "DELETE FROM storefront_order WHERE order_id = $1",
    ] {
        sql.run(text, &[id.into()]).await?;
    }
    Ok(())
}

async fn payload(sql: &mut impl Sql, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
    let text = "SELECT payload FROM storefront_payload WHERE order_id = $1";
    sql.first(text, &[id.into()], |row| row.get(0)).await
}

async fn put_payload(sql: &mut impl Sql, id: Uuid, payload: Option<&[u8]>) -> Result<(), StoreError> {
    let Some(payload) = payload else {
        let text = "DELETE FROM storefront_payload WHERE order_id = $1";
        return sql.run(text, &[id.into()]).await.map(drop);
    };
    let text = "
        INSERT INTO storefront_payload (order_id, payload, checksum)
        SELECT $1, $2, $3
        WHERE EXISTS (SELECT 1 FROM storefront_order o WHERE o.order_id = $1)
        ON CONFLICT (order_id) DO UPDATE
        SET payload = excluded.payload,
            checksum = excluded.checksum";
    let params = [id.into(), payload.into(), payload_checksum(id, payload).into()];
    if sql.run(text, &params).await? == 0 { Err(without_order(id)) } else { Ok(()) }
}

async fn due(
    sql: &mut impl Sql,
    until: Timestamp,
    limit: usize,
) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
    let text = concat!(
        "SELECT ",
        order_columns!(),
        " FROM storefront_order o
         WHERE o.state = 2
           AND o.due_at <= $1
         ORDER BY o.due_at, o.order_id
         LIMIT $2"
    );
    sql.all(text, &[until.into(), sql_count(limit).into()], |row| alone(row, kept)).await
}

async fn waiting(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    storefront: Option<Storefront>,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
    let of_all = concat!(
        "SELECT ",
        order_columns!(),
        " FROM storefront_order o
         WHERE o.state = 3
           AND o.ledger_no = $1
           AND o.order_id > $2
         ORDER BY o.order_id
         LIMIT $3"
    );
    let of_one = concat!(
        "SELECT ",
        order_columns!(),
        " FROM storefront_order o
         WHERE o.state = 3
           AND o.ledger_no = $1
           AND o.storefront = $4
           AND o.order_id > $2
         ORDER BY o.order_id
         LIMIT $3"
    );
    let page = [ledger.into(), after.unwrap_or_default().into(), sql_count(limit).into()];
    match &storefront {
        None => sql.all(of_all, &page, |row| alone(row, kept)).await,
        Some(storefront) => {
            let [ledger, after, limit] = page;
            let page = [ledger, after, limit, storefront.as_str().into()];
            sql.all(of_one, &page, |row| alone(row, kept)).await
        }
    }
}

/// A page of orders with their payloads. Sizes are read first, so that no driver reads more than the page.
///
/// # Errors
/// [`StoreError`] where they cannot be read.
pub async fn all(
    sql: &mut impl Sql,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<WithPayload>, StoreError> {
    let after = after.unwrap_or_default();
    let sizes: Vec<(Uuid, i64)> = sql
        .all(
            "SELECT o.order_id, OCTET_LENGTH(o.body) + COALESCE(OCTET_LENGTH(p.payload), 0)
             FROM storefront_order o
             LEFT JOIN storefront_payload p ON p.order_id = o.order_id
             WHERE o.order_id > $1
             ORDER BY o.order_id
             LIMIT $2",
            &[after.into(), sql_count(limit).into()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .await?;
    let mut left = sql_count(READ_BYTES_MAX);
    let fit = sizes.iter().take_while(|(_, bytes)| {
        let fits = left > 0;
        left = left.saturating_sub(*bytes);
        fits
    });
    let Some((last, _)) = fit.last() else { return Ok(Vec::new()) };
    let text = concat!(
        "SELECT ",
        order_columns!(),
        ", p.payload
         FROM storefront_order o
         LEFT JOIN storefront_payload p ON p.order_id = o.order_id
         WHERE o.order_id > $1
           AND o.order_id <= $2
         ORDER BY o.order_id"
    );
    sql.all(text, &[after.into(), (*last).into()], |row| Ok((kept(row)?, row.get(ORDER_COLUMNS)?))).await
}

/// # Errors
/// [`StoreError`] where they cannot be read.
pub async fn rooms(sql: &mut impl Sql) -> Result<Vec<StorefrontRoom>, StoreError> {
    let text = "
        SELECT ledger_no, storefront, waiting, due, payload_bytes
        FROM storefront_room
        ORDER BY ledger_no, storefront";
    let what = "the room of a storefront";
    sql.all(text, &[], |row| Ok((ledger_no_of(row.get(0)?)?, storefront_of(row, 1, what)?, room_of(row, 2)?)))
        .await
}

/// # Errors
/// [`StoreError`] where they cannot be read.
pub async fn mark(sql: &mut impl Sql) -> Result<OrdersMark, StoreError> {
    let text = "SELECT COUNT(*), CAST(COALESCE(SUM(revision), 0) AS BIGINT) FROM storefront_order";
    let [orders, revisions] = sql.all(text, &[], |row| row.array::<2>(0)).await?.pop().unwrap_or_default();
    let text = "SELECT order_id FROM storefront_order ORDER BY order_id DESC LIMIT 1";
    let what = "orders of storefronts";
    Ok(OrdersMark {
        orders: count_of(orders, what)?,
        revisions: count_of(revisions, what)?,
        last: sql.first(text, &[], |row| row.get(0)).await?,
    })
}

/// Removes all orders from behind `after` up to the last of a page, or up to the end where it is empty.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub async fn clear(sql: &mut impl Sql, after: Option<Uuid>, page: &[WithPayload]) -> Result<(), StoreError> {
    let last = page.last().map_or(Uuid::max(), |(order, _)| order.id);
    for text in [
        "DELETE FROM storefront_order_name WHERE order_id > $1 AND order_id <= $2",
        "DELETE FROM storefront_payload WHERE order_id > $1 AND order_id <= $2",
        "DELETE FROM storefront_order WHERE order_id > $1 AND order_id <= $2",
    ] {
        sql.run(text, &[after.unwrap_or_default().into(), last.into()]).await?;
    }
    Ok(())
}

/// Keeps the payloads of a page whose orders are there.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub async fn put_payloads(sql: &mut impl Sql, page: &[WithPayload]) -> Result<(), StoreError> {
    for (order, payload) in page.iter().filter(|(_, payload)| payload.is_some()) {
        put_payload(sql, order.id, payload.as_deref()).await?;
    }
    Ok(())
}

/// Puts the rooms of another database in place of those that are here.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub async fn replace_rooms(sql: &mut impl Sql, rooms: &[StorefrontRoom]) -> Result<(), StoreError> {
    sql.run("DELETE FROM storefront_room", &[]).await?;
    for room in rooms {
        put_room(sql, room).await?;
    }
    Ok(())
}

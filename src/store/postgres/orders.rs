//! Orders of storefronts, with lists: the number of statements does not depend on the number of orders.

use uuid::Uuid;

use crate::ledger::{LedgerNo, Storefront, Text};
use crate::store::error::StoreError;
use crate::store::orders::{KeptOrder, NameChanges, check, moved};
use crate::store::sql::database::Sql;
use crate::store::sql::orders::{checksum_of, kept, name_of, on_the_same_order, order_columns};
use crate::store::sql::row::Param;
use crate::store::stored::stored_count;

/// Orders that have any of these names, by id. Each name and each order is looked up separately; `OFFSET` keeps the
/// planner from merging the look-ups. A plan from the time of few orders would scan all of them.
pub(super) async fn named(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    storefront: &Storefront,
    names: &[Text],
) -> Result<Vec<KeptOrder>, StoreError> {
    let text = concat!(
        "SELECT o.*
         FROM (
             SELECT DISTINCT n.order_id
             FROM UNNEST($3::text[]) u(name)
             CROSS JOIN LATERAL (
                 SELECT n.order_id
                 FROM storefront_order_name n
                 WHERE n.ledger_no = $1
                   AND n.storefront = $2
                   AND n.name = u.name
                 OFFSET 0
             ) n
         ) found
         CROSS JOIN LATERAL (
             SELECT ",
        order_columns!(),
        "
             FROM storefront_order o
             WHERE o.order_id = found.order_id
             OFFSET 0
         ) o
         ORDER BY found.order_id"
    );
    let names: Vec<&str> = names.iter().map(Text::as_str).collect();
    sql.all(text, &[ledger.into(), storefront.as_str().into(), Param::Ids(&names)], kept).await
}

/// Those of some orders that there are. Each is looked up separately, as in [`named`].
pub(super) async fn by_id(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    ids: &[Uuid],
) -> Result<Vec<KeptOrder>, StoreError> {
    let text = concat!(
        "SELECT o.*
         FROM UNNEST($1::uuid[]) u(order_id)
         CROSS JOIN LATERAL (
             SELECT ",
        order_columns!(),
        "
             FROM storefront_order o
             WHERE o.order_id = u.order_id
               AND o.ledger_no = $2
             OFFSET 0
         ) o"
    );
    sql.all(text, &[Param::Uuids(ids), ledger.into()], kept).await
}

/// Creates or replaces orders, and changes the names that are not as they were.
///
/// # Errors
/// As [`OrderTx::put`](crate::store::orders::OrderTx::put).
pub(super) async fn put(sql: &mut impl Sql, orders: &[KeptOrder]) -> Result<(), StoreError> {
    check(orders)?;
    if orders.is_empty() {
        return Ok(());
    }
    let stored = names_of(sql, orders).await?;
    write(sql, orders, &NameChanges::of(orders, stored)).await
}

/// The names that are stored for these orders.
async fn names_of(sql: &mut impl Sql, orders: &[KeptOrder]) -> Result<Vec<(Uuid, Text)>, StoreError> {
    let text = "
        SELECT n.order_id, n.name
        FROM UNNEST($1::uuid[]) u(order_id)
        CROSS JOIN LATERAL (
            SELECT n.order_id, n.name
            FROM storefront_order_name n
            WHERE n.order_id = u.order_id
            OFFSET 0
        ) n";
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    sql.all(text, &[Param::Uuids(&ids)], |row| Ok((row.get(0)?, name_of(&row.get::<String>(1)?)?))).await
}

/// Writes orders, and the names that changed.
async fn write(sql: &mut impl Sql, orders: &[KeptOrder], names: &NameChanges<'_>) -> Result<(), StoreError> {
    write_orders(sql, orders).await?;
    let (ids, removed): (Vec<Uuid>, Vec<&str>) =
        names.removed.iter().map(|(id, name)| (*id, name.as_str())).unzip();
    if !ids.is_empty() {
        let text = "
            DELETE FROM storefront_order_name n
            USING UNNEST($1::uuid[], $2::text[]) u(order_id, name)
            WHERE n.order_id = u.order_id
              AND n.name = u.name";
        sql.run(text, &[Param::Uuids(&ids), Param::Ids(&removed)]).await?;
    }
    if names.added.is_empty() {
        return Ok(());
    }
    let ledgers: Vec<i64> = names.added.iter().map(|(order, _)| order.ledger.get().into()).collect();
    let storefronts: Vec<&str> = names.added.iter().map(|(order, _)| order.storefront.as_str()).collect();
    let texts: Vec<&str> = names.added.iter().map(|(_, name)| name.as_str()).collect();
    let ids: Vec<Uuid> = names.added.iter().map(|(order, _)| order.id).collect();
    let text = "
        INSERT INTO storefront_order_name (ledger_no, storefront, name, order_id)
        SELECT u.ledger_no, u.storefront, u.name, u.order_id
        FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::uuid[]) u(ledger_no, storefront, name, order_id)
        ON CONFLICT (ledger_no, storefront, name) DO UPDATE
        SET order_id = excluded.order_id";
    let params = [Param::Ints(&ledgers), Param::Ids(&storefronts), Param::Ids(&texts), Param::Uuids(&ids)];
    sql.run(text, &params).await.map(drop)
}

async fn write_orders(sql: &mut impl Sql, orders: &[KeptOrder]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
    let ledgers: Vec<i64> = orders.iter().map(|order| order.ledger.get().into()).collect();
    let storefronts: Vec<&str> = orders.iter().map(|order| order.storefront.as_str()).collect();
    let states: Vec<i64> = orders.iter().map(|order| order.state.code().into()).collect();
    let due: Vec<i64> = orders.iter().map(|order| order.due_at.micros()).collect();
    let revisions =
        orders.iter().map(|order| stored_count(order.revision)).collect::<Result<Vec<i64>, _>>()?;
    let bodies: Vec<&[u8]> = orders.iter().map(|order| order.body.as_slice()).collect();
    let checksums = orders.iter().map(checksum_of).collect::<Result<Vec<i64>, _>>()?;
    let text = concat!(
        "INSERT INTO storefront_order (
             order_id, ledger_no, storefront, state, due_at, revision, body, checksum
         )
         SELECT u.order_id, u.ledger_no, u.storefront, u.state, u.due_at, u.revision, u.body, u.checksum
         FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[],
                     $8::bigint[])
              u(order_id, ledger_no, storefront, state, due_at, revision, body, checksum)",
        on_the_same_order!()
    );
    let params = [
        Param::Uuids(&ids),
        Param::Ints(&ledgers),
        Param::Ids(&storefronts),
        Param::Ints(&states),
        Param::Ints(&due),
        Param::Ints(&revisions),
        Param::Blobs(&bodies),
        Param::Ints(&checksums),
    ];
    let written = sql.run(text, &params).await?;
    match orders.first() {
        Some(first) if u64::try_from(orders.len()) != Ok(written) => Err(moved(first.id)),
        _ => Ok(()),
    }
}

//! Orders of storefronts, row by row with statements that stay prepared.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::ledger::{LedgerNo, Storefront, Text};
use crate::store::error::StoreError;
use crate::store::orders::{KeptOrder, NameChanges, check, moved};
use crate::store::sql::database::Sql;
use crate::store::sql::orders::{checksum_of, kept, name_of, on_the_same_order, order_columns};
use crate::store::stored::stored_count;

/// Orders that have any of these names, by id.
pub(super) async fn named(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    storefront: &Storefront,
    names: &[Text],
) -> Result<Vec<KeptOrder>, StoreError> {
    let mut ids = BTreeSet::<Uuid>::new();
    for name in names {
        let text = "
            SELECT order_id
            FROM storefront_order_name
            WHERE ledger_no = $1
              AND storefront = $2
              AND name = $3";
        let params = [ledger.into(), storefront.as_str().into(), name.as_str().into()];
        ids.extend(sql.first(text, &params, |row| row.get::<Uuid>(0)).await?);
    }
    let mut orders = Vec::with_capacity(ids.len());
    for id in ids {
        let text = concat!("SELECT ", order_columns!(), " FROM storefront_order o WHERE o.order_id = $1");
        orders.push(sql.one(text, &[id.into()], kept).await?);
    }
    Ok(orders)
}

/// Those of some orders that there are.
pub(super) async fn by_id(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    ids: &[Uuid],
) -> Result<Vec<KeptOrder>, StoreError> {
    let mut orders = Vec::with_capacity(ids.len());
    for id in ids {
        let text = concat!(
            "SELECT ",
            order_columns!(),
            " FROM storefront_order o WHERE o.order_id = $1 AND o.ledger_no = $2"
        );
        orders.extend(sql.first(text, &[(*id).into(), ledger.into()], kept).await?);
    }
    Ok(orders)
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
    let mut names = Vec::new();
    for order in orders {
        let text = "SELECT name FROM storefront_order_name WHERE order_id = $1";
        let stored = sql.all(text, &[order.id.into()], |row| row.get::<String>(0)).await?;
        for name in stored {
            names.push((order.id, name_of(&name)?));
        }
    }
    Ok(names)
}

/// Writes orders, and the names that changed.
async fn write(sql: &mut impl Sql, orders: &[KeptOrder], names: &NameChanges<'_>) -> Result<(), StoreError> {
    for order in orders {
        let text = concat!(
            "INSERT INTO storefront_order (
                 order_id, ledger_no, storefront, state, due_at, revision, body, checksum
             )
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            on_the_same_order!()
        );
        let params = [
            order.id.into(),
            order.ledger.into(),
            order.storefront.as_str().into(),
            i64::from(order.state.code()).into(),
            order.due_at.into(),
            stored_count(order.revision)?.into(),
            (&order.body).into(),
            checksum_of(order)?.into(),
        ];
        if sql.run(text, &params).await? == 0 {
            return Err(moved(order.id));
        }
    }
    for (id, name) in &names.removed {
        let text = "DELETE FROM storefront_order_name WHERE order_id = $1 AND name = $2";
        sql.run(text, &[(*id).into(), name.as_str().into()]).await?;
    }
    for (order, name) in &names.added {
        let text = "
            INSERT INTO storefront_order_name (ledger_no, storefront, name, order_id)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT (ledger_no, storefront, name) DO UPDATE
            SET order_id = excluded.order_id";
        let params =
            [order.ledger.into(), order.storefront.as_str().into(), name.as_str().into(), order.id.into()];
        sql.run(text, &params).await?;
    }
    Ok(())
}

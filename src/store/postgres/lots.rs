//! Writes lots: new ones with their orders, what refunds changed, and what left them unused.

use std::sync::Arc;

use sqlx::PgConnection;
use sqlx::postgres::PgQueryResult;

use super::rows::sql_ledger;
use crate::ledger::codec::encode;
use crate::ledger::unused::Unused;
use crate::ledger::{Book, CustomerKey, Lot, LotId, Posting, Timestamp};
use crate::store::error::{StoreError, damaged};
use crate::store::sql::row::sql_count;

/// Writes the lots of a batch, one statement for each kind of change.
///
/// # Errors
/// [`StoreError`]; the transaction must be rolled back.
pub(super) async fn append(connection: &mut PgConnection, book: &Book) -> Result<(), StoreError> {
    insert(connection, book).await?;
    update(connection, book).await?;
    add_unused(connection, book).await
}

async fn insert(connection: &mut PgConnection, book: &Book) -> Result<(), StoreError> {
    let mut lots: Vec<(&Posting, &Lot)> = book
        .journal()
        .iter()
        .filter_map(|posting| Some((&**posting, &**posting.detail.lot.as_ref()?)))
        .collect();
    if lots.is_empty() {
        return Ok(());
    }
    lots.sort_unstable_by_key(|(posting, lot)| (posting.customer, lot.id));
    let numbers =
        |value: fn(&Lot) -> Option<i64>| lots.iter().map(|(_, lot)| value(lot)).collect::<Vec<Option<i64>>>();
    let texts = |value: fn(&Lot) -> Option<&str>| {
        lots.iter().map(|(_, lot)| value(lot).map(str::to_owned)).collect::<Vec<Option<String>>>()
    };
    sqlx::query(
        "INSERT INTO lot (
             customer, lot_id, ledger_no, source, storefront, order_id, credits, repaid,
             price_minor, currency, expires_at, created_at, body
         )
         SELECT *
         FROM UNNEST($1::bigint[], $2::uuid[], $3::int[], $4::smallint[], $5::text[], $6::text[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::bytea[])",
    )
    .bind(lots.iter().map(|(posting, _)| posting.customer.raw()).collect::<Vec<_>>())
    .bind(lots.iter().map(|(_, lot)| lot.id.uuid()).collect::<Vec<_>>())
    .bind(lots.iter().map(|(posting, _)| sql_ledger(posting.ledger)).collect::<Vec<_>>())
    .bind(lots.iter().map(|(_, lot)| i16::from(lot.source.code())).collect::<Vec<_>>())
    .bind(texts(|lot| lot.storefront.as_ref().map(crate::ledger::ids::Storefront::as_str)))
    .bind(texts(|lot| lot.order.as_ref().map(crate::ledger::ids::OrderId::as_str)))
    .bind(numbers(|lot| Some(lot.credits.units())))
    .bind(numbers(|lot| Some(lot.repaid.units())))
    .bind(numbers(|lot| lot.price.map(|price| price.minor_units)))
    .bind(texts(|lot| lot.price.as_ref().map(|price| price.currency.as_str())))
    .bind(numbers(|lot| lot.expires_at.map(Timestamp::micros)))
    .bind(numbers(|lot| Some(lot.created_at.micros())))
    .bind(lots.iter().map(|(_, lot)| encode(*lot)).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    insert_orders(connection, &lots).await
}

/// Adds to what left lots unused. Their bodies stay: the lots were not loaded.
async fn add_unused(connection: &mut PgConnection, book: &Book) -> Result<(), StoreError> {
    let mut lots: Vec<(CustomerKey, LotId, &Unused)> = book.newly_unused().collect();
    if lots.is_empty() {
        return Ok(());
    }
    lots.sort_unstable_by_key(|(customer, lot, _)| (*customer, *lot));
    let numbers = |value: fn(&Unused) -> i64| lots.iter().map(|lot| value(lot.2)).collect::<Vec<i64>>();
    let updated = sqlx::query(
        "UPDATE lot l
         SET expired = l.expired + u.expired,
             expired_minor = l.expired_minor + u.expired_minor,
             adjusted = l.adjusted + u.adjusted,
             adjusted_minor = l.adjusted_minor + u.adjusted_minor
         FROM UNNEST($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
              u(customer, lot_id, expired, expired_minor, adjusted, adjusted_minor)
         WHERE l.customer = u.customer
           AND l.lot_id = u.lot_id",
    )
    .bind(lots.iter().map(|lot| lot.0.raw()).collect::<Vec<_>>())
    .bind(lots.iter().map(|lot| lot.1.uuid()).collect::<Vec<_>>())
    .bind(numbers(|unused| unused.expired.units()))
    .bind(numbers(|unused| unused.expired_minor))
    .bind(numbers(|unused| unused.adjusted.units()))
    .bind(numbers(|unused| unused.adjusted_minor))
    .execute(connection)
    .await?;
    all_were_there(&updated, lots.len())
}

/// An update that misses a row would lose what it adds.
fn all_were_there(updated: &PgQueryResult, lots: usize) -> Result<(), StoreError> {
    if u64::try_from(lots).is_ok_and(|lots| updated.rows_affected() == lots) {
        Ok(())
    } else {
        Err(damaged("the row of a lot is not there"))
    }
}

/// What was refunded of a purchase is in the body. What left it unused is in columns of its own.
async fn update(connection: &mut PgConnection, book: &Book) -> Result<(), StoreError> {
    let mut lots: Vec<(CustomerKey, &Arc<Lot>)> = book.touched_lots().collect();
    if lots.is_empty() {
        return Ok(());
    }
    lots.sort_unstable_by_key(|(customer, lot)| (*customer, lot.id));
    let updated = sqlx::query(
        "UPDATE lot l
         SET body = u.body
         FROM UNNEST($1::bigint[], $2::uuid[], $3::bytea[]) u(customer, lot_id, body)
         WHERE l.customer = u.customer
           AND l.lot_id = u.lot_id",
    )
    .bind(lots.iter().map(|(customer, _)| customer.raw()).collect::<Vec<_>>())
    .bind(lots.iter().map(|(_, lot)| lot.id.uuid()).collect::<Vec<_>>())
    .bind(lots.iter().map(|(_, lot)| encode(lot.as_ref())).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    all_were_there(&updated, lots.len())
}

/// When two servers race for one order, the second waits here and clashes; its next attempt reads the first one's
/// row.
async fn insert_orders(connection: &mut PgConnection, lots: &[(&Posting, &Lot)]) -> Result<(), StoreError> {
    let mut orders: Vec<(i32, &str, &str, i64, i64)> = lots
        .iter()
        .filter_map(|(posting, lot)| {
            let (storefront, order) = (lot.storefront.as_ref()?.as_str(), lot.order.as_ref()?.as_str());
            let (customer, sequence) = (posting.customer.raw(), sql_count(posting.sequence));
            Some((sql_ledger(posting.ledger), storefront, order, customer, sequence))
        })
        .collect();
    if orders.is_empty() {
        return Ok(());
    }
    orders.sort_unstable();
    sqlx::query(
        "INSERT INTO purchase_order (ledger_no, storefront, order_id, customer, sequence)
         SELECT *
         FROM UNNEST($1::int[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])",
    )
    .bind(orders.iter().map(|order| order.0).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.1).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.2).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.3).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.4).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

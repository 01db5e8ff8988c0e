//! Customers and their profiles.

use super::database::{Dialect, Sql};
use super::row::{Param, Row, sql_count};
use super::rows::{CUSTOMER_COLUMNS, body, customer, customer_columns};
use crate::ledger::{Credits, Customer, CustomerId, CustomerKey, LedgerNo, Profile, Timestamp};
use crate::store::error::StoreError;
use crate::store::stored::{customer_id_of, ledger_no_of};

const PROFILE: &str = "a profile";

pub async fn by_key(sql: &mut impl Sql, key: CustomerKey) -> Result<Option<Customer>, StoreError> {
    let text = concat!("SELECT ", customer_columns!(), " FROM customer c WHERE c.customer = $1");
    sql.first(text, &[key.into()], customer).await
}

/// Several customers. A key that is listed twice returns one row: the statement uses the list as a condition, not as
/// a join.
pub async fn by_keys<S: Sql>(sql: &mut S, keys: Vec<i64>) -> Result<Vec<Customer>, StoreError> {
    sql.all(S::Dialect::CUSTOMERS_BY_KEY, &[Param::Ints(&keys)], customer).await
}

pub async fn profile(sql: &mut impl Sql, key: CustomerKey) -> Result<Option<Profile>, StoreError> {
    sql.first(
        "SELECT p.profile
         FROM customer c
         CROSS JOIN profile p
         WHERE c.customer = $1
           AND p.ledger_no = c.ledger_no
           AND p.customer_id = c.customer_id",
        &[key.into()],
        |row| body(row, 0, PROFILE),
    )
    .await
}

pub async fn profiles<S: Sql>(
    sql: &mut S,
    keys: Vec<i64>,
) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError> {
    sql.all(S::Dialect::PROFILES_BY_KEY, &[Param::Ints(&keys)], |row| {
        let id: String = row.get(1)?;
        Ok((CustomerKey::from_raw(row.get(0)?), customer_id_of(&id)?, body(row, 2, PROFILE)?))
    })
    .await
}

/// Customers of a ledger by id.
pub async fn list(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    after: Option<CustomerId>,
    limit: usize,
) -> Result<Vec<(Customer, Profile)>, StoreError> {
    // No id is empty, so every id comes after the empty text.
    let after = after.as_ref().map_or("", |after| after.as_str());
    sql.all(
        concat!(
            "SELECT ",
            customer_columns!(),
            ", p.profile
             FROM profile p
             CROSS JOIN customer c
             WHERE p.ledger_no = $1
               AND p.customer_id > $2
               AND c.customer = p.customer
             ORDER BY p.customer_id
             LIMIT $3"
        ),
        &[ledger.into(), after.into(), sql_count(limit).into()],
        |row| Ok((customer(row)?, body(row, CUSTOMER_COLUMNS, PROFILE)?)),
    )
    .await
}

/// Customers for whom something may have fallen due.
pub async fn due(
    sql: &mut impl Sql,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError> {
    sql.all(
        "SELECT ledger_no, customer_id
         FROM customer
         WHERE next_due <= $1
         ORDER BY next_due, customer
         LIMIT $2",
        &[now.into(), sql_count(limit).into()],
        |row| {
            let id: String = row.get(1)?;
            Ok((ledger_no_of(row.get(0)?)?, customer_id_of(&id)?))
        },
    )
    .await
}

/// Balances by account name.
pub async fn balances<S: Sql>(sql: &mut S, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError> {
    let read = |row: &dyn Row| Ok((row.get(0)?, Credits::from_units(row.get(1)?)));
    let mut balances = sql.scan(S::Dialect::BALANCES, &[ledger.into()], read).await?;
    balances.sort();
    Ok(balances)
}

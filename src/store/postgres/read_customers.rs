//! Reading ledgers, customers and balances.

use sqlx::postgres::PgRow;
use sqlx::{Executor as _, PgExecutor, Row as _};

use super::errors::{damaged, failed};
use super::read::PgReader;
use super::rows::{
    CustomerRow, count_of, customer_columns, customer_id_of, decoded, ledger_no_of, request_of, sql_count,
    sql_ledger,
};
use crate::ledger::{
    Credits, Customer, CustomerId, CustomerKey, LedgerId, LedgerNo, Profile, RequestKey, Timestamp,
};
use crate::store::{Ledger, StoreError, StoreInfo};

/// All ledgers, by number, with the requests that made them.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn ledger_rows(
    database: impl PgExecutor<'_>,
) -> Result<Vec<(Ledger, Option<RequestKey>)>, StoreError> {
    let rows: Vec<(i32, String, i64, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT ledger_no, ledger_id, created_at, request FROM ledger ORDER BY ledger_no")
            .fetch_all(database)
            .await
            .map_err(failed)?;
    rows.into_iter()
        .map(|(no, id, created_at, request)| {
            let ledger = Ledger {
                no: ledger_no_of(no)?,
                id: LedgerId::parse(&id).map_err(|error| damaged(format!("ledger id {id:?}: {error}")))?,
                created_at: Timestamp::from_micros(created_at),
            };
            let request = request.map(|request| request_of(&request, "a ledger")).transpose()?;
            Ok((ledger, request))
        })
        .collect()
}

impl PgReader {
    pub(super) async fn store_info(&self) -> Result<StoreInfo, StoreError> {
        // Two statements: the list of migrations is not read together with a table that may lie on another machine.
        let schema: Option<i64> =
            sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.pool())
                .await
                .map_err(failed)?;
        // Ledgers are numbered from 0 without gaps, so the last number is their count.
        let last: Option<i32> = sqlx::query_scalar("SELECT MAX(ledger_no) FROM ledger")
            .fetch_one(&self.pool())
            .await
            .map_err(failed)?;
        let last = last.map(|last| count_of(last.into(), "a ledger's number")).transpose()?;
        let ledgers = last.map_or(0, |last| last.saturating_add(1));
        let schema_version = count_of(schema.unwrap_or_default(), "the schema's version")?;
        Ok(StoreInfo { engine: "postgres", schema_version, ledgers })
    }

    pub(super) async fn ledger_by_id(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError> {
        let row: Option<(i32, i64)> =
            sqlx::query_as("SELECT ledger_no, created_at FROM ledger WHERE ledger_id = $1")
                .bind(id.as_str())
                .fetch_optional(&self.pool())
                .await
                .map_err(failed)?;
        row.map(|(no, created_at)| {
            let created_at = Timestamp::from_micros(created_at);
            Ok(Ledger { no: ledger_no_of(no)?, id: id.clone(), created_at })
        })
        .transpose()
    }

    pub(super) async fn customer_by_key(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError> {
        let row =
            sqlx::query(concat!("SELECT ", customer_columns!(), " FROM customer c WHERE c.customer = $1"))
                .bind(key.raw())
                .fetch_optional(&self.pool())
                .await
                .map_err(failed)?;
        row.as_ref().map(customer_of).transpose()
    }

    pub(super) async fn customers_of_keys(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError> {
        // A key that is asked for twice comes back once: = ANY is a condition, not a join.
        let keys: Vec<i64> = keys.iter().map(|key| key.raw()).collect();
        let rows = sqlx::query(concat!(
            "SELECT ",
            customer_columns!(),
            " FROM customer c WHERE c.customer = ANY($1)"
        ))
        .bind(keys)
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        rows.iter().map(customer_of).collect()
    }

    pub(super) async fn profile_of(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError> {
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT p.profile
             FROM customer c
             JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
             WHERE c.customer = $1",
        )
        .bind(key.raw())
        .fetch_optional(&self.pool())
        .await
        .map_err(failed)?;
        body.map(|body| decoded(&body, "a profile")).transpose()
    }

    pub(super) async fn profiles_of_keys(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError> {
        let keys: Vec<i64> = keys.iter().map(|key| key.raw()).collect();
        let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
            "SELECT c.customer, c.customer_id, p.profile
             FROM customer c
             JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
             WHERE c.customer = ANY($1)",
        )
        .bind(keys)
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        rows.into_iter()
            .map(|(key, id, body)| {
                Ok((CustomerKey::from_raw(key), customer_id_of(&id)?, decoded(&body, "a profile")?))
            })
            .collect()
    }

    pub(super) async fn customers_after(
        &self,
        ledger: LedgerNo,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<(Customer, Profile)>, StoreError> {
        // No id is empty, so every id comes after the empty text.
        let rows = sqlx::query(concat!(
            "SELECT ",
            customer_columns!(),
            ", p.profile
             FROM profile p
             JOIN customer c ON c.customer = p.customer
             WHERE p.ledger_no = $1
               AND p.customer_id > $2
             ORDER BY p.customer_id
             LIMIT $3"
        ))
        .bind(sql_ledger(ledger))
        .bind(after.map_or("", |after| after.as_str()))
        .bind(sql_count(limit))
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let profile: Vec<u8> = row.try_get("profile").map_err(failed)?;
                Ok((customer_of(row)?, decoded(&profile, "a profile")?))
            })
            .collect()
    }

    pub(super) async fn customers_due_by(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError> {
        let rows: Vec<(i32, String)> = sqlx::query_as(
            "SELECT ledger_no, customer_id
             FROM customer
             WHERE next_due <= $1
             ORDER BY next_due, customer
             LIMIT $2",
        )
        .bind(now.micros())
        .bind(sql_count(limit))
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        rows.into_iter().map(|(ledger, id)| Ok((ledger_no_of(ledger)?, customer_id_of(&id)?))).collect()
    }

    /// One statement, so one snapshot: what is summed belongs together, and comes to zero. What the system accounts
    /// lack of the newest commits is still in `pending`.
    pub(super) async fn balances_of(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError> {
        let mut transaction = self.pool().begin().await.map_err(failed)?;
        // It needs all customers, so reading the table from one end to the other is right here.
        transaction.execute("SET LOCAL enable_seqscan = on").await.map_err(failed)?;
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "WITH customers(available, held, owed) AS MATERIALIZED (
                 SELECT COALESCE(SUM(available), 0), COALESCE(SUM(held), 0), COALESCE(SUM(owed), 0)
                 FROM customer
                 WHERE ledger_no = $1
             )
             SELECT account, CAST(SUM(balance) AS BIGINT)
             FROM (
                 SELECT 'available' AS account, available AS balance FROM customers UNION ALL
                 SELECT 'held', held FROM customers UNION ALL
                 SELECT 'receivable', -owed FROM customers UNION ALL
                 SELECT account, balance FROM system_account WHERE ledger_no = $1 UNION ALL
                 SELECT u.account, u.amount
                 FROM pending p
                 CROSS JOIN LATERAL UNNEST(p.accounts, p.amounts) u(account, amount)
                 WHERE p.ledger_no = $1
             ) parts
             GROUP BY account",
        )
        .bind(sql_ledger(ledger))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let mut balances: Vec<(String, Credits)> =
            rows.into_iter().map(|(account, units)| (account, Credits::from_units(units))).collect();
        balances.sort();
        Ok(balances)
    }
}

fn customer_of(row: &PgRow) -> Result<Customer, StoreError> {
    CustomerRow::read(row, 0)?.customer()
}

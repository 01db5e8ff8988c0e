//! Reading ledgers, customers and balances.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::failed;
use super::read::SqliteReader;
use super::rows::{
    CustomerRow, count_of, customer_columns, customer_id_of, decoded, ledger_no_of, limit_of, request_column,
    request_of,
};
use crate::ledger::{Credits, Customer, CustomerId, CustomerKey, LedgerId, LedgerNo, Profile, Timestamp};
use crate::store::{Ledger, StoreError, StoreInfo, StoredLedger};

/// Keys in one statement; unused places are NULL, which equals nothing. One text, parsed once.
const KEYS_PER_STATEMENT: usize = 50;

/// So many places for keys.
macro_rules! fifty_keys {
    () => {
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
         ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
    };
}

impl SqliteReader {
    pub(super) async fn store_info(&self) -> Result<StoreInfo, StoreError> {
        // Ledgers are numbered from 0 without gaps, so the last number is their count.
        let (schema, last): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT MAX(version) FROM _sqlx_migrations WHERE success), (SELECT MAX(ledger_no) FROM ledger)",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(failed)?;
        let last = last.map(|last| count_of(last, "a ledger's number")).transpose()?;
        let ledgers = last.map_or(0, |last| last.saturating_add(1));
        let schema_version = count_of(schema.unwrap_or_default(), "the schema's version")?;
        Ok(StoreInfo { engine: "sqlite", schema_version, ledgers })
    }

    pub(super) async fn ledger_by_id(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError> {
        let row: Option<(i64, i64)> =
            sqlx::query_as("SELECT ledger_no, created_at FROM ledger WHERE ledger_id = ?")
                .bind(id.as_str())
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        row.map(|(no, created_at)| {
            let created_at = Timestamp::from_micros(created_at);
            Ok(Ledger { no: ledger_no_of(no)?, id: id.clone(), created_at })
        })
        .transpose()
    }

    pub(super) async fn ledger_rows(&self) -> Result<Vec<StoredLedger>, StoreError> {
        let rows =
            sqlx::query("SELECT ledger_no, ledger_id, created_at, request FROM ledger ORDER BY ledger_no")
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        let mut ledgers = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: String = row.try_get(1).map_err(failed)?;
            let ledger = Ledger {
                no: ledger_no_of(row.try_get(0).map_err(failed)?)?,
                id: LedgerId::parse(&id)
                    .map_err(|error| StoreError::Damaged(format!("ledger id {id:?}: {error}")))?,
                created_at: Timestamp::from_micros(row.try_get(2).map_err(failed)?),
            };
            let request = request_of(request_column(row, 3).map_err(failed)?, "a ledger")?;
            let default_alerts = self.stored_alerts_of(ledger.no).await?;
            ledgers.push(StoredLedger { ledger, request, default_alerts });
        }
        Ok(ledgers)
    }

    /// A customer's row as it stands.
    pub(super) async fn customer_row(&self, key: CustomerKey) -> Result<Option<CustomerRow>, StoreError> {
        let row =
            sqlx::query(concat!("SELECT ", customer_columns!(), " FROM customer c WHERE c.customer = ?"))
                .bind(key.raw())
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        row.as_ref().map(CustomerRow::of_reader).transpose().map_err(failed)
    }

    pub(super) async fn customer_by_key(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError> {
        self.customer_row(key).await?.map(|row| row.customer()).transpose()
    }

    pub(super) async fn customers_of_keys(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError> {
        // A key that was asked for twice must not come back twice from two statements.
        let keys: Vec<CustomerKey> = keys.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let mut customers = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_PER_STATEMENT) {
            let mut query = sqlx::query(concat!(
                "SELECT ",
                customer_columns!(),
                " FROM customer c WHERE c.customer IN (",
                fifty_keys!(),
                ")"
            ));
            for place in 0..KEYS_PER_STATEMENT {
                query = query.bind(keys.get(place).map(|key| key.raw()));
            }
            for row in query.fetch_all(&self.pool).await.map_err(failed)? {
                customers.push(CustomerRow::of_reader(&row).map_err(failed)?.customer()?);
            }
        }
        Ok(customers)
    }

    pub(super) async fn profile_of(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError> {
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT p.profile
             FROM customer c
             CROSS JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
             WHERE c.customer = ?",
        )
        .bind(key.raw())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        body.map(|body| decoded(&body, "a profile")).transpose()
    }

    pub(super) async fn profiles_of_keys(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError> {
        let keys: Vec<CustomerKey> = keys.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let mut profiles = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_PER_STATEMENT) {
            let mut query = sqlx::query_as::<_, (i64, String, Vec<u8>)>(concat!(
                "SELECT c.customer, c.customer_id, p.profile
                 FROM customer c
                 CROSS JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
                 WHERE c.customer IN (",
                fifty_keys!(),
                ")"
            ));
            for place in 0..KEYS_PER_STATEMENT {
                query = query.bind(keys.get(place).map(|key| key.raw()));
            }
            for (key, id, body) in query.fetch_all(&self.pool).await.map_err(failed)? {
                let profile = decoded(&body, "a profile")?;
                profiles.push((CustomerKey::from_raw(key), customer_id_of(&id)?, profile));
            }
        }
        Ok(profiles)
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
             CROSS JOIN customer c ON c.customer = p.customer
             WHERE p.ledger_no = ?
               AND p.customer_id > ?
             ORDER BY p.customer_id
             LIMIT ?"
        ))
        .bind(ledger.get())
        .bind(after.map_or("", |after| after.as_str()))
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row: &SqliteRow| {
                let customer = CustomerRow::of_reader(row).map_err(failed)?.customer()?;
                let profile: Vec<u8> = row.try_get(9).map_err(failed)?;
                Ok((customer, decoded(&profile, "a profile")?))
            })
            .collect()
    }

    pub(super) async fn customers_due_by(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError> {
        let rows = sqlx::query(
            "SELECT ledger_no, customer_id
             FROM customer
             WHERE next_due <= ?
             ORDER BY next_due, customer
             LIMIT ?",
        )
        .bind(now.micros())
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get(1).map_err(failed)?;
                Ok((ledger_no_of(row.try_get(0).map_err(failed)?)?, customer_id_of(&id)?))
            })
            .collect()
    }

    /// One statement, so one snapshot: what is summed belongs together, and comes to zero.
    pub(super) async fn balances_of(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "WITH customers(available, held, owed) AS MATERIALIZED (
                 SELECT COALESCE(SUM(available), 0), COALESCE(SUM(held), 0), COALESCE(SUM(owed), 0)
                 FROM customer
                 WHERE ledger_no = ?
             )
             SELECT 'available', available FROM customers
             UNION ALL
             SELECT 'held', held FROM customers
             UNION ALL
             SELECT 'receivable', -owed FROM customers
             UNION ALL
             SELECT account, balance FROM system_account WHERE ledger_no = ?",
        )
        .bind(ledger.get())
        .bind(ledger.get())
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let mut balances: Vec<(String, Credits)> =
            rows.into_iter().map(|(account, units)| (account, Credits::from_units(units))).collect();
        balances.sort();
        Ok(balances)
    }
}

//! The thresholds that ledgers give to customers without their own.

use std::sync::Arc;

use rusqlite::params;
use sqlx::Row as _;

use super::connection::Statements;
use super::failed;
use super::read::SqliteReader;
use super::rows::{damaged, decoded, ledger_no_of, request_column, request_of, request_value};
use crate::ledger::alert::{DefaultAlerts, LedgerAlerts};
use crate::ledger::codec::encode;
use crate::ledger::{LedgerNo, RequestKey, Timestamp};
use crate::store::{DefaultAlertsSet, NewDefaultAlerts, StoreError, StoredDefaultAlerts};

/// What holds in each ledger.
///
/// # Errors
/// [`StoreError`].
pub(super) fn read(statements: Statements<'_>) -> Result<LedgerAlerts, StoreError> {
    let rows = statements.all(
        "SELECT ledger_no, body
         FROM default_alerts
         ORDER BY ledger_no, version",
        [],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
    )?;
    let alerts = |(no, body): (i64, Vec<u8>)| {
        let default: DefaultAlerts = decoded(&body, "the thresholds of a ledger")?;
        Ok((ledger_no_of(no)?, Arc::new(default.alerts)))
    };
    // The highest version comes last and stays.
    rows.into_iter().map(alerts).collect()
}

/// Sets them, in the caller's transaction.
///
/// # Errors
/// [`StoreError`].
pub(super) fn set(
    statements: Statements<'_>,
    alerts: &NewDefaultAlerts,
    now: Timestamp,
) -> Result<DefaultAlertsSet, StoreError> {
    let NewDefaultAlerts { ledger, request, default } = alerts;
    let earlier = statements.first(
        "SELECT body
         FROM default_alerts
         WHERE ledger_no = ?
           AND request = ?",
        params![ledger.get(), request_value(request)],
        |row| row.get::<_, Vec<u8>>(0),
    )?;
    if let Some(body) = earlier {
        let same = decoded::<DefaultAlerts>(&body, "the thresholds of a ledger")? == *default;
        return Ok(if same {
            DefaultAlertsSet::Set { replayed: true }
        } else {
            DefaultAlertsSet::RequestIdReused
        });
    }
    insert(statements, *ledger, request, now, default)?;
    Ok(DefaultAlertsSet::Set { replayed: false })
}

/// Adds the next version.
///
/// # Errors
/// [`StoreError`].
pub(super) fn insert(
    statements: Statements<'_>,
    ledger: LedgerNo,
    request: &RequestKey,
    set_at: Timestamp,
    default: &DefaultAlerts,
) -> Result<(), StoreError> {
    statements
        .run(
            "INSERT INTO default_alerts (ledger_no, version, request, set_at, body)
             SELECT ?, COALESCE(MAX(version), 0) + 1, ?, ?, ?
             FROM default_alerts
             WHERE ledger_no = ?",
            params![ledger.get(), request_value(request), set_at.micros(), encode(default), ledger.get()],
        )
        .map(drop)
}

impl SqliteReader {
    pub(super) async fn default_alerts_of(
        &self,
        ledger: LedgerNo,
    ) -> Result<Option<DefaultAlerts>, StoreError> {
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT body
             FROM default_alerts
             WHERE ledger_no = ?
             ORDER BY version DESC
             LIMIT 1",
        )
        .bind(ledger.get())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        body.map(|body| decoded(&body, "the thresholds of a ledger")).transpose()
    }

    /// All that ever held in a ledger, oldest first.
    pub(super) async fn stored_alerts_of(
        &self,
        ledger: LedgerNo,
    ) -> Result<Vec<StoredDefaultAlerts>, StoreError> {
        let rows = sqlx::query(
            "SELECT request, set_at, body
             FROM default_alerts
             WHERE ledger_no = ?
             ORDER BY version",
        )
        .bind(ledger.get())
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let request = request_of(request_column(row, 0).map_err(failed)?, "thresholds")?;
                let body: Vec<u8> = row.try_get(2).map_err(failed)?;
                Ok(StoredDefaultAlerts {
                    request: request.ok_or_else(|| damaged("thresholds without a request"))?,
                    set_at: Timestamp::from_micros(row.try_get(1).map_err(failed)?),
                    default: decoded(&body, "the thresholds of a ledger")?,
                })
            })
            .collect()
    }
}

//! The thresholds that ledgers give to customers without their own. Where two servers race for a version or a request,
//! the second clashes and looks again.

use sqlx::{PgConnection, PgExecutor};

use super::errors::failed;
use super::read::PgReader;
use super::rows::{decoded, ledger_no_of, request_bytes, request_of, sql_ledger};
use crate::ledger::alert::DefaultAlerts;
use crate::ledger::codec::encode;
use crate::ledger::{LedgerNo, RequestKey, Timestamp};
use crate::store::{DefaultAlertsSet, NewDefaultAlerts, StoreError, StoredDefaultAlerts};

/// Sets them, in the caller's transaction.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn set(
    connection: &mut PgConnection,
    alerts: &NewDefaultAlerts,
    now: Timestamp,
) -> Result<DefaultAlertsSet, StoreError> {
    let NewDefaultAlerts { ledger, request, default } = alerts;
    let earlier: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM default_alerts WHERE ledger_no = $1 AND request = $2")
            .bind(sql_ledger(*ledger))
            .bind(request_bytes(request))
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
    if let Some(body) = earlier {
        let same = read(&body)? == *default;
        return Ok(if same {
            DefaultAlertsSet::Set { replayed: true }
        } else {
            DefaultAlertsSet::RequestIdReused
        });
    }
    insert(connection, *ledger, request, now, default).await?;
    Ok(DefaultAlertsSet::Set { replayed: false })
}

/// Adds the next version.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn insert(
    connection: &mut PgConnection,
    ledger: LedgerNo,
    request: &RequestKey,
    set_at: Timestamp,
    default: &DefaultAlerts,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO default_alerts (ledger_no, version, request, set_at, body)
         SELECT $1, COALESCE(MAX(version), 0) + 1, $2, $3, $4
         FROM default_alerts
         WHERE ledger_no = $1",
    )
    .bind(sql_ledger(ledger))
    .bind(request_bytes(request))
    .bind(set_at.micros())
    .bind(encode(default))
    .execute(connection)
    .await
    .map_err(failed)
    .map(drop)
}

/// Thresholds as they are stored.
///
/// # Errors
/// [`StoreError::Damaged`].
pub(super) fn read(body: &[u8]) -> Result<DefaultAlerts, StoreError> {
    decoded(body, "the thresholds of a ledger")
}

/// All that ever held in any ledger, oldest first.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn stored(
    database: impl PgExecutor<'_>,
) -> Result<Vec<(LedgerNo, StoredDefaultAlerts)>, StoreError> {
    let rows: Vec<(i32, Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT ledger_no, request, set_at, body FROM default_alerts ORDER BY ledger_no, version",
    )
    .fetch_all(database)
    .await
    .map_err(failed)?;
    rows.into_iter()
        .map(|(ledger, request, set_at, body)| {
            let stored = StoredDefaultAlerts {
                request: request_of(&request, "thresholds")?,
                set_at: Timestamp::from_micros(set_at),
                default: read(&body)?,
            };
            Ok((ledger_no_of(ledger)?, stored))
        })
        .collect()
}

impl PgReader {
    pub(super) async fn default_alerts_of(
        &self,
        ledger: LedgerNo,
    ) -> Result<Option<DefaultAlerts>, StoreError> {
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT body FROM default_alerts WHERE ledger_no = $1 ORDER BY version DESC LIMIT 1",
        )
        .bind(sql_ledger(ledger))
        .fetch_optional(&self.pool())
        .await
        .map_err(failed)?;
        body.map(|body| read(&body)).transpose()
    }
}

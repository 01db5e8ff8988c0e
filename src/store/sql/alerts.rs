//! The default alert thresholds of ledgers. When two servers race for a version or a request, the second one clashes,
//! and its next attempt reads the first one's row.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::database::Sql;
use super::rows::body;
use crate::ledger::alert::{DefaultAlerts, LedgerAlerts};
use crate::ledger::codec::encode;
use crate::ledger::{LedgerNo, Timestamp};
use crate::store::alerts::{DefaultAlertsSet, NewDefaultAlerts, StoredDefaultAlerts};
use crate::store::error::{StoreError, damaged};
use crate::store::stored::ledger_no_of;

const WHAT: &str = "the thresholds of a ledger";

/// Every version in each ledger, oldest first.
pub async fn stored(sql: &mut impl Sql) -> Result<BTreeMap<LedgerNo, Vec<StoredDefaultAlerts>>, StoreError> {
    let rows = sql
        .all(
            "SELECT ledger_no, request, set_at, body FROM default_alerts ORDER BY ledger_no, version",
            &[],
            |row| {
                let request = row.request(1)?.ok_or_else(|| damaged("thresholds without a request"))?;
                let stored = StoredDefaultAlerts {
                    request: request.key("thresholds")?,
                    set_at: Timestamp::from_micros(row.get(2)?),
                    default: body(row, 3, WHAT)?,
                };
                Ok((ledger_no_of(row.get(0)?)?, stored))
            },
        )
        .await?;
    let mut ledgers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (ledger, stored) in rows {
        ledgers.entry(ledger).or_default().push(stored);
    }
    Ok(ledgers)
}

/// The current version in each ledger.
pub async fn current(sql: &mut impl Sql) -> Result<LedgerAlerts, StoreError> {
    let ledgers = stored(sql).await?.into_iter();
    let last = |(ledger, mut all): (_, Vec<StoredDefaultAlerts>)| {
        all.pop().map(|last| (ledger, Arc::new(last.default.alerts)))
    };
    Ok(ledgers.filter_map(last).collect())
}

/// The current version in one ledger.
pub async fn of_ledger(sql: &mut impl Sql, ledger: LedgerNo) -> Result<Option<DefaultAlerts>, StoreError> {
    sql.first(
        "SELECT body FROM default_alerts WHERE ledger_no = $1 ORDER BY version DESC LIMIT 1",
        &[ledger.into()],
        |row| body(row, 0, WHAT),
    )
    .await
}

/// Sets the thresholds, in the caller's transaction.
pub async fn set(
    sql: &mut impl Sql,
    alerts: &NewDefaultAlerts,
    now: Timestamp,
) -> Result<DefaultAlertsSet, StoreError> {
    let NewDefaultAlerts { ledger, request, default } = alerts;
    let earlier: Option<DefaultAlerts> = sql
        .first(
            "SELECT body FROM default_alerts WHERE ledger_no = $1 AND request = $2",
            &[(*ledger).into(), request.into()],
            |row| body(row, 0, WHAT),
        )
        .await?;
    match earlier {
        Some(earlier) if earlier == *default => Ok(DefaultAlertsSet::Set { replayed: true }),
        Some(_) => Ok(DefaultAlertsSet::RequestIdReused),
        None => {
            let stored =
                StoredDefaultAlerts { request: request.clone(), set_at: now, default: default.clone() };
            insert(sql, *ledger, &stored).await?;
            Ok(DefaultAlertsSet::Set { replayed: false })
        }
    }
}

/// Adds the next version.
pub async fn insert(
    sql: &mut impl Sql,
    ledger: LedgerNo,
    stored: &StoredDefaultAlerts,
) -> Result<(), StoreError> {
    let StoredDefaultAlerts { request, set_at, default } = stored;
    sql.run(
        "INSERT INTO default_alerts (ledger_no, version, request, set_at, body)
         SELECT $1, COALESCE(MAX(version), 0) + 1, $2, $3, $4
         FROM default_alerts
         WHERE ledger_no = $1",
        &[ledger.into(), request.into(), (*set_at).into(), (&encode(default)).into()],
    )
    .await
    .map(drop)
}

//! Reads and creates ledgers.

use super::alerts;
use super::database::{Dialect, Sql};
use super::row::Row;
use crate::ledger::{LedgerId, LedgerNo, Timestamp};
use crate::store::audit::StoredLedger;
use crate::store::error::{StoreError, damaged};
use crate::store::read_store::StoreInfo;
use crate::store::recorded::Ledger;
use crate::store::stored::{count_of, ledger_no_of};
use crate::store::write_store::{LedgerCreated, NewLedger};

/// Reads number, id and time.
fn ledger(row: &dyn Row) -> Result<Ledger, StoreError> {
    let id: String = row.get(1)?;
    Ok(Ledger {
        no: ledger_no_of(row.get(0)?)?,
        id: LedgerId::parse(&id).map_err(|error| damaged(format!("ledger id {id:?}: {error}")))?,
        created_at: Timestamp::from_micros(row.get(2)?),
    })
}

/// The engine, its schema version, and the number of ledgers.
pub async fn info<S: Sql>(sql: &mut S) -> Result<StoreInfo, StoreError> {
    // Two statements, because a distributed database may keep the list of migrations on another machine than the
    // tables.
    let schema: Option<i64> =
        sql.one("SELECT MAX(version) FROM _sqlx_migrations WHERE success", &[], |row| row.get(0)).await?;
    // Ledgers are numbered from 0 without gaps, so the last number is their count.
    let last: Option<i64> = sql.one("SELECT MAX(ledger_no) FROM ledger", &[], |row| row.get(0)).await?;
    let count = |value: Option<i64>, what| value.map(|value| count_of(value, what)).transpose();
    let ledgers = count(last, "a ledger's number")?.map_or(0, |last| last.saturating_add(1));
    let schema = count(schema, "the schema's version")?;
    let schema_version = schema.ok_or_else(|| damaged("there is no migration in the list"))?;
    Ok(StoreInfo { engine: S::Dialect::ENGINE, schema_version, ledgers })
}

/// One ledger by its id.
pub async fn by_id(sql: &mut impl Sql, id: LedgerId) -> Result<Option<Ledger>, StoreError> {
    let text = "SELECT ledger_no, ledger_id, created_at FROM ledger WHERE ledger_id = $1";
    sql.first(text, &[id.as_str().into()], ledger).await
}

/// All ledgers, by number.
pub async fn all(sql: &mut impl Sql) -> Result<Vec<Ledger>, StoreError> {
    sql.all("SELECT ledger_no, ledger_id, created_at FROM ledger ORDER BY ledger_no", &[], ledger).await
}

/// All ledgers with every version of their default thresholds.
pub async fn stored(sql: &mut impl Sql) -> Result<Vec<StoredLedger>, StoreError> {
    let mut alerts = alerts::stored(sql).await?;
    sql.all(
        "SELECT ledger_no, ledger_id, created_at, request FROM ledger ORDER BY ledger_no",
        &[],
        move |row| {
            let ledger = ledger(row)?;
            let request = row.request(3)?.map(|request| request.key("a ledger")).transpose()?;
            let default_alerts = alerts.remove(&ledger.no).unwrap_or_default();
            Ok(StoredLedger { ledger, request, default_alerts })
        },
    )
    .await
}

/// Creates a ledger, in the caller's transaction. When two servers race for a number, an id or a request, the second
/// one clashes and tries again.
pub async fn create(
    sql: &mut impl Sql,
    new: &NewLedger,
    now: Timestamp,
) -> Result<LedgerCreated, StoreError> {
    // One statement reads one snapshot. In separate statements, this request's own ledger could appear in between,
    // and would look like another request's.
    let (last, is_taken, by_request) = sql
        .one(
            "SELECT (SELECT MAX(ledger_no) FROM ledger),
                    EXISTS (SELECT 1 FROM ledger WHERE ledger_id = $1),
                    (SELECT ledger_no FROM ledger WHERE request = $2)",
            &[new.id.as_str().into(), (&new.request).into()],
            |row| {
                let last: Option<i64> = row.get(0)?;
                Ok((last, row.get::<bool>(1)?, row.get::<Option<i64>>(2)?))
            },
        )
        .await?;
    if let Some(no) = by_request {
        // A ledger that exists never changes.
        let text = "SELECT ledger_no, ledger_id, created_at FROM ledger WHERE ledger_no = $1";
        let ledger = sql.one(text, &[no.into()], ledger).await?;
        return Ok(if ledger.id == new.id {
            LedgerCreated::Created { ledger, replayed: true }
        } else {
            LedgerCreated::RequestIdReused
        });
    }
    if is_taken {
        return Ok(LedgerCreated::Exists);
    }
    let next = last.map_or(0, |last| last.saturating_add(1));
    let Some(no) = u32::try_from(next).ok().and_then(LedgerNo::new) else {
        return Ok(LedgerCreated::TooMany);
    };
    let ledger = Ledger { no, id: new.id.clone(), created_at: now };
    insert(sql, &ledger, Some(&new.request)).await?;
    Ok(LedgerCreated::Created { ledger, replayed: false })
}

pub async fn insert(
    sql: &mut impl Sql,
    ledger: &Ledger,
    request: Option<&crate::ledger::RequestKey>,
) -> Result<(), StoreError> {
    sql.run(
        "INSERT INTO ledger (ledger_no, ledger_id, created_at, request)
         VALUES ($1, $2, $3, $4)",
        &[ledger.no.into(), ledger.id.as_str().into(), ledger.created_at.into(), request.into()],
    )
    .await
    .map(drop)
}

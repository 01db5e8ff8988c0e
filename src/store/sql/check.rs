//! The parts of the self-check that all engines with SQL share: columns that repeat a part of a body, and rows that
//! contradict each other.

use uuid::Uuid;

use super::database::{Dialect, Sql};
use super::orders::{ORDER_COLUMNS, checksum_of, kept_from, order_columns, payload_checksum};
use super::records::{counted, record_columns, record_from, room};
use super::row::Row;
use super::rows::body;
use super::tokens::{token_columns, token_from};
use crate::ledger::work::Work;
use crate::ledger::{Hold, Lot};
use crate::store::checks::{Faults, HoldColumns, LotColumns, WorkColumns};
use crate::store::error::StoreError;

/// Rows read at a time.
pub const PAGE: i64 = 1_000;
/// Payloads read at a time: each may have 1 MiB.
const PAYLOADS: i64 = 4;

/// The fault of a row whose columns repeat a part of its body.
const BODY: &str = "its columns are not those of its body";
/// The fault of a row with a checksum.
const CHECKSUM: &str = "it is not what its checksum was made of, or belongs to nothing";

/// Checks holds, entries of work, and lots.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub async fn check_bodies(sql: &mut impl Sql, faults: &mut Faults) -> Result<(), StoreError> {
    check_table(
        sql,
        faults,
        "SELECT hold_id, hold_id, ledger_no, customer, incident_id, previous, state, direct, class, settled, estimated,
                charged, created_at, watched, body
         FROM hold
         WHERE hold_id > $1
         ORDER BY hold_id
         LIMIT $3",
        ("hold", BODY, PAGE),
        |row, id| {
            let hold: Hold = body(row, 14, "a hold")?;
            let columns = HoldColumns {
                id,
                ledger: row.get(2)?,
                customer: row.get(3)?,
                incident: row.get(4)?,
                previous: row.get(5)?,
                state: row.get(6)?,
                direct: row.get(7)?,
                class: row.get(8)?,
                settled: row.get(9)?,
                estimated: row.get(10)?,
                charged: row.get(11)?,
                created_at: row.get(12)?,
                watched: row.get(13)?,
            };
            Ok(columns == HoldColumns::of(&hold))
        },
    )
    .await?;
    check_table(
        sql,
        faults,
        "SELECT hold_id, work_id, previous, voided, counts_from, counts_until, body
         FROM work
         WHERE (hold_id, work_id) > ($1, $2)
         ORDER BY hold_id, work_id
         LIMIT $3",
        ("entry of work", BODY, PAGE),
        |row, id| {
            let work: Work = body(row, 6, "an entry of work")?;
            let columns = WorkColumns {
                id,
                previous: row.get(2)?,
                voided: row.get(3)?,
                counts_from: row.get(4)?,
                counts_until: row.get(5)?,
            };
            Ok(columns == WorkColumns::of(&work))
        },
    )
    .await?;
    check_table(
        sql,
        faults,
        "SELECT lot_id, lot_id, source, storefront, order_id, credits, repaid, price_minor, currency, expires_at,
                created_at, body
         FROM lot
         WHERE lot_id > $1
         ORDER BY lot_id
         LIMIT $3",
        ("lot", BODY, PAGE),
        |row, id| {
            let lot: Lot = body(row, 11, "a lot")?;
            let columns = LotColumns {
                id,
                source: row.get(2)?,
                storefront: row.get(3)?,
                order: row.get(4)?,
                credits: row.get(5)?,
                repaid: row.get(6)?,
                price_minor: row.get(7)?,
                currency: row.get(8)?,
                expires_at: row.get(9)?,
                created_at: row.get(10)?,
            };
            Ok(columns == LotColumns::of(&lot))
        },
    )
    .await
}

/// Reads a table in pages of $3 rows after the key ($1, $2). The first two columns are the key; the second one is the
/// row's own id. A row that cannot be read is a fault like any other. The triple has the name of a row, the fault of an
/// unsound one, and the rows of a page.
async fn check_table(
    sql: &mut impl Sql,
    faults: &mut Faults,
    text: &'static str,
    (what, fault, page): (&'static str, &'static str, i64),
    is_sound: fn(&dyn Row, Uuid) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut after = (Uuid::nil(), Uuid::nil());
    while !faults.are_enough() {
        let rows = sql
            .all(text, &[after.0.into(), after.1.into(), page.into()], |row| {
                let key: (Uuid, Uuid) = (row.get(0)?, row.get(1)?);
                Ok((key, readable(is_sound(row, key.1))?))
            })
            .await?;
        let Some(last) = rows.last() else { break };
        after = last.0;
        for ((_, id), sound) in rows {
            faults.expect_readable(sound, || format!("{what} {id}"), fault);
        }
    }
    Ok(())
}

/// Separates damage, which is a fault to report, from other errors, which end the check.
///
/// # Errors
/// A [`StoreError`] that is not damage.
pub fn readable<T>(read: Result<T, StoreError>) -> Result<Result<T, String>, StoreError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(StoreError::Damaged(damage)) => Ok(Err(damage)),
        Err(other) => Err(other),
    }
}

/// Checks orders of storefronts, their payloads and their names. The core gives no bodies here, so each row has a
/// checksum.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub async fn check_orders(sql: &mut impl Sql, faults: &mut Faults) -> Result<(), StoreError> {
    check_table(
        sql,
        faults,
        concat!(
            "SELECT o.order_id, ",
            order_columns!(),
            ", o.checksum FROM storefront_order o WHERE o.order_id > $1 ORDER BY o.order_id LIMIT $3"
        ),
        ("order of a storefront", CHECKSUM, PAGE),
        |row, _| Ok(checksum_of(&kept_from(row, 1)?)? == row.get::<i64>(ORDER_COLUMNS + 1)?),
    )
    .await?;
    check_table(
        sql,
        faults,
        "SELECT p.order_id, p.order_id, p.payload, p.checksum, o.order_id IS NOT NULL
         FROM storefront_payload p
         LEFT JOIN storefront_order o ON o.order_id = p.order_id
         WHERE p.order_id > $1
         ORDER BY p.order_id
         LIMIT $3",
        ("payload of order", CHECKSUM, PAYLOADS),
        |row, id| {
            let payload: Vec<u8> = row.get(2)?;
            let has_order: bool = row.get(4)?;
            Ok(has_order && payload_checksum(id, &payload) == row.get::<i64>(3)?)
        },
    )
    .await?;
    let strangers = "
        SELECT 'name ' || n.name || ' of storefront ' || n.storefront || ' finds no order of it'
        FROM storefront_order_name n
        LEFT JOIN storefront_order o ON o.order_id = n.order_id
        WHERE o.order_id IS NULL
           OR o.ledger_no <> n.ledger_no
           OR o.storefront <> n.storefront
        LIMIT $1";
    for fault in sql.all(strangers, &[PAGE.into()], |row| row.get::<String>(0)).await? {
        faults.expect(false, || fault);
    }
    Ok(())
}

/// Checks tokens. No checksum covers the last use of one, so it must at least be an hour.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub async fn check_tokens(sql: &mut impl Sql, faults: &mut Faults) -> Result<(), StoreError> {
    check_table(
        sql,
        faults,
        concat!(
            "SELECT token_id, ",
            token_columns!(),
            " FROM access_token WHERE token_id > $1 ORDER BY token_id LIMIT $3"
        ),
        ("token", "its last use is no hour", PAGE),
        |row, _| Ok(token_from(row, 1)?.used_at.is_none_or(|at| at == at.hour())),
    )
    .await
}

/// Checks records of the audit log, and their counts.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub async fn check_records(sql: &mut impl Sql, faults: &mut Faults) -> Result<(), StoreError> {
    check_table(
        sql,
        faults,
        concat!(
            "SELECT record_id, ",
            record_columns!(),
            " FROM audit_record WHERE record_id > $1 ORDER BY record_id LIMIT $3"
        ),
        ("audit record", CHECKSUM, PAGE),
        |row, _| record_from(row, 1).map(|_| true),
    )
    .await?;
    let (stored, counted) = (readable(room(sql).await)?, counted(sql).await?);
    let name = || "the room of audit records".to_owned();
    faults.expect_readable(stored.map(|stored| stored == counted), name, "it is not what they come to");
    Ok(())
}

/// Finds rows that repeat a part of a customer or a posting, but differ from it.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub async fn check_strangers<S: Sql>(sql: &mut S, faults: &mut Faults) -> Result<(), StoreError> {
    for text in S::Dialect::STRANGERS {
        for fault in sql.all(text, &[PAGE.into()], |row| row.get::<String>(0)).await? {
            faults.expect(false, || fault);
        }
    }
    Ok(())
}

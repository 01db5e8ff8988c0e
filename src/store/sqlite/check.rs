//! The engine's check of itself: SQLite's own, positions, pointers, and columns that repeat what a value says.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};

use super::read::SqliteReader;
use super::rows::{PostingRow, decoded, place_of, posting_columns, with_words};
use super::{check_schema, failed, work};
use crate::ledger::customer::CustomerState;
use crate::ledger::{Hold, LedgerNo, Lot, Timestamp};
use crate::store::StoreError;
use crate::store::checks::{Faults, HoldColumns, LotColumns};
use crate::store::skew::{Path, Pointers};

/// Rows read at a time.
const PAGE: i64 = 1_000;

type CustomerColumns = (i64, String, Vec<u8>, Option<i64>, Vec<u8>);
type HoldTuple = (
    Vec<u8>,
    i64,
    i64,
    String,
    Option<Vec<u8>>,
    i64,
    bool,
    Option<String>,
    bool,
    i64,
    Option<i64>,
    i64,
    bool,
    Vec<u8>,
);
type LotTuple = (
    Vec<u8>,
    i64,
    Option<String>,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    Option<i64>,
    i64,
    Vec<u8>,
);

impl SqliteReader {
    pub(super) async fn check_itself(&self) -> Result<Vec<String>, StoreError> {
        let mut snapshot = self.pool.begin().await.map_err(failed)?;
        let mut faults = Faults::default();
        let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)")
            .fetch_all(&mut *snapshot)
            .await
            .map_err(failed)?;
        for line in lines {
            faults.expect(line == "ok", || line);
        }
        // What SQLite itself finds damaged is not read any further.
        if faults.are_none() {
            check_schema::check(&mut snapshot, &mut faults).await?;
            check_journal(&mut snapshot, &mut faults).await?;
            check_words(&mut snapshot, &mut faults).await?;
            check_holds(&mut snapshot, &mut faults).await?;
            work::check(&mut snapshot, &mut faults).await?;
            check_lots(&mut snapshot, &mut faults).await?;
            check_strangers(&mut snapshot, &mut faults).await?;
        }
        Ok(faults.into_lines())
    }
}

/// Rows are as they were written; positions and sequences have no gaps; pointers are those that the same postings would be given again.
async fn check_journal(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut paths: HashMap<i64, Path> = HashMap::new();
    let mut after = -1_i64;
    let mut place: (LedgerNo, u64) = (LedgerNo::MAIN, 0);
    loop {
        let rows = sqlx::query(concat!(
            "SELECT ",
            posting_columns!(),
            ", p.previous, p.jump, p.checksum AS sum FROM posting p",
            with_words!(),
            "WHERE p.key > ? ORDER BY p.key LIMIT ?"
        ))
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        if rows.is_empty() {
            break;
        }
        for columns in &rows {
            let row = PostingRow::of_reader(columns).map_err(failed)?;
            let (key, customer, sequence) = row.place();
            after = key;
            let stored = Pointers {
                previous: columns.try_get("previous").map_err(failed)?,
                jump: columns.try_get("jump").map_err(failed)?,
            };
            let checksum: i64 = columns.try_get("sum").map_err(failed)?;
            let (ledger, position) = place_of(key)?;
            let name = || format!("posting {} of ledger number {}", position.0, ledger.get());
            faults.expect(row.checksum(stored) == checksum, || {
                format!("{}: its checksum is not that of its columns", name())
            });
            let fault = row.fault_of_words();
            faults.expect(fault.is_none(), || format!("{}: {}", name(), fault.unwrap_or_default()));
            let before = if place.0 == ledger { place.1 } else { 0 };
            faults.expect(before.checked_add(1) == Some(position.0), || {
                format!("{}: the position before it is missing", name())
            });
            place = (ledger, position.0);
            let path = paths.entry(customer).or_default();
            let pointers = path.push(key);
            faults.expect(u64::try_from(sequence) == Ok(path.sequence()), || {
                format!("{}: its customer has {} postings by then", name(), path.sequence())
            });
            faults.expect(pointers == stored, || {
                format!("{}: its pointers are not those of its customer's history", name())
            });
        }
        if faults.are_enough() {
            return Ok(());
        }
    }
    check_customers(snapshot, faults, &paths).await
}

/// Words of postings are looked at with them; here are those of none.
async fn check_words(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let strangers: Vec<i64> = sqlx::query_scalar(
        "SELECT w.key
         FROM posting_words w
         WHERE NOT EXISTS (SELECT 1 FROM posting p WHERE p.key = w.key)
         ORDER BY w.key
         LIMIT 20",
    )
    .fetch_all(&mut *snapshot)
    .await
    .map_err(failed)?;
    for key in strangers {
        faults.expect(false, || format!("posting_words, key {key}: there is no such posting"));
    }
    Ok(())
}

async fn check_customers(
    snapshot: &mut SqliteConnection,
    faults: &mut Faults,
    paths: &HashMap<i64, Path>,
) -> Result<(), StoreError> {
    let mut after: Option<i64> = None;
    let mut count = 0_usize;
    loop {
        let rows: Vec<CustomerColumns> = sqlx::query_as(
            "SELECT customer, customer_id, path, next_due, state
             FROM customer
             WHERE customer >= ?
               AND customer IS NOT ?
             ORDER BY customer
             LIMIT ?",
        )
        .bind(after.unwrap_or(i64::MIN))
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.0);
        for (key, id, path, next_due, state) in rows {
            count = count.saturating_add(1);
            let expected = paths.get(&key).map(Path::encode);
            faults.expect(expected.as_ref() == Some(&path), || {
                format!("customer {id}: its pointers do not lead to its postings")
            });
            let state: CustomerState = decoded(&state, &format!("customer {id}"))?;
            faults.expect(state.next_due == next_due.map(Timestamp::from_micros), || {
                format!("customer {id}: next_due is not that of its state")
            });
        }
    }
    faults.expect(count == paths.len(), || {
        format!("{} customers have postings, {count} have rows", paths.len())
    });
    Ok(())
}

async fn check_holds(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after: Vec<u8> = Vec::new();
    loop {
        let rows: Vec<HoldTuple> = sqlx::query_as(
            "SELECT hold_id, ledger_no, customer, incident_id, previous, state, direct, class, settled, estimated,
                    charged, created_at, watched, body
             FROM hold
             WHERE hold_id > ?
             ORDER BY hold_id
             LIMIT ?",
        )
        .bind(after.as_slice())
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after.clone_from(&last.0);
        for (
            id,
            ledger,
            customer,
            incident,
            previous,
            state,
            direct,
            class,
            settled,
            estimated,
            charged,
            created_at,
            watched,
            body,
        ) in rows
        {
            let hold: Hold = decoded(&body, &format!("hold {}", name_of(&id)))?;
            let columns = HoldColumns {
                id,
                ledger,
                customer,
                incident,
                previous,
                state,
                direct,
                class,
                settled,
                estimated,
                charged,
                created_at,
                watched,
            };
            let same = columns == HoldColumns::of(&hold);
            faults.expect(same, || format!("hold {}: its columns are not those of its body", hold.id));
        }
    }
}

async fn check_lots(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after: Vec<u8> = Vec::new();
    loop {
        let rows: Vec<LotTuple> = sqlx::query_as(
            "SELECT lot_id, source, storefront, order_id, credits, repaid, price_minor, currency, expires_at,
                    created_at, body
             FROM lot
             WHERE lot_id > ?
             ORDER BY lot_id
             LIMIT ?",
        )
        .bind(after.as_slice())
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after.clone_from(&last.0);
        for (
            id,
            source,
            storefront,
            order,
            credits,
            repaid,
            price_minor,
            currency,
            expires_at,
            created_at,
            body,
        ) in rows
        {
            let lot: Lot = decoded(&body, &format!("lot {}", name_of(&id)))?;
            let columns = LotColumns {
                id,
                source,
                storefront,
                order,
                credits,
                repaid,
                price_minor,
                currency,
                expires_at,
                created_at,
            };
            let same = columns == LotColumns::of(&lot);
            faults.expect(same, || format!("lot {}: its columns are not those of its body", lot.id));
        }
    }
}

/// Rows that repeat what stands with a customer or a posting, and say otherwise.
async fn check_strangers(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let strangers = [
        "SELECT 'the profile of customer ' || p.customer_id || ' stands under another customer'
         FROM profile p
         LEFT JOIN customer c ON c.customer = p.customer
         WHERE p.ledger_no IS NOT c.ledger_no
            OR p.customer_id IS NOT c.customer_id
         LIMIT ?",
        "SELECT 'lot ' || lower(hex(l.lot_id)) || ' stands under another ledger'
         FROM lot l
         LEFT JOIN customer c ON c.customer = l.customer
         WHERE l.ledger_no IS NOT c.ledger_no
         LIMIT ?",
        "SELECT 'order ' || order_id || ' of ' || storefront || ' points into another ledger'
         FROM purchase_order
         WHERE ledger_no IS NOT posting >> 40
         LIMIT ?",
        "SELECT 'posting ' || (key & 1099511627775) || ' of ledger number ' || (key >> 40) || ': there is no such ledger'
         FROM posting
         WHERE key >> 40 NOT IN (SELECT ledger_no FROM ledger)
         LIMIT ?",
        "SELECT 'account ' || account || ' of ledger ' || ledger_no || ': there is no such ledger'
         FROM system_account
         WHERE ledger_no NOT IN (SELECT ledger_no FROM ledger)
         LIMIT ?",
    ];
    for stranger in strangers {
        let found: Vec<String> =
            sqlx::query_scalar(stranger).bind(PAGE).fetch_all(&mut *snapshot).await.map_err(failed)?;
        for fault in found {
            faults.expect(false, || fault);
        }
    }
    Ok(())
}

/// The name of a row whose value may not be readable.
fn name_of(id: &[u8]) -> String {
    uuid::Uuid::from_slice(id).map_or_else(|_| "without an id".to_owned(), |id| id.to_string())
}

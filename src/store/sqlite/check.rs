//! The engine's check of itself: SQLite's own, positions, pointers, and columns that repeat what a value says.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::failed;
use super::read::SqliteReader;
use super::rows::{decoded, place_of};
use crate::ledger::customer::CustomerState;
use crate::ledger::{Hold, LedgerNo, Lot, Timestamp};
use crate::store::StoreError;
use crate::store::skew::Path;

/// Faults that are told: where there are more, the first ones say what is wrong.
const FAULTS_MAX: usize = 20;
/// Rows read at a time.
const PAGE: i64 = 10_000;

type PostingColumns = (i64, i64, i64, Option<i64>, Option<i64>);
type CustomerColumns = (i64, String, Vec<u8>, Option<i64>, Vec<u8>);
type HoldColumns =
    (Vec<u8>, i64, i64, String, Option<Vec<u8>>, i64, bool, Option<String>, bool, i64, bool, Vec<u8>);
type LotColumns = (Vec<u8>, i64, i64, Option<String>, Option<String>, i64, i64, Option<i64>, i64, Vec<u8>);

/// Faults found so far.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn expect(&mut self, sound: bool, what: impl FnOnce() -> String) {
        if !sound && self.0.len() < FAULTS_MAX {
            self.0.push(what());
        }
    }

    fn are_enough(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }
}

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
        if faults.0.is_empty() {
            check_journal(&mut snapshot, &mut faults).await?;
            check_holds(&mut snapshot, &mut faults).await?;
            check_lots(&mut snapshot, &mut faults).await?;
        }
        Ok(faults.0)
    }
}

/// Positions and sequences have no gaps; pointers are those that the same postings would be given again.
async fn check_journal(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut paths: HashMap<i64, Path> = HashMap::new();
    let mut after = -1_i64;
    let mut place: (LedgerNo, u64) = (LedgerNo::MAIN, 0);
    loop {
        let rows: Vec<PostingColumns> = sqlx::query_as(
            "SELECT key, customer, sequence, previous, jump
             FROM posting
             WHERE key > ?
             ORDER BY key
             LIMIT ?",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        let Some(last) = rows.last() else { break };
        after = last.0;
        for (key, customer, sequence, previous, jump) in rows {
            let (ledger, position) = place_of(key)?;
            let name = || format!("posting {} of ledger number {}", position.0, ledger.get());
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
            faults.expect(pointers.previous == previous && pointers.jump == jump, || {
                format!("{}: its pointers are not those of its customer's history", name())
            });
        }
        if faults.are_enough() {
            return Ok(());
        }
    }
    check_customers(snapshot, faults, &paths).await
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
            let state: CustomerState = decoded(&state, "a customer's state")?;
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
        let rows: Vec<HoldColumns> = sqlx::query_as(
            "SELECT hold_id, ledger_no, customer, incident_id, previous, state, direct, class, settled, created_at,
                    watched, body
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
            created_at,
            watched,
            body,
        ) in rows
        {
            let hold: Hold = decoded(&body, "a hold")?;
            let same = id == hold.id.uuid().as_bytes()
                && ledger == i64::from(hold.ledger.get())
                && customer == hold.customer_key().raw()
                && incident == hold.incident.as_str()
                && previous == hold.previous.map(|previous| previous.uuid().as_bytes().to_vec())
                && state == i64::from(hold.state.code())
                && direct == hold.direct
                && class.as_deref() == hold.class.as_ref().map(crate::ledger::ids::ClassId::as_str)
                && settled == hold.settlement.is_some()
                && created_at == hold.created_at.micros()
                && watched == hold.is_watched();
            faults.expect(same, || format!("hold {}: its columns are not those of its body", hold.id));
        }
    }
}

async fn check_lots(snapshot: &mut SqliteConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after: Vec<u8> = Vec::new();
    loop {
        let rows: Vec<LotColumns> = sqlx::query_as(
            "SELECT lot_id, customer, source, storefront, order_id, credits, repaid, expires_at, created_at, body
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
        for (id, _, source, storefront, order, credits, repaid, expires_at, created_at, body) in rows {
            let lot: Lot = decoded(&body, "a lot")?;
            let same = id == lot.id.uuid().as_bytes()
                && source == i64::from(lot.source.code())
                && storefront.as_deref()
                    == lot.storefront.as_ref().map(crate::ledger::ids::Storefront::as_str)
                && order.as_deref() == lot.order.as_ref().map(crate::ledger::ids::OrderId::as_str)
                && credits == lot.credits.units()
                && repaid == lot.repaid.units()
                && expires_at == lot.expires_at.map(Timestamp::micros)
                && created_at == lot.created_at.micros();
            faults.expect(same, || format!("lot {}: its columns are not those of its body", lot.id));
        }
    }
}

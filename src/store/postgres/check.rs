//! The engine's check of itself: rows as they were written, sequences and places without gaps, and columns that repeat
//! what a value says. All of one snapshot, a page at a time.

use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

use super::audit::Snapshot;
use super::errors::failed;
use super::rows::decoded;
use super::{check_feed, check_schema, work};
use crate::ledger::customer::CustomerState;
use crate::ledger::{Hold, Lot, Timestamp};
use crate::store::StoreError;
use crate::store::checks::{Faults, HoldColumns, LotColumns};

/// Rows read at a time.
pub(super) const PAGE: i64 = 1_000;

type CustomerTuple = (i64, String, Option<i64>, Vec<u8>, [Option<i64>; 3], [i64; 3]);
type HoldTuple = (
    Uuid,
    i32,
    i64,
    String,
    Option<Uuid>,
    i16,
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
    Uuid,
    i16,
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

/// The first faults of the snapshot.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub(super) async fn check(snapshot: &mut Snapshot) -> Result<Vec<String>, StoreError> {
    let mut faults = Faults::default();
    check_schema::check(snapshot.connection(), &mut faults).await?;
    // Tables that are not as they were made are not read any further.
    if faults.are_none() {
        check_feed::check(snapshot, &mut faults).await?;
        check_words(snapshot.connection(), &mut faults).await?;
        check_customers(snapshot.connection(), &mut faults).await?;
        check_holds(snapshot.connection(), &mut faults).await?;
        work::check(snapshot.connection(), &mut faults).await?;
        check_lots(snapshot.connection(), &mut faults).await?;
        check_strangers(snapshot.connection(), &mut faults).await?;
    }
    snapshot.goes_on();
    Ok(faults.into_lines())
}

/// Words of postings are looked at with them; here are those of none.
async fn check_words(snapshot: &mut PgConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let strangers: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT w.customer, w.sequence
         FROM posting_words w
         LEFT JOIN posting p ON p.customer = w.customer AND p.sequence = w.sequence
         WHERE p.customer IS NULL
         ORDER BY w.customer, w.sequence
         LIMIT 20",
    )
    .fetch_all(&mut *snapshot)
    .await
    .map_err(failed)?;
    for (customer, sequence) in strangers {
        faults.expect(false, || {
            format!("posting_words, posting {sequence} of customer key {customer}: there is no such posting")
        });
    }
    Ok(())
}

/// Each has its last posting, and says what that and its own state say.
async fn check_customers(snapshot: &mut PgConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after: Option<i64> = None;
    while !faults.are_enough() {
        let rows = sqlx::query(
            "SELECT c.customer, c.customer_id, c.next_due, c.state, c.available, c.held, c.owed,
                    p.available, p.held, p.owed
             FROM customer c
             LEFT JOIN posting p ON p.customer = c.customer AND p.sequence = c.sequence
             WHERE c.customer >= $1
               AND c.customer IS DISTINCT FROM $2
             ORDER BY c.customer
             LIMIT $3",
        )
        .bind(after.unwrap_or(i64::MIN))
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let (key, id, next_due, state, last, balances) = customer_tuple(row).map_err(failed)?;
            after = Some(key);
            faults.expect(last == balances.map(Some), || {
                format!("customer {id}: its balances are not those after its last posting")
            });
            let state: CustomerState = decoded(&state, &format!("customer {id}"))?;
            faults.expect(state.next_due == next_due.map(Timestamp::from_micros), || {
                format!("customer {id}: next_due is not that of its state")
            });
        }
    }
    Ok(())
}

fn customer_tuple(row: &sqlx::postgres::PgRow) -> sqlx::Result<CustomerTuple> {
    use sqlx::Row as _;
    let balances = [row.try_get(4)?, row.try_get(5)?, row.try_get(6)?];
    let last = [row.try_get(7)?, row.try_get(8)?, row.try_get(9)?];
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, last, balances))
}

async fn check_holds(snapshot: &mut PgConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    while !faults.are_enough() {
        let rows: Vec<HoldTuple> = sqlx::query_as(
            "SELECT hold_id, ledger_no, customer, incident_id, previous, state, direct, class, settled, estimated,
                    charged, created_at, watched, body
             FROM hold
             WHERE hold_id > $1
             ORDER BY hold_id
             LIMIT $2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        let Some(last) = rows.last() else { break };
        after = last.0;
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
            let hold: Hold = decoded(&body, &format!("hold {id}"))?;
            let columns = HoldColumns {
                id: id.as_bytes().to_vec(),
                ledger: ledger.into(),
                customer,
                incident,
                previous: previous.map(|previous| previous.as_bytes().to_vec()),
                state: state.into(),
                direct,
                class,
                settled,
                estimated,
                charged,
                created_at,
                watched,
            };
            faults.expect(columns == HoldColumns::of(&hold), || {
                format!("hold {id}: its columns are not those of its body")
            });
        }
    }
    Ok(())
}

async fn check_lots(snapshot: &mut PgConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    while !faults.are_enough() {
        let rows: Vec<LotTuple> = sqlx::query_as(
            "SELECT lot_id, source, storefront, order_id, credits, repaid, price_minor, currency, expires_at,
                    created_at, body
             FROM lot
             WHERE lot_id > $1
             ORDER BY lot_id
             LIMIT $2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
        let Some(last) = rows.last() else { break };
        after = last.0;
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
            let lot: Lot = decoded(&body, &format!("lot {id}"))?;
            let columns = LotColumns {
                id: id.as_bytes().to_vec(),
                source: source.into(),
                storefront,
                order,
                credits,
                repaid,
                price_minor,
                currency,
                expires_at,
                created_at,
            };
            faults.expect(columns == LotColumns::of(&lot), || {
                format!("lot {id}: its columns are not those of its body")
            });
        }
    }
    Ok(())
}

/// Rows that repeat what stands with a customer or a posting, and say otherwise.
async fn check_strangers(snapshot: &mut PgConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let strangers = [
        "SELECT 'the profile of customer ' || p.customer_id || ' stands under another customer'
         FROM profile p
         LEFT JOIN customer c ON c.customer = p.customer
         WHERE p.ledger_no IS DISTINCT FROM c.ledger_no
            OR p.customer_id IS DISTINCT FROM c.customer_id
         LIMIT $1",
        "SELECT 'lot ' || l.lot_id || ' stands under another ledger'
         FROM lot l
         LEFT JOIN customer c ON c.customer = l.customer
         WHERE l.ledger_no IS DISTINCT FROM c.ledger_no
         LIMIT $1",
        "SELECT 'order ' || o.order_id || ' of ' || o.storefront || ' points into another ledger'
         FROM purchase_order o
         LEFT JOIN posting p ON p.customer = o.customer AND p.sequence = o.sequence
         WHERE o.ledger_no IS DISTINCT FROM p.ledger_no
         LIMIT $1",
        "SELECT 'customer ' || c.customer_id || ' of ledger number ' || c.ledger_no || ': there is no such ledger'
         FROM customer c
         WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.ledger_no = c.ledger_no)
         LIMIT $1",
        "SELECT 'commit ' || b.batch || ' of ledger number ' || b.ledger_no || ': there is no such ledger'
         FROM (SELECT ledger_no, batch FROM feed UNION ALL SELECT ledger_no, batch FROM pending) b
         WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.ledger_no = b.ledger_no)
         LIMIT $1",
        "SELECT 'account ' || s.account || ' of ledger number ' || s.ledger_no || ': there is no such ledger'
         FROM system_account s
         WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.ledger_no = s.ledger_no)
         LIMIT $1",
    ];
    // Each reads a whole table, and may do so in the table's own order.
    snapshot
        .execute("SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on")
        .await
        .map_err(failed)?;
    for stranger in strangers {
        let found: Vec<String> =
            sqlx::query_scalar(stranger).bind(PAGE).fetch_all(&mut *snapshot).await.map_err(failed)?;
        for fault in found {
            faults.expect(false, || fault);
        }
    }
    snapshot
        .execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off")
        .await
        .map_err(failed)?;
    Ok(())
}

//! The engine's check of itself, of one snapshot, a page at a time. It checks checksums, sequences and positions
//! without gaps, and columns that repeat a part of a body.

use sqlx::{Executor as _, PgConnection};

use super::snapshot::Snapshot;
use super::{check_feed, check_schema};
use crate::ledger::Timestamp;
use crate::ledger::customer::CustomerState;
use crate::store::checks::Faults;
use crate::store::error::StoreError;
use crate::store::sql::check::{
    PAGE, check_bodies, check_orders, check_records, check_strangers, check_tokens, readable,
};
use crate::store::sql::database::Sql;
use crate::store::sql::row::Row;
use crate::store::sql::rows::body;

/// Returns the first faults of the snapshot.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub(super) async fn check(snapshot: &mut Snapshot) -> Result<Vec<String>, StoreError> {
    let mut faults = Faults::default();
    check_schema::check(snapshot.connection(), &mut faults).await?;
    // Tables that differ from the migrations cannot be read reliably.
    if faults.are_none() {
        check_feed::check(snapshot, &mut faults).await?;
        check_customers(snapshot.connection(), &mut faults).await?;
        check_bodies(snapshot.connection(), &mut faults).await?;
        check_orders(snapshot.connection(), &mut faults).await?;
        check_tokens(snapshot.connection(), &mut faults).await?;
        check_records(snapshot.connection(), &mut faults).await?;
        // Each of these statements reads a whole table, so sequential scans are allowed.
        let whole = "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on";
        snapshot.connection().execute(whole).await?;
        check_strangers(snapshot.connection(), &mut faults).await?;
        let by_index = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off";
        snapshot.connection().execute(by_index).await?;
    }
    snapshot.goes_on();
    Ok(faults.into_lines())
}

/// Checks that each customer's row agrees with its last posting and with its own encoded state.
async fn check_customers(sql: &mut PgConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut after: Option<i64> = None;
    while !faults.are_enough() {
        let text = "
            SELECT c.customer, c.customer_id, c.next_due, c.state, c.available, c.held, c.owed,
                   p.available, p.held, p.owed
            FROM customer c
            LEFT JOIN posting p ON p.customer = c.customer AND p.sequence = c.sequence
            WHERE c.customer >= $1
              AND c.customer IS DISTINCT FROM $2
            ORDER BY c.customer
            LIMIT $3";
        let read = |row: &dyn Row| {
            let next_due = row.get::<Option<i64>>(2)?.map(Timestamp::from_micros);
            let due = body::<CustomerState>(row, 3, "its state").map(|state| state.next_due == next_due);
            let last: [Option<i64>; 3] = [row.get(7)?, row.get(8)?, row.get(9)?];
            let same = last == row.array::<3>(4)?.map(Some);
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?, same, readable(due)?))
        };
        let rows =
            sql.all(text, &[after.unwrap_or(i64::MIN).into(), after.into(), PAGE.into()], read).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.0);
        for (_, id, same, is_due) in rows {
            faults
                .expect(same, || format!("customer {id}: its balances are not those after its last posting"));
            faults.expect_readable(is_due, || format!("customer {id}"), "next_due is not that of its state");
        }
    }
    Ok(())
}

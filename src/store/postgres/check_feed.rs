//! The journal's part of the engine's check of itself. Every posting has its checksum and exactly one position, and
//! positions have no gaps.

use std::collections::{BTreeMap, HashMap};

use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::{placed_posting_columns, with_words};
use super::rows::checksum_of;
use super::snapshot::{Snapshot, Unplaced};
use crate::store::checks::Faults;
use crate::store::error::StoreError;
use crate::store::sql::check::{PAGE, readable};
use crate::store::sql::database::Sql;
use crate::store::sql::row::{Row, sql_count};
use crate::store::sql::rows::{POSTING_COLUMNS, PostingRow, posting_columns};

/// A position names one posting, so two postings never share one. If each posting has a position, and there are as
/// many positions as postings, then no position names anything else.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub(super) async fn check(snapshot: &mut Snapshot, faults: &mut Faults) -> Result<(), StoreError> {
    // Taken out while the connection is borrowed.
    let unplaced = std::mem::take(&mut snapshot.unplaced);
    let postings = check_postings(snapshot.connection(), faults, &unplaced).await?;
    let placed = check_commits(snapshot.connection(), faults).await?;
    let places =
        unplaced.iter().map(|commit| sql_count(commit.postings.len())).fold(placed, i64::saturating_add);
    // A check that stopped early has not counted everything.
    if !faults.are_enough() {
        faults.expect(places == postings, || {
            format!("there are {postings} postings and {places} places for them")
        });
    }
    snapshot.unplaced = unplaced;
    Ok(())
}

/// A posting's row, with the rows of its position and of its customer.
struct Placed {
    row: PostingRow,
    batch: Uuid,
    place: i64,
    checksum: i64,
    counts_from: Option<i64>,
    /// The customer and the sequence that the feed names at this position.
    named: Option<(i64, i64)>,
    customer_sequence: Option<i64>,
    customer_ledger: Option<i64>,
}

impl Placed {
    fn read(columns: &dyn Row) -> Result<Self, StoreError> {
        let customer: Option<i64> = columns.get(POSTING_COLUMNS + 4)?;
        let sequence: Option<i64> = columns.get(POSTING_COLUMNS + 5)?;
        Ok(Self {
            row: PostingRow::read(columns, 0)?,
            batch: columns.get(POSTING_COLUMNS)?,
            place: columns.get(POSTING_COLUMNS + 1)?,
            checksum: columns.get(POSTING_COLUMNS + 2)?,
            counts_from: columns.get(POSTING_COLUMNS + 3)?,
            named: customer.zip(sequence),
            customer_sequence: columns.get(POSTING_COLUMNS + 6)?,
            customer_ledger: columns.get(POSTING_COLUMNS + 7)?,
        })
    }
}

/// The same customer's posting before.
struct Before {
    customer: i64,
    sequence: i64,
    position: i64,
    counts_from: i64,
}

/// Checks all postings, customer by customer; returns their number.
async fn check_postings(
    sql: &mut PgConnection,
    faults: &mut Faults,
    unplaced: &[Unplaced],
) -> Result<i64, StoreError> {
    let unplaced: HashMap<(Uuid, i32), &Unplaced> =
        unplaced.iter().map(|commit| ((commit.batch, commit.ledger_no), commit)).collect();
    let mut count = 0_i64;
    let mut after = (i64::MIN, i64::MIN);
    let mut before: Option<Before> = None;
    while !faults.are_enough() {
        let text = concat!(
            "SELECT ",
            placed_posting_columns!("f.first_position + p.place"),
            ", p.batch, p.place, p.checksum, f.counts_from, f.customers[p.place + 1], f.sequences[p.place + 1],
               c.sequence, c.ledger_no
             FROM posting p
             LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no
             LEFT JOIN customer c ON c.customer = p.customer",
            with_words!(),
            "WHERE (p.customer, p.sequence) > ($1, $2)
             ORDER BY p.customer, p.sequence
             LIMIT $3"
        );
        let read = |row: &dyn Row| {
            let key: (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok((key, readable(Placed::read(row))?))
        };
        let rows = sql.all(text, &[after.0.into(), after.1.into(), PAGE.into()], read).await?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for ((customer, sequence), placed) in rows {
            count = count.saturating_add(1);
            match placed {
                Ok(placed) => {
                    let commit = i32::try_from(placed.row.ledger_no).ok().map(|no| (placed.batch, no));
                    let waiting = commit.and_then(|commit| unplaced.get(&commit).copied());
                    before = Some(check_posting(&placed, waiting, before, faults));
                }
                Err(damage) => {
                    faults
                        .expect(false, || format!("posting {sequence} of customer key {customer}: {damage}"));
                }
            }
        }
    }
    Ok(count)
}

fn check_posting(
    placed: &Placed,
    waiting: Option<&Unplaced>,
    before: Option<Before>,
    faults: &mut Faults,
) -> Before {
    let row = &placed.row;
    let name = || row.name();
    let before = before.filter(|before| before.customer == row.customer);
    faults.expect(checksum_of(row, placed.batch, placed.place) == placed.checksum, || {
        format!("{}: its checksum is not that of its columns", name())
    });
    if let Some(fault) = row.fault_of_words() {
        faults.expect(false, || format!("{}: {fault}", name()));
    }
    let last = before.as_ref().map_or(0, |before| before.sequence);
    faults.expect(last.checked_add(1) == Some(row.sequence), || {
        format!("{}: the posting before it is missing", name())
    });
    faults.expect(placed.customer_sequence.is_some_and(|sequence| row.sequence <= sequence), || {
        format!("{}: its customer does not know it", name())
    });
    faults.expect(placed.customer_ledger == Some(row.ledger_no), || {
        format!("{}: its customer stands in another ledger", name())
    });
    let own = Some((row.customer, row.sequence));
    let place = usize::try_from(placed.place).ok();
    let in_pending = place.and_then(|place| waiting?.postings.get(place).copied());
    let sound = match (placed.row.position, waiting) {
        (Some(_), None) => placed.named == own,
        (None, Some(_)) => in_pending == own,
        (Some(_), Some(_)) | (None, None) => false,
    };
    faults.expect(sound, || match (placed.row.position, waiting) {
        (None, None) => format!("{}: its commit has no place in the order", name()),
        (Some(_), Some(_)) => format!("{}: its commit has a place, and waits for one", name()),
        _ => format!("{}: its place names another posting", name()),
    });
    let waits_for = waiting.map(|commit| commit.first_position.saturating_add(placed.place));
    // A missing position is reported already; without one the order cannot be checked.
    let position = row.position.or(waits_for).unwrap_or(i64::MAX);
    faults.expect(before.as_ref().is_none_or(|before| before.position < position), || {
        format!("{}: its position is not after that of the posting before it", name())
    });
    let counts_from = placed.counts_from.unwrap_or(i64::MAX);
    faults.expect(row.recorded_at <= counts_from, || {
        format!("{}: it counts from a time before it was recorded", name())
    });
    faults.expect(before.as_ref().is_none_or(|before| before.counts_from <= counts_from), || {
        format!("{}: it counts from a time before that of the posting before it", name())
    });
    Before { customer: row.customer, sequence: row.sequence, position, counts_from }
}

/// Checks the commits of the feed, ledger by ledger; returns the number of their positions.
async fn check_commits(sql: &mut PgConnection, faults: &mut Faults) -> Result<i64, StoreError> {
    let mut places = 0_i64;
    let mut after = (i64::MIN, i64::MIN);
    let mut ends: BTreeMap<i64, i64> = BTreeMap::new();
    while !faults.are_enough() {
        let text = "
            SELECT ledger_no, first_position, CARDINALITY(customers), CARDINALITY(sequences)
            FROM feed
            WHERE (ledger_no, first_position) > ($1, $2)
            ORDER BY ledger_no, first_position
            LIMIT $3";
        let read = |row: &dyn Row| row.array::<4>(0);
        let rows = sql.all(text, &[after.0.into(), after.1.into(), PAGE.into()], read).await?;
        if rows.is_empty() {
            break;
        }
        for [ledger, first_position, customers, sequences] in rows {
            after = (ledger, first_position);
            let name = || format!("the commit at position {first_position} of ledger number {ledger}");
            faults.expect(customers > 0 && customers == sequences, || {
                format!("{} names {customers} customers and {sequences} sequences", name())
            });
            let end = ends.entry(ledger).or_default();
            faults.expect(end.checked_add(1) == Some(first_position), || {
                format!("{} does not begin just after the one before it", name())
            });
            *end = first_position.saturating_add(customers).saturating_sub(1);
            places = places.saturating_add(customers);
        }
    }
    let text = "SELECT ledger_no, position FROM feed_end ORDER BY ledger_no";
    let stored = sql.all(text, &[], |row| Ok((row.get(0)?, row.get(1)?))).await?;
    let stored: BTreeMap<i64, i64> = stored.into_iter().collect();
    for ledger in ends.keys().chain(stored.keys().filter(|ledger| !ends.contains_key(ledger))) {
        // A ledger without postings may have no row here.
        let [end, stored] = [&ends, &stored].map(|ends| ends.get(ledger).copied().unwrap_or(0));
        faults.expect(end == stored, || {
            format!("the feed of ledger number {ledger} ends at position {end}, and feed_end says {stored}")
        });
    }
    Ok(places)
}

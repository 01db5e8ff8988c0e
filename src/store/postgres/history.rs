//! A customer's history by binary search over its sequences, and the times from which postings of a feed count.

use super::columns::{PostgreSql, placed_posting_columns, postings_where, postings_within, with_words};
use crate::ledger::{CustomerKey, LedgerNo, Timestamp};
use crate::store::error::{StoreError, damaged};
use crate::store::read_store::{At, READ_BYTES_MAX};
use crate::store::recorded::Recorded;
use crate::store::sql::database::Sql;
use crate::store::sql::row::sql_count;
use crate::store::sql::rows::{posting_columns, recorded, weighed};

/// The last posting of the customer $1 that the point $2 reaches. A point reaches all postings up to some sequence,
/// so a binary search finds it in log2(n) look-ups. The point reaches `low` (0 stands for before all), and nothing
/// after `high`.
macro_rules! search {
    ($reached:literal) => {
        concat!(
            "WITH RECURSIVE search(low, high) AS (
                 SELECT CAST(0 AS BIGINT), c.sequence
                 FROM customer c
                 WHERE c.customer = $1
                 UNION ALL
                 SELECT CASE WHEN step.reached THEN step.middle ELSE step.low END,
                        CASE WHEN step.reached THEN step.high ELSE step.middle - 1 END
                 FROM (
                     SELECT s.low, s.high, p.sequence AS middle, ",
            $reached,
            " AS reached
                     FROM search s
                     JOIN posting p ON p.customer = $1 AND p.sequence = (s.low + s.high + 1) / 2
                     LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no
                     WHERE s.low < s.high
                 ) step
             )
             SELECT ",
            placed_posting_columns!("f.first_position + p.place"),
            " FROM search s
              JOIN posting p ON p.customer = $1 AND p.sequence = s.low
              LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no",
            with_words!(),
            "WHERE s.low = s.high"
        )
    };
}

const AT_SEQUENCE: &str =
    postings_where!("p.customer = $1 AND p.sequence <= $2 ORDER BY p.sequence DESC LIMIT 1");
/// A posting without a position comes after every position.
const AT_POSITION: &str = search!("COALESCE(f.first_position + p.place <= $2, FALSE)");
/// A posting without a position counts from its time, or just after the watermark where that is later. These times
/// never fall along a customer's sequence.
const AT_TIME: &str = search!(
    "COALESCE(f.counts_from, GREATEST(p.recorded_at, (SELECT q.watermark + 1 FROM sequencer q))) <= $2"
);
/// Ids rise with the sequence.
const AT_POSTING: &str = search!("p.posting_id <= $2");

/// The last posting that the point reaches.
pub(super) async fn posting_at<S: Sql<Dialect = PostgreSql>>(
    sql: &mut S,
    customer: CustomerKey,
    at: At,
) -> Result<Option<Recorded>, StoreError> {
    let (text, point) = match at {
        At::Sequence(sequence) => (AT_SEQUENCE, sql_count(sequence).into()),
        At::Position(position) => (AT_POSITION, sql_count(position.0).into()),
        At::Time(time) => (AT_TIME, time.into()),
        At::Posting(id) => (AT_POSTING, id.uuid().into()),
    };
    let found = sql.first(text, &[customer.into(), point], recorded).await?;
    // The search for an id ends at it, or just before where it would be.
    Ok(found.filter(|found| !matches!(at, At::Posting(id) if id != found.posting.id)))
}

pub(super) async fn postings_of<S: Sql<Dialect = PostgreSql>>(
    sql: &mut S,
    customer: CustomerKey,
    first: u64,
    last: u64,
) -> Result<Vec<(Recorded, usize)>, StoreError> {
    let text = postings_within!(
        "f.first_position + p.place",
        "posting p
         LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no",
        "p.customer = $1 AND p.sequence >= $2 AND p.sequence <= $3",
        "p.sequence",
        "$4"
    );
    let params =
        [customer.into(), sql_count(first).into(), sql_count(last).into(), sql_count(READ_BYTES_MAX).into()];
    sql.within(text, &params, weighed).await
}

/// The times from which the postings of a feed count. A placed posting never moves, so a second statement sees the
/// same commits.
pub(super) async fn counted<S: Sql<Dialect = PostgreSql>>(
    sql: &mut S,
    ledger: LedgerNo,
    feed: Vec<Recorded>,
) -> Result<Vec<(Recorded, Timestamp)>, StoreError> {
    let (Some(first), Some(last)) = (feed.first(), feed.last()) else { return Ok(Vec::new()) };
    let params = [ledger.into(), sql_count(first.position.0).into(), sql_count(last.position.0).into()];
    let commits: Vec<(i64, i64)> = sql
        .all(
            "SELECT f.first_position, f.counts_from
             FROM feed f
             WHERE f.ledger_no = $1
               AND f.first_position >= (
                   SELECT COALESCE(MAX(b.first_position), 0)
                   FROM feed b
                   WHERE b.ledger_no = $1
                     AND b.first_position <= $2
               )
               AND f.first_position <= $3
             ORDER BY f.first_position",
            &params,
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .await?;
    let counted = |recorded: Recorded| {
        let behind = commits.partition_point(|(first, _)| *first <= sql_count(recorded.position.0));
        let commit = behind.checked_sub(1).and_then(|last| commits.get(last));
        let (_, counts_from) = commit.ok_or_else(|| damaged("a posting has no commit in the feed"))?;
        Ok((recorded, Timestamp::from_micros(*counts_from)))
    };
    feed.into_iter().map(counted).collect()
}

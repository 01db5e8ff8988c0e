//! Reading the journal: feeds by position, and a customer's own history by halving its sequence.

use sqlx::PgExecutor;

use super::errors::{damaged, failed};
use super::read::PgReader;
use super::rows::{count_of, posting_columns, recorded, request_bytes, sql_count, sql_ledger, with_words};
use crate::ledger::book::RequestScope;
use crate::ledger::{CustomerKey, LedgerNo, Timestamp};
use crate::store::{At, Position, Recorded, StoreError};

/// A customer's postings `p` with their places, where they have one.
macro_rules! postings_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            posting_columns!("f.first_position + p.place"),
            " FROM posting p
              LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no",
            with_words!(),
            "WHERE ",
            $condition
        )
    };
}

/// The last posting of the customer $1 that the point $2 reaches: what reaches it are the postings up to some sequence,
/// so halving finds that one in as many look-ups as the number of postings has digits (in base 2). `low` reaches it
/// (0 stands for before all), what comes after `high` does not.
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
            posting_columns!("f.first_position + p.place"),
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
/// A posting without a place comes after every position.
const AT_POSITION: &str = search!("COALESCE(f.first_position + p.place <= $2, FALSE)");
/// A posting without a place counts from its time, or just after the watermark where it is too late for that. What
/// postings count from never falls along a customer's sequence.
const AT_TIME: &str = search!(
    "COALESCE(f.counts_from, GREATEST(p.recorded_at, (SELECT q.watermark + 1 FROM sequencer q))) <= $2"
);
/// Ids rise with the sequence.
const AT_POSTING: &str = search!("p.posting_id <= $2");

/// A ledger's postings after a position that have a place.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn feed_after(
    database: impl PgExecutor<'_>,
    ledger: LedgerNo,
    after: Position,
    limit: usize,
) -> Result<Vec<Recorded>, StoreError> {
    let after = sql_count(after.0);
    // Positions have no gaps, so the commits are bounded on both sides before anything of them is looked at.
    let rows = sqlx::query(concat!(
        "SELECT ",
        posting_columns!("f.first_position + u.place - 1"),
        " FROM feed f
          CROSS JOIN LATERAL UNNEST(f.customers, f.sequences) WITH ORDINALITY u(customer, sequence, place)
          JOIN posting p ON p.customer = u.customer AND p.sequence = u.sequence",
        with_words!(),
        "WHERE f.ledger_no = $1
            AND f.first_position >= (
                SELECT COALESCE(MAX(b.first_position), 0)
                FROM feed b
                WHERE b.ledger_no = $1
                  AND b.first_position <= $4
            )
            AND f.first_position <= $3
            AND f.first_position + u.place - 1 > $2
            AND f.first_position + u.place - 1 <= $3
          ORDER BY f.first_position, u.place"
    ))
    .bind(sql_ledger(ledger))
    .bind(after)
    .bind(after.saturating_add(sql_count(limit)))
    .bind(after.saturating_add(1))
    .fetch_all(database)
    .await
    .map_err(failed)?;
    recorded(&rows)
}

impl PgReader {
    pub(super) async fn posting_back_to(
        &self,
        customer: CustomerKey,
        at: At,
    ) -> Result<Option<Recorded>, StoreError> {
        let query = match at {
            At::Sequence(sequence) => sqlx::query(AT_SEQUENCE).bind(customer.raw()).bind(sql_count(sequence)),
            At::Position(position) => {
                sqlx::query(AT_POSITION).bind(customer.raw()).bind(sql_count(position.0))
            }
            At::Time(time) => sqlx::query(AT_TIME).bind(customer.raw()).bind(time.micros()),
            At::Posting(id) => sqlx::query(AT_POSTING).bind(customer.raw()).bind(id.uuid()),
        };
        let rows = query.fetch_all(&self.pool()).await.map_err(failed)?;
        let found = recorded(&rows)?.pop();
        // The search ends at the id, or just before where it would be.
        Ok(found.filter(|found| !matches!(at, At::Posting(id) if id != found.posting.id)))
    }

    pub(super) async fn postings_between(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let rows = sqlx::query(postings_where!(
            "p.customer = $1 AND p.sequence >= $2 AND p.sequence <= $3 ORDER BY p.sequence"
        ))
        .bind(customer.raw())
        .bind(sql_count(first))
        .bind(sql_count(last))
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        recorded(&rows)
    }

    pub(super) async fn counted_feed_after(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Recorded, Timestamp)>, StoreError> {
        let feed = feed_after(&self.pool(), ledger, after, limit).await?;
        // The commits that they came with; what has a place never moves, so a second statement sees the same.
        let commits: Vec<(i64, i64)> = sqlx::query_as(
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
        )
        .bind(sql_ledger(ledger))
        .bind(feed.first().map_or(0, |first| sql_count(first.position.0)))
        .bind(feed.last().map_or(0, |last| sql_count(last.position.0)))
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        let counted = |recorded: Recorded| {
            let behind = commits.partition_point(|(first, _)| *first <= sql_count(recorded.position.0));
            let commit = behind.checked_sub(1).and_then(|last| commits.get(last));
            let (_, counts_from) = commit.ok_or_else(|| damaged("a posting has no commit in the feed"))?;
            Ok((recorded, Timestamp::from_micros(*counts_from)))
        };
        feed.into_iter().map(counted).collect()
    }

    pub(super) async fn posting_of_request(
        &self,
        scope: &RequestScope,
    ) -> Result<Option<Recorded>, StoreError> {
        let (customer, kind, request) = scope;
        let rows = sqlx::query(postings_where!("p.customer = $1 AND p.kind = $2 AND p.request = $3"))
            .bind(customer.raw())
            .bind(i16::from(kind.code()))
            .bind(request_bytes(request))
            .fetch_all(&self.pool())
            .await
            .map_err(failed)?;
        Ok(recorded(&rows)?.pop())
    }

    pub(super) async fn last_position_of(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT position FROM feed_end WHERE ledger_no = $1")
            .bind(sql_ledger(ledger))
            .fetch_optional(&self.pool())
            .await
            .map_err(failed)?;
        Ok(Position(count_of(last.unwrap_or_default(), "the end of a feed")?))
    }
}

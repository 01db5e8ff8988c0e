//! Reading the journal: feeds by position, and a customer's own history along the pointers in its postings.

use rusqlite::types::{ToSqlOutput, ValueRef};
use sqlx::sqlite::SqliteRow;

use super::failed;
use super::read::SqliteReader;
use super::rows::{
    POSITION_MAX, PostingRow, damaged, key_of, limit_of, place_of, posting_columns, request_value, uuid_of,
    with_words,
};
use crate::ledger::book::RequestScope;
use crate::ledger::{CustomerKey, LedgerNo};
use crate::store::skew::{self, Path, Pointers};
use crate::store::{At, Position, Recorded, StoreError};

type StepColumns = (i64, Vec<u8>, i64, Option<i64>, Option<i64>);

/// What the way back has to know of a posting.
struct Step {
    key: i64,
    sequence: u64,
    id: uuid::Uuid,
    recorded_at: i64,
    pointers: Pointers,
}

impl Step {
    /// True where the posting is at or before the point.
    fn reached(&self, at: At) -> bool {
        match at {
            At::Sequence(sequence) => self.sequence <= sequence,
            At::Position(position) => self.key.cast_unsigned() & POSITION_MAX <= position.0,
            At::Time(time) => self.recorded_at <= time.micros(),
            At::Posting(id) => self.id <= id.uuid(),
        }
    }
}

impl SqliteReader {
    pub(super) async fn posting_back_to(
        &self,
        customer: CustomerKey,
        at: At,
    ) -> Result<Option<Recorded>, StoreError> {
        let Some(last) = self.last_posting(customer).await? else { return Ok(None) };
        let Some(found) = self.back_to(last, at).await? else { return Ok(None) };
        let Some(row) = self.posting_of_key(found).await? else {
            return Err(damaged(format!("posting key {found} is pointed to and does not exist")));
        };
        let recorded = row.recorded()?;
        // Ids rise with the sequence, so the way back ends at the id, or just before where it would be.
        let other = matches!(at, At::Posting(id) if id != recorded.posting.id);
        Ok((!other).then_some(recorded))
    }

    async fn last_posting(&self, customer: CustomerKey) -> Result<Option<i64>, StoreError> {
        let Some(row) = self.customer_row(customer).await? else { return Ok(None) };
        let sequence = u64::try_from(row.sequence).unwrap_or_default();
        let path = Path::decode(&row.path, sequence)
            .map_err(|error| damaged(format!("pointers of customer {}: {error}", row.customer_id)))?;
        Ok(path.last())
    }

    /// Walks back from the posting `key` to the first one that the point reaches: a jump where that does not pass
    /// the point, else one posting.
    async fn back_to(&self, key: i64, at: At) -> Result<Option<i64>, StoreError> {
        let mut here = self.step(key).await?;
        while !here.reached(at) {
            let jumps_past = match (at, here.pointers.jump) {
                (_, None) => None,
                // The sequence of a jump is known, and the position is in its key: neither needs a read.
                (At::Sequence(sequence), Some(jump)) if skew::jump(here.sequence) > sequence => Some(jump),
                (At::Position(position), Some(jump)) if jump.cast_unsigned() & POSITION_MAX > position.0 => {
                    Some(jump)
                }
                (At::Sequence(_) | At::Position(_), Some(_)) => None,
                (At::Time(_) | At::Posting(_), Some(jump)) => {
                    let landed = self.step(jump).await?;
                    if !landed.reached(at) {
                        here = landed;
                        continue;
                    }
                    None
                }
            };
            match jumps_past.or(here.pointers.previous) {
                Some(next) => here = self.step(next).await?,
                None => return Ok(None),
            }
        }
        Ok(Some(here.key))
    }

    async fn step(&self, key: i64) -> Result<Step, StoreError> {
        let row: Option<StepColumns> = sqlx::query_as(
            "SELECT sequence, posting_id, recorded_at, previous, jump
             FROM posting
             WHERE key = ?",
        )
        .bind(key)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        let (sequence, id, recorded_at, previous, jump) =
            row.ok_or_else(|| damaged(format!("posting key {key} is pointed to and does not exist")))?;
        Ok(Step {
            key,
            sequence: u64::try_from(sequence).unwrap_or_default(),
            id: uuid_of(&id, "posting id")?,
            recorded_at,
            pointers: Pointers { previous, jump },
        })
    }

    async fn posting_of_key(&self, key: i64) -> Result<Option<PostingRow>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            posting_columns!(),
            " FROM posting p",
            with_words!(),
            "WHERE p.key = ?"
        ))
        .bind(key)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        row.as_ref().map(PostingRow::of_reader).transpose().map_err(failed)
    }

    pub(super) async fn postings_between(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        if first > last {
            return Ok(Vec::new());
        }
        let Some(newest) = self.last_posting(customer).await? else { return Ok(Vec::new()) };
        let Some(from) = self.back_to(newest, At::Sequence(last)).await? else { return Ok(Vec::new()) };
        let rows = sqlx::query(concat!(
            "WITH RECURSIVE back(key, previous) AS (
                 SELECT key, previous
                 FROM posting
                 WHERE key = ?
                   AND sequence >= ?
                 UNION ALL
                 SELECT p.key, p.previous
                 FROM back b
                 CROSS JOIN posting p ON p.key = b.previous
                 WHERE p.sequence >= ?
             )
             SELECT ",
            posting_columns!(),
            " FROM back b
             CROSS JOIN posting p ON p.key = b.key",
            with_words!(),
            "ORDER BY p.key"
        ))
        .bind(from)
        .bind(i64::try_from(first).unwrap_or(i64::MAX))
        .bind(i64::try_from(first).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        recorded(&rows)
    }

    pub(super) async fn posting_of_request(
        &self,
        scope: &RequestScope,
    ) -> Result<Option<Recorded>, StoreError> {
        let (customer, kind, request) = scope;
        let query = sqlx::query(concat!(
            "SELECT ",
            posting_columns!(),
            " FROM posting p",
            with_words!(),
            "WHERE p.request = ? AND p.customer = ? AND p.kind = ?"
        ));
        let query = match request_value(request) {
            ToSqlOutput::Borrowed(ValueRef::Blob(bytes)) => query.bind(bytes.to_vec()),
            _ => query.bind(request.to_string()),
        };
        let row = query
            .bind(customer.raw())
            .bind(i64::from(kind.code()))
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        row.map(|row| PostingRow::of_reader(&row).map_err(failed)?.recorded()).transpose()
    }

    pub(super) async fn feed_after(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            posting_columns!(),
            " FROM posting p",
            with_words!(),
            "WHERE p.key > ? AND p.key < ? ORDER BY p.key LIMIT ?"
        ))
        .bind(key_of(ledger, after))
        .bind(key_of(ledger, Position(POSITION_MAX)))
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        recorded(&rows)
    }

    pub(super) async fn last_position_of(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(key) FROM posting WHERE key > ? AND key < ?")
            .bind(key_of(ledger, Position(0)))
            .bind(key_of(ledger, Position(POSITION_MAX)))
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
        last.map_or(Ok(Position(0)), |key| place_of(key).map(|(_, position)| position))
    }
}

fn recorded(rows: &[SqliteRow]) -> Result<Vec<Recorded>, StoreError> {
    rows.iter().map(|row| PostingRow::of_reader(row).map_err(failed)?.recorded()).collect()
}

//! A customer's history, along the pointers in its postings.

use uuid::Uuid;

use super::columns::{Sqlite, keyed_posting_columns, with_words};
use super::keys::POSITION_MAX;
use crate::ledger::CustomerKey;
use crate::store::error::{StoreError, damaged};
use crate::store::read_store::At;
use crate::store::recorded::Recorded;
use crate::store::skew::{self, Path, Pointers};
use crate::store::sql::database::Sql;
use crate::store::sql::row::{Row, sql_count};
use crate::store::sql::rows::{posting_columns, recorded, weighed};
use crate::store::stored::count_of;

/// The columns of a posting that the walk back needs.
struct Step {
    key: i64,
    sequence: u64,
    id: Uuid,
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

fn missing(key: i64) -> StoreError {
    damaged(format!("posting key {key} is pointed to and does not exist"))
}

/// The last posting that the point reaches.
pub(super) async fn posting_at<S: Sql<Dialect = Sqlite> + Send>(
    sql: &mut S,
    customer: CustomerKey,
    at: At,
) -> Result<Option<Recorded>, StoreError> {
    let Some(last) = last_posting(sql, customer).await? else { return Ok(None) };
    let Some(key) = back_to(sql, last, at).await? else { return Ok(None) };
    let text =
        concat!("SELECT ", keyed_posting_columns!(), " FROM posting p", with_words!(), "WHERE p.key = $1");
    let found = sql.first(text, &[key.into()], recorded).await?.ok_or_else(|| missing(key))?;
    // Ids rise with the sequence, so the walk ends at the id, or just before where it would be.
    let is_other = matches!(at, At::Posting(id) if id != found.posting.id);
    Ok((!is_other).then_some(found))
}

/// The postings of a range, found from its newest one back.
pub(super) async fn postings_of<S: Sql<Dialect = Sqlite> + Send>(
    sql: &mut S,
    customer: CustomerKey,
    first: u64,
    last: u64,
) -> Result<Vec<(Recorded, usize)>, StoreError> {
    if first > last {
        return Ok(Vec::new());
    }
    let Some(newest) = last_posting(sql, customer).await? else { return Ok(Vec::new()) };
    let Some(from) = back_to(sql, newest, At::Sequence(last)).await? else { return Ok(Vec::new()) };
    let text = concat!(
        "WITH RECURSIVE back(key, previous) AS (
             SELECT key, previous
             FROM posting
             WHERE key = $1
               AND sequence >= $2
             UNION ALL
             SELECT p.key, p.previous
             FROM back b
             CROSS JOIN posting p ON p.key = b.previous
             WHERE p.sequence >= $2
         )
         SELECT ",
        keyed_posting_columns!(),
        " FROM back b
         CROSS JOIN posting p ON p.key = b.key",
        with_words!(),
        "ORDER BY p.key"
    );
    sql.within(text, &[from.into(), sql_count(first).into()], weighed).await
}

async fn last_posting<S: Sql>(sql: &mut S, customer: CustomerKey) -> Result<Option<i64>, StoreError> {
    let text = "SELECT sequence, path, customer_id FROM customer WHERE customer = $1";
    let read = |row: &dyn Row| {
        let id: String = row.get(2)?;
        let sequence = count_of(row.get(0)?, &format!("customer {id:?}"))?;
        let path: Vec<u8> = row.get(1)?;
        let path = Path::decode(&path, sequence)
            .map_err(|error| damaged(format!("pointers of customer {id}: {error}")))?;
        Ok(path.last())
    };
    Ok(sql.first(text, &[customer.into()], read).await?.flatten())
}

/// Walks back from the posting `key` to the first one that the point reaches. It takes the jump where that does not
/// pass the point, else one posting back.
async fn back_to<S: Sql + Send>(sql: &mut S, key: i64, at: At) -> Result<Option<i64>, StoreError> {
    let mut here = step(sql, key).await?;
    while !here.reached(at) {
        let jumps_past = match (at, here.pointers.jump) {
            (_, None) => None,
            // The sequence of a jump is known, and its position is in its key, so neither needs a read.
            (At::Sequence(sequence), Some(jump)) if skew::jump(here.sequence) > sequence => Some(jump),
            (At::Position(position), Some(jump)) if jump.cast_unsigned() & POSITION_MAX > position.0 => {
                Some(jump)
            }
            (At::Sequence(_) | At::Position(_), Some(_)) => None,
            (At::Time(_) | At::Posting(_), Some(jump)) => {
                let landed = step(sql, jump).await?;
                if !landed.reached(at) {
                    here = landed;
                    continue;
                }
                None
            }
        };
        match jumps_past.or(here.pointers.previous) {
            Some(next) => here = step(sql, next).await?,
            None => return Ok(None),
        }
    }
    Ok(Some(here.key))
}

async fn step<S: Sql>(sql: &mut S, key: i64) -> Result<Step, StoreError> {
    let text = "SELECT sequence, posting_id, recorded_at, previous, jump FROM posting WHERE key = $1";
    let read = |row: &dyn Row| {
        Ok(Step {
            key,
            sequence: count_of(row.get(0)?, "a posting's sequence")?,
            id: row.get(1)?,
            recorded_at: row.get(2)?,
            pointers: Pointers { previous: row.get(3)?, jump: row.get(4)? },
        })
    };
    sql.first(text, &[key.into()], read).await?.ok_or_else(|| missing(key))
}

//! Postings by request, and feeds by position. Each engine has its own way to read a customer's history.

use super::database::{Dialect, Sql};
use super::row::sql_count;
use super::rows::{recorded, weighed};
use crate::ledger::book::RequestScope;
use crate::ledger::{CustomerKey, LedgerNo, Timestamp};
use crate::store::error::StoreError;
use crate::store::read_store::{Page, READ_BYTES_MAX};
use crate::store::recorded::{Position, Recorded};
use crate::store::stored::count_of;

/// The posting that answered a request.
pub async fn by_request<S: Sql>(
    sql: &mut S,
    (customer, kind, request): RequestScope,
) -> Result<Option<Recorded>, StoreError> {
    let params = [customer.into(), i64::from(kind.code()).into(), (&request).into()];
    sql.first(S::Dialect::POSTING_OF_REQUEST, &params, recorded).await
}

pub async fn feed<S: Sql>(
    sql: &mut S,
    ledger: LedgerNo,
    after: Position,
    limit: usize,
) -> Result<Page<Recorded, Position>, StoreError> {
    let after = sql_count(after.0);
    let last = after.saturating_add(sql_count(limit));
    let params = [
        ledger.into(),
        after.into(),
        last.into(),
        after.saturating_add(1).into(),
        sql_count(READ_BYTES_MAX).into(),
    ];
    let read = sql.within(S::Dialect::FEED, &params, weighed).await?;
    Ok(Page::weighed(read, limit, |last| last.position))
}

/// A ledger's postings after a position, with the times from which they count.
pub async fn counted_feed<S: Sql + Send>(
    sql: &mut S,
    ledger: LedgerNo,
    after: Position,
    limit: usize,
) -> Result<Page<(Recorded, Timestamp), Position>, StoreError> {
    let Page { items, next } = feed(sql, ledger, after, limit).await?;
    Ok(Page { items: S::Dialect::counted(sql, ledger, items).await?, next })
}

/// A customer's postings with sequences `first..=last`.
pub async fn postings_of<S: Sql + Send>(
    sql: &mut S,
    customer: CustomerKey,
    first: u64,
    last: u64,
) -> Result<Page<Recorded, u64>, StoreError> {
    let read = S::Dialect::postings_of(sql, customer, first, last).await?;
    let Page { items, next } = Page::weighed(read, usize::MAX, |last| last.posting.sequence);
    Ok(Page { items, next: next.filter(|read_to| *read_to < last) })
}

/// The last position of a ledger; 0 where it has no postings.
pub async fn last_position<S: Sql>(sql: &mut S, ledger: LedgerNo) -> Result<Position, StoreError> {
    let last: Option<i64> = sql.first(S::Dialect::LAST_POSITION, &[ledger.into()], |row| row.get(0)).await?;
    Ok(Position(count_of(last.unwrap_or(0), "the end of a feed")?))
}

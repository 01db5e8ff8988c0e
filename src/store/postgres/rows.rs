//! A posting's row as it is written, its checksum, and conversions to narrower columns.

use uuid::Uuid;

use crate::ledger::{Credits, LedgerNo, Posting, RequestKey};
use crate::store::error::StoreError;
use crate::store::sql::row::RequestColumn;
use crate::store::sql::rows::PostingRow;
use crate::store::stored::{WordsColumns, checksum, stored_count};

/// A ledger's number as SQL takes it: at most 22 bits.
pub(super) fn sql_ledger(ledger: LedgerNo) -> i32 {
    i32::try_from(ledger.get()).unwrap_or(i32::MAX)
}

/// A request id as its column holds it.
pub(super) fn request_bytes(request: &RequestKey) -> Vec<u8> {
    RequestColumn::of(request).concat()
}

/// The row of a posting that is to be stored.
///
/// # Errors
/// [`StoreError::Damaged`] for a sequence out of bounds.
pub(super) fn row_of(posting: &Posting) -> Result<PostingRow, StoreError> {
    let (mut detail, mut words) = (Vec::new(), Vec::new());
    posting.put_detail(&mut detail, &mut words);
    let words = if words.is_empty() { WordsColumns::default() } else { WordsColumns::of(posting, &words) };
    let after = posting.after;
    Ok(PostingRow {
        position: None,
        ledger_no: posting.ledger.get().into(),
        customer: posting.customer.raw(),
        sequence: stored_count(posting.sequence)?,
        kind: posting.kind.code().into(),
        id: posting.id.uuid(),
        recorded_at: posting.recorded_at.micros(),
        request: posting.request.as_ref().map(RequestColumn::of),
        fingerprint: posting.fingerprint.cast_signed(),
        amounts: posting.amounts.0.map(Credits::units),
        after: [after.available.units(), after.held.units(), after.owed.units()],
        storefront: posting.storefront.as_ref().map(ToString::to_string),
        detail,
        words,
    })
}

/// The checksum of a row, with its commit and its index there.
pub(super) fn checksum_of(row: &PostingRow, batch: Uuid, place: i64) -> i64 {
    let PostingRow { ledger_no, customer, sequence, kind, recorded_at, fingerprint, .. } = *row;
    let first = [ledger_no, customer, sequence, kind, place, recorded_at, fingerprint];
    let request = row.request.as_ref().map(RequestColumn::concat);
    // An existing storefront is never empty, and neither is a request.
    let (request, storefront) = (request.unwrap_or_default(), row.storefront.as_deref().unwrap_or_default());
    checksum(
        first.into_iter().chain(row.amounts).chain(row.after),
        &[row.id.as_bytes(), batch.as_bytes(), &request, storefront.as_bytes(), &row.detail],
    )
}

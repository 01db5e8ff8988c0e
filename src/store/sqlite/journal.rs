//! The numbers and the checksum of a posting's row.

use crate::ledger::Posting;
use crate::ledger::account::Slot;
use crate::store::error::StoreError;
use crate::store::skew::Pointers;
use crate::store::sql::rows::PostingRow;
use crate::store::stored::{checksum, stored_count};

/// Key, customer, sequence, kind, time, fingerprint, the seven amounts, the three balances.
pub(super) type Numbers = [i64; 16];

/// # Errors
/// [`StoreError::Damaged`] for a sequence out of bounds.
pub(super) fn numbers_of(posting: &Posting, key: i64) -> Result<Numbers, StoreError> {
    let amount = |slot| posting.amounts.get(slot).units();
    Ok([
        key,
        posting.customer.raw(),
        stored_count(posting.sequence)?,
        posting.kind.code().into(),
        posting.recorded_at.micros(),
        posting.fingerprint.cast_signed(),
        amount(Slot::First),
        amount(Slot::Second),
        amount(Slot::Third),
        amount(Slot::Fourth),
        amount(Slot::Expired),
        amount(Slot::Repaid),
        amount(Slot::Activated),
        posting.after.available.units(),
        posting.after.held.units(),
        posting.after.owed.units(),
    ])
}

/// All columns of a posting's row except its checksum.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    pub numbers: Numbers,
    pub pointers: Pointers,
    pub id: &'a [u8],
    /// `b` for the bytes of a UUID, `t` for a text; both empty without a request.
    pub request: (&'static [u8], &'a [u8]),
    pub storefront: Option<&'a str>,
    pub detail: &'a [u8],
}

impl Checked<'_> {
    /// The checksum of the row.
    pub fn checksum(&self) -> i64 {
        let Self { numbers, pointers, id, request: (class, request), storefront, detail } = self;
        let pointers = [pointers.previous, pointers.jump].map(|pointer| pointer.unwrap_or(-1));
        let numbers = numbers.iter().chain(&pointers).copied();
        // An existing storefront is never empty.
        checksum(numbers, &[id, class, request, storefront.unwrap_or_default().as_bytes(), detail])
    }
}

/// The checksum of a row that was read.
pub(super) fn checksum_of(row: &PostingRow, key: i64, pointers: Pointers) -> i64 {
    let [first, second, third, fourth, expired, repaid, activated] = row.amounts;
    let [available, held, owed] = row.after;
    let (customer, sequence, kind) = (row.customer, row.sequence, row.kind);
    let request: (&[u8], &[u8]) = match &row.request {
        Some(request) if request.class == b'u' => (b"b", &request.bytes),
        Some(request) if request.class == b't' => (b"t", &request.bytes),
        Some(_) | None => (b"", b""),
    };
    let checked = Checked {
        numbers: [
            key,
            customer,
            sequence,
            kind,
            row.recorded_at,
            row.fingerprint,
            first,
            second,
            third,
            fourth,
            expired,
            repaid,
            activated,
            available,
            held,
            owed,
        ],
        pointers,
        id: row.id.as_bytes(),
        request,
        storefront: row.storefront.as_deref(),
        detail: &row.detail,
    };
    checked.checksum()
}

//! How values of the core stand in columns: request ids, rows of postings and customers.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::errors::{damaged, failed};
use crate::ledger::account::Amounts;
use crate::ledger::codec::{Codec, decode};
use crate::ledger::hash::stable_hash;
use crate::ledger::{
    Balances, Credits, Customer, CustomerId, CustomerKey, Kind, LedgerNo, Posting, PostingId, RequestKey,
    Storefront, Timestamp,
};
use crate::store::{Position, Recorded, StoreError};

/// Decodes a stored value of the core.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub(super) fn decoded<T: Codec>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    decode(bytes).map_err(|error| damaged(format!("{what}: {error}")))
}

/// A count or a position that is never negative.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub(super) fn count_of(value: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| damaged(format!("{what}: {value}")))
}

/// A count or a limit as SQL takes it.
pub(super) fn sql_count(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// A ledger's number as SQL takes it: at most 22 bits.
pub(super) fn sql_ledger(ledger: LedgerNo) -> i32 {
    i32::try_from(ledger.get()).unwrap_or(i32::MAX)
}

/// Reads a ledger's number.
///
/// # Errors
/// [`StoreError::Damaged`] for a number out of range.
pub(super) fn ledger_no_of(number: i32) -> Result<LedgerNo, StoreError> {
    let checked = u32::try_from(number).ok().and_then(LedgerNo::new);
    checked.ok_or_else(|| damaged(format!("ledger number {number}")))
}

/// Reads a customer's id.
///
/// # Errors
/// [`StoreError::Damaged`] for a text that is none.
pub(super) fn customer_id_of(text: &str) -> Result<CustomerId, StoreError> {
    CustomerId::parse(text).map_err(|error| damaged(format!("customer id {text:?}: {error}")))
}

/// A request id in its column: its kind, so that a text is never equal to a UUID, and its bytes.
pub(super) fn request_bytes(request: &RequestKey) -> Vec<u8> {
    match request {
        RequestKey::Uuid(uuid) => [b"u", uuid.as_bytes().as_slice()].concat(),
        RequestKey::Text(text) => [b"t", text.as_bytes()].concat(),
    }
}

/// Reads a request id back.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub(super) fn request_of(bytes: &[u8], what: &str) -> Result<RequestKey, StoreError> {
    let wrong = || damaged(format!("{what}: the request id cannot be read"));
    match bytes.split_first() {
        Some((b'u', uuid)) => Uuid::from_slice(uuid).map(RequestKey::Uuid).map_err(|_| wrong()),
        Some((b't', text)) => {
            let text = std::str::from_utf8(text).map_err(|_| wrong())?;
            Ok(RequestKey::Text(text.into()))
        }
        _ => Err(wrong()),
    }
}

/// The columns of a posting `p` with its position, in the order in which [`PostingRow`] reads them; `$position` is an
/// expression that may be NULL.
macro_rules! posting_columns {
    ($position:literal) => {
        concat!(
            $position,
            ", p.ledger_no, p.customer, p.sequence, p.kind, p.posting_id, p.batch, p.place, p.recorded_at, p.request, \
             p.fingerprint, p.credits_1, p.credits_2, p.credits_3, p.credits_4, p.expired, p.repaid, p.activated, \
             p.available, p.held, p.owed, p.storefront, p.detail"
        )
    };
}

/// The columns of a customer `c`, in the order in which [`CustomerRow`] reads them.
macro_rules! customer_columns {
    () => {
        "c.ledger_no, c.customer_id, c.sequence, c.available, c.held, c.owed, c.state"
    };
}

pub(super) use {customer_columns, posting_columns};

/// A posting as it stands in its row.
#[derive(Debug)]
pub(super) struct PostingRow {
    /// Where it stands in its ledger's feed, once that is known.
    pub position: Option<i64>,
    pub ledger_no: i32,
    pub customer: i64,
    pub sequence: i64,
    pub kind: i16,
    pub posting_id: Uuid,
    pub batch: Uuid,
    pub place: i32,
    pub recorded_at: i64,
    pub request: Option<Vec<u8>>,
    pub fingerprint: i64,
    pub amounts: [i64; 7],
    pub after: [i64; 3],
    pub storefront: Option<String>,
    pub detail: Vec<u8>,
}

impl PostingRow {
    /// Reads [`posting_columns`] from column `first` on.
    ///
    /// # Errors
    /// [`StoreError`] of the driver.
    pub fn read(row: &PgRow, first: usize) -> Result<Self, StoreError> {
        let read = || {
            let mut amounts = [0; 7];
            for (place, column) in amounts.iter_mut().zip(first + 11..) {
                *place = row.try_get(column)?;
            }
            Ok::<_, sqlx::Error>(Self {
                position: row.try_get(first)?,
                ledger_no: row.try_get(first + 1)?,
                customer: row.try_get(first + 2)?,
                sequence: row.try_get(first + 3)?,
                kind: row.try_get(first + 4)?,
                posting_id: row.try_get(first + 5)?,
                batch: row.try_get(first + 6)?,
                place: row.try_get(first + 7)?,
                recorded_at: row.try_get(first + 8)?,
                request: row.try_get(first + 9)?,
                fingerprint: row.try_get(first + 10)?,
                amounts,
                after: [row.try_get(first + 18)?, row.try_get(first + 19)?, row.try_get(first + 20)?],
                storefront: row.try_get(first + 21)?,
                detail: row.try_get(first + 22)?,
            })
        };
        read().map_err(failed)
    }

    /// A posting of the core, as it is stored with the commit `batch`.
    pub fn of(posting: &Posting, batch: Uuid, place: i32, detail: Vec<u8>) -> Self {
        let after = posting.after;
        Self {
            position: None,
            ledger_no: sql_ledger(posting.ledger),
            customer: posting.customer.raw(),
            sequence: sql_count(posting.sequence),
            kind: posting.kind.code().into(),
            posting_id: posting.id.uuid(),
            batch,
            place,
            recorded_at: posting.recorded_at.micros(),
            request: posting.request.as_ref().map(request_bytes),
            fingerprint: posting.fingerprint.cast_signed(),
            amounts: posting.amounts.0.map(Credits::units),
            after: [after.available.units(), after.held.units(), after.owed.units()],
            storefront: posting.storefront.as_ref().map(ToString::to_string),
            detail,
        }
    }

    /// The checksum that belongs to the row. It finds damage, not forgery.
    pub fn checksum(&self) -> i64 {
        let [first, second, third, fourth, expired, repaid, activated] = self.amounts;
        let [available, held, owed] = self.after;
        let numbers = [
            self.ledger_no.into(),
            self.customer,
            self.sequence,
            self.kind.into(),
            self.place.into(),
            self.recorded_at,
            self.fingerprint,
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
        ];
        let mut bytes = [0; 17 * 8];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let request = self.request.as_deref().unwrap_or_default();
        // A storefront that is there is never empty.
        let storefront = self.storefront.as_deref().unwrap_or_default().as_bytes();
        let ids = [self.posting_id.as_bytes().as_slice(), self.batch.as_bytes()].concat();
        stable_hash(&[&bytes, &ids, request, storefront, &self.detail]).cast_signed()
    }

    /// How people find the row.
    pub fn name(&self) -> String {
        format!(
            "posting {} of customer key {} in ledger number {}",
            self.sequence, self.customer, self.ledger_no
        )
    }

    /// The posting and its place; position 0 where it has none yet.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], naming the posting.
    pub fn recorded(self) -> Result<Recorded, StoreError> {
        let what = self.name();
        let kind = u8::try_from(self.kind).ok().and_then(Kind::from_code);
        let storefront = self.storefront.as_deref().map(Storefront::parse).transpose();
        let [available, held, owed] = self.after.map(Credits::from_units);
        let posting = Posting {
            id: PostingId::from_uuid(self.posting_id),
            ledger: ledger_no_of(self.ledger_no)?,
            customer: CustomerKey::from_raw(self.customer),
            sequence: count_of(self.sequence, &what)?,
            kind: kind.ok_or_else(|| damaged(format!("{what}: unknown kind {}", self.kind)))?,
            recorded_at: Timestamp::from_micros(self.recorded_at),
            request: self.request.map(|request| request_of(&request, &what)).transpose()?,
            fingerprint: self.fingerprint.cast_unsigned(),
            amounts: Amounts(self.amounts.map(Credits::from_units)),
            after: Balances { available, held, owed },
            storefront: storefront.map_err(|error| damaged(format!("{what}: storefront {error}")))?,
            detail: decoded(&self.detail, &what)?,
        };
        let position = Position(count_of(self.position.unwrap_or_default(), &what)?);
        Ok(Recorded { position, posting: Arc::new(posting) })
    }
}

/// Reads postings from rows of [`posting_columns`].
///
/// # Errors
/// [`StoreError`].
pub(super) fn recorded(rows: &[PgRow]) -> Result<Vec<Recorded>, StoreError> {
    rows.iter().map(|row| PostingRow::read(row, 0)?.recorded()).collect()
}

/// A customer as it stands in its row.
#[derive(Debug)]
pub(super) struct CustomerRow {
    pub ledger_no: i32,
    pub customer_id: String,
    pub sequence: i64,
    /// Available, held, owed.
    pub balances: [i64; 3],
    pub state: Vec<u8>,
}

impl CustomerRow {
    /// Reads [`customer_columns`] from column `first` on.
    ///
    /// # Errors
    /// [`StoreError`] of the driver.
    pub fn read(row: &PgRow, first: usize) -> Result<Self, StoreError> {
        let read = || {
            Ok::<_, sqlx::Error>(Self {
                ledger_no: row.try_get(first)?,
                customer_id: row.try_get(first + 1)?,
                sequence: row.try_get(first + 2)?,
                balances: [row.try_get(first + 3)?, row.try_get(first + 4)?, row.try_get(first + 5)?],
                state: row.try_get(first + 6)?,
            })
        };
        read().map_err(failed)
    }

    /// The customer.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], naming the customer.
    pub fn customer(&self) -> Result<Customer, StoreError> {
        let what = format!("customer {:?}", self.customer_id);
        let [available, held, owed] = self.balances.map(Credits::from_units);
        Ok(Customer {
            ledger: ledger_no_of(self.ledger_no)?,
            id: customer_id_of(&self.customer_id)?,
            sequence: count_of(self.sequence, &what)?,
            balances: Balances { available, held, owed },
            state: decoded(&self.state, &what)?,
        })
    }
}

//! How values of the core stand in columns: request ids, rows of postings and customers.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::errors::failed;
use crate::ledger::{Credits, Customer, LedgerNo, Posting, RequestKey};
use crate::store::stored::{self, PostingColumns, WordsColumns, checksum, customer_of, damaged};
pub(super) use crate::store::stored::{count_of, customer_id_of, decoded};
use crate::store::{Position, Recorded, StoreError};

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
    stored::ledger_no_of(number.into())
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

/// The columns of a posting `p` [`with_words`] and with its position, in the order in which [`PostingRow`] reads them; `$position` is an
/// expression that may be NULL.
macro_rules! posting_columns {
    ($position:literal) => {
        concat!(
            $position,
            ", p.ledger_no, p.customer, p.sequence, p.kind, p.posting_id, p.batch, p.place, p.recorded_at, p.request, \
             p.fingerprint, p.credits_1, p.credits_2, p.credits_3, p.credits_4, p.expired, p.repaid, p.activated, \
             p.available, p.held, p.owed, p.storefront, p.detail, \
             w.words, w.erased_at, w.checksum"
        )
    };
}

/// What gives postings `p` their words `w`.
macro_rules! with_words {
    () => {
        " LEFT JOIN posting_words w ON w.customer = p.customer AND w.sequence = p.sequence "
    };
}

/// The columns of a customer `c`, in the order in which [`CustomerRow`] reads them.
macro_rules! customer_columns {
    () => {
        "c.ledger_no, c.customer_id, c.sequence, c.available, c.held, c.owed, c.state"
    };
}

pub(super) use {customer_columns, posting_columns, with_words};

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
    pub words: WordsColumns,
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
                words: WordsColumns {
                    words: row.try_get(first + 23)?,
                    erased_at: row.try_get(first + 24)?,
                    checksum: row.try_get(first + 25)?,
                },
            })
        };
        read().map_err(failed)
    }

    /// A posting of the core, as it is stored with the commit `batch`.
    pub fn of(posting: &Posting, batch: Uuid, place: i32) -> Self {
        let after = posting.after;
        let (mut detail, mut words) = (Vec::new(), Vec::new());
        posting.put_detail(&mut detail, &mut words);
        let words =
            if words.is_empty() { WordsColumns::default() } else { WordsColumns::of(posting, &words) };
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
            words,
        }
    }

    /// The checksum that belongs to the row.
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
        let request = self.request.as_deref().unwrap_or_default();
        // A storefront that is there is never empty.
        let storefront = self.storefront.as_deref().unwrap_or_default().as_bytes();
        let (id, batch) = (self.posting_id.as_bytes(), self.batch.as_bytes());
        checksum(numbers, &[id, batch, request, storefront, &self.detail])
    }

    /// What is wrong with what is stored beside it.
    pub fn fault_of_words(&self) -> Option<&'static str> {
        self.words.fault(self.customer, self.sequence, &self.detail)
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
        let columns = PostingColumns {
            ledger: ledger_no_of(self.ledger_no)?,
            customer: self.customer,
            sequence: self.sequence,
            kind: self.kind.into(),
            id: self.posting_id,
            recorded_at: self.recorded_at,
            request: self.request.as_deref().map(|request| request_of(request, &what)).transpose()?,
            fingerprint: self.fingerprint,
            amounts: self.amounts,
            after: self.after,
            storefront: self.storefront.as_deref(),
            detail: &self.detail,
            words: &self.words,
        };
        let posting = columns.posting(&what)?;
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
        let ledger = ledger_no_of(self.ledger_no)?;
        customer_of(ledger, &self.customer_id, self.sequence, self.balances, &self.state)
    }
}

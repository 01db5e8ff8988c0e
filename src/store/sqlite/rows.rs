//! How values of the core stand in columns: keys, request ids, rows of postings and customers, for both drivers.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use sqlx::{Row, TypeInfo, ValueRef as _};
use uuid::Uuid;

use crate::ledger::{Customer, LedgerNo, RequestKey};
use crate::store::skew::Pointers;
use crate::store::stored::{PostingColumns, WordsColumns, checksum, customer_of};
pub use crate::store::stored::{count_of, customer_id_of, damaged, decoded, ledger_no_of};
use crate::store::{Position, Recorded, StoreError};

/// Bits of a posting's key that are its position; the ledger's number stands above them.
const POSITION_BITS: u32 = 40;
/// The highest position.
pub const POSITION_MAX: u64 = (1 << POSITION_BITS) - 1;

/// The key of the posting at `position`; positions beyond the last possible one read as that one, which is never
/// given away ([`super::append`] stops before it).
#[must_use]
pub fn key_of(ledger: LedgerNo, position: Position) -> i64 {
    let position = position.0.min(POSITION_MAX).cast_signed();
    (i64::from(ledger.get()) << POSITION_BITS) | position
}

/// The ledger and the position in a key.
///
/// # Errors
/// [`StoreError::Damaged`] for a key that no ledger has.
pub fn place_of(key: i64) -> Result<(LedgerNo, Position), StoreError> {
    let ledger = u32::try_from(key >> POSITION_BITS).ok().and_then(LedgerNo::new);
    let position = Position(key.cast_unsigned() & POSITION_MAX);
    ledger.map(|ledger| (ledger, position)).ok_or_else(|| damaged(format!("posting key {key}")))
}

/// Reads a stored UUID.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub fn uuid_of(bytes: &[u8], what: &str) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_| damaged(format!("{what}: not a UUID")))
}

/// A limit as SQL takes it.
#[must_use]
pub fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A request id in its column: a UUID is a BLOB, any other text is TEXT. The storage classes keep the two apart.
#[must_use]
pub fn request_value(request: &RequestKey) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(request_ref(request))
}

/// The same, as a value.
#[must_use]
pub fn request_ref(request: &RequestKey) -> ValueRef<'_> {
    match request {
        RequestKey::Uuid(uuid) => ValueRef::Blob(uuid.as_bytes()),
        RequestKey::Text(text) => ValueRef::Text(text.as_bytes()),
    }
}

/// Reads a request id back.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub fn request_of(value: Value, what: &str) -> Result<Option<RequestKey>, StoreError> {
    match value {
        Value::Null => Ok(None),
        Value::Blob(bytes) => Ok(Some(RequestKey::Uuid(uuid_of(&bytes, &format!("{what}: request id"))?))),
        Value::Text(text) => Ok(Some(RequestKey::Text(text.into_boxed_str()))),
        Value::Integer(_) | Value::Real(_) => Err(damaged(format!("{what}: the request id is a number"))),
    }
}

/// A request id's column on the reading side.
///
/// # Errors
/// Of the driver.
pub fn request_column(row: &sqlx::sqlite::SqliteRow, column: usize) -> sqlx::Result<Value> {
    let raw = row.try_get_raw(column)?;
    Ok(if raw.is_null() {
        Value::Null
    } else if raw.type_info().name() == "BLOB" {
        Value::Blob(row.try_get_unchecked(column)?)
    } else {
        Value::Text(row.try_get_unchecked(column)?)
    })
}

/// The columns of a posting `p` [`with_words`], in the order in which [`PostingRow`] reads them.
macro_rules! posting_columns {
    () => {
        "p.key, p.customer, p.sequence, p.kind, p.posting_id, p.recorded_at, p.request, p.fingerprint, \
         p.credits_1, p.credits_2, p.credits_3, p.credits_4, p.expired, p.repaid, p.activated, \
         p.available, p.held, p.owed, p.storefront, p.detail, \
         w.words, w.erased_at, w.checksum"
    };
}

/// What gives postings `p` their words `w`, after all that they are joined with.
macro_rules! with_words {
    () => {
        " LEFT JOIN posting_words w ON w.key = p.key "
    };
}

/// The columns of a customer `c`, in the order in which [`CustomerRow`] reads them.
macro_rules! customer_columns {
    () => {
        "c.ledger_no, c.customer_id, c.sequence, c.available, c.held, c.owed, c.next_due, c.path, c.state"
    };
}

pub(super) use {customer_columns, posting_columns, with_words};

/// A posting as it stands in its row.
#[derive(Debug)]
pub struct PostingRow {
    key: i64,
    customer: i64,
    sequence: i64,
    kind: i64,
    posting_id: Vec<u8>,
    recorded_at: i64,
    request: Value,
    fingerprint: i64,
    amounts: [i64; 7],
    after: [i64; 3],
    storefront: Option<String>,
    detail: Vec<u8>,
    words: WordsColumns,
}

impl PostingRow {
    /// Reads [`posting_columns`] on the writing side.
    ///
    /// # Errors
    /// Of the driver.
    pub fn of_writer(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: row.get(0)?,
            customer: row.get(1)?,
            sequence: row.get(2)?,
            kind: row.get(3)?,
            posting_id: row.get(4)?,
            recorded_at: row.get(5)?,
            request: row.get(6)?,
            fingerprint: row.get(7)?,
            amounts: [
                row.get(8)?,
                row.get(9)?,
                row.get(10)?,
                row.get(11)?,
                row.get(12)?,
                row.get(13)?,
                row.get(14)?,
            ],
            after: [row.get(15)?, row.get(16)?, row.get(17)?],
            storefront: row.get(18)?,
            detail: row.get(19)?,
            words: WordsColumns { words: row.get(20)?, erased_at: row.get(21)?, checksum: row.get(22)? },
        })
    }

    /// Reads [`posting_columns`] on the reading side.
    ///
    /// # Errors
    /// Of the driver.
    pub fn of_reader(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Self> {
        let mut amounts = [0; 7];
        for (place, column) in amounts.iter_mut().zip(8_usize..) {
            *place = row.try_get(column)?;
        }
        Ok(Self {
            key: row.try_get(0)?,
            customer: row.try_get(1)?,
            sequence: row.try_get(2)?,
            kind: row.try_get(3)?,
            posting_id: row.try_get(4)?,
            recorded_at: row.try_get(5)?,
            request: request_column(row, 6)?,
            fingerprint: row.try_get(7)?,
            amounts,
            after: [row.try_get(15)?, row.try_get(16)?, row.try_get(17)?],
            storefront: row.try_get(18)?,
            detail: row.try_get(19)?,
            words: WordsColumns {
                words: row.try_get(20)?,
                erased_at: row.try_get(21)?,
                checksum: row.try_get(22)?,
            },
        })
    }

    /// Its key, its customer's key and its sequence there.
    #[must_use]
    pub const fn place(&self) -> (i64, i64, i64) {
        (self.key, self.customer, self.sequence)
    }

    /// The checksum that belongs to the row.
    #[must_use]
    pub fn checksum(&self, pointers: Pointers) -> i64 {
        let [first, second, third, fourth, expired, repaid, activated] = self.amounts;
        let [available, held, owed] = self.after;
        let checked = Checked {
            numbers: [
                self.key,
                self.customer,
                self.sequence,
                self.kind,
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
            ],
            pointers,
            id: &self.posting_id,
            request: (&self.request).into(),
            storefront: self.storefront.as_deref(),
            detail: &self.detail,
        };
        checked.checksum()
    }

    /// What is wrong with what is stored beside it.
    #[must_use]
    pub fn fault_of_words(&self) -> Option<&'static str> {
        self.words.fault(self.customer, self.sequence, &self.detail)
    }

    /// The posting and its place.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], naming the posting.
    pub fn recorded(self) -> Result<Recorded, StoreError> {
        let (ledger, position) = place_of(self.key)?;
        let what = format!("posting {} of ledger number {}", position.0, ledger.get());
        let columns = PostingColumns {
            ledger,
            customer: self.customer,
            sequence: self.sequence,
            kind: self.kind,
            id: uuid_of(&self.posting_id, &what)?,
            recorded_at: self.recorded_at,
            request: request_of(self.request, &what)?,
            fingerprint: self.fingerprint,
            amounts: self.amounts,
            after: self.after,
            storefront: self.storefront.as_deref(),
            detail: &self.detail,
            words: &self.words,
        };
        let posting = columns.posting(&what)?;
        Ok(Recorded { position, posting: Arc::new(posting) })
    }
}

/// All columns of a posting's row but its checksum, as they are stored.
#[derive(Debug)]
pub struct Checked<'a> {
    /// Key, customer, sequence, kind, time, fingerprint, the seven amounts, the three balances.
    pub numbers: [i64; 16],
    /// The two ways back.
    pub pointers: Pointers,
    /// The posting's id.
    pub id: &'a [u8],
    /// The request's id.
    pub request: ValueRef<'a>,
    /// The storefront.
    pub storefront: Option<&'a str>,
    /// The encoded detail.
    pub detail: &'a [u8],
}

impl Checked<'_> {
    /// The checksum that belongs to the row.
    #[must_use]
    pub fn checksum(&self) -> i64 {
        let (class, request): (&[u8], &[u8]) = match self.request {
            ValueRef::Blob(bytes) => (b"b", bytes),
            ValueRef::Text(bytes) => (b"t", bytes),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => (b"", b""),
        };
        let storefront = self.storefront.unwrap_or_default().as_bytes();
        let pointers = [self.pointers.previous, self.pointers.jump].map(|pointer| pointer.unwrap_or(-1));
        let numbers = self.numbers.iter().chain(&pointers).copied();
        checksum(numbers, &[self.id, class, request, storefront, self.detail])
    }
}

/// A customer as it stands in its row.
#[derive(Debug)]
pub struct CustomerRow {
    /// Its ledger.
    pub ledger_no: i64,
    /// Its id.
    pub customer_id: String,
    /// Its last posting.
    pub sequence: i64,
    /// Available, held, owed.
    pub balances: [i64; 3],
    /// When something falls due.
    pub next_due: Option<i64>,
    /// The stored form of its [`crate::store::skew::Path`].
    pub path: Vec<u8>,
    /// The stored form of its state.
    pub state: Vec<u8>,
}

impl CustomerRow {
    /// Reads [`customer_columns`] on the writing side.
    ///
    /// # Errors
    /// Of the driver.
    pub fn of_writer(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            ledger_no: row.get(0)?,
            customer_id: row.get(1)?,
            sequence: row.get(2)?,
            balances: [row.get(3)?, row.get(4)?, row.get(5)?],
            next_due: row.get(6)?,
            path: row.get(7)?,
            state: row.get(8)?,
        })
    }

    /// Reads [`customer_columns`] on the reading side.
    ///
    /// # Errors
    /// Of the driver.
    pub fn of_reader(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            ledger_no: row.try_get(0)?,
            customer_id: row.try_get(1)?,
            sequence: row.try_get(2)?,
            balances: [row.try_get(3)?, row.try_get(4)?, row.try_get(5)?],
            next_due: row.try_get(6)?,
            path: row.try_get(7)?,
            state: row.try_get(8)?,
        })
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

//! Rows of postings and customers: their columns, and the conversion to values of the core.

use std::sync::Arc;

use uuid::Uuid;

use super::row::{RequestColumn, Row};
use crate::ledger::account::Amounts;
use crate::ledger::words;
use crate::ledger::{
    Balances, Credits, Customer, CustomerKey, Kind, Posting, PostingId, Storefront, Timestamp,
};
use crate::store::error::{StoreError, damaged};
use crate::store::recorded::{Position, Recorded};
use crate::store::stored::{WordsColumns, count_of, customer_id_of, decoded, ledger_no_of};

/// The columns of a customer `c`, in the order in which [`CustomerRow`] reads them.
macro_rules! customer_columns {
    () => {
        "c.ledger_no, c.customer_id, c.sequence, c.available, c.held, c.owed, c.state"
    };
}

/// The columns of a posting `p` and of its texts `w`, in the order in which [`PostingRow`] reads them. Each engine
/// adds position (which may be NULL) and ledger in its own way.
macro_rules! posting_columns {
    ($position:literal, $ledger:literal) => {
        concat!(
            $position,
            ", ",
            $ledger,
            ", p.customer, p.sequence, p.kind, p.posting_id, p.recorded_at, p.request, p.fingerprint, \
             p.credits_1, p.credits_2, p.credits_3, p.credits_4, p.expired, p.repaid, p.activated, \
             p.available, p.held, p.owed, p.storefront, p.detail, w.words, w.erased_at, w.checksum"
        )
    };
}

pub(in crate::store) use {customer_columns, posting_columns};

pub const CUSTOMER_COLUMNS: usize = 7;
pub const POSTING_COLUMNS: usize = 24;

/// A posting as its row holds it.
#[derive(Debug)]
pub struct PostingRow {
    /// Its position in the feed; `None` before it has one.
    pub position: Option<i64>,
    pub ledger_no: i64,
    pub customer: i64,
    pub sequence: i64,
    pub kind: i64,
    pub id: Uuid,
    pub recorded_at: i64,
    pub request: Option<RequestColumn>,
    pub fingerprint: i64,
    pub amounts: [i64; 7],
    /// Available, held and owed after it.
    pub after: [i64; 3],
    pub storefront: Option<String>,
    pub detail: Vec<u8>,
    pub words: WordsColumns,
}

impl PostingRow {
    /// Reads [`posting_columns`] from column `first` on.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn read(row: &dyn Row, first: usize) -> Result<Self, StoreError> {
        Ok(Self {
            position: row.get(first)?,
            ledger_no: row.get(first + 1)?,
            customer: row.get(first + 2)?,
            sequence: row.get(first + 3)?,
            kind: row.get(first + 4)?,
            id: row.get(first + 5)?,
            recorded_at: row.get(first + 6)?,
            request: row.request(first + 7)?,
            fingerprint: row.get(first + 8)?,
            amounts: row.array(first + 9)?,
            after: row.array(first + 16)?,
            storefront: row.get(first + 19)?,
            detail: row.get(first + 20)?,
            words: WordsColumns {
                words: row.get(first + 21)?,
                erased_at: row.get(first + 22)?,
                checksum: row.get(first + 23)?,
            },
        })
    }

    /// The bytes of its detail and its texts, which alone have no small bound.
    pub fn bytes(&self) -> usize {
        self.detail.len().saturating_add(self.words.words.as_ref().map_or(0, Vec::len))
    }

    /// A name by which people find the row, wherever it is in the feed.
    pub fn name(&self) -> String {
        let Self { sequence, customer, ledger_no, .. } = self;
        format!("posting {sequence} of customer key {customer} in ledger number {ledger_no}")
    }

    /// What is wrong with the row of the posting's texts.
    pub fn fault_of_words(&self) -> Option<&'static str> {
        self.words.fault(self.customer, self.sequence, &self.detail)
    }

    /// # Errors
    /// [`StoreError::Damaged`], naming the posting.
    pub fn recorded(self) -> Result<Recorded, StoreError> {
        let what = match self.position {
            Some(position) => format!("posting {position} of ledger number {}", self.ledger_no),
            None => self.name(),
        };
        let kind = u8::try_from(self.kind).ok().and_then(Kind::from_code);
        let storefront = self.storefront.as_deref().map(Storefront::parse).transpose();
        let (detail, texts) = words::read_detail(&self.detail, self.words.words(&what)?)
            .map_err(|error| damaged(format!("{what}: {error}")))?;
        let posting = Posting {
            id: PostingId::from_uuid(self.id),
            ledger: ledger_no_of(self.ledger_no)?,
            customer: CustomerKey::from_raw(self.customer),
            sequence: count_of(self.sequence, &what)?,
            kind: kind.ok_or_else(|| damaged(format!("{what}: unknown kind {}", self.kind)))?,
            recorded_at: Timestamp::from_micros(self.recorded_at),
            request: self.request.map(|request| request.key(&what)).transpose()?,
            fingerprint: self.fingerprint.cast_unsigned(),
            amounts: Amounts(self.amounts.map(Credits::from_units)),
            after: balances_of(self.after),
            storefront: storefront.map_err(|error| damaged(format!("{what}: storefront {error}")))?,
            detail,
            texts,
        };
        // A posting that was committed a moment ago may have no position yet.
        let position = self.position.map_or(Ok(0), |position| count_of(position, &what))?;
        Ok(Recorded { position: Position(position), posting: Arc::new(posting) })
    }
}

/// Reads a posting from a row of [`posting_columns`].
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn recorded(row: &dyn Row) -> Result<Recorded, StoreError> {
    PostingRow::read(row, 0)?.recorded()
}

/// Reads a posting from a row of [`posting_columns`], with its [`PostingRow::bytes`].
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn weighed(row: &dyn Row) -> Result<(Recorded, usize), StoreError> {
    let row = PostingRow::read(row, 0)?;
    let bytes = row.bytes();
    Ok((row.recorded()?, bytes))
}

/// Reads a customer from a row of [`customer_columns`].
///
/// # Errors
/// [`StoreError::Damaged`], naming the customer.
pub fn customer(row: &dyn Row) -> Result<Customer, StoreError> {
    let id: String = row.get(1)?;
    let what = format!("customer {id:?}");
    let state: Vec<u8> = row.get(6)?;
    Ok(Customer {
        ledger: ledger_no_of(row.get(0)?)?,
        id: customer_id_of(&id)?,
        sequence: count_of(row.get(2)?, &what)?,
        balances: balances_of(row.array(3)?),
        state: decoded(&state, &what)?,
    })
}

pub fn balances_of(units: [i64; 3]) -> Balances {
    let [available, held, owed] = units.map(Credits::from_units);
    Balances { available, held, owed }
}

/// Reads a column that holds an encoded value of the core.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub fn body<T: crate::ledger::codec::Codec>(
    row: &dyn Row,
    column: usize,
    what: &str,
) -> Result<T, StoreError> {
    decoded(&row.get::<Vec<u8>>(column)?, what)
}

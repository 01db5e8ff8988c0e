//! From what columns hold to values of the core, and what is said where they hold what this program never wrote: the
//! same for every engine with SQL.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::StoreError;
use crate::ledger::account::Amounts;
use crate::ledger::codec::{Codec, decode};
use crate::ledger::command::PurchaseRef;
use crate::ledger::{
    Balances, Book, Credits, Customer, CustomerId, CustomerKey, Kind, LedgerNo, LotId, Posting, PostingId,
    RequestKey, Storefront, Timestamp,
};

/// A complaint about a stored value.
pub fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}

/// Decodes a stored value of the core.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub fn decoded<T: Codec>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    decode(bytes).map_err(|error| damaged(format!("{what}: {error}")))
}

/// The checksum of a row: XXH3 (<https://github.com/Cyan4973/xxHash>) of its numbers and of its other columns, each with
/// its length, so that no two rows give the same bytes. It is stored, so it must never change. It finds damage, not
/// forgery.
pub fn checksum(numbers: impl IntoIterator<Item = i64>, others: &[&[u8]]) -> i64 {
    let mut row = Vec::with_capacity(512);
    for number in numbers {
        row.extend_from_slice(&number.to_le_bytes());
    }
    for other in others {
        row.extend_from_slice(&u64::try_from(other.len()).unwrap_or(u64::MAX).to_le_bytes());
        row.extend_from_slice(other);
    }
    xxh3_64(&row).cast_signed()
}

/// Reads a count, or a position, that is never negative.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub fn count_of(value: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| damaged(format!("{what}: {value}")))
}

/// Reads a ledger's number.
///
/// # Errors
/// [`StoreError::Damaged`] for a number out of range.
pub fn ledger_no_of(number: i64) -> Result<LedgerNo, StoreError> {
    let checked = u32::try_from(number).ok().and_then(LedgerNo::new);
    checked.ok_or_else(|| damaged(format!("ledger number {number}")))
}

/// Reads a customer's id.
///
/// # Errors
/// [`StoreError::Damaged`] for a text that is none.
pub fn customer_id_of(text: &str) -> Result<CustomerId, StoreError> {
    CustomerId::parse(text).map_err(|error| damaged(format!("customer id {text:?}: {error}")))
}

/// The columns that make a posting.
#[derive(Debug)]
pub struct PostingColumns<'a> {
    /// Its ledger.
    pub ledger: LedgerNo,
    /// Its customer's key.
    pub customer: i64,
    /// Its place among the customer's postings.
    pub sequence: i64,
    /// The code of its kind.
    pub kind: i64,
    /// Its id.
    pub id: Uuid,
    /// When it was recorded, in microseconds.
    pub recorded_at: i64,
    /// The request that it answered.
    pub request: Option<RequestKey>,
    /// The fingerprint of its command.
    pub fingerprint: i64,
    /// The amounts of its slots.
    pub amounts: [i64; 7],
    /// Available, held and owed after it.
    pub after: [i64; 3],
    /// The storefront of a purchase.
    pub storefront: Option<&'a str>,
    /// The encoded detail.
    pub detail: &'a [u8],
}

impl PostingColumns<'_> {
    /// The posting.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], naming `what`.
    pub fn posting(self, what: &str) -> Result<Posting, StoreError> {
        let kind = u8::try_from(self.kind).ok().and_then(Kind::from_code);
        let storefront = self.storefront.map(Storefront::parse).transpose();
        Ok(Posting {
            id: PostingId::from_uuid(self.id),
            ledger: self.ledger,
            customer: CustomerKey::from_raw(self.customer),
            sequence: count_of(self.sequence, what)?,
            kind: kind.ok_or_else(|| damaged(format!("{what}: unknown kind {}", self.kind)))?,
            recorded_at: Timestamp::from_micros(self.recorded_at),
            request: self.request,
            fingerprint: self.fingerprint.cast_unsigned(),
            amounts: Amounts(self.amounts.map(Credits::from_units)),
            after: balances_of(self.after),
            storefront: storefront.map_err(|error| damaged(format!("{what}: storefront {error}")))?,
            detail: decoded(self.detail, what)?,
        })
    }
}

/// A customer from its columns.
///
/// # Errors
/// [`StoreError::Damaged`], naming the customer.
pub fn customer_of(
    ledger: LedgerNo,
    id: &str,
    sequence: i64,
    balances: [i64; 3],
    state: &[u8],
) -> Result<Customer, StoreError> {
    let what = format!("customer {id:?}");
    Ok(Customer {
        ledger,
        id: customer_id_of(id)?,
        sequence: count_of(sequence, &what)?,
        balances: balances_of(balances),
        state: decoded(state, &what)?,
    })
}

/// The lot that a command names: by its id, or by an order that was loaded into the book before.
#[must_use]
pub fn named_lot(book: &Book, ledger: LedgerNo, purchase: &PurchaseRef) -> Option<LotId> {
    match purchase {
        PurchaseRef::Id(id) => Some(*id),
        PurchaseRef::Order(storefront, order) => {
            let posting = book.order(&(ledger, storefront.clone(), order.clone()))?;
            posting.detail.lot.as_ref().map(|lot| lot.id)
        }
    }
}

/// Available, held and owed.
fn balances_of(units: [i64; 3]) -> Balances {
    let [available, held, owed] = units.map(Credits::from_units);
    Balances { available, held, owed }
}

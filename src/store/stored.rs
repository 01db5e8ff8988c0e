//! Converts columns to values of the core, for all engines with SQL. A column that this program cannot have written
//! is reported as damage.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use super::error::{StoreError, damaged};
use super::recorded::Recorded;
use crate::ledger::codec::{Codec, decode};
use crate::ledger::commands::{Keys, PurchaseRef};
use crate::ledger::hold::SharedHold;
use crate::ledger::ids::WorkId;
use crate::ledger::lot::LotSource;
use crate::ledger::words::{self, Words};
use crate::ledger::{
    Book, CustomerId, HoldId, HoldState, LedgerNo, LotId, Posting, Request, Texts, Timestamp,
};

/// The entries of work of one hold that may be voided.
#[derive(Debug)]
pub struct Voids {
    pub hold: SharedHold,
    /// Their ids; some may not exist.
    pub entries: BTreeSet<WorkId>,
}

/// The entries that requests may void, by hold. The holds must be loaded: only work on an active hold can be voided.
pub fn voids_of(book: &Book, requests: &[&Request]) -> BTreeMap<HoldId, Voids> {
    let mut voids = BTreeMap::new();
    for request in requests {
        let keys = request.command.keys();
        let (Some(work), Some(entry)) = (keys.work, book.entry(request.customer_key())) else { continue };
        let named = keys.hold.and_then(|id| entry.hold(id));
        let of_incident = keys
            .incident
            .and_then(|incident| entry.incident(incident).find(|hold| hold.state == HoldState::Active));
        if let Some(hold) = named.or(of_incident).filter(|hold| hold.state == HoldState::Active) {
            note_void(&mut voids, hold, work);
        }
    }
    voids
}

/// The entries that postings of another database void, by hold. The holds that they move must be loaded.
pub fn voids_in(book: &Book, postings: &[Recorded]) -> BTreeMap<HoldId, Voids> {
    let mut voids = BTreeMap::new();
    for Recorded { posting, .. } in postings {
        let detail = &posting.detail;
        if let (Some(hold), Some(work)) = (&detail.hold, detail.work.as_ref().filter(|work| !work.counts()))
            && let Some(hold) = book.entry(posting.customer).and_then(|entry| entry.hold(hold.id))
        {
            note_void(&mut voids, hold, work.id);
        }
    }
    voids
}

fn note_void(voids: &mut BTreeMap<HoldId, Voids>, hold: &SharedHold, work: WorkId) {
    let new = || Voids { hold: SharedHold::clone(hold), entries: BTreeSet::new() };
    voids.entry(hold.id).or_insert_with(new).entries.insert(work);
}

/// Decodes a stored value of the core.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub fn decoded<T: Codec>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    decode(bytes).map_err(|error| damaged(format!("{what}: {error}")))
}

/// The checksum of a row: XXH3 (<https://github.com/Cyan4973/xxHash>) of its numbers and its other columns. Each of
/// the latter is preceded by its length, so that no two rows give the same bytes. Checksums are stored, so the
/// algorithm must never change. A checksum finds damage, not forgery.
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

/// Converts a count or a sequence to its stored type.
///
/// # Errors
/// [`StoreError::Damaged`] for a value that no database reaches.
pub fn stored_count(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| damaged("a sequence leaves its bounds"))
}

/// Reads a count or a position; neither is ever negative.
///
/// # Errors
/// [`StoreError::Damaged`], naming `what`.
pub fn count_of(value: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| damaged(format!("{what}: {value}")))
}

/// # Errors
/// [`StoreError::Damaged`] for a number out of range.
pub fn ledger_no_of(number: i64) -> Result<LedgerNo, StoreError> {
    let checked = u32::try_from(number).ok().and_then(LedgerNo::new);
    checked.ok_or_else(|| damaged(format!("ledger number {number}")))
}

/// # Errors
/// [`StoreError::Damaged`] for a text that is not an id.
pub fn customer_id_of(text: &str) -> Result<CustomerId, StoreError> {
    CustomerId::parse(text).map_err(|error| damaged(format!("customer id {text:?}: {error}")))
}

/// The columns of a posting's row in `posting_words`; all are empty where the posting has no row there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordsColumns {
    /// The posting's texts (who, why); `None` once they are erased.
    pub words: Option<Vec<u8>>,
    /// When the texts were erased, in microseconds.
    pub erased_at: Option<i64>,
    /// [`words_checksum`] of the texts.
    pub checksum: Option<i64>,
}

impl WordsColumns {
    /// The row for a posting with these texts.
    #[must_use]
    pub fn of(posting: &Posting, words: &[u8]) -> Self {
        match posting.texts {
            Texts::Erased(at) => Self { words: None, erased_at: Some(at.micros()), checksum: None },
            Texts::Separate | Texts::Inline => Self {
                words: Some(words.to_vec()),
                erased_at: None,
                checksum: Some(words_checksum(posting.customer.raw(), posting.sequence.cast_signed(), words)),
            },
        }
    }

    /// The texts as the core reads them.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], naming `what`.
    pub fn words(&self, what: &str) -> Result<Words<'_>, StoreError> {
        match (&self.words, self.erased_at) {
            (None, None) => Ok(Words::None),
            (Some(words), None) => Ok(Words::Said(words)),
            (None, Some(at)) => Ok(Words::Erased(Timestamp::from_micros(at))),
            (Some(_), Some(_)) => Err(damaged(format!("{what}: its words are erased, and there"))),
        }
    }

    /// What is wrong with this row beside a posting with this detail.
    pub fn fault(&self, customer: i64, sequence: i64, detail: &[u8]) -> Option<&'static str> {
        let is_there = self.words.is_some() || self.erased_at.is_some();
        let checksum = self.words.as_deref().map(|words| words_checksum(customer, sequence, words));
        if detail.starts_with(&[words::SEPARATED]) != is_there {
            Some(if is_there { "it has words and said nothing" } else { "its words are not there" })
        } else if checksum != self.checksum {
            Some("the checksum of its words is not theirs")
        } else {
            None
        }
    }
}

/// The checksum of a posting's texts. It is stored, so the algorithm must never change.
pub fn words_checksum(customer: i64, sequence: i64, words: &[u8]) -> i64 {
    checksum([customer, sequence], &[words])
}

/// The lot that a command names by its id, or by an order that was loaded into the book before.
pub fn named_lot(book: &Book, ledger: LedgerNo, purchase: &PurchaseRef) -> Option<LotId> {
    match purchase {
        PurchaseRef::Id(id) => Some(*id),
        PurchaseRef::Order(storefront, order) => {
            let posting = book.order(&(ledger, storefront.clone(), order.clone()))?;
            posting.detail.lot.as_ref().map(|lot| lot.id)
        }
    }
}

/// The purchases that a command may give burned credits back to; its holds were loaded into the book before. A purchase
/// whose refund is in the same batch is loaded for that. There are at most as many as lots burned for the holds.
pub fn burned_purchases(book: &Book, request: &Request, keys: &Keys<'_>) -> Vec<LotId> {
    let entry = book.entry(request.customer_key()).filter(|_| keys.burned);
    let by_id = entry.and_then(|entry| entry.hold(keys.hold?));
    let by_incident = entry.zip(keys.incident).map(|(entry, incident)| entry.incident(incident));
    let settlements = by_id.into_iter().chain(by_incident.into_iter().flatten());
    let standing = settlements.filter_map(|hold| hold.settlement.as_ref());
    let burned = standing.filter(|it| it.reversible().is_positive()).flat_map(|it| &it.burned);
    burned.filter(|lot| lot.source == LotSource::Purchase).map(|lot| lot.id).collect()
}

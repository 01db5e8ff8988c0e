//! `copy`: moves a whole database from one engine to another. It replays the journal into the target, and compares
//! every row before it reports success.

mod compare;
mod digest;
mod outcome;

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::ledger::card::CardChange;
use crate::ledger::{LedgerNo, Timestamp};
use crate::store::{
    AuditStore, CopyTarget, Ledger, OrdersMark, Position, RecordRoom, Recorded, StoreError, StoredLedger,
};

pub use outcome::{Copied, CopyError};

/// Postings in one transaction of the target.
pub const CHUNK: usize = 1_000;

/// Checks the source before anything is written. Callers do this first.
///
/// # Errors
/// [`CopyError::Damaged`] with the first fault.
pub async fn check_source(source: &dyn AuditStore) -> Result<(), CopyError> {
    match source.integrity().await?.into_iter().next() {
        Some(fault) => Err(CopyError::Damaged(fault)),
        None => Ok(()),
    }
}

/// A copy under way.
pub struct Copier<'a> {
    source: &'a dyn AuditStore,
    target: &'a mut CopyTarget,
    parts: Vec<Part>,
    /// The changes of rate cards of the source, as they were when the copy began.
    cards: Vec<CardChange>,
    /// The orders of storefronts of the source, as they were when the copy began.
    orders: OrdersMark,
    /// The last order of a storefront that is copied.
    last_order: Option<Uuid>,
    /// The revision of the source's tokens, as it was when the copy began.
    tokens: u64,
    /// The last token that is copied.
    last_token: Option<Uuid>,
    /// The audit log of the source, as it was when the copy began.
    records: (RecordRoom, Option<Uuid>),
    /// The last audit record that is copied.
    last_record: Option<Uuid>,
    /// The index of the ledger that is being copied; those before it are done.
    at: usize,
    total: u64,
    done: u64,
    chunk: usize,
}

/// One ledger of the source.
#[derive(Clone, Debug)]
struct Part {
    stored: StoredLedger,
    /// Its last position in the source, as it was when the copy began.
    end: Position,
    /// Its last position in the target.
    done: Position,
}

impl fmt::Debug for Copier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copier").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl<'a> Copier<'a> {
    /// Marks the target, or finds the mark and checks that the target's content came from this source. Then it makes
    /// the ledgers that are missing. `chunk` postings are written at a time.
    ///
    /// # Errors
    /// [`CopyError::OtherSource`]; [`CopyError::Store`] where the target is not empty, or a database fails.
    pub async fn begin(
        source: &'a dyn AuditStore,
        target: &'a mut CopyTarget,
        now: Timestamp,
        chunk: usize,
    ) -> Result<Self, CopyError> {
        let mut parts = Vec::new();
        for stored in source.stored_ledgers().await? {
            let end = source.journal_end(stored.ledger.no).await?;
            parts.push(Part { stored, end, done: Position(0) });
        }
        let cards = source.stored_card_changes().await?;
        let orders = source.storefront_mark().await?;
        let tokens = source.token_revision().await?;
        let records = source.record_mark().await?;
        target.writer.begin_copy(now).await?;
        let total = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.end.0));
        let mut copier = Self {
            source,
            target,
            parts,
            cards,
            orders,
            last_order: None,
            tokens,
            last_token: None,
            records,
            last_record: None,
            at: 0,
            total,
            done: 0,
            chunk: chunk.max(1),
        };
        for ledger in copier.find_done().await? {
            copier.target.writer.copy_ledger(&ledger).await?;
        }
        copier.copy_cards().await?;
        Ok(copier)
    }

    /// Copies the changes of rate cards that are missing, all at once: there are few.
    async fn copy_cards(&mut self) -> Result<(), CopyError> {
        let there = self.target.audit.stored_card_changes().await?;
        let Some(missing) = self.cards.strip_prefix(there.as_slice()) else {
            return Err(CopyError::OtherSource("it has other rate cards".to_owned()));
        };
        if missing.is_empty() {
            return Ok(());
        }
        Ok(self.target.writer.copy_cards(missing).await?)
    }

    /// Finds out how far an earlier copy came, and checks that it was of this source. Returns the ledgers to be made.
    async fn find_done(&mut self) -> Result<Vec<StoredLedger>, CopyError> {
        let stored = self.target.audit.stored_ledgers().await?;
        let mut stored: BTreeMap<LedgerNo, StoredLedger> =
            stored.into_iter().map(|stored| (stored.ledger.no, stored)).collect();
        let mut missing = Vec::new();
        for part in &mut self.parts {
            let ledger = &part.stored.ledger;
            let Some(there) = stored.remove(&ledger.no) else {
                missing.push(part.stored.clone());
                continue;
            };
            part.done = self.target.audit.journal_end(ledger.no).await?;
            self.done = self.done.saturating_add(part.done.0);
            if there != part.stored {
                // The ledger `main` exists from the start, without its time.
                if ledger.no != LedgerNo::MAIN || part.done != Position(0) {
                    return Err(CopyError::OtherSource(format!("ledger {} is another one", ledger.id)));
                }
                missing.push(part.stored.clone());
            }
            if part.done > Position(0) {
                let before = Position(part.done.0.saturating_sub(1));
                let copied = self.target.audit.journal(ledger.no, before, 1).await?.items;
                if part.done > part.end || copied != self.source.journal(ledger.no, before, 1).await?.items {
                    return Err(CopyError::OtherSource(format!(
                        "ledger {} has another posting at position {}",
                        ledger.id, part.done.0
                    )));
                }
            }
        }
        match stored.into_values().next() {
            Some(StoredLedger { ledger, .. }) => {
                Err(CopyError::OtherSource(format!("the source has no ledger {}", ledger.id)))
            }
            None => Ok(missing),
        }
    }

    /// Postings to be copied, those of an earlier copy included.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Postings that are in the target.
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// Copies the next postings, orders of storefronts, tokens, or audit records, in one transaction; false where there is nothing left.
    ///
    /// # Errors
    /// [`CopyError`]; nothing of these postings is stored, unless the error says that the outcome is unknown.
    pub async fn step(&mut self) -> Result<bool, CopyError> {
        while self.parts.get(self.at).is_some_and(|part| part.done >= part.end) {
            self.at = self.at.saturating_add(1);
        }
        let Some(part) = self.parts.get_mut(self.at) else { return self.copy_orders().await };
        let Ledger { no, id, .. } = &part.stored.ledger;
        let left = usize::try_from(part.end.0.saturating_sub(part.done.0)).unwrap_or(usize::MAX);
        let page = self.source.journal(*no, part.done, self.chunk.min(left)).await?.items;
        let expected = (part.done.0.saturating_add(1)..).map(Position);
        let in_order = |(recorded, position): (&Recorded, _)| {
            recorded.position == position && recorded.posting.ledger == *no
        };
        let whole = page.iter().zip(expected.clone()).take_while(|next| in_order(*next)).count();
        if page.is_empty() || whole < page.len() {
            let position = expected.clone().nth(whole).unwrap_or_default();
            return Err(CopyError::Missing { ledger: id.clone(), position });
        }
        let mut book = self.target.writer.load_journal(&page).await?;
        for Recorded { position, posting } in &page {
            if let Err(broken) = book.post(posting) {
                self.target.writer.abandon().await?;
                return Err(CopyError::Broken { ledger: id.clone(), position: *position, broken });
            }
        }
        self.target.writer.append(&book).await?;
        part.done = page.last().map_or(part.done, |last| last.position);
        self.done = self.done.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
        Ok(true)
    }

    /// Copies the next page of orders that the target has not, once all postings are copied; after the last page the
    /// rooms. An earlier copy may have left orders that have changed since, or are gone.
    async fn copy_orders(&mut self) -> Result<bool, CopyError> {
        loop {
            let page = self.source.storefront_orders(self.last_order, self.chunk).await?;
            let there = self.target.audit.storefront_orders(self.last_order, self.chunk).await?;
            let after = self.last_order;
            self.last_order = page.last().map(|(order, _)| order.id).or(after);
            if page != there {
                self.target.writer.copy_storefront_orders(after, &page).await?;
                return Ok(true);
            }
            if page.is_empty() {
                break;
            }
        }
        let rooms = self.source.storefront_rooms().await?;
        if rooms != self.target.audit.storefront_rooms().await? {
            self.target.writer.copy_storefront_rooms(&rooms).await?;
        }
        self.copy_tokens().await
    }

    /// Copies the next page of tokens that the target has not as the source has them, once all orders are copied.
    async fn copy_tokens(&mut self) -> Result<bool, CopyError> {
        loop {
            let after = self.last_token;
            let page = self.source.stored_tokens(after, self.chunk).await?;
            let there = self.target.audit.stored_tokens(after, self.chunk).await?;
            self.last_token = page.last().map(|token| token.id).or(after);
            if page != there {
                self.target.writer.copy_tokens(after, &page).await?;
                return Ok(true);
            }
            if page.is_empty() {
                return self.copy_records().await;
            }
        }
    }

    /// Copies the next page of audit records that the target has not as the source has them, once all else is copied.
    async fn copy_records(&mut self) -> Result<bool, CopyError> {
        loop {
            let after = self.last_record;
            let page = self.source.stored_records(after, self.chunk).await?;
            let there = self.target.audit.stored_records(after, self.chunk).await?;
            self.last_record = page.last().map(|record| record.id).or(after);
            if page != there {
                self.target.writer.copy_records(after, &page).await?;
                return Ok(true);
            }
            if page.is_empty() {
                return Ok(false);
            }
        }
    }

    /// True where the source has ledgers, postings, orders of storefronts, tokens or audit records that are not copied. `source` is
    /// opened anew, so that no snapshot hides them.
    pub async fn has_grown(&self, source: &dyn AuditStore) -> Result<bool, StoreError> {
        let ledgers = source.stored_ledgers().await?;
        if !ledgers.iter().eq(self.parts.iter().map(|part| &part.stored)) {
            return Ok(true);
        }
        let marks = (source.storefront_mark().await?, source.token_revision().await?);
        if source.stored_card_changes().await? != self.cards
            || marks != (self.orders, self.tokens)
            || source.record_mark().await? != self.records
        {
            return Ok(true);
        }
        for part in &self.parts {
            if source.journal_end(part.stored.ledger.no).await? != part.end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares everything that is stored, in bounded memory, once all is copied. `progress` gets the number of
    /// postings that were compared.
    ///
    /// # Errors
    /// [`CopyError::Differs`] with the first difference.
    pub async fn compare(&self, mut progress: impl FnMut(u64)) -> Result<Copied, CopyError> {
        compare::compare(self.source, &*self.target.audit, &mut progress).await
    }

    /// Removes the mark and closes the target. From here on it can be served.
    pub async fn finish(self) -> Result<(), StoreError> {
        self.target.writer.end_copy().await?;
        self.target.writer.close().await
    }
}

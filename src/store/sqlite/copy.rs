//! Takes in the journal of another database.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::driver::ready;
use super::load;
use super::orders::put;
use super::write::SqliteWriter;
use crate::ledger::card::{CardChange, Cards};
use crate::ledger::{Book, Timestamp};
use crate::store::audit::StoredLedger;
use crate::store::copy::CopyStore;
use crate::store::error::StoreError;
use crate::store::orders::{KeptOrder, StorefrontRoom, WithPayload};
use crate::store::recorded::Recorded;
use crate::store::records::AuditRecord;
use crate::store::sql::{cards, copy, orders, records, tokens};
use crate::store::tokens::StoredToken;
use crate::store::write_store::WriteStore;

#[async_trait]
impl CopyStore for SqliteWriter {
    async fn begin_copy(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.in_transaction(|writer| ready(copy::mark(&mut writer.statements()?, now)))? {
            self.commit(&[])
        } else {
            self.roll_back()
        }
    }

    async fn copy_ledger(&mut self, ledger: &StoredLedger) -> Result<(), StoreError> {
        self.in_transaction(|writer| ready(copy::write_ledger(&mut writer.statements()?, ledger)))?;
        self.commit(&[])?;
        self.tail.positions.entry(ledger.ledger.no).or_insert(0);
        Ok(())
    }

    async fn copy_cards(&mut self, changes: &[CardChange]) -> Result<(), StoreError> {
        self.in_transaction(|writer| {
            let mut statements = writer.statements()?;
            changes.iter().try_for_each(|change| ready(cards::insert(&mut statements, change)))
        })?;
        self.commit(&[])?;
        self.cards_revision = changes.last().map_or(self.cards_revision, |last| last.revision);
        Ok(())
    }

    async fn load_journal(&mut self, postings: &[Recorded]) -> Result<Book, StoreError> {
        let latest = postings.iter().map(|recorded| recorded.posting.recorded_at).max().unwrap_or_default();
        let (book, loaded) = self.in_transaction(|writer| {
            let statements = writer.statements()?;
            statements.run(
                "INSERT INTO copied (only_row, latest_at)
                 VALUES (1, ?)
                 ON CONFLICT (only_row) DO UPDATE
                 SET latest_at = MAX(latest_at, excluded.latest_at)",
                [latest.micros()],
            )?;
            // Nothing is decided here, so randomness and cards do not matter.
            load::load_journal(statements, postings, Book::new(latest, 0, Arc::new(Cards::none())))
        })?;
        // Later stamps of this engine must come after the copied postings.
        let _ = self.stamps.begin(latest);
        self.loaded = loaded;
        Ok(book)
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        WriteStore::append(self, book).await?;
        self.tidy().await
    }

    async fn copy_storefront_orders(
        &mut self,
        after: Option<Uuid>,
        page: &[WithPayload],
    ) -> Result<(), StoreError> {
        let new: Vec<KeptOrder> = page.iter().map(|(order, _)| order.clone()).collect();
        self.in_transaction(|writer| {
            let mut statements = writer.statements()?;
            ready(orders::clear(&mut statements, after, page))?;
            ready(put(&mut statements, &new))?;
            ready(orders::put_payloads(&mut statements, page))
        })?;
        self.commit(&[])?;
        self.tidy().await
    }

    async fn copy_storefront_rooms(&mut self, rooms: &[StorefrontRoom]) -> Result<(), StoreError> {
        self.in_transaction(|writer| ready(orders::replace_rooms(&mut writer.statements()?, rooms)))?;
        self.commit(&[])
    }

    async fn copy_tokens(&mut self, after: Option<Uuid>, page: &[StoredToken]) -> Result<(), StoreError> {
        self.in_transaction(|writer| ready(tokens::replace(&mut writer.statements()?, after, page)))?;
        self.commit(&[])
    }

    async fn copy_records(&mut self, after: Option<Uuid>, page: &[AuditRecord]) -> Result<(), StoreError> {
        self.in_transaction(|writer| ready(records::replace(&mut writer.statements()?, after, page)))?;
        self.commit(&[])?;
        self.tidy().await
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.roll_back()
    }

    async fn end_copy(&mut self) -> Result<(), StoreError> {
        self.in_transaction(|writer| ready(copy::unmark(&mut writer.statements()?)))?;
        self.commit(&[])
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        WriteStore::close(self).await
    }
}

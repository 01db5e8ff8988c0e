//! Taking in the journal of another database.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::params;

use super::connection::Statements;
use super::rows::{damaged, request_value};
use super::write::SqliteWriter;
use super::{alerts, cards, load};
use crate::ledger::card::{CardChange, Cards};
use crate::ledger::{Book, LedgerId, LedgerNo, Timestamp};
use crate::store::copy::not_empty;
use crate::store::{CopyStore, Recorded, StoreError, StoredDefaultAlerts, StoredLedger};

#[async_trait]
impl CopyStore for SqliteWriter {
    async fn begin_copy(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.in_transaction(|writer| mark(writer.statements()?, now))? {
            self.commit(&[])
        } else {
            self.roll_back()
        }
    }

    async fn copy_ledger(&mut self, ledger: &StoredLedger) -> Result<(), StoreError> {
        self.in_transaction(|writer| write_ledger(writer.statements()?, ledger))?;
        self.commit(&[])?;
        self.tail.positions.entry(ledger.ledger.no).or_insert(0);
        Ok(())
    }

    async fn copy_cards(&mut self, changes: &[CardChange]) -> Result<(), StoreError> {
        self.in_transaction(|writer| {
            let statements = writer.statements()?;
            changes.iter().try_for_each(|change| cards::insert(statements, change))
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
            // Nothing is decided, so neither randomness nor cards matter.
            load::load_journal(statements, postings, Book::new(latest, 0, Arc::new(Cards::none())))
        })?;
        // Whoever wrote with this engine from here on would go on after it.
        let _ = self.stamps.begin(latest);
        self.loaded = loaded;
        Ok(book)
    }

    async fn end_copy(&mut self) -> Result<(), StoreError> {
        self.in_transaction(|writer| writer.statements()?.run("DELETE FROM unfinished_copy", []))?;
        self.commit(&[])
    }
}

/// True where the mark was set, false where it stands already.
fn mark(statements: Statements<'_>, now: Timestamp) -> Result<bool, StoreError> {
    if statements.first("SELECT 1 FROM unfinished_copy", [], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    let used = statements.first(
        "SELECT EXISTS (SELECT 1 FROM posting) OR EXISTS (SELECT 1 FROM ledger WHERE ledger_no <> 0)
             OR EXISTS (SELECT 1 FROM rate_card_change)",
        [],
        |row| row.get::<_, bool>(0),
    )?;
    if used == Some(true) {
        return Err(not_empty());
    }
    statements.run("INSERT INTO unfinished_copy (only_row, started_at) VALUES (1, ?)", [now.micros()])?;
    Ok(true)
}

fn write_ledger(statements: Statements<'_>, stored: &StoredLedger) -> Result<(), StoreError> {
    let StoredLedger { ledger, request, default_alerts } = stored;
    for StoredDefaultAlerts { request, set_at, default } in default_alerts {
        alerts::insert(statements, ledger.no, request, *set_at, default)?;
    }
    if ledger.no == LedgerNo::MAIN {
        if ledger.id != LedgerId::main() || request.is_some() {
            return Err(damaged("the first ledger is not main"));
        }
        statements
            .run("UPDATE ledger SET created_at = ? WHERE ledger_no = 0", [ledger.created_at.micros()])?;
        return Ok(());
    }
    statements.run(
        "INSERT INTO ledger (ledger_no, ledger_id, created_at, request)
         VALUES (?, ?, ?, ?)",
        params![
            ledger.no.get(),
            ledger.id.as_str(),
            ledger.created_at.micros(),
            request.as_ref().map(request_value)
        ],
    )?;
    Ok(())
}

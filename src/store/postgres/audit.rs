//! Reads every row as it is stored, for `verify` and copies. All reads use one snapshot, so servers may write
//! meanwhile.

use sqlx::PgConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::check;
use super::connect::Address;
use super::rows::sql_ledger;
use super::snapshot::Snapshot;
use crate::ledger::LedgerNo;
use crate::store::error::StoreError;
use crate::store::read_store::Page;
use crate::store::recorded::{Position, Recorded};
use crate::store::sql::database::{AuditDatabase, Database, Work};
use crate::store::sql::postings;
use crate::store::sql::row::sql_count;
use crate::store::stored::count_of;

/// The audit side of a PostgreSQL database.
#[derive(Debug)]
pub struct PgAudit {
    address: Address,
    snapshot: Mutex<Option<Snapshot>>,
}

impl PgAudit {
    /// Connects at the first read.
    #[must_use]
    pub fn open(address: &Address) -> Self {
        Self { address: address.clone(), snapshot: Mutex::new(None) }
    }

    /// The current snapshot, or a new one where there is none or a statement on it failed.
    async fn snapshot(&self) -> Result<MappedMutexGuard<'_, Snapshot>, StoreError> {
        let mut held = self.snapshot.lock().await;
        let current = match held.take() {
            Some(snapshot) if snapshot.is_sound() => snapshot,
            _ => Snapshot::begin(self.address.connect().await?).await?,
        };
        Ok(MutexGuard::map(held, |held| held.insert(current)))
    }

    /// Takes a new snapshot; the older one ends.
    async fn new_snapshot(&self) -> Result<MappedMutexGuard<'_, Snapshot>, StoreError> {
        if let Some(snapshot) = self.snapshot.lock().await.take() {
            snapshot.end().await;
        }
        self.snapshot().await
    }
}

impl Database for PgAudit {
    type Connection = PgConnection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let done = work(snapshot.connection()).await?;
        snapshot.goes_on();
        Ok(done)
    }
}

impl AuditDatabase for PgAudit {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        let mut snapshot = self.new_snapshot().await?;
        check::check(&mut snapshot).await
    }

    async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let mut page = postings::feed(snapshot.connection(), ledger, after, limit).await?;
        snapshot.goes_on();
        if page.next.is_none() {
            let left = limit.saturating_sub(page.items.len());
            let unplaced = snapshot.unplaced_after(ledger, sql_count(after.0), left).await?;
            page.items.extend(unplaced.items);
            page.next = unplaced.next;
        }
        Ok(page)
    }

    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let placed = postings::last_position(snapshot.connection(), ledger).await?;
        snapshot.goes_on();
        let unplaced = snapshot.unplaced.iter().rfind(|commit| commit.ledger_no == sql_ledger(ledger));
        let Some(last) = unplaced else { return Ok(placed) };
        Ok(Position(count_of(last.end().saturating_sub(1), "the end of a feed")?))
    }
}

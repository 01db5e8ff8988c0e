//! Keeps the write-ahead log short without delaying commits.
//!
//! # What it is
//! A second connection copies the log's pages into the database while the writer goes on. When it has finished, the
//! writer itself copies only what was committed meanwhile.
//!
//! # Invariants
//! - SQLite restarts a log only when all of it is copied and nothing was appended since. While the writer is busy,
//!   nobody else can reach that point, so the writer does the last part.
//! - The second connection syncs as the writing one does.
//! - Where the writer has no commits, the side connection copies a log that has grown long; see `side`.
//!
//! # Failure
//! An error ends the writing side. If readers hold up a log that has grown long, the writer waits for them, for a
//! bounded time. Where a reader never ends, the log grows, and each doubling is one line in the program's log.
//!
//! # Cost
//! A look costs as much as a small statement, once in many commits. Hardly any commit waits for a checkpoint.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::JoinHandle;

use super::connection::{WriteConnection, WriteStats};
use super::file::{bytes_of, log_path};
use super::log_file;
use super::settings::{BUSY_TIMEOUT, refused};
use crate::store::error::{StoreError, damaged};
use crate::store::gauges::LogGauges;
use crate::store::sql::row::Row;

/// The writer looks at the log's size after this many commits or rows, because a look costs as much as a small
/// statement.
pub(super) const LOOK_AFTER_COMMITS: u64 = 32;
const LOOK_AFTER_ROWS: u64 = 2_000;
/// Pages in the log from which it is checkpointed: 16 MB. A larger value copies pages that are written repeatedly
/// only once; a smaller one keeps readers fast.
pub(super) const CHECKPOINT_PAGES: i64 = 4_096;
/// Pages in the log from which the writer waits for readers, so that the log can restart: 128 MB. Readers are short,
/// so only very many of them, or another program, can cause this.
pub(super) const RESTART_PAGES: i64 = 32_768;
/// How long it waits for them. If that is not enough, it waits again when the log has doubled.
const RESTART_TIMEOUT: Duration = Duration::from_millis(200);
/// Bytes of the log from which an operator is told: twice what it has while readers are short.
const TELL_BYTES: u64 = 256 << 20;

/// Pages in the log, and how many of them are copied into the database.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Log {
    pub pages: i64,
    moved: i64,
}

/// Decides when to checkpoint, and holds the connection that does most of it.
pub(super) struct Checkpoints {
    gauges: Arc<LogGauges>,
    /// `None` while it works on another thread.
    second: Option<WriteConnection>,
    pub at_work: Option<JoinHandle<Result<WriteConnection, StoreError>>>,
    looked: WriteStats,
    pub restart_at: i64,
    /// Bytes of the log at which an operator is told next.
    pub tell_at: u64,
}

impl Checkpoints {
    /// `second` is a connection to the same file that syncs as the writing one does.
    pub fn new(path: &Path, second: WriteConnection) -> Self {
        Self {
            gauges: Arc::new(LogGauges::new(log_path(path))),
            second: Some(second),
            at_work: None,
            looked: WriteStats::default(),
            restart_at: RESTART_PAGES,
            tell_at: TELL_BYTES,
        }
    }

    pub fn gauges(&self) -> Arc<LogGauges> {
        Arc::clone(&self.gauges)
    }

    /// Tells an operator of a log that readers keep long, once for each doubling. True where it did.
    pub fn watch_size(&mut self) -> bool {
        let bytes = bytes_of(self.gauges.path());
        if bytes < self.tell_at {
            if bytes < TELL_BYTES / 2 {
                // It was emptied; the next growth is news.
                self.tell_at = self.tell_at.min(TELL_BYTES);
            }
            return false;
        }
        self.tell_at = bytes.saturating_mul(2);
        tell_of_readers(
            self.gauges.path(),
            "the write-ahead log keeps growing, because a reader keeps it from being emptied",
        );
        true
    }

    /// True where the second connection has just finished: what it left over can be copied.
    pub async fn has_finished(&mut self) -> Result<bool, StoreError> {
        if !self.at_work.as_ref().is_some_and(JoinHandle::is_finished) {
            return Ok(false);
        }
        self.wait().await?;
        Ok(true)
    }

    pub async fn wait(&mut self) -> Result<(), StoreError> {
        if let Some(at_work) = self.at_work.take() {
            self.second = Some(at_work.await.map_err(StoreError::failed)??);
        }
        Ok(())
    }

    /// Looks at the log now and then. A long log is handed to the second connection. A log that keeps growing is
    /// copied at once, waiting for readers so that it can restart.
    pub fn look(&mut self, connection: &WriteConnection) -> Result<(), StoreError> {
        let stats = connection.stats();
        let commits = stats.commits.saturating_sub(self.looked.commits);
        let rows = stats.rows.saturating_sub(self.looked.rows);
        if commits < LOOK_AFTER_COMMITS && rows < LOOK_AFTER_ROWS {
            return Ok(());
        }
        self.looked = stats;
        self.watch_size();
        if self.at_work.is_some() {
            // A running checkpoint blocks any other.
            return Ok(());
        }
        let log = checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)")?;
        if log.pages >= self.restart_at {
            connection.set_busy_timeout(RESTART_TIMEOUT)?;
            let after = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")?;
            connection.set_busy_timeout(BUSY_TIMEOUT)?;
            self.gauges.checkpointed();
            self.restart_at = after.pages.saturating_mul(2).max(RESTART_PAGES);
        } else if log.pages.saturating_sub(log.moved) >= CHECKPOINT_PAGES
            && let Some(second) = self.second.take()
        {
            self.at_work = Some(tokio::task::spawn_blocking(move || {
                checkpoint(&second, "PRAGMA wal_checkpoint(PASSIVE)")?;
                Ok(second)
            }));
        }
        Ok(())
    }

    /// Copies what no reader needs any more. Once all pages are copied and no reader needs the log, the next commit
    /// restarts it.
    pub fn move_the_rest(&self, connection: &WriteConnection) -> Result<(), StoreError> {
        checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        self.gauges.checkpointed();
        Ok(())
    }
}

/// Copies the whole log into the database at a start, and syncs it. After a failed sync, a commit can be readable in the
/// log without being on the disk. So nothing may be served before this.
///
/// A read transaction of another program can keep a part of the log from being copied. Then the log itself is written
/// again and synced: a sync that follows a failed one would succeed without writing anything.
///
/// # Errors
/// [`StoreError::Unusable`] where another program writes to the database all the time.
pub(super) fn checkpoint_fully(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let said = |error| refused(path, error);
    connection.busy_timeout(RESTART_TIMEOUT).map_err(said)?;
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(said)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(said)?;
    if !busy {
        return Ok(());
    }
    // While this is open nobody appends to the log, and nobody begins it anew.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(said)?;
    let wal = log_path(path);
    let written = log_file::write_again(&wal);
    connection.execute_batch("ROLLBACK").map_err(said)?;
    written.map_err(StoreError::failed)?;
    tell_of_readers(
        &wal,
        "the write-ahead log cannot be emptied yet, because another program reads the database",
    );
    Ok(())
}

/// Tells an operator how to find who reads.
fn tell_of_readers(wal: &Path, what: &str) {
    let bytes = bytes_of(wal);
    let wal = wal.display();
    tracing::warn!(%wal, bytes, "{what}; find the reader with: fuser -v {wal} (or: lsof {wal})");
}

/// Empties the log before the database is closed, unless readers need it for longer than a moment.
pub(super) fn empty(connection: &WriteConnection) -> Result<(), StoreError> {
    connection.set_busy_timeout(RESTART_TIMEOUT)?;
    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)").map(drop)
}

/// Runs a checkpoint of this kind and returns the state of the log after it.
pub(super) fn checkpoint(connection: &WriteConnection, pragma: &str) -> Result<Log, StoreError> {
    let read = |row: &dyn Row| Ok(Log { pages: row.get(1)?, moved: row.get(2)? });
    connection.statements().first(pragma, [], read)?.ok_or_else(|| damaged("a checkpoint gave no row"))
}

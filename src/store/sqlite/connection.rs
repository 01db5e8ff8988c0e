//! A connection that writes, and its statements, counted. The writer has two connections: one appends, one
//! checkpoints.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{CachedStatement, Connection, Params};

use super::columns::Sqlite;
use super::driver::{execute, failed, fetch, not_written};
use super::lock::DatabaseFile;
use crate::store::error::StoreError;
use crate::store::sql::database::Sql;
use crate::store::sql::row::{Param, Row};

/// The turn to write, for the writer and for the side connection of webhook endpoints and orders. SQLite's own lock is
/// not fair: waiting for it means polling with pauses of up to 100 ms. A busy writer releases it only for moments. This
/// mutex is first come, first served.
pub(crate) type Turns = Arc<tokio::sync::Mutex<()>>;

/// Counters of the writing side, for tests of the storage budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Statements run, including those that open and close transactions.
    pub statements: u64,
    /// Rows inserted or updated.
    pub rows: u64,
    /// Batches committed.
    pub commits: u64,
}

/// The statements on a writing connection; counts them.
#[derive(Clone, Copy)]
pub(super) struct Statements<'a> {
    connection: &'a Connection,
    stats: &'a Cell<WriteStats>,
}

/// A statement that a batch runs many times. Looking it up once a batch instead of once a row saves a fifth of the
/// cost of a row.
pub(super) struct Prepared<'a> {
    statement: CachedStatement<'a>,
    stats: &'a Cell<WriteStats>,
}

impl<'a> Statements<'a> {
    /// Finds the statement in the cache of parsed statements.
    pub(super) fn prepare(self, sql: &str) -> Result<Prepared<'a>, StoreError> {
        let statement = self.connection.prepare_cached(sql).map_err(failed)?;
        Ok(Prepared { statement, stats: self.stats })
    }

    /// Runs a statement that writes; returns the number of rows.
    pub(super) fn run(self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        self.prepare(sql)?.run(params)
    }

    /// Opens or closes a transaction.
    fn control(self, sql: &str) -> Result<(), StoreError> {
        let mut control = self.prepare(sql)?;
        control.count(0);
        control.statement.execute([]).map_err(failed).map(drop)
    }

    /// Reads the first row.
    pub(super) fn first<T>(
        self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&dyn Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.prepare(sql)?.first(params, read)
    }

    /// Reads all rows.
    pub(super) fn all<T>(
        self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.prepare(sql)?.all(params, read)
    }
}

/// For statements that both engines share.
impl Sql for Statements<'_> {
    type Dialect = Sqlite;

    fn all<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send {
        let rows = self.prepare(sql).and_then(|mut prepared| {
            prepared.count(0);
            fetch(&mut prepared.statement, params, read)
        });
        std::future::ready(rows)
    }

    fn run(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let changed = self.prepare(sql).and_then(|mut prepared| {
            let changed = execute(&mut prepared.statement, params)?;
            prepared.count(changed);
            Ok(changed as u64)
        });
        std::future::ready(changed)
    }
}

impl Prepared<'_> {
    fn count(&self, rows: usize) {
        let mut stats = self.stats.get();
        stats.statements = stats.statements.saturating_add(1);
        stats.rows = stats.rows.saturating_add(rows.try_into().unwrap_or(u64::MAX));
        self.stats.set(stats);
    }

    /// Runs the statement; returns the number of rows.
    pub(super) fn run(&mut self, params: impl Params) -> Result<usize, StoreError> {
        let changed = self.statement.execute(params).map_err(not_written);
        self.count(changed.as_ref().copied().unwrap_or_default());
        changed
    }

    /// Reads the first row.
    pub(super) fn first<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&dyn Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.count(0);
        let mut rows = self.statement.query(params)?;
        rows.next()?.map(|row| read(row)).transpose()
    }

    /// Reads the first row of a statement that both engines share.
    pub(super) fn shared_first<T>(
        &mut self,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.count(0);
        Ok(fetch(&mut self.statement, params, read)?.into_iter().next())
    }

    /// Reads all rows.
    pub(super) fn all<T>(
        &mut self,
        params: impl Params,
        mut read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.count(0);
        let mut rows = self.statement.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

/// A connection that writes. Only one thread at a time has it.
pub(super) struct WriteConnection {
    pub(super) connection: Connection,
    stats: Cell<WriteStats>,
    last_commit: Cell<Option<Duration>>,
    // Declared after the connection, so dropped after it.
    _file: Arc<DatabaseFile>,
}

impl WriteConnection {
    pub fn new(connection: Connection, file: Arc<DatabaseFile>) -> Self {
        Self { connection, stats: Cell::default(), last_commit: Cell::default(), _file: file }
    }

    pub fn stats(&self) -> WriteStats {
        self.stats.get()
    }

    /// How long the last commit took.
    pub fn last_commit(&self) -> Option<Duration> {
        self.last_commit.get()
    }

    pub const fn statements(&self) -> Statements<'_> {
        Statements { connection: &self.connection, stats: &self.stats }
    }

    /// Opens a transaction.
    pub fn begin(&self) -> Result<(), StoreError> {
        self.statements().control("BEGIN IMMEDIATE")
    }

    /// Commits. If that fails, the commit record may or may not have reached the disk.
    pub fn commit(&self) -> Result<(), StoreError> {
        let begun = Instant::now();
        self.statements().control("COMMIT").map_err(fate_unknown)?;
        self.last_commit.set(Some(begun.elapsed()));
        let stats = self.stats.get();
        self.stats.set(WriteStats { commits: stats.commits.saturating_add(1), ..stats });
        Ok(())
    }

    /// Closes the transaction, where one is open, and stores nothing.
    pub fn roll_back(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            // Some errors close the transaction themselves.
            return Ok(());
        }
        // An open transaction that cannot be closed: nothing can be written any more.
        self.statements().control("ROLLBACK").map_err(fate_unknown)
    }

    /// How long a statement waits for a lock.
    pub fn set_busy_timeout(&self, timeout: Duration) -> Result<(), StoreError> {
        self.connection.busy_timeout(timeout).map_err(failed)
    }

    /// Whether freed bytes on a page are overwritten.
    pub fn set_secure_delete(&self, is_on: bool) -> Result<(), StoreError> {
        self.connection.pragma_update_and_check(None, "secure_delete", is_on, |_| Ok(())).map_err(failed)
    }

    pub fn close(self) -> Result<(), StoreError> {
        self.connection.close().map_err(|(_, error)| failed(error))
    }
}

/// After a failed commit or rollback: what was written may be stored or not.
pub(super) fn fate_unknown(error: StoreError) -> StoreError {
    match error {
        StoreError::Failed(source) | StoreError::Refused(source) => StoreError::UnknownFate(source),
        StoreError::Damaged(damage) => StoreError::UnknownFate(damage.into()),
        other => other,
    }
}

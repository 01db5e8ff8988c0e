//! Reading connections, and work on them.
//!
//! # What it is
//! A few read-only connections. Work takes one, runs on a blocking thread, and gives it back.
//!
//! # Invariants
//! - A connection is given back whatever becomes of the work: also where its caller is gone, or where it panics.
//! - No transaction stays open on a connection that is given back.
//!
//! # Failure
//! A page that cannot be read is `Damaged`. An error leaves the connection usable.
//!
//! # Cost
//! One hand-over to a thread a call, whatever the number of its statements, and one back. Statements stay prepared.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::check;
use super::driver::ready;
use super::settings::BUSY_TIMEOUT;
use crate::ledger::{LedgerNo, Timestamp};
use crate::store::error::StoreError;
use crate::store::recorded::{Position, Recorded};
use crate::store::sql::database::{AuditDatabase, Database, ReadDatabase, Work};
use crate::store::sql::postings;
use crate::store::stamps::Stamps;

/// Reading connections. Each is used by one thread at a time.
const READERS: usize = 4;
/// Page cache of each.
const CACHE_KIB: i64 = 8 * 1024;
/// Statements that stay prepared on each: more than there are.
const STATEMENTS_MAX: usize = 128;

/// The reading connections of one file. Clones share them.
#[derive(Clone, Debug)]
pub struct Readers {
    idle: Arc<std::sync::Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
    stamps: Stamps,
}

impl Readers {
    /// Opens them.
    ///
    /// # Errors
    /// [`StoreError`] where the file cannot be opened.
    pub(super) fn open(path: &Path, stamps: Stamps) -> Result<Self, StoreError> {
        let idle: Vec<Connection> = (0..READERS).map(|_| connect(path)).collect::<Result<_, _>>()?;
        let free = Arc::new(Semaphore::new(idle.len()));
        Ok(Self { idle: Arc::new(std::sync::Mutex::new(idle)), free, stamps })
    }
}

/// Opens a connection that only reads.
///
/// # Errors
/// Of the driver.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// A connection that goes back when this is dropped.
struct Lent {
    connection: Option<Connection>,
    home: Arc<std::sync::Mutex<Vec<Connection>>>,
    // Declared last: the next one waits until the connection is back.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Work that failed may have left its snapshot open. Where that cannot be ended, reads on it still can.
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            self.home.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Database for Readers {
    type Connection = Connection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(StoreError::failed)?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lent = Lent { connection, home: Arc::clone(&self.idle), _permit: permit };
        let done = tokio::task::spawn_blocking(move || match &mut lent.connection {
            Some(connection) => ready(work(connection)),
            None => Err(gone()),
        });
        done.await.map_err(StoreError::failed)?
    }
}

impl ReadDatabase for Readers {
    async fn watermark(&self, wanted: Timestamp, now: Timestamp) -> Result<Timestamp, StoreError> {
        Ok(self.stamps.watermark(wanted.min(now)))
    }

    async fn reach(&self, _time: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn place_all(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl AuditDatabase for Readers {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.run(|sql| Box::pin(check::check(sql))).await
    }

    async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.run(move |sql| Box::pin(postings::feed(sql, ledger, after, limit))).await
    }

    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.run(move |sql| Box::pin(postings::last_position(sql, ledger))).await
    }
}

/// One connection outside the pool, for figures or a transaction. Work whose caller is gone takes it along.
#[derive(Debug)]
pub struct OneConnection(Mutex<Option<Connection>>);

impl OneConnection {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Mutex::new(Some(connection)))
    }

    /// The connection, where work has not taken it along.
    pub(super) fn into_inner(self) -> Option<Connection> {
        self.0.into_inner()
    }
}

impl Database for OneConnection {
    type Connection = Connection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut home = self.0.lock().await;
        let mut connection = home.take().ok_or_else(gone)?;
        let (connection, done) = tokio::task::spawn_blocking(move || {
            let done = ready(work(&mut connection));
            (connection, done)
        })
        .await
        .map_err(StoreError::failed)?;
        *home = Some(connection);
        done
    }
}

fn gone() -> StoreError {
    StoreError::Failed("the connection is gone".into())
}

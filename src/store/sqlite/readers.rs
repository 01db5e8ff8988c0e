//! Reading connections, each with a thread of its own, and work on them.
//!
//! # What it is
//! A few read-only connections. A caller takes an idle thread, hands work to it, and waits for the answer.
//!
//! # Invariants
//! - A thread becomes idle again after any work, also where the caller is gone or the work panics.
//! - No transaction stays open on a connection between two pieces of work.
//! - Work waits only while all threads are busy: nobody queues behind one long read.
//!
//! # Failure
//! A page that cannot be read is `Damaged`. An error leaves the connection usable.
//!
//! # Cost
//! A call hands work to a thread once, whatever the number of its statements, and gets one answer back. That takes
//! about 20 us of CPU; tokio's threads for blocking work took 30 to 40. The thread that was idle last is taken first.
//! Statements stay prepared.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, PoisonError};

use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot};

use super::check;
use super::driver::ready;
use super::lock::DatabaseFile;
use super::reading::{self, Medium};
use crate::ledger::{LedgerNo, Timestamp};
use crate::store::error::StoreError;
use crate::store::read_store::Page;
use crate::store::recorded::{Position, Recorded};
use crate::store::sql::database::{AuditDatabase, Database, ReadDatabase, Work};
use crate::store::sql::postings;
use crate::store::stamps::Stamps;

/// Reading threads.
const READERS: usize = 4;

/// Work for a thread.
type Job = Box<dyn FnOnce(&mut Connection) + Send>;
/// Idle threads, the one that was idle last at the end.
type Idle = Arc<std::sync::Mutex<Vec<Sender<Job>>>>;

/// The reading threads of one file. Clones share them; the threads end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Readers {
    idle: Idle,
    free: Arc<Semaphore>,
    stamps: Stamps,
}

impl Readers {
    /// # Errors
    /// [`StoreError`] where the file cannot be opened.
    pub(super) fn open(
        path: &Path,
        medium: Medium,
        stamps: Stamps,
        file: Option<&Arc<DatabaseFile>>,
    ) -> Result<Self, StoreError> {
        let threads = (0..READERS).map(|_| start(reading::connect(path, medium)?, file.cloned()));
        let idle: Vec<_> = threads.collect::<Result<_, StoreError>>()?;
        let free = Arc::new(Semaphore::new(idle.len()));
        Ok(Self { idle: Arc::new(std::sync::Mutex::new(idle)), free, stamps })
    }
}

/// Starts a thread with its connection. It ends when nobody can send it work any more; then the connection is closed,
/// and after it the file.
fn start(mut connection: Connection, file: Option<Arc<DatabaseFile>>) -> Result<Sender<Job>, StoreError> {
    let (sender, jobs) = channel::<Job>();
    let run = move || {
        while let Ok(job) = jobs.recv() {
            job(&mut connection);
        }
        drop(connection);
        drop(file);
    };
    std::thread::Builder::new().name("reader".to_owned()).spawn(run).map_err(StoreError::failed)?;
    Ok(sender)
}

/// A busy thread; dropping this makes it idle again.
struct Busy {
    thread: Option<Sender<Job>>,
    idle: Idle,
    // Declared last, so dropped last: the thread is idle before the next caller may take one.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.thread.take());
    }
}

impl Database for Readers {
    type Connection = Connection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(StoreError::failed)?;
        let thread = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or_else(gone)?;
        let busy = Busy { thread: Some(thread.clone()), idle: Arc::clone(&self.idle), _permit: permit };
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            let done = catch_unwind(AssertUnwindSafe(|| ready(work(connection))));
            // Failed work may have left its snapshot open. If that cannot be ended, reads on it still work.
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            drop(busy);
            // The caller may be gone.
            let _ = answer.send(done.unwrap_or_else(|_| Err(StoreError::Failed("a read panicked".into()))));
        };
        thread.send(Box::new(job)).map_err(|_| gone())?;
        answered.await.map_err(StoreError::failed)?
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
    ) -> Result<Page<Recorded, Position>, StoreError> {
        self.run(move |sql| Box::pin(postings::feed(sql, ledger, after, limit))).await
    }

    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.run(move |sql| Box::pin(postings::last_position(sql, ledger))).await
    }
}

/// One connection outside the pool, for figures or a transaction. If the caller of some work goes away, the
/// connection is lost with it.
#[derive(Debug)]
pub struct OneConnection {
    connection: Mutex<Option<Connection>>,
    /// The file of the connection, where this process has the lock.
    file: Option<Arc<DatabaseFile>>,
}

impl OneConnection {
    pub(super) fn new(connection: Connection, file: Option<Arc<DatabaseFile>>) -> Self {
        Self { connection: Mutex::new(Some(connection)), file }
    }

    /// The connection, unless it was lost with a caller.
    pub(super) fn into_inner(self) -> Option<Connection> {
        self.connection.into_inner()
    }
}

impl Database for OneConnection {
    type Connection = Connection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut home = self.connection.lock().await;
        let mut connection = home.take().ok_or_else(gone)?;
        let file = self.file.clone();
        // Where the caller goes away, the connection is closed before the file.
        let (connection, done, _file) = tokio::task::spawn_blocking(move || {
            let done = ready(work(&mut connection));
            (connection, done, file)
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

//! The writing side: one connection that one writer thread owns. Statements run row by row on it; they block the
//! thread, which has nothing else to do.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Params, Row};

use super::file::DatabaseLock;
use super::ledgers::{self, Tail};
use super::recent::{Recent, Remembered};
use super::requests::NewRequests;
use super::{BUSY_TIMEOUT, alerts, append, cards, failed, load};
use crate::ledger::alert::LedgerAlerts;
use crate::ledger::card::{CardRequest, Cards};
use crate::ledger::{Book, CustomerMap, Posting, Request, Timestamp};
use crate::store::cards::{CardsChanged, catch_up, decide};
use crate::store::skew;
use crate::store::stamps::Stamps;
use crate::store::{
    DefaultAlertsSet, LedgerCreated, NewDefaultAlerts, NewLedger, News, StoreError, WriteStore,
};

/// Looks at the log's size after this many commits, or rows: a look costs as much as a small statement.
const LOOK_AFTER_COMMITS: u64 = 32;
const LOOK_AFTER_ROWS: u64 = 2_000;
/// Pages in the log from which it is checkpointed: 16 MB. Larger lets pages that are written again and again reach
/// the database once; smaller keeps readers fast.
const CHECKPOINT_PAGES: i64 = 4_096;
/// Pages in the log from which the writer waits for readers, so that it can begin the log anew: 128 MB. Readers are
/// short, so only a flood of them, or another program, gets here.
const RESTART_PAGES: i64 = 32_768;
/// How long it waits for them. Where that is not enough it waits again when the log has doubled.
const RESTART_TIMEOUT: Duration = Duration::from_millis(200);

/// What the writing side has done, for tests of the storage budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Statements run, those that open and close transactions included.
    pub statements: u64,
    /// Rows inserted or updated.
    pub rows: u64,
    /// Batches committed.
    pub commits: u64,
}

/// Statements on the writing connection, counted.
#[derive(Clone, Copy)]
pub(super) struct Statements<'a> {
    connection: &'a Connection,
    stats: &'a Cell<WriteStats>,
}

/// One statement that a batch runs again and again: looking it up once a batch instead of once a row is a fifth of
/// what a row costs.
pub(super) struct Prepared<'a> {
    statement: CachedStatement<'a>,
    stats: &'a Cell<WriteStats>,
}

impl<'a> Statements<'a> {
    /// Finds the statement among those that were parsed before.
    pub(super) fn prepare(self, sql: &str) -> Result<Prepared<'a>, StoreError> {
        let statement = self.connection.prepare_cached(sql).map_err(failed)?;
        Ok(Prepared { statement, stats: self.stats })
    }

    /// Writes, and says how many rows.
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
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.prepare(sql)?.first(params, read)
    }

    /// Reads all rows.
    pub(super) fn all<T>(
        self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.prepare(sql)?.all(params, read)
    }
}

impl Prepared<'_> {
    fn count(&self, rows: usize) {
        let mut stats = self.stats.get();
        stats.statements = stats.statements.saturating_add(1);
        stats.rows = stats.rows.saturating_add(rows.try_into().unwrap_or(u64::MAX));
        self.stats.set(stats);
    }

    /// Writes, and says how many rows.
    pub(super) fn run(&mut self, params: impl Params) -> Result<usize, StoreError> {
        let changed = self.statement.execute(params).map_err(not_written);
        self.count(changed.as_ref().copied().unwrap_or_default());
        changed
    }

    /// Reads the first row.
    pub(super) fn first<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.count(0);
        self.statement.query_row(params, read).optional().map_err(failed)
    }

    /// Reads all rows.
    pub(super) fn all<T>(
        &mut self,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.count(0);
        self.statement.query_map(params, read).and_then(Iterator::collect).map_err(failed)
    }
}

/// What of a loaded customer the core does not keep, from load to append.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Where its next posting points.
    pub path: skew::Path,
    /// The sequence in its row, which guards the update; 0 where there is no row yet.
    pub stored_sequence: u64,
    /// The indexed column as it stands, so that it is written only when it changes.
    pub next_due: Option<Timestamp>,
}

/// How many pages are in the log, and how many of them are in the database as well.
#[derive(Clone, Copy, Debug, Default)]
struct Log {
    pages: i64,
    moved: i64,
}

/// The writing side of a SQLite database.
pub struct SqliteWriter {
    connection: Option<Connection>,
    // Declared after the connection: dropped after it.
    _lock: DatabaseLock,
    wal: std::path::PathBuf,
    pub(super) tail: Tail,
    pub(super) stamps: Stamps,
    news: News,
    pub(super) loaded: CustomerMap<Loaded>,
    /// The last change of rate cards.
    pub(super) cards_revision: u64,
    recent: Recent,
    new_requests: NewRequests,
    /// Only this writer changes them, so they are read once and then remembered.
    default_alerts: Arc<LedgerAlerts>,
    stats: Cell<WriteStats>,
    looked: WriteStats,
    restart_at: i64,
}

impl std::fmt::Debug for SqliteWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteWriter").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl SqliteWriter {
    /// Takes over an open connection and reads the ends of the journal.
    pub(super) fn new(
        connection: Connection,
        lock: DatabaseLock,
        path: &Path,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let mut writer = Self {
            connection: Some(connection),
            _lock: lock,
            wal: wal.into(),
            tail: Tail::default(),
            stamps: Stamps::default(),
            news: News::always_reachable(Arc::default()),
            loaded: CustomerMap::default(),
            cards_revision: 0,
            recent: Recent::default(),
            new_requests: NewRequests::default(),
            default_alerts: Arc::default(),
            stats: Cell::default(),
            looked: WriteStats::default(),
            restart_at: RESTART_PAGES,
        };
        let statements = writer.statements()?;
        // The migration cannot know when main came to be.
        if statements
            .first("SELECT 1 FROM ledger WHERE ledger_no = 0 AND created_at = 0", [], |_| Ok(()))?
            .is_some()
        {
            statements.run("UPDATE ledger SET created_at = ? WHERE ledger_no = 0", [now.micros()])?;
        }
        // Whoever sent webhooks from this file is gone: one server at a time has it.
        statements.run("DELETE FROM webhook_relay", [])?;
        let tail = Tail::read(statements)?;
        // Read as a whole, so that a card that is not as it was written is found before anything is served.
        let cards_revision = cards::changes(statements, 0)?.last().map_or(0, |last| last.revision);
        let new_requests = NewRequests::read(statements, now)?;
        let default_alerts = alerts::read(statements)?;
        writer.new_requests = new_requests;
        writer.default_alerts = Arc::new(default_alerts);
        writer.tail = tail;
        writer.cards_revision = cards_revision;
        writer.stamps = Stamps::after(writer.tail.stamp);
        Ok(writer)
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> WriteStats {
        self.stats.get()
    }

    /// The stamps that it gives, for readers to see.
    pub(super) fn stamps(&self) -> Stamps {
        self.stamps.clone()
    }

    /// Tells of every commit.
    pub(crate) fn news(&self) -> News {
        self.news.clone()
    }

    /// Bytes of the write-ahead log file.
    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        std::fs::metadata(&self.wal).map_or(0, |facts| facts.len())
    }

    pub(super) fn statements(&self) -> Result<Statements<'_>, StoreError> {
        let connection = self.connection.as_ref().ok_or_else(closed)?;
        Ok(Statements { connection, stats: &self.stats })
    }

    /// Only this writer changes cards, so that its caller is behind only once: at the start.
    fn catch_up(&mut self, cards: &mut Arc<Cards>) -> Result<(), StoreError> {
        if cards.revision() == self.cards_revision {
            return Ok(());
        }
        catch_up(cards, &cards::changes(self.statements()?, cards.revision())?)
    }

    pub(super) fn roll_back(&mut self) -> Result<(), StoreError> {
        self.loaded.clear();
        self.stamps.abandoned();
        let connection = self.connection.as_ref().ok_or_else(closed)?;
        if connection.is_autocommit() {
            // Some errors close the transaction themselves.
            return Ok(());
        }
        // An open transaction that cannot be closed: nothing can be written any more.
        self.statements()?.control("ROLLBACK").map_err(fate_unknown)
    }

    /// Runs `work` in a transaction that stays open where it succeeds.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.statements()?.control("BEGIN IMMEDIATE")?;
        work(self).or_else(|error| {
            self.roll_back()?;
            Err(error)
        })
    }

    /// Commits, with these postings. Where that fails, the commit record may or may not have reached the disk.
    pub(super) fn commit(&mut self, postings: &[Arc<Posting>]) -> Result<(), StoreError> {
        self.loaded.clear();
        self.statements()?.control("COMMIT").map_err(fate_unknown)?;
        let stats = self.stats.get();
        self.stats.set(WriteStats { commits: stats.commits.saturating_add(1), ..stats });
        self.stamps.stored();
        self.news.tell(|| self.tail.after(postings));
        Ok(())
    }

    fn append_now(&mut self, book: &Book) -> Result<(), StoreError> {
        if book.is_untouched() {
            return self.roll_back();
        }
        let mut tail = self.tail.clone();
        let mut loaded = std::mem::take(&mut self.loaded);
        let written = append::append(self.statements()?, book, &mut tail, &mut loaded);
        if let Err(error) = written {
            self.roll_back()?;
            return Err(error);
        }
        self.commit(book.journal())?;
        self.tail = tail;
        for request in book.journal().iter().filter_map(|posting| posting.request.as_ref()) {
            self.new_requests.stored(request, book.now);
        }
        for customer in book.touched_customers() {
            let key = customer.key();
            if let Some(loaded) = loaded.remove(&key) {
                self.recent.put(key, Remembered { customer: customer.clone(), loaded });
            }
        }
        Ok(())
    }

    /// Moves the log into the database once it is long: at once all that no reader still needs, and when it keeps
    /// growing, waiting for readers so that it can begin anew.
    fn tidy_now(&mut self) -> Result<(), StoreError> {
        let stats = self.stats.get();
        let commits = stats.commits.saturating_sub(self.looked.commits);
        let rows = stats.rows.saturating_sub(self.looked.rows);
        if commits < LOOK_AFTER_COMMITS && rows < LOOK_AFTER_ROWS {
            return Ok(());
        }
        self.looked = stats;
        let log = self.checkpoint("PRAGMA wal_checkpoint(NOOP)")?;
        if log.pages >= self.restart_at {
            self.set_busy_timeout(RESTART_TIMEOUT)?;
            let after = self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)")?;
            self.set_busy_timeout(BUSY_TIMEOUT)?;
            self.restart_at = after.pages.saturating_mul(2).max(RESTART_PAGES);
        } else if log.pages.saturating_sub(log.moved) >= CHECKPOINT_PAGES {
            // Once all pages are moved and no reader needs the log, the next commit begins it anew by itself.
            self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        Ok(())
    }

    /// Runs a checkpoint of some kind and says how the log stands after it.
    fn checkpoint(&mut self, pragma: &str) -> Result<Log, StoreError> {
        let read = |row: &Row<'_>| Ok(Log { pages: row.get(1)?, moved: row.get(2)? });
        Ok(self.statements()?.first(pragma, [], read)?.unwrap_or_default())
    }

    fn set_busy_timeout(&self, timeout: Duration) -> Result<(), StoreError> {
        self.connection.as_ref().ok_or_else(closed)?.busy_timeout(timeout).map_err(failed)
    }

    fn close_now(&mut self) -> Result<(), StoreError> {
        if self.connection.is_none() {
            return Ok(());
        }
        self.roll_back()?;
        self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)")?;
        let Some(connection) = self.connection.take() else { return Ok(()) };
        connection.close().map_err(|(_, error)| failed(error))
    }
}

#[async_trait]
impl WriteStore for SqliteWriter {
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        self.catch_up(cards)?;
        let mut book = Book::new(self.stamps.begin(clock), random, Arc::clone(cards));
        book.put_default_alerts(Arc::clone(&self.default_alerts));
        if self.new_requests.is_outrun(clock) {
            self.new_requests = NewRequests::read(self.statements()?, clock)?;
        }
        let mut recent = std::mem::take(&mut self.recent);
        let loaded = self.in_transaction(|writer| {
            load::load(writer.statements()?, &mut recent, &writer.new_requests, requests, book)
        });
        self.recent = recent;
        let (book, loaded) = loaded?;
        self.loaded = loaded;
        Ok(book)
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        self.append_now(book)
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.roll_back()
    }

    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError> {
        let created = self.in_transaction(|writer| ledgers::create(writer.statements()?, ledger, now))?;
        if let LedgerCreated::Created { ledger, replayed: false } = &created {
            let no = ledger.no;
            self.commit(&[])?;
            self.tail.positions.insert(no, 0);
        } else {
            self.roll_back()?;
        }
        Ok(created)
    }

    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        self.catch_up(cards)?;
        let decided = self.in_transaction(|writer| {
            let statements = writer.statements()?;
            let decided = decide(cards, request, cards::earlier(statements, request)?, now)?;
            if let CardsChanged::Made { change, replayed: false } = &decided {
                cards::insert(statements, change)?;
            }
            Ok(decided)
        })?;
        if let CardsChanged::Made { change, replayed: false } = &decided {
            self.commit(&[])?;
            self.cards_revision = change.revision;
            self.catch_up(cards)?;
        } else {
            self.roll_back()?;
        }
        Ok(decided)
    }

    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        let set = self.in_transaction(|writer| alerts::set(writer.statements()?, alerts, now))?;
        if set == (DefaultAlertsSet::Set { replayed: false }) {
            self.commit(&[])?;
            let thresholds = Arc::new(alerts.default.alerts.clone());
            Arc::make_mut(&mut self.default_alerts).insert(alerts.ledger, thresholds);
        } else {
            self.roll_back()?;
        }
        Ok(set)
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        self.tidy_now()
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        self.close_now()
    }
}

fn closed() -> StoreError {
    StoreError::Failed("the writing side is closed".into())
}

/// A row that breaks a rule of the schema is one command's fault; anything else is the disk's.
fn not_written(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::Refused(Box::new(error)),
        _ => failed(error),
    }
}

fn fate_unknown(error: StoreError) -> StoreError {
    match error {
        StoreError::Failed(source) | StoreError::Refused(source) => StoreError::UnknownFate(source),
        other => other,
    }
}

#[cfg(test)]
mod tests;

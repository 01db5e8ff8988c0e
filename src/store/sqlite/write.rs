//! The writing side: a connection that appends, and one that checkpoints beside it (see `checkpoints`). One writer
//! thread owns both. Statements run row by row and block the thread, which has nothing else to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::checkpoints::{self, Checkpoints};
use super::connection::{Statements, Turns, WriteConnection, WriteStats};
use super::driver::ready;
use super::lock::{DatabaseFile, DatabaseLock};
use super::recent::{Loaded, Recent, Remembered};
use super::requests::NewRequests;
use super::tail::Tail;
use super::{append, load, words};
use crate::ledger::alert::LedgerAlerts;
use crate::ledger::card::{CardRequest, Cards};
use crate::ledger::{Book, CustomerId, CustomerMap, LedgerNo, Posting, Request, Timestamp};
use crate::store::alerts::{DefaultAlertsSet, NewDefaultAlerts};
use crate::store::cards::{CardsChanged, catch_up, decide};
use crate::store::engine::CommitNotifier;
use crate::store::error::StoreError;
use crate::store::gauges::LogGauges;
use crate::store::sql::{alerts, cards, ledgers};
use crate::store::stamps::Stamps;
use crate::store::words::Erased;
use crate::store::write_store::{LedgerCreated, NewLedger, WriteStore};

pub struct SqliteWriter {
    /// `None` after the writing side was closed.
    connection: Option<WriteConnection>,
    checkpoints: Checkpoints,
    // Declared after the connections, so dropped after them.
    lock: DatabaseLock,
    pub(super) tail: Tail,
    pub(super) stamps: Stamps,
    notifier: CommitNotifier,
    turns: Turns,
    /// Held while a transaction is open.
    turn: Option<OwnedMutexGuard<()>>,
    pub(super) loaded: CustomerMap<Loaded>,
    /// The newest revision of the rate cards.
    pub(super) cards_revision: u64,
    recent: Recent,
    new_requests: NewRequests,
    /// Only this writer changes them, so they are read once and then remembered.
    default_alerts: Arc<LedgerAlerts>,
}

impl std::fmt::Debug for SqliteWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteWriter").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl SqliteWriter {
    /// Takes two open connections, one to write and one for checkpoints, and reads the ends of the journal.
    pub(super) fn new(
        [connection, second]: [WriteConnection; 2],
        lock: DatabaseLock,
        path: &Path,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut writer = Self {
            connection: Some(connection),
            checkpoints: Checkpoints::new(path, second),
            lock,
            tail: Tail::default(),
            stamps: Stamps::default(),
            notifier: CommitNotifier::always_reachable(Arc::default()),
            turns: Turns::default(),
            turn: None,
            loaded: CustomerMap::default(),
            cards_revision: 0,
            recent: Recent::default(),
            new_requests: NewRequests::default(),
            default_alerts: Arc::default(),
        };
        let statements = writer.statements()?;
        // The migration cannot know the creation time of main.
        if statements
            .first("SELECT 1 FROM ledger WHERE ledger_no = 0 AND created_at = 0", [], |_| Ok(()))?
            .is_some()
        {
            statements.run("UPDATE ledger SET created_at = ? WHERE ledger_no = 0", [now.micros()])?;
        }
        // Only one server at a time has the file, so any server that sent webhooks from it is gone.
        statements.run("DELETE FROM webhook_relay", [])?;
        let tail = Tail::read(statements)?;
        // All cards are read, so that a damaged card is found before anything is served.
        let cards_revision =
            ready(cards::changes(&mut writer.statements()?, 0))?.last().map_or(0, |last| last.revision);
        let new_requests = NewRequests::read(statements, now)?;
        let default_alerts = ready(alerts::current(&mut writer.statements()?))?;
        writer.new_requests = new_requests;
        writer.default_alerts = Arc::new(default_alerts);
        writer.tail = tail;
        writer.cards_revision = cards_revision;
        writer.stamps = Stamps::after(writer.tail.stamp);
        Ok(writer)
    }

    pub fn stats(&self) -> WriteStats {
        self.connection.as_ref().map(WriteConnection::stats).unwrap_or_default()
    }

    /// The stamps that it gives; readers need them for the watermark.
    pub(super) fn stamps(&self) -> Stamps {
        self.stamps.clone()
    }

    pub(crate) fn notifier(&self) -> CommitNotifier {
        self.notifier.clone()
    }

    /// The database's file, to share with the side connection.
    pub(crate) fn file(&self) -> Arc<DatabaseFile> {
        self.lock.file()
    }

    /// The turn to write, to share with the side connection.
    pub(crate) fn turns(&self) -> Turns {
        Arc::clone(&self.turns)
    }

    pub fn wal_bytes(&self) -> u64 {
        self.checkpoints.gauges().wal_bytes().unwrap_or_default()
    }

    pub(crate) fn gauges(&self) -> Arc<LogGauges> {
        self.checkpoints.gauges()
    }

    fn connection(&self) -> Result<&WriteConnection, StoreError> {
        self.connection.as_ref().ok_or_else(closed)
    }

    pub(super) fn statements(&self) -> Result<Statements<'_>, StoreError> {
        self.connection().map(WriteConnection::statements)
    }

    /// Only this writer changes cards, so its caller can be behind only at the start.
    fn catch_up(&mut self, cards: &mut Arc<Cards>) -> Result<(), StoreError> {
        if cards.revision() == self.cards_revision {
            return Ok(());
        }
        let changes = ready(cards::changes(&mut self.statements()?, cards.revision()))?;
        catch_up(cards, &changes)
    }

    pub(super) fn roll_back(&mut self) -> Result<(), StoreError> {
        self.loaded.clear();
        self.stamps.abandoned();
        let rolled_back = self.connection()?.roll_back();
        self.turn = None;
        rolled_back
    }

    /// Waits until nobody else writes. The turn ends with the transaction.
    async fn take_turn(&mut self) {
        if self.turn.is_none() {
            self.turn = Some(Mutex::lock_owned(Arc::clone(&self.turns)).await);
        }
    }

    /// Runs `work` in a transaction; the transaction stays open if that succeeds.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begun = self.connection()?.begin();
        // Also where the transaction could not be opened: stamp and turn must be given back.
        begun.and_then(|()| work(self)).or_else(|error| {
            self.roll_back()?;
            Err(error)
        })
    }

    /// Commits and announces these postings. If the commit fails, its record may or may not have reached the disk.
    /// Nothing is committed to a file that nobody would find again.
    pub(super) fn commit(&mut self, postings: &[Arc<Posting>]) -> Result<(), StoreError> {
        if let Err(gone) = self.lock.file().check_place() {
            self.roll_back()?;
            return Err(gone);
        }
        self.loaded.clear();
        self.connection()?.commit()?;
        self.turn = None;
        self.stamps.stored();
        self.notifier.tell(|| self.tail.after(postings));
        Ok(())
    }

    fn append_now(&mut self, book: &Book) -> Result<(), StoreError> {
        if book.is_untouched() {
            return self.roll_back();
        }
        let mut loaded = std::mem::take(&mut self.loaded);
        let moved = match append::append(self.statements()?, book, &self.tail, &mut loaded) {
            Ok(moved) => moved,
            Err(error) => {
                self.roll_back()?;
                return Err(error);
            }
        };
        self.commit(book.journal())?;
        self.tail.advance(moved);
        for request in book.journal().iter().filter_map(|posting| posting.request.as_ref()) {
            self.new_requests.stored(request, book.now);
        }
        for customer in book.touched_customers() {
            let key = customer.key();
            if let Some(loaded) = loaded.remove(&key) {
                self.recent.put(key, Remembered { customer: Arc::clone(customer), loaded });
            }
        }
        Ok(())
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
        self.take_turn().await;
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

    fn last_commit(&self) -> Option<Duration> {
        self.connection.as_ref().and_then(WriteConnection::last_commit)
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.roll_back()
    }

    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError> {
        self.take_turn().await;
        let created =
            self.in_transaction(|writer| ready(ledgers::create(&mut writer.statements()?, ledger, now)))?;
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
        self.take_turn().await;
        let decided = self.in_transaction(|writer| {
            let mut statements = writer.statements()?;
            let earlier = ready(cards::earlier(&mut statements, request))?;
            let decided = decide(cards, request, earlier, now)?;
            if let CardsChanged::Made { change, replayed: false } = &decided {
                ready(cards::insert(&mut statements, change))?;
            }
            Ok(decided)
        })?;
        if let CardsChanged::Made { change, replayed: false } = &decided {
            self.commit(&[])?;
            self.cards_revision = change.revision;
            catch_up(cards, std::slice::from_ref(change)).map_err(after_commit)?;
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
        self.take_turn().await;
        let set = self.in_transaction(|writer| ready(alerts::set(&mut writer.statements()?, alerts, now)))?;
        if set == (DefaultAlertsSet::Set { replayed: false }) {
            self.commit(&[])?;
            let thresholds = Arc::new(alerts.default.alerts.clone());
            Arc::make_mut(&mut self.default_alerts).insert(alerts.ledger, thresholds);
        } else {
            self.roll_back()?;
        }
        Ok(set)
    }

    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        self.take_turn().await;
        // Erased bytes on a page must be overwritten; other commits do not pay for that.
        self.connection()?.set_secure_delete(true)?;
        let erased = self.in_transaction(|writer| words::erase(writer.statements()?, ledger, customer, now));
        let erased = match erased {
            Ok(erased) if erased.postings > 0 => self.commit(&[]).map(|()| erased),
            Ok(erased) => self.roll_back().map(|()| erased),
            Err(error) => Err(error),
        };
        self.connection()?.set_secure_delete(false)?;
        erased
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        if self.checkpoints.has_finished().await? {
            self.checkpoints.move_the_rest(self.connection()?)
        } else {
            let connection = self.connection.as_ref().ok_or_else(closed)?;
            self.checkpoints.look(connection)
        }
    }

    async fn check_place(&mut self) -> Result<(), StoreError> {
        // Others than the writer append too, so the log can grow while it has nothing to do.
        self.checkpoints.watch_size();
        self.lock.file().check_place()
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        if self.connection.is_none() {
            return Ok(());
        }
        self.roll_back()?;
        self.checkpoints.wait().await?;
        checkpoints::empty(self.connection()?)?;
        self.connection.take().map_or(Ok(()), WriteConnection::close)
    }
}

/// An error after a commit must not say that nothing was stored.
fn after_commit(error: StoreError) -> StoreError {
    StoreError::UnknownFate(Box::new(error))
}

fn closed() -> StoreError {
    StoreError::Failed("the writing side is closed".into())
}

#[cfg(test)]
mod tests;

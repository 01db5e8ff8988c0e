//! From a database URL to an engine.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::memory::Memory;
use super::postgres::{self, Address};
use super::sqlite;
use super::webhooks::WebhookStore;
use super::{AuditStore, ReadStore, Recorded, StoreError, WriteStore};
use crate::ledger::Timestamp;

/// An open engine: the writing sides for the writer, the reading sides for everybody.
pub struct Engine {
    /// One a lane of the writer; never empty. A customer always belongs to the same lane.
    pub writers: Vec<Box<dyn WriteStore>>,
    /// Shared by all readers.
    pub reader: Arc<dyn ReadStore>,
    /// What `verify` reads.
    pub audit: Arc<dyn AuditStore>,
    /// Where events are sent.
    pub webhooks: Arc<dyn WebhookStore>,
    /// What it tells by itself.
    pub notifier: CommitNotifier,
}

/// Commits that are kept for those who follow; whoever is further behind reads the feed.
const COMMITS_KEPT: usize = 16;

/// The postings of a commit, in the order of each ledger's feed, with their places.
pub type Committed = Arc<Vec<Recorded>>;

/// What an engine tells those who wait.
#[derive(Clone, Debug)]
pub struct CommitNotifier {
    /// Changes whenever some ledger's feed may have grown, by whichever server. Who follows subscribes; where several
    /// servers write, the engine looks for commits of others more often while somebody does.
    pub growth: Arc<watch::Sender<u64>>,
    /// What is committed, before `growth` changes, so that who follows need not read it. Only a saving: an engine need not
    /// tell it, and whoever is behind misses some; what follows without a gap on what is known is all there is of it.
    pub committed: broadcast::Sender<Committed>,
    /// False while the database cannot be reached.
    pub reachable: watch::Receiver<bool>,
}

impl CommitNotifier {
    /// For an engine inside this process.
    #[must_use]
    pub fn always_reachable(growth: Arc<watch::Sender<u64>>) -> Self {
        // A receiver keeps the last value when its sender is gone.
        Self::new(growth, watch::channel(true).1)
    }

    /// For an engine that sees to both.
    #[must_use]
    pub fn new(growth: Arc<watch::Sender<u64>>, reachable: watch::Receiver<bool>) -> Self {
        Self { growth, committed: broadcast::Sender::new(COMMITS_KEPT), reachable }
    }

    /// Tells of a commit with these postings, which are asked for where somebody follows.
    pub fn tell(&self, postings: impl FnOnce() -> Vec<Recorded>) {
        if self.committed.receiver_count() > 0 {
            // Whoever followed may be gone by now.
            let _ = self.committed.send(Arc::new(postings()));
        }
        self.growth.send_modify(|growth| *growth = growth.wrapping_add(1));
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// How an engine is used; each takes what concerns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PostgreSQL: writing connections, each a lane of the writer, at least 1.
    pub lanes: usize,
    /// PostgreSQL: how writing transactions are kept apart.
    pub isolation: Isolation,
    /// PostgreSQL: who says what time it is.
    pub time: Time,
}

/// How writing transactions are kept apart. Both are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// READ COMMITTED: the customers' rows are locked first, and read as they are then.
    #[default]
    ReadCommitted,
    /// SERIALIZABLE, for engines that know no other: a batch that meets another server's is run again.
    Serializable,
}

/// Who says what time it is where several servers write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The database, so that the clocks of the servers do not matter.
    #[default]
    Database,
    /// Whoever calls: for tests that drive the time.
    Caller,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lanes: 2, isolation: Isolation::default(), time: Time::default() }
    }
}

/// Opens the engine that the URL names, made and migrated where needed: `sqlite://path`, `sqlite:path`,
/// `postgres://user@host/database`, or `memory:` for one that forgets. `now` dates the main ledger of a new database.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for a person; others where the disk fails.
pub async fn open(url: &str, now: Timestamp, settings: &Settings) -> Result<Engine, StoreError> {
    if is_memory(url) {
        return Ok(Memory::new(now).engine());
    }
    if let Some(address) = Address::of(url) {
        return postgres::open(address?, now, settings).await;
    }
    let (writer, reader) = sqlite::open(&sqlite_path(url)?, now).await?;
    let reader = Arc::new(reader);
    let (notifier, turns) = (writer.notifier(), writer.turns());
    Ok(Engine {
        writers: vec![Box::new(writer)],
        reader: Arc::clone(&reader) as Arc<dyn ReadStore>,
        audit: reader,
        webhooks: Arc::new(sqlite::SqliteWebhooks::of(&sqlite_path(url)?, turns)),
        notifier,
    })
}

/// Opens what `verify` reads, without taking the database from a server that has it.
///
/// # Errors
/// As [`open`]; also for a database that does not exist or has another schema.
pub async fn open_to_read(url: &str) -> Result<Arc<dyn AuditStore>, StoreError> {
    if is_memory(url) {
        return Err(StoreError::Unusable(
            "memory: is gone with its server; there is nothing to read".to_owned(),
        ));
    }
    if let Some(address) = Address::of(url) {
        return Ok(Arc::new(postgres::open_to_read(address?).await?));
    }
    Ok(Arc::new(sqlite::open_to_read(&sqlite_path(url)?).await?))
}

/// Opens a database to be checked. Servers are kept out of a file until the guard is dropped: rows that change while
/// they are compared with the journal would look like faults.
///
/// # Errors
/// As [`open_to_read`]; also while a server has the database open.
pub async fn open_to_check(url: &str) -> Result<(Arc<dyn AuditStore>, ExclusiveLock), StoreError> {
    // What is read from PostgreSQL is one snapshot, whoever writes meanwhile.
    let is_file = !is_memory(url) && Address::of(url).is_none();
    let alone = if is_file { Some(sqlite::keep_servers_out(&sqlite_path(url)?)?) } else { None };
    Ok((open_to_read(url).await?, ExclusiveLock { _lock: alone }))
}

/// While it is there, no server opens the database.
#[derive(Debug)]
pub struct ExclusiveLock {
    _lock: Option<sqlite::DatabaseLock>,
}

/// Makes the database where it is missing, and brings its schema up to date.
///
/// # Errors
/// As [`open`].
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    if is_memory(url) {
        return Ok(());
    }
    if let Some(address) = Address::of(url) {
        return postgres::migrate(address?).await;
    }
    sqlite::migrate(&sqlite_path(url)?).await
}

/// A database's URL as it may be shown: without its password.
#[must_use]
pub fn shown_url(url: &str) -> String {
    match Address::of(url) {
        Some(Ok(address)) => address.shown().to_owned(),
        // One that cannot be read is not repeated: what is wrong with it may be the password.
        Some(Err(_)) => "postgres://".to_owned(),
        None => url.to_owned(),
    }
}

pub(super) fn is_memory(url: &str) -> bool {
    url == "memory:" || url == "memory://"
}

pub(super) fn sqlite_path(url: &str) -> Result<std::path::PathBuf, StoreError> {
    sqlite::path_of(url).unwrap_or_else(|| {
        Err(StoreError::Unusable(
            "the database URL must begin with sqlite: (such as sqlite://./creditledger.db) or postgres:, or be memory:"
                .to_owned(),
        ))
    })
}

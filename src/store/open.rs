//! From a database URL to an engine, or to a connection that reads, checks, fills or measures a database.

use std::sync::Arc;

use super::audit::AuditStore;
use super::clock::ClockStore;
use super::copy::{CopyTarget, unusable};
use super::engine::{Engine, EngineClock, Settings, Time};
use super::error::StoreError;
use super::figures::Figures;
use super::gauges::Gauges;
use super::memory::Memory;
use super::postgres::{self, Address};
use super::read_store::ReadStore;
use super::sql::audit::SqlAudit;
use super::sql::reader::SqlReader;
use super::sql::records::SqlRecords;
use super::sql::side::SideStore;
use super::sql::tokens::SqlTokens;
use super::sqlite;
use crate::clock::boot::since_boot;
use crate::clock::plausible::Known;
use crate::clock::watch::Watch;
use crate::ledger::Timestamp;

/// Opens the engine that the URL names; creates and migrates the database where needed. The URLs are `sqlite://path`,
/// `sqlite:path`, `postgres://user@host/database`, and `memory:`, which keeps nothing. `now` dates the main ledger of
/// a new database.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for the operator; others where the disk fails.
pub async fn open(url: &str, now: Timestamp, settings: &Settings) -> Result<Engine, StoreError> {
    if is_memory(url) {
        let engine = Memory::new(now).engine();
        if let Some(gap_max) = settings.clock_gap_max {
            engine.clock.watch.begin(&Known::default(), gap_max, now);
        }
        return Ok(engine);
    }
    if let Some(address) = Address::of(url) {
        let address = address?;
        address.tell_ignored();
        return postgres::open(address, now, settings).await;
    }
    let path = sqlite_path(url)?;
    let begun = since_boot();
    let (writer, readers) = sqlite::open(&path, now)?;
    let notifier = writer.notifier();
    let gauges = Gauges::Sqlite(writer.gauges());
    let side = sqlite::SqliteSide::of(&path, writer.turns(), writer.file());
    let reader = Arc::new(SqlReader(readers.clone()));
    let rows = Arc::new(SideStore(side.clone())) as Arc<dyn ClockStore>;
    let watch = Arc::new(Watch::default());
    if let Some(gap_max) = settings.clock_gap_max {
        // Migrating a large database takes its time: what the clock shows is judged with the boot time of the moment.
        let passed = i64::try_from(since_boot().saturating_sub(begun).as_micros()).unwrap_or(i64::MAX);
        let now = Timestamp::from_micros(now.micros().saturating_add(passed));
        let (known, wall) = rows.known(now).await?;
        watch.begin(&known, gap_max, wall);
    }
    let clock = EngineClock { source: Time::Caller, watch, rows };
    Ok(Engine {
        writers: vec![Box::new(writer)],
        reader: Arc::clone(&reader) as Arc<dyn ReadStore>,
        audit: Arc::new(SqlAudit(readers)),
        webhooks: Arc::new(SideStore(side.clone())),
        orders: Arc::new(SideStore(side.clone())),
        tokens: Arc::new(SqlTokens { reader: Arc::clone(&reader), side: SideStore(side.clone()) }),
        records: Arc::new(SqlRecords { reader, side: SideStore(side) }),
        notifier,
        gauges,
        clock,
    })
}

/// Opens what `verify` reads. A server may have the database open meanwhile.
///
/// # Errors
/// As [`open`]; also for a database that does not exist or has another schema version.
pub async fn open_to_read(url: &str) -> Result<Arc<dyn AuditStore>, StoreError> {
    if is_memory(url) {
        return Err(StoreError::Unusable(
            "memory: is gone with its server; there is nothing to read".to_owned(),
        ));
    }
    if let Some(address) = Address::of(url) {
        return Ok(Arc::new(postgres::open_to_read(address?).await?));
    }
    let path = sqlite_path(url)?;
    let medium = sqlite::medium_of(&path)?;
    Ok(Arc::new(SqlAudit(sqlite::open_to_read(&path, medium, None)?)))
}

/// Opens a database to be checked. No server can open a file until the guard is dropped: rows that change during the
/// comparison would look like faults.
///
/// # Errors
/// As [`open_to_read`]; also while a server has the database open.
pub async fn open_to_check(url: &str) -> Result<(Arc<dyn AuditStore>, ExclusiveLock), StoreError> {
    if is_memory(url) || Address::of(url).is_some() {
        // A check of PostgreSQL reads one snapshot, so servers may write meanwhile.
        return Ok((open_to_read(url).await?, ExclusiveLock { alone: None }));
    }
    let path = sqlite_path(url)?;
    let alone = sqlite::Alone::take(&path)?;
    let readers = sqlite::open_to_read(&path, alone.medium, Some(&alone.file()))?;
    Ok((Arc::new(SqlAudit(readers)), ExclusiveLock { alone: Some(alone) }))
}

/// Bytes of the write-ahead log beside a SQLite file, for who watches it; `None` for another engine. Costs a look at
/// the directory.
pub fn wal_bytes(url: &str) -> Option<u64> {
    match sqlite::path_of(url) {
        Some(Ok(path)) => Some(sqlite::wal_bytes(&path)),
        Some(Err(_)) | None => None,
    }
}

/// While it exists, no server opens the database.
#[derive(Debug)]
pub struct ExclusiveLock {
    alone: Option<sqlite::Alone>,
}

impl ExclusiveLock {
    /// What was read is of one moment only if this agrees. Where nothing can be written beside a file, SQLite looks for
    /// no lock, and another user's program could have written to it.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where somebody did.
    pub fn check_unchanged(&self) -> Result<(), StoreError> {
        self.alone.as_ref().map_or(Ok(()), sqlite::Alone::check_unchanged)
    }
}

/// Creates the database where it is missing, and brings its schema up to date.
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    if is_memory(url) {
        return Ok(());
    }
    if let Some(address) = Address::of(url) {
        return postgres::migrate(address?).await;
    }
    sqlite::migrate(&sqlite_path(url)?)
}

/// Keeps that an operator has confirmed the clock that dates what is stored, and returns what it shows: this machine's,
/// which shows `wall`, or PostgreSQL's own. Servers that have the database open heed it within seconds.
///
/// # Errors
/// As [`open_to_read`].
pub async fn confirm_clock(url: &str, wall: Timestamp) -> Result<Timestamp, StoreError> {
    if is_memory(url) {
        return Err(StoreError::Unusable("memory: is gone with its server; it keeps no clock".to_owned()));
    }
    if let Some(address) = Address::of(url) {
        return postgres::confirm_clock(address?).await;
    }
    sqlite::confirm_clock(&sqlite_path(url)?, wall)
}

/// A database's URL without its password, so that it may be printed.
pub fn shown_url(url: &str) -> String {
    match Address::of(url) {
        Some(Ok(address)) => address.shown().to_owned(),
        // A URL that cannot be parsed is not repeated: the part that is wrong may be the password.
        Some(Err(_)) => "postgres://".to_owned(),
        None if is_memory(url) => url.to_owned(),
        None => match sqlite::path_of(url) {
            Some(Ok(_)) => url.to_owned(),
            Some(Err(_)) | None => "a URL that cannot be used".to_owned(),
        },
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

/// Opens a database to be filled from another one; creates and migrates it where needed. Servers cannot open it.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for the operator; others where the disk fails.
pub async fn open_for_copy(url: &str) -> Result<CopyTarget, StoreError> {
    if is_memory(url) {
        return Err(unusable("memory: is gone with its server; nothing can be copied to it"));
    }
    if let Some(address) = Address::of(url) {
        let (writer, audit) = postgres::open_for_copy(address?).await?;
        return Ok(CopyTarget { writer: Box::new(writer), audit: Arc::new(audit) });
    }
    let (writer, readers) = sqlite::open_for_copy(&sqlite_path(url)?)?;
    Ok(CopyTarget { writer: Box::new(writer), audit: Arc::new(SqlAudit(readers)) })
}

/// Checks the two ends of a copy without opening them.
///
/// # Errors
/// [`StoreError::Unusable`] where an end cannot be copied, or both are the same database.
pub fn check_urls(from: &str, to: &str) -> Result<(), StoreError> {
    if is_memory(from) || is_memory(to) {
        return Err(unusable("memory: is gone with its server; it cannot be copied, nor copied to"));
    }
    if place(from)? == place(to)? {
        return Err(unusable("--from and --to name the same database"));
    }
    Ok(())
}

/// Identifies a database, so that two URLs of the same one are equal. A host may have several names, and then they
/// differ; such a copy is refused later, because the target is not empty.
fn place(url: &str) -> Result<std::path::PathBuf, StoreError> {
    if let Some(address) = Address::of(url) {
        return Ok(address?.place().into());
    }
    let path = sqlite_path(url)?;
    // A file that does not exist yet cannot equal another one; its directory may still have several names.
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let directory = path.parent().and_then(|directory| directory.canonicalize().ok());
    Ok(match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path,
    })
}

/// Opens the figures of a database that exists.
///
/// # Errors
/// [`StoreError`] where it cannot be opened; also for the engine in memory, which is not made for speed.
pub async fn open_figures(url: &str) -> Result<Box<dyn Figures>, StoreError> {
    if is_memory(url) {
        return Err(StoreError::Unusable("memory: is not made to be measured".to_owned()));
    }
    if let Some(address) = Address::of(url) {
        return Ok(Box::new(postgres::open_figures(address?).await?));
    }
    Ok(Box::new(sqlite::open_figures(&sqlite_path(url)?)?))
}

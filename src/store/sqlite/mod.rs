//! The SQLite engine: one file, one writing connection (rusqlite), a pool of reading ones (sqlx).
//!
//! Opening checks everything that could make serving unsafe, and says in one line what is wrong: the lock, the
//! version of SQLite, the file, the schema. Then it checkpoints fully, so that what is served is on the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use sqlx::ConnectOptions;
use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use connection::WriteConnection;

use crate::ledger::Timestamp;
use crate::store::StoreError;
use crate::store::copy::unfinished;
use crate::store::stamps::Stamps;

mod alerts;
mod append;
mod audit;
mod cards;
mod check;
mod check_schema;
mod checkpoints;
mod class_stats;
mod connection;
mod copy;
mod figures;
mod file;
mod ledgers;
mod load;
mod read;
mod read_customers;
mod read_holds;
mod read_lots;
mod read_postings;
mod recent;
mod requests;
mod rows;
mod webhooks;
mod words;
mod work;
mod write;

pub use connection::WriteStats;
pub use figures::{SqliteFigures, open_figures};
pub use file::{DatabaseLock, path_of};
pub use read::SqliteReader;
pub use webhooks::SqliteWebhooks;
pub use write::SqliteWriter;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// "CRLG", which the first migration writes into the file's header.
const APPLICATION_ID: i64 = 1_129_466_951;
/// Older versions can corrupt a database when the write-ahead log is reset while another connection writes.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// FULL: a commit is on the disk before anybody is told of it.
const SYNCHRONOUS: &str = "FULL";
/// How long a statement waits for a lock, which only other programs (a shell, a backup) can hold.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer. More is not better: a commit that split a page of a tree looks through the whole cache
/// (SQLite's `balance_nonroot` borrows the number of the pending-byte page, above which `pcache1Truncate` then has to cut).
/// With 64 MB that was a tenth of the writer's time, and with 16 MB still that much where commits are small. Batches are as
/// fast with 2 MB as with 16: what is not in it is in the system's cache.
const WRITER_CACHE_KIB: i64 = 4 * 1024;
/// Page cache of each reader.
const READER_CACHE: &str = "-8192";
/// Reading connections; each has a thread of its own.
const READERS_MAX: u32 = 4;

/// Who writes next: the writer, or whoever keeps endpoints. SQLite's own lock is not fair: it is tried again after pauses of
/// up to 100 ms, and a busy writer lets it go only for moments. This one is given in the order in which it is asked for.
pub(crate) type Turns = Arc<tokio::sync::Mutex<()>>;

/// Opens the database for serving, made and migrated where needed.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for a person; [`StoreError::Failed`] where the disk fails.
pub async fn open(path: &Path, now: Timestamp) -> Result<(SqliteWriter, SqliteReader), StoreError> {
    let lock = prepare(path).await?;
    let connection = connect(path)?;
    refuse_unfinished(&connection, path)?;
    serve(connection, lock, path, now).await
}

/// Opens the database to be filled from another one, made and migrated where needed.
///
/// # Errors
/// As [`open`].
pub async fn open_for_copy(path: &Path) -> Result<(SqliteWriter, SqliteReader), StoreError> {
    let lock = prepare(path).await?;
    // Nobody knows yet when main came to be.
    serve(connect(path)?, lock, path, Timestamp::default()).await
}

async fn serve(
    connection: Connection,
    lock: DatabaseLock,
    path: &Path,
    now: Timestamp,
) -> Result<(SqliteWriter, SqliteReader), StoreError> {
    configure(&connection).map_err(|error| refused(path, error))?;
    checkpoint_fully(&connection, path)?;
    let second = connect(path)?;
    configure(&second).map_err(|error| refused(path, error))?;
    let connections = [connection, second].map(WriteConnection::new);
    let writer = SqliteWriter::new(connections, lock, path, now)?;
    let reader = open_reader(path, writer.stamps()).await?;
    Ok((writer, reader))
}

/// Opens the database for reading only, beside a server or without one. It must have this version's schema.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for a person; [`StoreError::Failed`] where the disk fails.
pub async fn open_to_read(path: &Path) -> Result<SqliteReader, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unusable(format!("there is no database {}", path.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| refused(path, error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| refused(path, error))?;
    if !is_ours(&connection, path)? {
        return Err(StoreError::Unusable(format!("{} is not a creditledger database", path.display())));
    }
    let stored: Option<i64> = connection
        .query_row("SELECT MAX(version) FROM _sqlx_migrations WHERE success", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    match stored.cmp(&MIGRATIONS.iter().map(|migration| migration.version).max()) {
        // What this reader is for does not ask for a watermark, which only the one who writes can give.
        std::cmp::Ordering::Equal if !has_unfinished_step(&connection, path)? => {
            refuse_unfinished(&connection, path)?;
            open_reader(path, Stamps::default()).await
        }
        std::cmp::Ordering::Greater => Err(newer(path)),
        std::cmp::Ordering::Equal | std::cmp::Ordering::Less => Err(StoreError::Unusable(format!(
            "{} has an older schema; run \"creditledger migrate\" first",
            path.display()
        ))),
    }
}

/// Takes the database's lock, without which no server opens it.
///
/// # Errors
/// [`StoreError::Unusable`] where a server has it, or the file is not there.
pub fn keep_servers_out(path: &Path) -> Result<DatabaseLock, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unusable(format!("there is no database {}", path.display())));
    }
    DatabaseLock::take(path)
}

/// Brings the schema up to date and does nothing else.
///
/// # Errors
/// As [`open`].
pub async fn migrate(path: &Path) -> Result<(), StoreError> {
    let _lock = prepare(path).await?;
    refuse_unfinished(&connect(path)?, path)
}

/// True where a migration was cut off before the program had done its part of it.
fn has_unfinished_step(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT EXISTS (SELECT 1 FROM unfinished_step)", [], |row| row.get(0))
        .map_err(|error| refused(path, error))
}

/// A copy that is not complete is for nothing but to be completed.
fn refuse_unfinished(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let is_unfinished: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM unfinished_copy)", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    if is_unfinished {
        return Err(unfinished(path.display()));
    }
    Ok(())
}

/// Locks the file, checks it and migrates it.
async fn prepare(path: &Path) -> Result<DatabaseLock, StoreError> {
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        let found = rusqlite::version();
        return Err(StoreError::Unusable(format!(
            "SQLite {found} can damage databases; 3.51.3 or later is needed"
        )));
    }
    file::check(path)?;
    let lock = DatabaseLock::take(path)?;
    let connection = connect(path)?;
    let shown = path.display();
    if connection.is_readonly("main").map_err(|error| refused(path, error))? {
        return Err(StoreError::Unusable(format!("{shown} is read-only; a server must write to it")));
    }
    is_ours(&connection, path)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "{shown} lies where SQLite cannot keep a write-ahead log ({mode})"
        )));
    }
    connection.close().map_err(|(_, error)| refused(path, error))?;
    run_migrations(path).await?;
    // What the migrations themselves cannot do.
    work::finish_step(&mut connect(path)?, path)?;
    Ok(lock)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| refused(path, error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| refused(path, error))?;
    Ok(connection)
}

/// True for a database of this program, false for an empty one.
fn is_ours(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let (application, tables): (i64, i64) = connection
        .query_row(
            "SELECT
                 (SELECT application_id FROM pragma_application_id),
                 (SELECT COUNT(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| refused(path, error))?;
    match (application, tables) {
        (APPLICATION_ID, _) => Ok(true),
        (0, 0) => Ok(false),
        _ => Err(StoreError::Unusable(format!("{} is another program's database", path.display()))),
    }
}

async fn run_migrations(path: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).foreign_keys(false);
    let mut connection = options.connect().await.map_err(failed)?;
    let done = MIGRATIONS.run(&mut connection).await;
    connection.close().await.map_err(failed)?;
    done.map_err(|error| match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => newer(path),
        MigrateError::VersionMismatch(version) => StoreError::Unusable(format!(
            "{} has another schema {version} than this version of creditledger",
            path.display()
        )),
        MigrateError::Dirty(version) => {
            StoreError::Unusable(format!("{}: migration {version} was cut off half-way", path.display()))
        }
        other => StoreError::Failed(Box::new(other)),
    })
}

fn newer(path: &Path) -> StoreError {
    StoreError::Unusable(format!("{} was written by a newer version of creditledger", path.display()))
}

/// What the writing connection needs, whatever the defaults were compiled to.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", SYNCHRONOUS)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // Without this sorters and statement journals would go to files in /tmp.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // The writer checkpoints between batches; inside a commit it would delay the answers.
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    // Every statement of a batch stays prepared: text is parsed once a process.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Moves the whole log into the database and syncs it. After a sync that failed, a commit can be readable in the log
/// and yet not be on the disk: nothing may be served from it before this.
fn checkpoint_fully(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let busy: bool = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| refused(path, error))?;
    if busy {
        return Err(StoreError::Unusable(format!("another program keeps {} busy", path.display())));
    }
    Ok(())
}

async fn open_reader(path: &Path, stamps: Stamps) -> Result<SqliteReader, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .pragma("cache_size", READER_CACHE)
        .pragma("query_only", "ON")
        // Who calls logs what failed; every statement besides would drown it.
        .disable_statement_logging();
    let pool: SqlitePool =
        SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(options).await.map_err(failed)?;
    Ok(SqliteReader::new(pool, stamps))
}

/// An error of the driver that says no more than that the database failed.
fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed(Box::new(error))
}

/// An error while opening: one that a person can mend is said in one line.
fn refused(path: &Path, error: rusqlite::Error) -> StoreError {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Unusable(format!("{shown} is not an SQLite database")),
        Some(ErrorCode::CannotOpen) => StoreError::Unusable(format!("cannot open {shown}: {error}")),
        Some(ErrorCode::ReadOnly) => {
            StoreError::Unusable(format!("{shown} is read-only; a server must write to it"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Unusable(format!("another program keeps {shown} busy"))
        }
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged(format!("{shown}: {error}")),
        Some(ErrorCode::DiskFull) => StoreError::Unusable(format!("the disk of {shown} is full")),
        _ => failed(error),
    }
}

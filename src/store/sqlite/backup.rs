//! Copies a database file that may be in use, page by page, and tells the files that were made in this way.
//!
//! # What it is
//! SQLite's online backup, inside one read transaction of the source. The copy is of the moment at which it began.
//!
//! # Invariants
//! - Writers never make it begin anew: the read transaction keeps its snapshot, whatever is committed meanwhile.
//! - The pages of the copy are those of the snapshot. It needs no file beside it: it is in the journal mode that lets it be
//!   read anywhere, also on read-only media.
//! - A backup carries a mark in its header, and a server that opens the file changes that header. So a file with the mark
//!   is one that only waits.
//!
//! # Failure
//! Any error leaves the source as it was, and the target to its caller, who removes it.
//!
//! # Cost
//! The source is read once. Until that is done its log cannot begin anew, so it grows by what is written meanwhile.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::examine::{APPLICATION_ID, MAGIC};
use super::lock::in_use;
use super::log_file::word;
use super::opening::{Alone, Schema, medium_of, schema_of};
use super::reading::{self, Medium};
use super::settings::refused;
use crate::store::error::StoreError;

/// Pages in one step, after which progress is told: 16 MB.
const STEP_PAGES: i32 = 4_096;
/// "CRBK", as the `user_version` of a backup.
const MARK: u32 = 0x4352_424B;

/// Places in the header of a database.
const MODES_AT: u64 = 18;
const USER_VERSION_AT: u64 = 60;
const HEADER_BYTES: u64 = 100;
/// The modes of a file with a rollback journal, and of one with a write-ahead log.
const ROLLBACK: [u8; 2] = [1, 1];
const WAL: [u8; 2] = [2, 2];

/// What a copied file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be kept.
    Backup,
    /// To be served.
    Restore,
}

/// Copies the database into an empty file, and syncs that. `progress` gets the pages that are copied, and how many there
/// are.
///
/// # Errors
/// [`StoreError`]; the target is not a database then.
pub fn copy_file(
    from: &Path,
    to: &Path,
    purpose: Purpose,
    progress: impl FnMut(u64, u64),
) -> Result<Schema, StoreError> {
    let schema = copy_pages(from, to, STEP_PAGES, progress)?;
    finish(to, purpose).map_err(|error| not_written(to, &error))?;
    Ok(schema)
}

fn copy_pages(
    from: &Path,
    to: &Path,
    step_pages: i32,
    mut progress: impl FnMut(u64, u64),
) -> Result<Schema, StoreError> {
    let said = |error| refused(from, error);
    // A server has looked at its file and log when it started. Without one that is done here, because SQLite drops what
    // is damaged in a log without a word.
    let alone = Alone::try_take(from)?;
    let medium = match &alone {
        Some(alone) => alone.medium,
        None => match medium_of(from)? {
            Medium::Shared => Medium::Shared,
            // Nobody would tell what is written to it meanwhile.
            Medium::Frozen => return Err(in_use(from)),
        },
    };
    let file = alone.as_ref().map(Alone::file);
    let source = reading::connect(from, medium).map_err(said)?;
    source.execute_batch("BEGIN").map_err(said)?;
    let schema = schema_of(&source, from)?;
    // The snapshot is taken. A server may start, unless the file must not change.
    let alone = alone.filter(|alone| alone.medium == Medium::Frozen);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let said_of_target = |error| refused(to, error);
    let mut target = Connection::open_with_flags(to, flags).map_err(said_of_target)?;
    // Nothing is undone in it, and it is synced at the end.
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(said_of_target)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(said_of_target)?;
    let backup = Backup::new(&source, &mut target).map_err(said_of_target)?;
    loop {
        let step = backup.step(step_pages).map_err(said_of_target)?;
        let pages = backup.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or_default();
        progress(count(pages.pagecount.saturating_sub(pages.remaining)), count(pages.pagecount));
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // Nobody else has the target, and readers of a log wait for nobody.
            _ => return Err(StoreError::Unusable(format!("another program keeps {} busy", to.display()))),
        }
    }
    drop(backup);
    target.close().map_err(|(_, error)| said_of_target(error))?;
    source.execute_batch("COMMIT").map_err(said)?;
    source.close().map_err(|(_, error)| said(error))?;
    drop(file);
    alone.map_or(Ok(()), |alone| alone.check_unchanged())?;
    Ok(schema)
}

/// Sets the modes and the mark in the header, and syncs the file.
fn finish(path: &Path, purpose: Purpose) -> std::io::Result<()> {
    let (modes, mark) = match purpose {
        Purpose::Backup => (ROLLBACK, MARK),
        Purpose::Restore => (WAL, 0),
    };
    let mut file = File::options().write(true).open(path)?;
    file.seek(SeekFrom::Start(MODES_AT))?;
    file.write_all(&modes)?;
    file.seek(SeekFrom::Start(USER_VERSION_AT))?;
    file.write_all(&mark.to_be_bytes())?;
    file.sync_all()
}

fn not_written(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unusable(format!("{} cannot be written: {error}", path.display()))
}

/// True for a file that [`copy_file`] made as a backup, and that nobody served since.
///
/// # Errors
/// The error of the disk.
pub fn is_backup(path: &Path) -> std::io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(HEADER_BYTES).read_to_end(&mut header)?;
    Ok(header.starts_with(MAGIC)
        && header.get(18..20) == Some(&ROLLBACK)
        && word(&header, 60) == MARK
        && word(&header, 68) == APPLICATION_ID)
}

/// What SQLite's own check finds in a file that nobody else knows yet.
///
/// # Errors
/// [`StoreError`] where it cannot be read.
pub fn page_faults(path: &Path) -> Result<Vec<String>, StoreError> {
    let connection = reading::connect(path, Medium::Frozen)?;
    let mut check = connection.prepare("PRAGMA integrity_check(20)")?;
    let lines: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Timestamp;

    /// A commit after each step. A copy that began anew with each of them would never end.
    #[test]
    fn writers_never_make_a_copy_begin_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a.db"), directory.path().join("b.db"));
        let (_writer, _readers) = crate::store::sqlite::open(&from, Timestamp::from_micros(7)).unwrap();
        File::create(&to).unwrap();
        let writer = Connection::open(&from).unwrap();
        let set = "UPDATE ledger SET created_at = created_at + 1";
        let (mut steps, mut told) = (0, (0, 0));
        let progress = |done, total| {
            assert_eq!(writer.execute(set, []).unwrap(), 1);
            assert!(done > told.0 && (told.1 == 0 || told.1 == total), "{done} of {total} after {told:?}");
            (steps, told) = (steps + 1, (done, total));
        };
        assert_eq!(copy_pages(&from, &to, 10, progress).unwrap(), Schema::Current);
        assert_eq!(told.0, told.1);
        assert!(steps >= 5 && steps == told.1.div_ceil(10), "{steps} steps for {} pages", told.1);
        finish(&to, Purpose::Backup).unwrap();
        let created = |path: &Path| -> i64 {
            let database = Connection::open(path).unwrap();
            database.query_row("SELECT created_at FROM ledger", [], |row| row.get(0)).unwrap()
        };
        assert_eq!((created(&to), created(&from)), (7, 7 + i64::try_from(steps).unwrap()));
        let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let beside: Vec<_> = names.filter(|name| name.to_str().unwrap().starts_with("b.db")).collect();
        assert_eq!(beside, ["b.db"], "a backup is one file");
    }

    #[test]
    fn a_backup_is_one_until_a_server_opens_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let serve = |name: &str| drop(crate::store::sqlite::open(&path(name), Timestamp::default()).unwrap());
        serve("a.db");
        for (name, purpose, expected) in
            [("backup.db", Purpose::Backup, true), ("restored.db", Purpose::Restore, false)]
        {
            File::create(path(name)).unwrap();
            copy_file(&path("a.db"), &path(name), purpose, |_, _| {}).unwrap();
            assert_eq!(is_backup(&path(name)).unwrap(), expected, "{name}");
        }
        assert!(!is_backup(&path("a.db")).unwrap());
        std::fs::write(path("text"), "no database").unwrap();
        assert!(!is_backup(&path("text")).unwrap());
        serve("backup.db");
        assert!(!is_backup(&path("backup.db")).unwrap());
    }
}

//! `creditledger backup` and `creditledger restore`: verified copies of a database file.
//!
//! # What it is
//! A copy is made under the name of the file with `.partial` behind it, checked there, and given its name at the end.
//!
//! # Invariants
//! - A file with the final name is whole, verified and on the disk. It never takes the place of another file.
//! - With `--keep`, only files are deleted that have the name and the mark of a backup.
//!
//! # Failure
//! Where anything fails the partial file is removed. A process that was killed leaves it; the next backup to the same
//! file takes it over.
//!
//! # Cost
//! The source is read once, and the copy twice. What `verify` holds in memory is held here too.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::check::{Database, shown};
use super::failure::Failure;
use super::output::{complain, print};
use super::partial::Partial;
use super::progress::Progress;
use super::rotation::Name;
use super::stop::Stop;
use crate::audit;
use crate::clock;
use crate::store::backup::{self, Archiving, CopiedFile, Place, Purpose};

const COPYING: &str = "{msg} {wide_bar} {pos}/{len} pages, {eta} left";
const CHECKING: &str = "{spinner} verify: {pos} postings replayed";

/// The exit status where PostgreSQL could not be asked.
const COULD_NOT_LOOK: u8 = 2;

/// The nice level of a backup: beside one busy thread it gets a tenth of a CPU.
const NICE: i32 = 10;

/// Lowers the priority of this thread and of those that it starts.
pub(super) fn let_servers_go_first() {
    // Without it the backup is as right, and only disturbs more.
    let _ = rustix::process::nice(NICE);
}

/// Make a verified copy of a database, also while a server writes to it
///
/// The copy is of the moment at which it began, and is verified before it gets its name. No file is ever overwritten, and
/// where anything fails none is left. Exits with 0 where the file was made.
///
/// PostgreSQL is backed up by its own means: leave FILE out, and the command says which, and exits with 0 if the server
/// archives its log, with 1 if it does not, and with 2 if it could not be asked.
#[derive(Clone, Debug, clap::Args)]
pub struct BackupCommand {
    /// The file to make; it must not be there yet
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Put the time into the name (ledger.db becomes ledger-20261128T230000Z.db), and keep this many such files
    ///
    /// Older ones are deleted after the new one is made. A file is deleted only if its name has this form, it was made
    /// by this command, and no server has opened it since.
    #[arg(long, value_name = "N")]
    keep: Option<NonZeroUsize>,
    #[command(flatten)]
    database: Database,
    /// Print what was made as one JSON object
    #[arg(long)]
    json: bool,
}

/// Make a database from a backup
///
/// The backup is copied, and the copy is verified before it gets its name. Nothing is overwritten: neither the database
/// nor a -wal, -shm or -journal of it may be there. Exits with 0 where the database was made.
#[derive(Clone, Debug, clap::Args)]
pub struct RestoreCommand {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    database: Database,
}

impl BackupCommand {
    /// # Errors
    /// [`Failure`] where no backup was made.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let url = self.database.url()?;
        let database = match (backup::place_of(url.reveal())?, &self.file) {
            (Place::File(database), Some(_)) => database,
            (Place::File(_), None) => return Err(other("say which FILE to make")),
            (Place::Postgres(shown), None) => return ask_postgres(url.reveal(), &shown, self.json).await,
            (Place::Postgres(_), Some(_)) => {
                return Err(other(
                    "a PostgreSQL database is not backed up into a file here; leave FILE out to see how it is done",
                ));
            }
        };
        let named = self.file.unwrap_or_default();
        let name = Name::of(&named)?;
        let file = match self.keep {
            Some(_) => name.at(clock::now())?,
            None => named,
        };
        let made = make(&database, &file, &name.partial(), Purpose::Backup).await?;
        let deleted = match self.keep {
            Some(keep) => name.delete_old(&file, keep)?,
            None => Vec::new(),
        };
        if self.json {
            print(
                &json!({
                    "file": file.display().to_string(),
                    "bytes": made.bytes,
                    "verified": made.verified.is_some(),
                    "deleted": deleted.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
                })
                .to_string(),
            )?;
        } else {
            print(&format!("{}: {} bytes; {}", file.display(), made.bytes, made.told()))?;
            for path in deleted {
                print(&format!("deleted {}", path.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl RestoreCommand {
    /// # Errors
    /// [`Failure`] where no database was made.
    pub async fn run(self) -> Result<(), Failure> {
        let url = self.database.url()?;
        let Place::File(database) = backup::place_of(url.reveal())? else {
            return Err(other("a PostgreSQL database is restored by PostgreSQL's own means"));
        };
        let name = Name::of(&database)?;
        let made = make(&self.file, &database, &name.partial(), Purpose::Restore).await?;
        print(&format!("{}: {} bytes; {}", database.display(), made.bytes, made.told()))
    }
}

/// What was made.
struct Made {
    bytes: u64,
    /// What was counted; `None` where the journal could not be replayed.
    verified: Option<audit::Report>,
}

impl Made {
    fn told(&self) -> String {
        match &self.verified {
            Some(report) => shown(report),
            None => "its pages are whole; its schema is older than this version's, so its journal was not replayed: run \
                     \"creditledger migrate\" and \"creditledger verify\" on a copy of it"
                .to_owned(),
        }
    }
}

/// Copies a database to a name that is free, and checks the copy before it gets the name.
async fn make(from: &Path, to: &Path, partial: &Path, purpose: Purpose) -> Result<Made, Failure> {
    let mut stop = Stop::new()?;
    refuse_to_use_up(from, partial)?;
    // Dropped wherever this ends early, and then the file is removed.
    let partial = Partial::begin(to, partial)?;
    tokio::select! {
        made = fill(from, partial.path(), purpose) => {
            let verified = made?;
            let bytes = partial.finish(from, to)?;
            Ok(Made { bytes, verified })
        }
        signal = stop.asked(|| ()) => Err(Failure::Other(format!("interrupted by {signal}; nothing was made"))),
    }
}

/// Refuses to read what would be emptied: the file that is being made, under whatever name.
fn refuse_to_use_up(from: &Path, partial: &Path) -> Result<(), Failure> {
    let (Ok(from), Ok(partial)) = (from.canonicalize(), partial.canonicalize()) else { return Ok(()) };
    if from == partial {
        return Err(other(&format!(
            "{} is the name of a file that is being made; give it another one first",
            from.display()
        )));
    }
    Ok(())
}

/// Copies into the partial file and verifies that.
async fn fill(from: &Path, to: &Path, purpose: Purpose) -> Result<Option<audit::Report>, Failure> {
    let progress = Arc::new(Progress::new(COPYING, 0));
    progress.says("copy");
    let (source, target, shows) = (from.to_owned(), to.to_owned(), Arc::clone(&progress));
    let copy =
        move || backup::copy_file(&source, &target, purpose, |done, total| shows.reaches_of(done, total));
    let copied = tokio::task::spawn_blocking(copy).await.map_err(|error| other(&error.to_string()))??;
    progress.looks(CHECKING);
    progress.reaches(0_u64);
    let faults = match copied {
        CopiedFile::Older => backup::page_faults(to)?,
        CopiedFile::Current => {
            let auditor = backup::open_copied(to)?;
            let report = audit::verify(&*auditor, |postings| progress.reaches(postings)).await?;
            if report.is_clean() {
                return Ok(Some(report));
            }
            vec![shown(&report)]
        }
    };
    if faults.is_empty() {
        return Ok(None);
    }
    Err(Failure::Other(format!(
        "the copy of {} does not verify, so it was removed; run \"creditledger verify\" on the source\n{}",
        from.display(),
        faults.join("\n")
    )))
}

/// Says how PostgreSQL is backed up, and whether it archives its log.
async fn ask_postgres(url: &str, shown: &str, as_json: bool) -> Result<ExitCode, Failure> {
    let archiving = match backup::archiving(url).await {
        Ok(archiving) => archiving,
        Err(error) => {
            complain(&error.to_string());
            return Ok(ExitCode::from(COULD_NOT_LOOK));
        }
    };
    let (is_on, told) = match archiving {
        Archiving::Off(why) => (false, format!("off: {why}")),
        Archiving::Failing => (false, "failing: see pg_stat_archiver and the log of PostgreSQL".to_owned()),
        Archiving::NotYet => (true, "on; nothing was archived yet".to_owned()),
        Archiving::On => (true, "on".to_owned()),
    };
    if as_json {
        print(&json!({ "archives": is_on, "archiving": told }).to_string())?;
    } else {
        print(&format!(
            "PostgreSQL is backed up by its own means, as a user with the attribute REPLICATION:\n\
             \x20 pg_basebackup --dbname {shown} --pgdata DIRECTORY --checkpoint fast --progress\n\
             \x20 pg_verifybackup DIRECTORY\n\
             What was committed after a base backup is restored from the archive of the log (PITR): restore_command and\n\
             recovery_target_time.\n\
             archiving of the log: {told}"
        ))?;
    }
    Ok(if is_on { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn other(text: &str) -> Failure {
    Failure::Other(text.to_owned())
}

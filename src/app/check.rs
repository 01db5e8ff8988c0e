//! `creditledger migrate` and `creditledger verify`: commands on a database that no server has open.

use std::path::PathBuf;
use std::process::ExitCode;

use super::failure::Failure;
use super::output::{complain, print};
use super::progress::Progress;
use crate::audit::{self, Report};
use crate::config::{Config, Flags, Secrets};
use crate::hidden::Hidden;
use crate::store::{self, StoreError};

/// The exit status of `verify` if it could not check, so that a script does not take that for a wrong book.
const COULD_NOT_LOOK: u8 = 2;

/// Which database to work on.
#[derive(Clone, Debug, clap::Args)]
pub struct Database {
    /// A TOML file with settings [env: CREDITLEDGER_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database [default: sqlite://./creditledger.db]
    #[arg(long, value_name = "URL")]
    database_url: Option<Hidden<String>>,
    /// PostgreSQL: the schema with the tables [default: the first of the role's search path]
    #[arg(long, value_name = "NAME")]
    postgres_schema: Option<String>,
}

impl Database {
    /// The database's URL, from the same settings as a server's.
    pub(super) fn url(self) -> Result<Hidden<String>, Failure> {
        let flags = Flags::of_database(self.config, self.database_url, self.postgres_schema);
        Ok(Config::load(&flags, std::env::vars_os(), Secrets::NotNeeded)?.database_url()?)
    }
}

/// Makes the database if it is missing, and migrates it.
pub async fn migrate(database: Database) -> Result<ExitCode, Failure> {
    let url = database.url()?;
    let url = url.reveal();
    store::migrate(url).await?;
    print(&format!("{} is up to date", store::shown_url(url)))?;
    Ok(ExitCode::SUCCESS)
}

/// Replays the journal, compares every row, and prints what it checked. The exit status differs between a wrong book
/// and a check that was not possible.
///
/// # Errors
/// [`Failure`] where the database is so damaged that the check cannot finish.
pub async fn verify(database: Database) -> Result<ExitCode, Failure> {
    let looked = async {
        let report = verify_database(database.url()?.reveal()).await?;
        print(&shown(&report))?;
        Ok(report)
    };
    match looked.await {
        Ok(report) if report.is_clean() => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(damaged @ Failure::Store(StoreError::Damaged(_))) => Err(damaged),
        Err(failure) => {
            complain(&failure.to_string());
            Ok(ExitCode::from(COULD_NOT_LOOK))
        }
    }
}

/// Checks a database, with a progress line if standard error is a terminal.
///
/// # Errors
/// [`Failure`] where it cannot be read.
pub(super) async fn verify_database(url: &str) -> Result<Report, Failure> {
    let progress = Progress::new("{spinner} verify: {pos} postings replayed", 0);
    let (auditor, alone) = store::open_to_check(url).await?;
    let report = audit::verify(&*auditor, |postings| progress.reaches(postings)).await;
    alone.check_unchanged()?;
    Ok(report?)
}

/// What the check found, in lines.
pub(super) fn shown(report: &Report) -> String {
    let Report { counts, faults, more_faults } = report;
    if report.is_clean() {
        return format!("clean: {counts}");
    }
    let mut text = format!("FAILED: {counts}\n{}", faults.join("\n"));
    if *more_faults > 0 {
        text = format!("{text}\nand {more_faults} more");
    }
    text
}

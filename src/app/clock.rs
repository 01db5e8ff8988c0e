//! `creditledger clock`: what an operator says of the clock.

use super::check::Database;
use super::failure::Failure;
use super::output::print;
use crate::clock;
use crate::store;

/// The clock that dates what is stored
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClockCommand {
    /// Confirm that the clock is right, though a server found it implausible
    ///
    /// It works on the database: of SQLite on the server's machine, whose clock is meant. PostgreSQL's own clock is meant
    /// otherwise. A server that runs heeds it within seconds, and the next start takes it into account.
    Confirm(Database),
}

impl ClockCommand {
    pub async fn run(self) -> Result<(), Failure> {
        let Self::Confirm(database) = self;
        let url = database.url()?;
        let confirmed = store::confirm_clock(url.reveal(), clock::wall()).await?;
        print(&format!("{} is the right time", super::heartbeat::shown(confirmed)))
    }
}

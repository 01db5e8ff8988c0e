//! The command line: each subcommand, built from the layers below.

mod backup;
mod bench;
mod call;
mod chart;
mod check;
mod client;
mod clock;
mod connect;
mod copy;
mod csv;
mod database_url;
mod doctor;
mod email;
mod failure;
mod heartbeat;
mod manual;
mod output;
mod paging;
mod partial;
mod price;
mod progress;
mod replay;
mod rotation;
mod sampler;
mod scrape;
mod serve;
mod server;
mod stop;
mod sweep;
mod tries;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::config::Flags;

use failure::Failure;

/// Prepaid support credits in an append-only double-entry ledger, as a gRPC service
///
/// Without a command it serves.
#[derive(Debug, clap::Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommand>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Serve until SIGTERM or Ctrl-C
    Serve(Flags),
    /// Make the database or bring it up to date
    Migrate(check::Database),
    /// Replay the journal of a database and check every row against it
    ///
    /// No server may have the database open meanwhile. It is only read, also where nothing can be written. The replayed
    /// state (every customer, hold and lot) is held in memory. Exits with 0 if everything fits, and with 1 if the book is
    /// wrong. Exits with 2 if it could not check: the database is missing, in use by a server, or not readable.
    Verify(check::Database),
    Copy(copy::Copy),
    Backup(backup::BackupCommand),
    Restore(backup::RestoreCommand),
    Doctor(Box<doctor::DoctorCommand>),
    Replay(replay::Replay),
    Bench(bench::Bench),
    #[command(flatten)]
    Client(Box<client::ClientCommand>),
    Price(price::Price),
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    #[command(subcommand)]
    Email(email::EmailCommand),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// What the binary does.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Some(Subcommand::Backup(_))) {
        // Before there are threads, which take this over.
        backup::let_servers_go_first();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("the runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(cli));
    // A blocking call that hangs, such as a DNS look-up, must not keep a finished command from ending.
    runtime.shutdown_background();
    ended.unwrap_or_else(|failure| {
        output::complain(&failure.to_string());
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        None => serve::serve(&cli.flags).await,
        Some(Subcommand::Serve(flags)) => serve::serve(&flags).await,
        Some(Subcommand::Migrate(database)) => check::migrate(database).await,
        Some(Subcommand::Verify(database)) => check::verify(database).await,
        Some(Subcommand::Copy(command)) => command.run().await.map(done),
        Some(Subcommand::Backup(command)) => command.run().await,
        Some(Subcommand::Restore(command)) => command.run().await.map(done),
        Some(Subcommand::Doctor(command)) => command.run().await,
        Some(Subcommand::Replay(command)) => command.run().await,
        Some(Subcommand::Bench(command)) => command.run().await,
        Some(Subcommand::Client(command)) => command.run().await,
        Some(Subcommand::Clock(command)) => command.run().await.map(done),
        Some(Subcommand::Price(command)) => command.run().map(done),
        Some(Subcommand::Email(command)) => command.run().map(done),
        Some(Subcommand::Completions(command)) => command.run(Cli::command()).map(done),
        Some(Subcommand::Man(command)) => command.run(Cli::command()).map(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_every_command_go_together() {
        Cli::command().debug_assert();
    }
}

//! The command line: what each subcommand does, made of the layers below.

mod apply;
pub mod bench;
pub mod call;
mod chart;
mod check;
pub mod client;
mod copy;
mod csv;
mod email;
mod export;
mod failure;
mod output;
mod price;
pub mod replay;
mod serve;
mod server;
mod shops;
mod statement;
mod sweep;

use std::process::ExitCode;

use clap::Parser;

use crate::config::Flags;

pub use failure::Failure;

/// Prepaid support credits in an append-only double-entry ledger, as a gRPC service
///
/// Without a command it serves.
#[derive(Debug, clap::Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C
    Serve(Flags),
    /// Make the database or bring it up to date
    Migrate(check::Database),
    /// Replay the journal of a database and check every row against it
    ///
    /// No server may have the database open meanwhile. The replayed state (every customer, hold and lot) is held in
    /// memory. Exits with 0 where everything fits, with 1 where the book is wrong, and with 2 where it could not look:
    /// no database, in use by a server, or not readable.
    Verify(check::Database),
    Copy(copy::Copy),
    Replay(replay::Replay),
    Bench(bench::Bench),
    #[command(subcommand)]
    Customer(client::CustomerCommand),
    Purchase(client::Purchase),
    #[command(subcommand)]
    Refund(client::RefundCommand),
    #[command(subcommand)]
    Chargeback(client::ChargebackCommand),
    #[command(subcommand)]
    Payment(client::PaymentCommand),
    #[command(subcommand)]
    Hold(client::HoldCommand),
    Settle(client::Settle),
    Release(client::Release),
    Charge(client::Charge),
    Balance(client::Balance),
    Statement(statement::Statement),
    Revenue(client::Revenue),
    Reconcile(client::Reconcile),
    Export(export::Export),
    Transfers(client::Transfers),
    Price(price::Price),
    #[command(subcommand)]
    RateCard(client::RateCardCommand),
    Receipt(client::Receipt),
    Alerts(client::Alerts),
    Events(client::Events),
    #[command(subcommand)]
    Webhook(client::WebhookCommand),
    #[command(subcommand)]
    Email(email::EmailCommand),
}

/// What the binary does.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("the runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(cli));
    // A blocking call that hangs, such as a name look-up, does not keep a command that is done from ending.
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
        Some(Command::Serve(flags)) => serve::serve(&flags).await,
        Some(Command::Migrate(database)) => check::migrate(database).await,
        Some(Command::Verify(database)) => check::verify(database).await,
        Some(Command::Copy(command)) => command.run().await.map(done),
        Some(Command::Replay(command)) => command.run().await,
        Some(Command::Bench(command)) => command.run().await,
        Some(Command::Customer(command)) => command.run().await.map(done),
        Some(Command::Purchase(command)) => command.run().await.map(done),
        Some(Command::Refund(command)) => command.run().await.map(done),
        Some(Command::Chargeback(command)) => command.run().await.map(done),
        Some(Command::Payment(command)) => command.run().await.map(done),
        Some(Command::Hold(command)) => command.run().await.map(done),
        Some(Command::Settle(command)) => command.run().await.map(done),
        Some(Command::Release(command)) => command.run().await.map(done),
        Some(Command::Charge(command)) => command.run().await.map(done),
        Some(Command::Balance(command)) => command.run().await.map(done),
        Some(Command::Statement(command)) => command.run().await.map(done),
        Some(Command::Revenue(command)) => command.run().await.map(done),
        Some(Command::Reconcile(command)) => command.run().await.map(done),
        Some(Command::Export(command)) => command.run().await.map(done),
        Some(Command::Transfers(command)) => command.run().await.map(done),
        Some(Command::RateCard(command)) => command.run().await.map(done),
        Some(Command::Receipt(command)) => command.run().await.map(done),
        Some(Command::Price(command)) => command.run().map(done),
        Some(Command::Alerts(command)) => command.run().await.map(done),
        Some(Command::Events(command)) => command.run().await.map(done),
        Some(Command::Webhook(command)) => command.run().await.map(done),
        Some(Command::Email(command)) => command.run().map(done),
    }
}

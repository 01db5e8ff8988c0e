//! Commands for people. They call a running server, and print tables, or JSON with `--json`.
//!
//! Each command is its arguments, the request that follows from them, and the row that is printed of the answer. What
//! they share is in `target` (where and how a request is sent), and in `row` and `show` (how an answer looks).

mod alerts;
pub(super) mod apply;
pub(super) mod arguments;
mod audit;
mod customer;
mod events;
mod export;
mod health;
mod hold;
mod payments;
mod rate_card;
mod receipt;
mod reconcile;
mod reports;
mod row;
mod show;
mod show_events;
mod statement;
pub(super) mod target;
mod token;
mod top_up;
mod webhook;

use std::process::ExitCode;

use crate::app::failure::Failure;

/// The commands of a client.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClientCommand {
    #[command(subcommand)]
    Customer(customer::CustomerCommand),
    Purchase(payments::Purchase),
    #[command(subcommand)]
    Refund(payments::RefundCommand),
    #[command(subcommand)]
    Chargeback(payments::ChargebackCommand),
    #[command(subcommand)]
    Payment(payments::PaymentCommand),
    #[command(subcommand)]
    TopUp(top_up::TopUpCommand),
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    #[command(flatten)]
    End(hold::EndCommand),
    Balance(reports::Balance),
    Statement(statement::Statement),
    Revenue(reports::Revenue),
    Reconcile(reconcile::Reconcile),
    Export(export::Export),
    Transfers(reports::Transfers),
    #[command(subcommand)]
    RateCard(rate_card::RateCardCommand),
    Receipt(receipt::Receipt),
    Alerts(alerts::Alerts),
    Events(events::Events),
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    #[command(subcommand)]
    Token(token::TokenCommand),
    Audit(audit::Audit),
    Health(health::Health),
}

impl ClientCommand {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let done = match self {
            Self::Customer(command) => command.run().await,
            Self::Purchase(command) => command.run().await,
            Self::Refund(command) => command.run().await,
            Self::Chargeback(command) => command.run().await,
            Self::Payment(command) => command.run().await,
            Self::TopUp(command) => command.run().await,
            Self::Hold(command) => command.run().await,
            Self::End(command) => command.run().await,
            Self::Balance(command) => command.run().await,
            Self::Statement(command) => command.run().await,
            Self::Revenue(command) => command.run().await,
            Self::Reconcile(command) => return command.run().await,
            Self::Export(command) => command.run().await,
            Self::Transfers(command) => command.run().await,
            Self::RateCard(command) => command.run().await,
            Self::Receipt(command) => command.run().await,
            Self::Alerts(command) => command.run().await,
            Self::Events(command) => command.run().await,
            Self::Webhook(command) => command.run().await,
            Self::Token(command) => command.run().await,
            Self::Audit(command) => command.run().await,
            Self::Health(command) => return command.run().await,
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

//! `creditledger payment ...`: what storefronts told of and could not be put into an account.

use super::show::{Row, Shown, outcome, unmatched_payment};
use super::{Limit, RequestId, Target, pages, send};
use crate::app::Failure;
use crate::grpc::wire;
use wire::purchase_service_client::PurchaseServiceClient;

/// Payments that wait in the suspense account: list them, and say whose they are
#[derive(Clone, Debug, clap::Subcommand)]
pub enum PaymentCommand {
    /// List what waits, oldest first, and why
    Unmatched(Unmatched),
    /// Record a payment that waits as a customer's purchase, and what was told of its order since
    Assign(Assign),
}

/// See [`PaymentCommand::Unmatched`].
#[derive(Clone, Debug, clap::Args)]
pub struct Unmatched {
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

/// See [`PaymentCommand::Assign`].
#[derive(Clone, Debug, clap::Args)]
pub struct Assign {
    /// The payment's id, as the list has it
    payment: String,
    /// The id of the customer whose purchase it is
    customer: String,
    /// How many credits were bought [default: what its products are mapped to]
    #[arg(long, value_name = "CREDITS")]
    credits: Option<String>,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

impl PaymentCommand {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Unmatched(command) => command.run().await,
            Self::Assign(command) => command.run().await,
        }
    }
}

impl Unmatched {
    async fn run(self) -> Result<(), Failure> {
        let mut client = PurchaseServiceClient::new(self.target.connect().await?);
        let request = wire::ListUnmatchedPaymentsRequest {
            ledger_id: self.target.ledger.clone(),
            ..Default::default()
        };
        let (payments, more) = pages!(self.limit, client.list_unmatched_payments(request) => payments);
        self.target.print_list((payments.iter().map(unmatched_payment).collect(), more))
    }
}

impl Assign {
    async fn run(self) -> Result<(), Failure> {
        let request = wire::AssignPaymentRequest {
            context: Some(self.target.context(&self.request, self.customer)?),
            payment_id: self.payment,
            credits: self.credits,
        };
        let mut client = PurchaseServiceClient::new(self.target.connect().await?);
        let (request_id, answer) = send!(client.assign_payment(request));
        let row = outcome(request_id, answer.outcome.as_ref(), Row::default());
        self.target.print(&Shown::One(row))
    }
}

//! `creditledger receipt`: how a charge came about, to be redone by hand.

use uuid::Uuid;

use super::Target;
use super::show::{Shown, receipt, receipt_text};
use crate::app::Failure;
use crate::app::call::CallError;
use crate::app::output::print;
use crate::grpc::wire;
use wire::HoldTarget;
use wire::hold_service_client::HoldServiceClient;

/// Tell how a charge was calculated, step by step
#[derive(Clone, Debug, clap::Args)]
pub struct Receipt {
    /// The hold's id as `settle` prints it, or with --customer the incident
    id: String,
    /// Whose incident it is
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer: String,
    #[command(flatten)]
    target: Target,
}

impl Receipt {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let Self { id, customer, target } = self;
        let is_hold = Uuid::try_parse(&id).is_ok();
        if !is_hold && customer.is_empty() {
            return Err(Failure::Other("--customer must say whose incident it is".to_owned()));
        }
        let request = wire::GetReceiptRequest {
            ledger_id: target.ledger.clone(),
            customer_id: customer,
            target: Some(if is_hold { HoldTarget::hold(id) } else { HoldTarget::incident(id) }),
        };
        let mut client = HoldServiceClient::new(target.connect().await?);
        let answer = client.get_receipt(request).await.map_err(CallError::from)?.into_inner();
        let told = answer.receipt.unwrap_or_default();
        if target.json { target.print(&Shown::One(receipt(&told))) } else { print(&receipt_text(&told)) }
    }
}

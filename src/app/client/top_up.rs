//! `creditledger top-up ...`: what a storefront reports of top-ups that it was asked for.

use prost_types::Timestamp;

use super::show::{customer, of};
use super::target::Change;
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::grpc::wire;
use wire::purchase_service_client::PurchaseServiceClient;

/// Report on requested top-ups
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TopUpCommand {
    /// Report that a payment takes longer, or that it was declined; a purchase answers a request
    Report {
        #[command(flatten)]
        change: Change,
        /// Which request, as its event has it
        top_up: String,
        #[command(flatten)]
        report: Standing,
    },
}

/// How charging stands.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Standing {
    /// A payment was begun; the request stands until this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pending_until: Option<Timestamp>,
    /// Nothing was paid; --reason says why
    #[arg(long)]
    declined: bool,
}

impl TopUpCommand {
    pub async fn run(self) -> Result<(), Failure> {
        let Self::Report { change, top_up, report } = self;
        let Standing { pending_until, declined } = report;
        let report = if declined { wire::TopUpReport::Declined } else { wire::TopUpReport::Pending };
        let request = |context| wire::ReportTopUpRequest {
            context,
            top_up_id: top_up,
            report: report.into(),
            pending_until,
        };
        let method = method!(PurchaseServiceClient.report_top_up);
        let send = change
            .send(method, request, |answer, changed| changed.before(of(answer.customer.as_ref(), customer)));
        send.await
    }
}

//! `creditledger alerts`: from which balance on customers are told.

use super::notices::alerts;
use super::show::{Row, Shown, replayed};
use super::{RequestId, Target, send};
use crate::app::Failure;
use crate::app::call::CallError;
use crate::grpc::wire;
use wire::notification_service_client::NotificationServiceClient;

/// Show or set from which balance on customers are told
///
/// Without thresholds it shows those that apply. Without --customer it is about the ledger's own, which apply to customers
/// without theirs.
#[derive(Clone, Debug, clap::Args)]
pub struct Alerts {
    /// What to set: credits such as 5, or a percentage of the last purchase such as 20%
    #[arg(value_parser = threshold, value_name = "THRESHOLD")]
    thresholds: Vec<wire::BalanceThreshold>,
    /// Whose
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer: String,
    /// Set no thresholds at all: only an empty balance is told
    #[arg(long, conflicts_with = "thresholds")]
    none: bool,
    /// Let the ledger's own apply to the customer again
    #[arg(long, conflicts_with_all = ["thresholds", "none"], requires = "customer")]
    use_default: bool,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

/// Reads `5` or `20%`; what is wrong with the number is for the server to say.
fn threshold(text: &str) -> Result<wire::BalanceThreshold, String> {
    use wire::balance_threshold::Threshold;
    let threshold = match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.parse().map_err(|_| "whole percents such as 20% are needed")?;
            Threshold::PercentOfLastPurchase(percent)
        }
        None => Threshold::Credits(text.to_owned()),
    };
    Ok(wire::BalanceThreshold { threshold: Some(threshold) })
}

impl Alerts {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let Self { thresholds, customer: customer_id, none, use_default, request, target } = self;
        let mut client = NotificationServiceClient::new(target.connect().await?);
        let ledger_id = target.ledger.clone();
        let head = Row::default().with("customer_id", customer_id.as_str());
        let is_read = thresholds.is_empty() && !none && !use_default;
        let (head, shown) = if is_read {
            let asked = wire::GetBalanceAlertsRequest { ledger_id, customer_id };
            let answer = client.get_balance_alerts(asked).await.map_err(CallError::from)?.into_inner();
            (head, answer.alerts)
        } else if customer_id.is_empty() {
            let context = Some(target.context(&request, "")?);
            let asked = wire::SetDefaultBalanceAlertsRequest { context, thresholds };
            let (request_id, answer) = send!(client.set_default_balance_alerts(asked));
            (head.and(replayed(request_id, answer.outcome.as_ref())), answer.alerts)
        } else {
            let context = Some(target.context(&request, customer_id)?);
            let asked = wire::SetBalanceAlertsRequest { context, thresholds, use_default };
            let (request_id, answer) = send!(client.set_balance_alerts(asked));
            (head.and(replayed(request_id, answer.outcome.as_ref())), answer.alerts)
        };
        target.print(&Shown::One(head.and(alerts(shown.as_ref()))))
    }
}

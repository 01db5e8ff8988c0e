//! `creditledger alerts`: the balances at which customers get events.

use super::arguments::threshold;
use super::row::OutputRow;
use super::show::of;
use super::show_events::alerts;
use super::target::{Request, Subject};
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::grpc::wire;
use wire::notification_service_client::NotificationServiceClient;

/// Show or set the balances at which customers get events
///
/// Without thresholds it shows those that apply. Without --customer it is about the ledger's own thresholds, which
/// apply to customers without theirs.
#[derive(Clone, Debug, clap::Args)]
pub struct Alerts {
    /// What to set: credits such as 5, or a percentage of the last purchase such as 20%
    #[arg(value_parser = threshold, value_name = "THRESHOLD")]
    thresholds: Vec<wire::BalanceThreshold>,
    /// The customer whose thresholds these are
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer: String,
    /// How far above its level the balance must be for a threshold to be told of again, in percent [default: 20]
    #[arg(long, value_name = "PERCENT", requires = "thresholds")]
    margin_percent: Option<i32>,
    /// The least of that distance [default: 1]
    #[arg(long, value_name = "CREDITS", requires = "thresholds")]
    margin_min: Option<String>,
    /// Set no thresholds at all: only an empty balance gives an event
    #[arg(long, conflicts_with = "thresholds")]
    none: bool,
    /// Let the ledger's own thresholds apply to the customer again
    #[arg(long, conflicts_with_all = ["thresholds", "none"], requires = "customer")]
    use_default: bool,
    #[command(flatten)]
    request: Request,
}

impl Alerts {
    pub async fn run(self) -> Result<(), Failure> {
        let Self {
            thresholds,
            customer: customer_id,
            margin_percent,
            margin_min,
            none,
            use_default,
            request,
        } = self;
        let given = margin_percent.is_some() || margin_min.is_some();
        let margin = given.then_some(wire::AlertMargin { percent: margin_percent, min_credits: margin_min });
        let head = OutputRow::default().with("customer_id", customer_id.as_str());
        if thresholds.is_empty() && !none && !use_default {
            let target = request.target;
            let asked = wire::GetBalanceAlertsRequest { ledger_id: target.ledger(), customer_id };
            let answer = target.ask(method!(NotificationServiceClient.get_balance_alerts), asked).await?;
            target.print(&head.and(of(answer.alerts.as_ref(), alerts)))
        } else if customer_id.is_empty() {
            let asked = |context| wire::SetDefaultBalanceAlertsRequest { context, thresholds, margin };
            let method = method!(NotificationServiceClient.set_default_balance_alerts);
            let send = request.send(Subject::default(), method, asked, |answer, changed| {
                changed.after(head).and(of(answer.alerts.as_ref(), alerts))
            });
            send.await
        } else {
            let asked = |context| wire::SetBalanceAlertsRequest { context, thresholds, use_default, margin };
            let method = method!(NotificationServiceClient.set_balance_alerts);
            let send = request.send(Subject::customer(customer_id), method, asked, |answer, changed| {
                changed.after(head).and(of(answer.alerts.as_ref(), alerts))
            });
            send.await
        }
    }
}

//! `creditledger revenue`.

use prost_types::Timestamp;

use super::show::{Row, Shown};
use super::{Target, moment};
use crate::app::Failure;
use crate::app::call::CallError;
use crate::clock;
use crate::grpc::{convert_time, wire};
use wire::ledger_service_client::LedgerServiceClient;

/// Show what was sold, earned, given back and forfeited in a period, by currency
#[derive(Clone, Debug, clap::Args)]
pub struct Revenue {
    /// The first moment of the period: a day such as 2026-01-01, or a time (RFC 3339)
    #[arg(long, value_parser = moment, default_value = "1970-01-01", value_name = "TIME")]
    from: Timestamp,
    /// The first moment after it [default: now]
    #[arg(long, value_parser = moment, value_name = "TIME")]
    to: Option<Timestamp>,
    #[command(flatten)]
    target: Target,
}

impl Revenue {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let request = wire::GetRevenueReportRequest {
            ledger_id: self.target.ledger.clone(),
            period_from: Some(self.from),
            period_until: Some(self.to.unwrap_or_else(|| convert_time(clock::now()))),
        };
        let mut client = LedgerServiceClient::new(self.target.connect().await?);
        let answer = client.get_revenue_report(request).await.map_err(CallError::from)?.into_inner();
        let row = |revenue: &wire::CurrencyRevenue| {
            let amount = |money: &Option<wire::Money>| {
                money.as_ref().map(|money| money.amount.clone()).unwrap_or_default()
            };
            let currency = revenue.sold.as_ref().map(|money| money.currency_code.clone());
            Row::default()
                .with("currency", currency)
                .with("opening_deferred", amount(&revenue.opening_deferred))
                .with("sold", amount(&revenue.sold))
                .with("earned", amount(&revenue.earned))
                .with("refunded", amount(&revenue.refunded))
                .with("expired", amount(&revenue.expired))
                .with("closing_deferred", amount(&revenue.closing_deferred))
                .with("provisional", answer.provisional)
        };
        self.target.print(&Shown::Many(answer.currencies.iter().map(row).collect()))
    }
}

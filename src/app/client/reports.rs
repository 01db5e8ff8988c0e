//! `creditledger balance`, `transfers` and `revenue`: reports on a customer or a period.

use prost_types::Timestamp;

use super::arguments::moment;
use super::row::{OutputRow, row};
use super::show::{balance, forecast, of, transfer};
use super::target::{Limit, Target};
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::clock;
use crate::grpc::{convert_time, wire};
use wire::ledger_service_client::LedgerServiceClient;

/// Show a customer's balance, now or at a point of its history
#[derive(Clone, Debug, clap::Args)]
pub struct Balance {
    /// The customer's id
    customer: String,
    /// At this time (RFC 3339)
    #[arg(long, value_name = "TIME", group = "at")]
    time: Option<Timestamp>,
    /// After this many of the customer's postings
    #[arg(long, value_name = "NUMBER", group = "at")]
    sequence: Option<i64>,
    /// After this many of the ledger's postings
    #[arg(long, value_name = "NUMBER", group = "at")]
    position: Option<i64>,
    /// Say how fast credits are used and when they will be used up
    #[arg(long)]
    forecast: bool,
    #[command(flatten)]
    target: Target,
}

/// List a customer's newest transfers, from the oldest to the newest of them
#[derive(Clone, Debug, clap::Args)]
pub struct Transfers {
    /// The customer's id
    customer: String,
    /// Begin with the newest
    #[arg(long)]
    newest_first: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

/// Show what was sold, earned, given back and forfeited in a period, by currency
#[derive(Clone, Debug, clap::Args)]
pub struct Revenue {
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    target: Target,
}

/// A period of time.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Period {
    /// The first moment of the period: a day such as 2026-01-01, or a time (RFC 3339)
    #[arg(long, value_parser = moment, default_value = "1970-01-01", value_name = "TIME")]
    pub from: Timestamp,
    /// The first moment after it [default: now]
    #[arg(long, value_parser = moment, value_name = "TIME")]
    to: Option<Timestamp>,
}

impl Period {
    /// The first moment after the period.
    pub fn until(&self) -> Timestamp {
        self.to.unwrap_or_else(|| convert_time(clock::now()))
    }
}

impl Balance {
    pub async fn run(self) -> Result<(), Failure> {
        use wire::get_balance_request::AsOf;
        let Self { customer, time, sequence, position, forecast: with_forecast, target } = self;
        let time = time.map(AsOf::Time);
        let request = wire::GetBalanceRequest {
            ledger_id: target.ledger(),
            customer_id: customer.clone(),
            as_of: time.or(sequence.map(AsOf::Sequence)).or(position.map(AsOf::Position)),
            with_forecast,
        };
        let answer = target.ask(method!(LedgerServiceClient.get_balance), request).await?;
        let recorded_at = answer.recorded_at.map(|time| time.to_string());
        let row = OutputRow::default()
            .with("customer_id", customer)
            .and(of(answer.balance.as_ref(), balance))
            .with("recorded_at", recorded_at)
            .and(of(answer.forecast.as_ref(), forecast))
            .with_more("provisional", answer.provisional);
        target.print(&row)
    }
}

impl Transfers {
    pub async fn run(self) -> Result<(), Failure> {
        let Self { customer, newest_first, limit, target } = self;
        let request = wire::ListTransfersRequest {
            ledger_id: target.ledger(),
            customer_id: customer,
            // In either order, the transfers beyond the limit are the oldest.
            newest_first: true,
            ..Default::default()
        };
        let method = method!(LedgerServiceClient.list_transfers);
        let (mut transfers, more) = target.pages(limit, method, request).await?;
        if !newest_first {
            // Transfers of one posting keep their own order, whichever way postings are listed.
            transfers.sort_by_key(|transfer| transfer.sequence);
        }
        target.print_list(&transfers.iter().map(transfer).collect::<Vec<_>>(), more)
    }
}

impl Revenue {
    pub async fn run(self) -> Result<(), Failure> {
        let Self { period, target } = self;
        let request = wire::GetRevenueReportRequest {
            ledger_id: target.ledger(),
            period_from: Some(period.from),
            period_until: Some(period.until()),
        };
        let answer = target.ask(method!(LedgerServiceClient.get_revenue_report), request).await?;
        let rows = answer.currencies.iter().map(|of| currency(of).with("provisional", answer.provisional));
        target.print_rows(&rows.collect::<Vec<_>>())
    }
}

fn currency(revenue: &wire::CurrencyRevenue) -> OutputRow {
    let amount =
        |money: &Option<wire::Money>| money.as_ref().map(|money| money.amount.clone()).unwrap_or_default();
    row!(revenue:
        currency = revenue.sold.as_ref().map(|money| money.currency_code.clone()),
        opening_deferred = amount(&revenue.opening_deferred),
        sold = amount(&revenue.sold),
        earned = amount(&revenue.earned),
        refunded = amount(&revenue.refunded),
        expired = amount(&revenue.expired),
        closing_deferred = amount(&revenue.closing_deferred),
    )
}

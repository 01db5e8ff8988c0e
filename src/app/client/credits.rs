//! `creditledger purchase`, `balance` and `transfers`.

use prost_types::Timestamp;

use super::show::{Row, Shown, balance, forecast, outcome, transfer};
use super::{Limit, RequestId, Target, pages, send};
use crate::app::Failure;
use crate::app::call::CallError;
use crate::grpc::wire;
use wire::ledger_service_client::LedgerServiceClient;
use wire::purchase_service_client::PurchaseServiceClient;

/// Record a purchase of credits
#[derive(Clone, Debug, clap::Args)]
pub struct Purchase {
    /// The customer's id
    customer: String,
    /// How many credits, such as 25 or 2.5
    credits: String,
    /// The order, unique in its storefront
    #[arg(long, value_name = "ID")]
    order: String,
    /// Where it was bought
    #[arg(long, default_value = "manual", value_name = "ID")]
    storefront: String,
    /// The price paid, such as "49.90 EUR"
    #[arg(long, value_parser = money, value_name = "AMOUNT CURRENCY")]
    price: Option<wire::Money>,
    /// When what is left expires (RFC 3339) [default: never]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

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

pub(super) fn money(text: &str) -> Result<wire::Money, String> {
    let (amount, currency) =
        text.split_once(' ').ok_or("an amount and a currency code such as \"49.90 EUR\" are needed")?;
    Ok(wire::Money { currency_code: currency.to_owned(), amount: amount.to_owned() })
}

impl Purchase {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let request = wire::PurchaseCreditsRequest {
            context: Some(self.target.context(&self.request, self.customer)?),
            storefront: self.storefront,
            order_id: self.order,
            credits: self.credits,
            price: self.price,
            expires_at: self.expires_at,
        };
        let mut client = PurchaseServiceClient::new(self.target.connect().await?);
        let (request_id, answer) = send!(client.purchase_credits(request));
        let row = outcome(request_id, answer.outcome.as_ref(), Row::default());
        self.target.print(&Shown::One(row))
    }
}

impl Balance {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        use wire::get_balance_request::AsOf;
        let time = self.time.map(AsOf::Time);
        let as_of = time.or(self.sequence.map(AsOf::Sequence)).or(self.position.map(AsOf::Position));
        let request = wire::GetBalanceRequest {
            ledger_id: self.target.ledger.clone(),
            customer_id: self.customer.clone(),
            as_of,
            with_forecast: self.forecast,
        };
        let mut client = LedgerServiceClient::new(self.target.connect().await?);
        let answer = client.get_balance(request).await.map_err(CallError::from)?.into_inner();
        let recorded_at = answer.recorded_at.map(|time| time.to_string());
        let row = Row::default()
            .with("customer_id", self.customer)
            .and(balance(answer.balance.as_ref()))
            .with("recorded_at", recorded_at)
            .and(forecast(answer.forecast.as_ref()))
            .with_more("provisional", answer.provisional);
        self.target.print(&Shown::One(row))
    }
}

impl Transfers {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let mut client = LedgerServiceClient::new(self.target.connect().await?);
        let request = wire::ListTransfersRequest {
            ledger_id: self.target.ledger.clone(),
            customer_id: self.customer,
            // What does not fit the limit is the oldest in either order.
            newest_first: true,
            ..Default::default()
        };
        let (mut transfers, more) = pages!(self.limit, client.list_transfers(request) => transfers);
        if !self.newest_first {
            // Those of one posting stand in its own order, whichever way the postings are listed.
            transfers.sort_by_key(|transfer| transfer.sequence);
        }
        self.target.print_list((transfers.iter().map(transfer).collect(), more))
    }
}

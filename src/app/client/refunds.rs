//! `creditledger refund` and `creditledger chargeback`.

use super::show::{self, Row, Shown};
use super::{RequestId, Target, credits, send};
use crate::app::Failure;
use crate::grpc::wire;
use wire::purchase_service_client::PurchaseServiceClient;

/// Give purchases back, and undo that
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RefundCommand {
    /// Give a purchase back, in whole or in part
    Create(Create),
    /// Undo a refund, such as one that the bank has sent back
    Reverse(Reverse),
}

/// Record what customers' banks take back, and what they decide
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ChargebackCommand {
    /// Record that the bank took the money back
    Record(Record),
    /// Record that the bank decided for the vendor: the money came back
    Won(Resolve),
    /// Record that the bank decided for the customer
    Lost(Resolve),
}

/// Which purchase.
#[derive(Clone, Debug, clap::Args)]
struct Order {
    /// The customer's id
    customer: String,
    /// The order that it was bought with
    #[arg(long, value_name = "ID")]
    order: String,
    /// Where it was bought
    #[arg(long, default_value = "manual", value_name = "ID")]
    storefront: String,
    /// Why
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Who asks for it
    #[arg(long, default_value = "", value_name = "NAME")]
    by: String,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

/// See [`RefundCommand::Create`].
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    order: Order,
    /// How many credits
    #[arg(long, value_name = "CREDITS")]
    credits: String,
    /// The money that was returned, such as "9.90 EUR" [default: the credits' share of the price]
    #[arg(long, value_parser = credits::money, value_name = "AMOUNT CURRENCY")]
    price: Option<wire::Money>,
    /// What happens where less of the purchase is left and free
    #[arg(long, value_enum, default_value_t = OnShortfall::Reject)]
    on_shortfall: OnShortfall,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnShortfall {
    /// Nothing is given back
    Reject,
    /// The customer owes the rest
    Receivable,
    /// The vendor bears the rest
    WriteOff,
}

/// See [`RefundCommand::Reverse`].
#[derive(Clone, Debug, clap::Args)]
pub struct Reverse {
    #[command(flatten)]
    order: Order,
    /// Which refund, as the answer to it named it
    #[arg(long, value_name = "ID")]
    refund_id: String,
}

/// See [`ChargebackCommand::Record`].
#[derive(Clone, Debug, clap::Args)]
pub struct Record {
    #[command(flatten)]
    order: Order,
    /// How many credits [default: all that was not given back]
    #[arg(long, value_name = "CREDITS")]
    credits: Option<String>,
    /// The money that the bank took, such as "9.90 EUR" [default: the credits' share of the price]
    #[arg(long, value_parser = credits::money, value_name = "AMOUNT CURRENCY")]
    price: Option<wire::Money>,
}

/// See [`ChargebackCommand::Won`].
#[derive(Clone, Debug, clap::Args)]
pub struct Resolve {
    #[command(flatten)]
    order: Order,
}

/// The fields that these requests share, and a name for the last refund in the answer.
macro_rules! ask {
    ($order:expr, $method:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let Order { customer, order, storefront, reason, by, request, target } = $order;
        let request = wire::$request {
            context: Some(target.context(&request, customer)?.by(by).because(reason)),
            target: Some(wire::PurchaseTarget::order(storefront, order)),
            $($field: $value,)*
        };
        let mut client = PurchaseServiceClient::new(target.connect().await?);
        let (request_id, answer) = send!(client.$method(request));
        let outcome = answer.outcome.as_ref();
        let refund = last_refund(outcome.and_then(|outcome| outcome.purchase.as_ref()));
        let row = show::outcome(request_id, outcome, refund);
        target.print(&Shown::One(row))
    }};
}

/// The newest refund or chargeback of a purchase.
fn last_refund(purchase: Option<&wire::Purchase>) -> Row {
    let Some(refund) = purchase.and_then(|purchase| purchase.refunds.last()) else { return Row::default() };
    let state = refund.state().as_str_name();
    Row::default()
        .with("refund_id", refund.refund_id.as_str())
        .with("state", state.strip_prefix("REFUND_STATE_").unwrap_or(state))
        .with("taken_credits", refund.taken_credits.as_str())
        .with("owed_credits", refund.owed_credits.as_str())
        .with("written_off_credits", refund.written_off_credits.as_str())
}

impl RefundCommand {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(Create { order, credits, price, on_shortfall }) => {
                let policy = match on_shortfall {
                    OnShortfall::Reject => wire::ShortfallPolicy::Reject,
                    OnShortfall::Receivable => wire::ShortfallPolicy::Receivable,
                    OnShortfall::WriteOff => wire::ShortfallPolicy::WriteOff,
                };
                ask!(
                    order,
                    refund_purchase,
                    RefundPurchaseRequest {
                        credits: credits,
                        price: price,
                        expected_refunded_price: None,
                        on_shortfall: policy.into()
                    }
                )
            }
            Self::Reverse(Reverse { order, refund_id }) => {
                ask!(order, reverse_refund, ReverseRefundRequest { refund_id: refund_id })
            }
        }
    }
}

impl ChargebackCommand {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let (Resolve { order }, outcome) = match self {
            Self::Record(Record { order, credits, price }) => {
                return ask!(
                    order,
                    record_chargeback,
                    RecordChargebackRequest { credits: credits, price: price }
                );
            }
            Self::Won(resolve) => (resolve, wire::ChargebackOutcome::Won),
            Self::Lost(resolve) => (resolve, wire::ChargebackOutcome::Lost),
        };
        ask!(order, resolve_chargeback, ResolveChargebackRequest { outcome: outcome.into() })
    }
}

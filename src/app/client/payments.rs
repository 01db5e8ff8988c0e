//! `creditledger purchase`, `refund ...`, `chargeback ...` and `payment ...`: credits that customers pay for.

use prost_types::Timestamp;

use super::arguments::money;
use super::row::{OutputRow, row};
use super::show::{last_refund, of, unmatched_payment};
use super::target::{Change, Limit, Request, Subject, Target};
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::grpc::wire::{self, PurchaseTarget};
use wire::purchase_service_client::PurchaseServiceClient;

/// Record a purchase of credits
#[derive(Clone, Debug, clap::Args)]
pub struct Purchase {
    #[command(flatten)]
    change: Change,
    /// How many credits, such as 25 or 2.5
    credits: String,
    #[command(flatten)]
    order: Order,
    /// The price paid, such as "49.90 EUR"
    #[arg(long, value_parser = money, value_name = "AMOUNT CURRENCY")]
    price: Option<wire::Money>,
    /// When what is left expires (RFC 3339) [default: never]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
}

/// Give purchases back, and undo that
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RefundCommand {
    /// Give a purchase back, in whole or in part
    Create {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        order: Order,
        /// How many credits
        #[arg(long, value_name = "CREDITS")]
        credits: String,
        /// The money that was returned, such as "9.90 EUR" [default: the credits' share of the price]
        #[arg(long, value_parser = money, value_name = "AMOUNT CURRENCY")]
        price: Option<wire::Money>,
        /// What happens where less of the purchase is left and free
        #[arg(long, value_enum, default_value_t = OnShortfall::Reject)]
        on_shortfall: OnShortfall,
    },
    /// Undo a refund, such as one that the bank has sent back
    Reverse {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        order: Order,
        /// Which refund, as the answer to it named it
        #[arg(long, value_name = "ID")]
        refund_id: String,
    },
}

/// Record what customers' banks take back, and what they decide
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ChargebackCommand {
    /// Record that the bank took the money back
    Record {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        order: Order,
        /// How many credits [default: all that was not given back]
        #[arg(long, value_name = "CREDITS")]
        credits: Option<String>,
        /// The money that the bank took, such as "9.90 EUR" [default: the credits' share of the price]
        #[arg(long, value_parser = money, value_name = "AMOUNT CURRENCY")]
        price: Option<wire::Money>,
    },
    /// Record that the bank decided for the vendor: the money came back
    Won {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        order: Order,
    },
    /// Record that the bank decided for the customer
    Lost {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        order: Order,
    },
}

/// Orders of storefronts that wait for a person: list them, say whose they are, close them, have them tried again
#[derive(Clone, Debug, clap::Subcommand)]
pub enum PaymentCommand {
    /// List what waits, oldest first, and why
    Unmatched {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        target: Target,
    },
    /// Record a waiting payment as a customer's purchase, and apply what was told of its order since
    Assign {
        /// The payment's id, as the list has it
        payment: String,
        #[command(flatten)]
        change: Change,
        /// How many credits were bought [default: what its products are mapped to]
        #[arg(long, value_name = "CREDITS")]
        credits: Option<String>,
    },
    /// Close a waiting payment: what the ledger has of its order stands
    Dismiss {
        /// The payment's id, as the list has it
        payment: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who asks for it
        #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
        by: String,
        #[command(flatten)]
        request: Request,
    },
    /// Try waiting payments again, after the settings or the customers have changed
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Retry {
        /// Ids of payments, as the list has them
        #[arg(group = "which")]
        payments: Vec<String>,
        /// All that wait
        #[arg(long, group = "which")]
        all: bool,
        /// With --all: only those of this storefront
        #[arg(long, value_name = "ID", default_value = "", hide_default_value = true, requires = "all")]
        storefront: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Which purchase of a customer.
#[derive(Clone, Debug, clap::Args)]
pub struct Order {
    /// The order, unique in its storefront
    #[arg(long, value_name = "ID")]
    order: String,
    /// Where it was bought
    #[arg(long, default_value = "manual", value_name = "ID")]
    storefront: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum OnShortfall {
    /// Nothing is given back
    Reject,
    /// The customer owes the rest
    Receivable,
    /// The vendor bears the rest
    WriteOff,
}

impl From<Order> for Option<PurchaseTarget> {
    fn from(Order { order, storefront }: Order) -> Self {
        Some(PurchaseTarget::order(storefront, order))
    }
}

/// Sends a change of a purchase and prints its outcome, with the purchase's last refund.
macro_rules! send {
    ($change:ident, $method:ident, $request:expr) => {{
        let method = method!(PurchaseServiceClient.$method);
        let send = $change.send(method, $request, |_, changed| {
            let refund = of(changed.purchase(), last_refund);
            changed.whole(refund)
        });
        send.await
    }};
}

impl Purchase {
    pub async fn run(self) -> Result<(), Failure> {
        let Self { change, credits, order, price, expires_at } = self;
        let request = |context| wire::PurchaseCreditsRequest {
            context,
            storefront: order.storefront,
            order_id: order.order,
            credits,
            price,
            expires_at,
        };
        let method = method!(PurchaseServiceClient.purchase_credits);
        change.send(method, request, |_, changed| changed.whole(OutputRow::default())).await
    }
}

impl RefundCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { change, order, credits, price, on_shortfall } => {
                let on_shortfall = match on_shortfall {
                    OnShortfall::Reject => wire::ShortfallPolicy::Reject,
                    OnShortfall::Receivable => wire::ShortfallPolicy::Receivable,
                    OnShortfall::WriteOff => wire::ShortfallPolicy::WriteOff,
                };
                send!(change, refund_purchase, |context| wire::RefundPurchaseRequest {
                    context,
                    target: order.into(),
                    credits,
                    price,
                    expected_refunded_price: None,
                    on_shortfall: on_shortfall.into(),
                })
            }
            Self::Reverse { change, order, refund_id } => {
                send!(change, reverse_refund, |context| wire::ReverseRefundRequest {
                    context,
                    target: order.into(),
                    refund_id,
                })
            }
        }
    }
}

impl ChargebackCommand {
    pub async fn run(self) -> Result<(), Failure> {
        let (change, order, outcome) = match self {
            Self::Record { change, order, credits, price } => {
                return send!(change, record_chargeback, |context| wire::RecordChargebackRequest {
                    context,
                    target: order.into(),
                    credits,
                    price,
                });
            }
            Self::Won { change, order } => (change, order, wire::ChargebackOutcome::Won),
            Self::Lost { change, order } => (change, order, wire::ChargebackOutcome::Lost),
        };
        send!(change, resolve_chargeback, |context| wire::ResolveChargebackRequest {
            context,
            target: order.into(),
            outcome: outcome.into(),
        })
    }
}

impl PaymentCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Unmatched { limit, target } => {
                let request =
                    wire::ListUnmatchedPaymentsRequest { ledger_id: target.ledger(), ..Default::default() };
                let method = method!(PurchaseServiceClient.list_unmatched_payments);
                target.list(limit, method, request, unmatched_payment).await
            }
            Self::Assign { payment, change, credits } => {
                let request = |context| wire::AssignPaymentRequest { context, payment_id: payment, credits };
                let method = method!(PurchaseServiceClient.assign_payment);
                change.send(method, request, |_, changed| changed.whole(OutputRow::default())).await
            }
            Self::Dismiss { payment, reason, by, request } => {
                let id = payment.clone();
                let message = |context| wire::DismissPaymentRequest { context, payment_id: id };
                let method = method!(PurchaseServiceClient.dismiss_payment);
                let about = OutputRow::default().with("payment_id", payment);
                request
                    .send(Subject::why(by, reason), method, message, |_, changed| changed.after(about))
                    .await
            }
            Self::Retry { payments, all: _, storefront, target } => {
                let mut sum = wire::RetryPaymentsResponse::default();
                loop {
                    let after = std::mem::take(&mut sum.last_payment_id);
                    let message = wire::RetryPaymentsRequest {
                        ledger_id: target.ledger(),
                        storefront: storefront.clone(),
                        payment_ids: payments.clone(),
                        after_payment_id: after,
                    };
                    let method = method!(PurchaseServiceClient.retry_payments);
                    let answer = target.ask(method, message).await?;
                    sum.settled = sum.settled.saturating_add(answer.settled);
                    sum.waiting = sum.waiting.saturating_add(answer.waiting);
                    sum.last_payment_id = answer.last_payment_id;
                    if sum.last_payment_id.is_empty() {
                        return target.print(&row!(sum: settled, waiting));
                    }
                }
            }
        }
    }
}

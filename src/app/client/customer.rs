//! `creditledger customer ...`

use super::arguments::date;
use super::show::{customer, customer_line, of};
use super::target::{Change, Limit, Target, mask};
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::grpc::wire;
use wire::customer_service_client::CustomerServiceClient;

/// Customers: create, show, list, change, close, reopen
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CustomerCommand {
    /// Make a customer
    Create {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        details: Details,
        /// A rate card of its own
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        rate_card: String,
        /// Its support package
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        package: String,
        /// When it bought the product: starts the free-support window
        #[arg(long, value_parser = date, value_name = "YYYY-MM-DD")]
        product_purchase_date: Option<wire::Date>,
    },
    /// Show a customer
    Get {
        /// The customer's id
        customer: String,
        #[command(flatten)]
        target: Target,
    },
    /// List the customers of a ledger
    List {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        target: Target,
    },
    /// Change the name and contact of a customer; what is not given stays as it is
    Update {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        details: Details,
    },
    /// Set when top-ups are requested of a customer's storefront
    TopUp {
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        settings: TopUpSettings,
        /// Request none from now on
        #[arg(long)]
        none: bool,
    },
    /// Take no new work for a customer
    Close {
        #[command(flatten)]
        change: Change,
    },
    /// Take new work for a closed customer again
    Reopen {
        #[command(flatten)]
        change: Change,
    },
}

/// The name and contact of a customer.
#[derive(Clone, Debug, clap::Args)]
pub struct Details {
    /// The name people know it by
    #[arg(long)]
    name: Option<String>,
    /// Whom to write to
    #[arg(long, value_name = "NAME")]
    contact_name: Option<String>,
    /// Where to write to
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// In which language, such as pt-BR
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
}

/// When top-ups are requested.
#[derive(Clone, Debug, clap::Args)]
pub struct TopUpSettings {
    /// Request one where less than this is available
    #[arg(long, value_name = "CREDITS", required_unless_present = "none", conflicts_with = "none")]
    below: Option<String>,
    /// What is to be available afterwards
    #[arg(long, value_name = "CREDITS", required_unless_present = "none", conflicts_with = "none")]
    target: Option<String>,
    /// The most that is requested in a UTC calendar month [default: no bound]
    #[arg(long, value_name = "CREDITS", conflicts_with = "none")]
    monthly_cap: Option<String>,
    /// From one request to the next at least [default: 3600]
    #[arg(long, value_name = "SECONDS", conflicts_with = "none")]
    cool_down: Option<i32>,
    /// After which a request that nobody answered lapses [default: 86400]
    #[arg(long, value_name = "SECONDS", conflicts_with = "none")]
    lapse: Option<i32>,
}

impl Details {
    /// The contact with all its fields, or `None` where no field was given.
    fn contact(&self) -> Option<wire::Contact> {
        let Self { name: _, contact_name, email, locale } = self.clone();
        let given = contact_name.is_some() || email.is_some() || locale.is_some();
        given.then(|| wire::Contact {
            name: contact_name.unwrap_or_default(),
            email: email.unwrap_or_default(),
            locale: locale.unwrap_or_default(),
        })
    }
}

/// Sends a change of a customer, and prints the customer after it.
macro_rules! send {
    ($change:ident, $method:ident, $request:expr) => {{
        let method = method!(CustomerServiceClient.$method);
        $change
            .send(method, $request, |answer, changed| changed.before(of(answer.customer.as_ref(), customer)))
            .await
    }};
}

impl CustomerCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { change, details, rate_card, package, product_purchase_date } => {
                let terms = wire::CustomerTerms {
                    rate_card_id: rate_card,
                    package,
                    product_purchase_date,
                    top_up: None,
                };
                let request = |context| wire::CreateCustomerRequest {
                    context,
                    contact: details.contact(),
                    name: details.name.unwrap_or_default(),
                    metadata: std::collections::BTreeMap::new(),
                    terms: Some(terms),
                };
                send!(change, create_customer, request)
            }
            Self::Get { customer: customer_id, target } => {
                let request = wire::GetCustomerRequest { ledger_id: target.ledger(), customer_id };
                let answer = target.ask(method!(CustomerServiceClient.get_customer), request).await?;
                target.print(&of(answer.customer.as_ref(), customer))
            }
            Self::List { limit, target } => {
                let request = wire::ListCustomersRequest { ledger_id: target.ledger(), ..Default::default() };
                target
                    .list(limit, method!(CustomerServiceClient.list_customers), request, customer_line)
                    .await
            }
            Self::Update { change, details } => {
                let contact = details.contact();
                let given = [("name", details.name.is_some()), ("contact", contact.is_some())];
                let request = |context| wire::UpdateCustomerRequest {
                    context,
                    name: details.name.unwrap_or_default(),
                    contact,
                    metadata: std::collections::BTreeMap::new(),
                    update_mask: Some(mask(&given)),
                };
                send!(change, update_customer, request)
            }
            Self::TopUp { change, settings, none } => {
                let settings = wire::TopUpSettings {
                    below_credits: settings.below.unwrap_or_default(),
                    target_credits: settings.target.unwrap_or_default(),
                    monthly_cap_credits: settings.monthly_cap,
                    cool_down_seconds: settings.cool_down.unwrap_or_default(),
                    lapse_seconds: settings.lapse.unwrap_or_default(),
                };
                let request = |context| wire::SetCustomerTermsRequest {
                    context,
                    update_mask: Some(mask(&[("top_up", true)])),
                    top_up: (!none).then_some(settings),
                    ..Default::default()
                };
                send!(change, set_customer_terms, request)
            }
            Self::Close { change } => {
                send!(change, close_customer, |context| wire::CloseCustomerRequest { context })
            }
            Self::Reopen { change } => {
                send!(change, reopen_customer, |context| wire::ReopenCustomerRequest { context })
            }
        }
    }
}

//! `creditledger customer ...`

use tonic::transport::Channel;

use super::show::{Row, Shown, balance, customer, posting};
use super::{Limit, RequestId, Target, pages, send};
use crate::app::Failure;
use crate::app::call::CallError;
use crate::grpc::wire;
use wire::customer_service_client::CustomerServiceClient;

/// Customers: create, show, list, change, close
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CustomerCommand {
    /// Make a customer
    Create(Create),
    /// Show a customer
    Get(Get),
    /// List the customers of a ledger
    List(List),
    /// Change who a customer is; what is not given stays as it is
    Update(Update),
    /// Set when top-ups are requested of a customer's storefront
    TopUp(TopUp),
    /// Take no new work for a customer
    Close(Close),
}

/// See [`CustomerCommand::Create`].
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// The customer's id
    customer: String,
    #[command(flatten)]
    who: Who,
    /// A rate card of its own
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    rate_card: String,
    /// Its support package
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    package: String,
    /// When it bought the product: starts the free-support window
    #[arg(long, value_parser = date, value_name = "YYYY-MM-DD")]
    product_purchase_date: Option<wire::Date>,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Debug, clap::Args)]
struct Who {
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

impl Who {
    /// All of the contact, or `None` where nothing of it was given.
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

/// See [`CustomerCommand::Get`].
#[derive(Clone, Debug, clap::Args)]
pub struct Get {
    /// The customer's id
    customer: String,
    #[command(flatten)]
    target: Target,
}

/// See [`CustomerCommand::List`].
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

/// See [`CustomerCommand::Update`].
#[derive(Clone, Debug, clap::Args)]
pub struct Update {
    /// The customer's id
    customer: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

/// See [`CustomerCommand::TopUp`].
#[derive(Clone, Debug, clap::Args)]
pub struct TopUp {
    /// The customer's id
    customer: String,
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
    /// Request none from now on
    #[arg(long)]
    none: bool,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    server: Target,
}

/// See [`CustomerCommand::Close`].
#[derive(Clone, Debug, clap::Args)]
pub struct Close {
    /// The customer's id
    customer: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

impl CustomerCommand {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run().await,
            Self::Get(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::TopUp(command) => command.run().await,
            Self::Close(command) => command.run().await,
        }
    }
}

/// Reads a day; whether the calendar has it is for the server to say.
fn date(text: &str) -> Result<wire::Date, String> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse().ok());
    match [(); 3].map(|()| parts.next().flatten()) {
        [Some(year), Some(month), Some(day)] => Ok(wire::Date { year, month, day }),
        _ => Err("a day such as 2026-01-31 is needed".to_owned()),
    }
}

async fn client(target: &Target) -> Result<CustomerServiceClient<Channel>, Failure> {
    Ok(CustomerServiceClient::new(target.connect().await?))
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let request = wire::CreateCustomerRequest {
            context: Some(self.target.context(&self.request, self.customer)?),
            contact: self.who.contact(),
            name: self.who.name.unwrap_or_default(),
            metadata: std::collections::BTreeMap::new(),
            terms: Some(wire::CustomerTerms {
                rate_card_id: self.rate_card,
                package: self.package,
                product_purchase_date: self.product_purchase_date,
                top_up: None,
            }),
        };
        let mut client = client(&self.target).await?;
        let (request_id, answer) = send!(client.create_customer(request));
        let head = posting(request_id, answer.outcome.as_ref());
        self.target.print(&Shown::One(head.and(customer(answer.customer.as_ref()))))
    }
}

impl Get {
    async fn run(self) -> Result<(), Failure> {
        let request =
            wire::GetCustomerRequest { ledger_id: self.target.ledger.clone(), customer_id: self.customer };
        let answer = client(&self.target).await?.get_customer(request).await.map_err(CallError::from)?;
        self.target.print(&Shown::One(customer(answer.into_inner().customer.as_ref())))
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let mut client = client(&self.target).await?;
        let request =
            wire::ListCustomersRequest { ledger_id: self.target.ledger.clone(), ..Default::default() };
        let (customers, more) = pages!(self.limit, client.list_customers(request) => customers);
        let line = |customer: &wire::Customer| {
            Row::default()
                .with("customer_id", customer.customer_id.as_str())
                .with("name", customer.name.as_str())
                .with("closed", customer.closed)
                .with("open_holds", customer.open_holds)
                .and(balance(customer.balance.as_ref()))
        };
        self.target.print_list((customers.iter().map(line).collect(), more))
    }
}

impl Update {
    async fn run(self) -> Result<(), Failure> {
        let contact = self.who.contact();
        let mut paths = Vec::new();
        if self.who.name.is_some() {
            paths.push("name".to_owned());
        }
        if contact.is_some() {
            paths.push("contact".to_owned());
        }
        let request = wire::UpdateCustomerRequest {
            context: Some(self.target.context(&self.request, self.customer)?),
            name: self.who.name.unwrap_or_default(),
            contact,
            metadata: std::collections::BTreeMap::new(),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        let mut client = client(&self.target).await?;
        let (request_id, answer) = send!(client.update_customer(request));
        let head = posting(request_id, answer.outcome.as_ref());
        self.target.print(&Shown::One(head.and(customer(answer.customer.as_ref()))))
    }
}

impl TopUp {
    async fn run(self) -> Result<(), Failure> {
        let settings = wire::TopUpSettings {
            below_credits: self.below.unwrap_or_default(),
            target_credits: self.target.unwrap_or_default(),
            monthly_cap_credits: self.monthly_cap,
            cool_down_seconds: self.cool_down.unwrap_or_default(),
            lapse_seconds: self.lapse.unwrap_or_default(),
        };
        let request = wire::SetCustomerTermsRequest {
            context: Some(self.server.context(&self.request, self.customer)?.by(self.by)),
            update_mask: Some(prost_types::FieldMask { paths: vec!["top_up".to_owned()] }),
            top_up: (!self.none).then_some(settings),
            ..wire::SetCustomerTermsRequest::default()
        };
        let mut client = client(&self.server).await?;
        let (request_id, answer) = send!(client.set_customer_terms(request));
        let head = posting(request_id, answer.outcome.as_ref());
        self.server.print(&Shown::One(head.and(customer(answer.customer.as_ref()))))
    }
}

impl Close {
    async fn run(self) -> Result<(), Failure> {
        let request = wire::CloseCustomerRequest {
            context: Some(
                self.target.context(&self.request, self.customer)?.by(self.by).because(self.reason),
            ),
        };
        let mut client = client(&self.target).await?;
        let (request_id, answer) = send!(client.close_customer(request));
        let head = posting(request_id, answer.outcome.as_ref());
        self.target.print(&Shown::One(head.and(customer(answer.customer.as_ref()))))
    }
}

//! `creditledger webhook ...`: the endpoints that events are posted to, and what they did not take.

use super::events::event_type;
use super::notices::{delivery, endpoint};
use super::show::{Row, Shown, replayed};
use super::{Limit, RequestId, Target, pages, send};
use crate::app::Failure;
use crate::grpc::wire;
use wire::notification_service_client::NotificationServiceClient;

/// Webhooks: make, list, change and delete endpoints, and send again what they did not take
#[derive(Clone, Debug, clap::Subcommand)]
pub enum WebhookCommand {
    /// Make an endpoint: events are posted to it from now on
    ///
    /// The answer has the secret that messages are signed with. The same --request-id shows it once more.
    Create(Create),
    /// List the endpoints
    List(List),
    /// Change an endpoint; what is not named stays
    Update(Update),
    /// Delete an endpoint, with what it did not take
    Delete(Delete),
    /// List the events that an endpoint did not take
    Deliveries(Deliveries),
    /// Send an event again
    Redeliver(Redeliver),
}

/// See [`WebhookCommand::Create`].
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Where to post: https, port 443 or 8443, a public address
    url: String,
    /// Only this type, such as balance.low; may be given several times
    #[arg(long = "type", value_parser = event_type, value_name = "TYPE")]
    types: Vec<wire::EventType>,
    /// What people call it
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Sign with this: whsec_ and the base64 of 24 to 64 bytes [default: a new one]
    #[arg(long, env = "CREDITLEDGER_WEBHOOK_SECRET", hide_env_values = true, default_value = "")]
    #[arg(hide_default_value = true)]
    secret: String,
    /// Begin after this position of the journal, 0 for its beginning [default: with what comes]
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

/// See [`WebhookCommand::List`].
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

/// See [`WebhookCommand::Update`].
#[derive(Clone, Debug, clap::Args)]
pub struct Update {
    /// The endpoint's id
    endpoint: String,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

/// What an endpoint may be given anew.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Changes {
    /// Post there instead
    #[arg(long)]
    url: Option<String>,
    /// Only this type, instead of those before; may be given several times
    #[arg(long = "type", value_parser = event_type, value_name = "TYPE")]
    types: Vec<wire::EventType>,
    /// Post all types
    #[arg(long, conflicts_with = "types")]
    all_types: bool,
    /// What people call it
    #[arg(long)]
    description: Option<String>,
    /// Sign with this, for a day with the one before as well: whsec_ and the base64 of 24 to 64 bytes, or "new"
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// Post again, from where it was
    #[arg(long)]
    enable: bool,
    /// Post nothing until it is enabled
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
}

/// See [`WebhookCommand::Delete`].
#[derive(Clone, Debug, clap::Args)]
pub struct Delete {
    /// The endpoint's id
    endpoint: String,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

/// See [`WebhookCommand::Deliveries`].
#[derive(Clone, Debug, clap::Args)]
pub struct Deliveries {
    /// The endpoint's id, or "email" for what is sent by e-mail
    endpoint: String,
    /// Those that were given up, instead of those that are tried again
    #[arg(long)]
    dead: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

/// See [`WebhookCommand::Redeliver`].
#[derive(Clone, Debug, clap::Args)]
pub struct Redeliver {
    /// The endpoint's id, or "email" for what is sent by e-mail
    endpoint: String,
    /// The place of its posting in the journal
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    position: i64,
    /// Its place among the events of its posting
    #[arg(default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
    index: i32,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

impl WebhookCommand {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::Delete(command) => command.run().await,
            Self::Deliveries(command) => command.run().await,
            Self::Redeliver(command) => command.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let request = wire::CreateWebhookEndpointRequest {
            context: Some(self.target.context(&self.request, "")?),
            url: self.url,
            types: self.types.into_iter().map(i32::from).collect(),
            description: self.description,
            secret: self.secret,
            after_position: self.after,
        };
        let (request_id, answer) = send!(client.create_webhook_endpoint(request));
        let shown =
            made(answer.endpoint.as_ref(), answer.secret, replayed(request_id, answer.outcome.as_ref()));
        self.target.print(&Shown::One(shown))
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let request =
            wire::ListWebhookEndpointsRequest { ledger_id: self.target.ledger.clone(), ..Default::default() };
        let (endpoints, more) = pages!(self.limit, client.list_webhook_endpoints(request) => endpoints);
        self.target.print_list((endpoints.iter().map(|one| endpoint(Some(one))).collect(), more))
    }
}

impl Update {
    async fn run(self) -> Result<(), Failure> {
        let Changes { url, types, all_types, description, secret, enable, disable } = self.changes;
        let shows_secret = secret.is_some();
        let named = [
            ("url", url.is_some()),
            ("types", all_types || !types.is_empty()),
            ("description", description.is_some()),
            ("secret", shows_secret),
            ("enabled", enable || disable),
        ];
        let paths = named.into_iter().filter(|(_, is_named)| *is_named).map(|(path, _)| path.to_owned());
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let request = wire::UpdateWebhookEndpointRequest {
            context: Some(self.target.context(&self.request, "")?),
            endpoint_id: self.endpoint,
            url: url.unwrap_or_default(),
            types: types.into_iter().map(i32::from).collect(),
            description: description.unwrap_or_default(),
            // Empty on the wire: the server makes a new one.
            secret: secret.filter(|secret| secret != "new").unwrap_or_default(),
            enabled: enable,
            update_mask: Some(prost_types::FieldMask { paths: paths.collect() }),
        };
        let (request_id, answer) = send!(client.update_webhook_endpoint(request));
        let secret = if shows_secret { answer.secret } else { String::new() };
        let shown = made(answer.endpoint.as_ref(), secret, replayed(request_id, answer.outcome.as_ref()));
        self.target.print(&Shown::One(shown))
    }
}

impl Delete {
    async fn run(self) -> Result<(), Failure> {
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let request = wire::DeleteWebhookEndpointRequest {
            context: Some(self.target.context(&self.request, "")?),
            endpoint_id: self.endpoint,
        };
        let (request_id, answer) = send!(client.delete_webhook_endpoint(request));
        let row = Row::default().with("endpoint_id", answer.endpoint_id);
        self.target.print(&Shown::One(row.and(replayed(request_id, answer.outcome.as_ref()))))
    }
}

impl Deliveries {
    async fn run(self) -> Result<(), Failure> {
        let state = if self.dead { wire::DeliveryState::Dead } else { wire::DeliveryState::Pending };
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let request = wire::ListDeliveriesRequest {
            ledger_id: self.target.ledger.clone(),
            endpoint_id: self.endpoint,
            state: state.into(),
            ..Default::default()
        };
        let (deliveries, more) = pages!(self.limit, client.list_deliveries(request) => deliveries);
        self.target.print_list((deliveries.iter().map(delivery).collect(), more))
    }
}

impl Redeliver {
    async fn run(self) -> Result<(), Failure> {
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let request = wire::RedeliverEventRequest {
            context: Some(self.target.context(&self.request, "")?),
            endpoint_id: self.endpoint,
            position: self.position,
            index: self.index,
        };
        let (request_id, answer) = send!(client.redeliver_event(request));
        let row = Row::default().with("endpoint_id", answer.endpoint_id);
        self.target.print(&Shown::One(row.and(replayed(request_id, answer.outcome.as_ref()))))
    }
}

/// An endpoint as a change left it, with the secret where the change was about it.
fn made(shown: Option<&wire::WebhookEndpoint>, secret: String, replayed: Row) -> Row {
    endpoint(shown).with("secret", secret).and(replayed)
}

//! `creditledger webhook ...`: the endpoints that events are posted to, and the deliveries that failed.

use super::arguments::event_type;
use super::row::{OutputRow, row};
use super::show::of;
use super::show_events::{delivery, endpoint};
use super::target::{Limit, Request, Subject, Target, mask};
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::grpc::wire;
use crate::hidden::Hidden;
use wire::notification_service_client::NotificationServiceClient;

/// Webhooks: make, list, change and delete endpoints, and send again what they did not take
#[derive(Clone, Debug, clap::Subcommand)]
pub enum WebhookCommand {
    /// Make an endpoint: events are posted to it from now on
    ///
    /// The answer has the secret that messages are signed with. The same --request-id shows it once more.
    Create {
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
        secret: Hidden<String>,
        /// Begin after this position of the journal, 0 for its beginning [default: with what comes]
        #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
        after: Option<i64>,
        #[command(flatten)]
        request: Request,
    },
    /// List the endpoints
    List {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        target: Target,
    },
    /// Change an endpoint; what is not named stays
    Update {
        /// The endpoint's id
        endpoint: String,
        #[command(flatten)]
        changes: Changes,
        #[command(flatten)]
        request: Request,
    },
    /// Delete an endpoint, with what it did not take
    Delete {
        /// The endpoint's id
        endpoint: String,
        #[command(flatten)]
        request: Request,
    },
    /// List the events that an endpoint did not take
    Deliveries {
        /// The endpoint's id, or "email" for what is sent by e-mail
        endpoint: String,
        /// Those that were given up, instead of those that are tried again
        #[arg(long)]
        dead: bool,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        target: Target,
    },
    /// Send an event again
    Redeliver {
        /// The endpoint's id, or "email" for what is sent by e-mail
        endpoint: String,
        /// The place of its posting in the journal
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        position: i64,
        /// Its place among the events of its posting
        #[arg(default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
        index: i32,
        #[command(flatten)]
        request: Request,
    },
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
    secret: Option<Hidden<String>>,
    /// Post again, from where it was
    #[arg(long)]
    enable: bool,
    /// Post nothing until it is enabled
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
}

/// Sends a change of no customer, and prints the row of the answer.
macro_rules! send {
    ($request:ident, $method:ident, $message:expr, |$answer:ident| $row:expr) => {{
        let method = method!(NotificationServiceClient.$method);
        let send =
            $request.send(Subject::default(), method, $message, |$answer, changed| changed.after($row));
        send.await
    }};
}

impl WebhookCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { url, types, description, secret, after, request } => {
                let message = |context| wire::CreateWebhookEndpointRequest {
                    context,
                    url,
                    types: types.into_iter().map(i32::from).collect(),
                    description,
                    secret: secret.reveal().clone(),
                    after_position: after,
                };
                send!(request, create_webhook_endpoint, message, |answer| {
                    with_secret(answer.endpoint.as_ref(), &answer.secret)
                })
            }
            Self::List { limit, target } => {
                let request =
                    wire::ListWebhookEndpointsRequest { ledger_id: target.ledger(), ..Default::default() };
                let method = method!(NotificationServiceClient.list_webhook_endpoints);
                target.list(limit, method, request, endpoint).await
            }
            Self::Update { endpoint, changes, request } => {
                let Changes { url, types, all_types, description, secret, enable, disable } = changes;
                let shows_secret = secret.is_some();
                let named = [
                    ("url", url.is_some()),
                    ("types", all_types || !types.is_empty()),
                    ("description", description.is_some()),
                    ("secret", shows_secret),
                    ("enabled", enable || disable),
                ];
                let message = |context| wire::UpdateWebhookEndpointRequest {
                    context,
                    endpoint_id: endpoint,
                    url: url.unwrap_or_default(),
                    types: types.into_iter().map(i32::from).collect(),
                    description: description.unwrap_or_default(),
                    // Empty on the wire: the server makes a new one.
                    secret: secret
                        .filter(|secret| secret.reveal() != "new")
                        .unwrap_or_default()
                        .reveal()
                        .clone(),
                    enabled: enable,
                    update_mask: Some(mask(&named)),
                };
                send!(request, update_webhook_endpoint, message, |answer| {
                    with_secret(answer.endpoint.as_ref(), if shows_secret { &answer.secret } else { "" })
                })
            }
            Self::Delete { endpoint, request } => {
                let message = |context| wire::DeleteWebhookEndpointRequest { context, endpoint_id: endpoint };
                send!(request, delete_webhook_endpoint, message, |answer| row!(answer: endpoint_id))
            }
            Self::Deliveries { endpoint, dead, limit, target } => {
                let state = if dead { wire::DeliveryState::Dead } else { wire::DeliveryState::Pending };
                let request = wire::ListDeliveriesRequest {
                    ledger_id: target.ledger(),
                    endpoint_id: endpoint,
                    state: state.into(),
                    ..Default::default()
                };
                let method = method!(NotificationServiceClient.list_deliveries);
                target.list(limit, method, request, delivery).await
            }
            Self::Redeliver { endpoint, position, index, request } => {
                let message =
                    |context| wire::RedeliverEventRequest { context, endpoint_id: endpoint, position, index };
                send!(request, redeliver_event, message, |answer| row!(answer: endpoint_id))
            }
        }
    }
}

/// An endpoint with its secret; the secret is empty if the change did not concern it.
fn with_secret(shown: Option<&wire::WebhookEndpoint>, secret: &str) -> OutputRow {
    of(shown, endpoint).with("secret", secret)
}

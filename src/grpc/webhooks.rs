//! NotificationService's webhook endpoints: their commands and queries.

use tonic::{Request, Status};
use uuid::Uuid;

use crate::delivery::mail::email_endpoint;
use crate::delivery::webhooks::Policy;
use crate::delivery::{self, ENDPOINTS_MAX, EndpointChanged, EventPlace, NewEndpoint, Patch, parse_secret};
use crate::ledger::event::EventType as Type;
use crate::ledger::{LedgerId, LedgerNo, Rejection, Text};
use crate::query::{Keyed, Listed, Position, ReadError, StoreError, keyed};
use crate::writer::SubmitError;

use super::api::{Call, LedgerCommand, Reply, show_page};
use super::command::ledger_outcome;
use super::context::Keeps;
use super::convert;
use super::parse::{Fields, complete, read_mask};
use super::status::Problem;
use super::wire::*;

keyed!(delivery::Endpoint => Uuid: |it| it.id);

keyed!(delivery::Delivery => (u64, u32): |it| (it.position.0, it.place));

impl Call {
    pub(super) async fn create_webhook_endpoint(
        &self,
        request: Request<CreateWebhookEndpointRequest>,
    ) -> Reply<CreateWebhookEndpointResponse> {
        let policy = self.policy;
        let read = |message, fields: &mut Fields| {
            let CreateWebhookEndpointRequest { context: _, url, types, description, secret, after_position } =
                message;
            complete!(NewEndpoint {
                url: read_url(fields, policy, &url),
                types: fields.event_types(types),
                description: fields.text("description", &description),
                secret: fields.optional("secret", &secret, parse_secret),
                after: match after_position {
                    Some(after) => fields.position("after_position", after).map(Some),
                    None => Some(None),
                },
            })
        };
        let (command, new) = self.read_ledger_command(request, Keeps::Nothing, read).await?;
        let LedgerCommand { ledger, request, .. } = command;
        let changed = self.webhooks.create(ledger.no, request, new).await.map_err(not_changed)?;
        let secret = self.secret_of(&changed, true)?;
        let Shown { outcome, endpoint } = done(changed, &ledger.id)?;
        Ok(CreateWebhookEndpointResponse { outcome, endpoint, secret })
    }

    pub(super) async fn update_webhook_endpoint(
        &self,
        request: Request<UpdateWebhookEndpointRequest>,
    ) -> Reply<UpdateWebhookEndpointResponse> {
        let policy = self.policy;
        let read = |message, fields: &mut Fields| {
            let UpdateWebhookEndpointRequest {
                context: _,
                endpoint_id,
                url,
                types,
                description,
                secret,
                enabled,
                update_mask,
            } = message;
            let id = fields.made_id("endpoint_id", &endpoint_id, |id| id);
            let named = read_mask(fields, update_mask, ["url", "types", "description", "secret", "enabled"]);
            let names_url = named.is_none_or(|[names_url, ..]| names_url);
            let url = if names_url || !url.is_empty() {
                read_url(fields, policy, &url)
            } else {
                Some(Text::default())
            };
            let types = fields.event_types(types);
            let description = fields.text("description", &description);
            let secret = fields.optional("secret", &secret, parse_secret);
            let [names_url, names_types, names_description, rotate, names_enabled] = named?;
            let patch = Patch {
                url: Some(url?).filter(|_| names_url),
                types: Some(types?).filter(|_| names_types),
                description: Some(description?).filter(|_| names_description),
                rotate,
                secret: secret?.filter(|_| rotate),
                enabled: names_enabled.then_some(enabled),
            };
            Some((id?, patch))
        };
        let (command, (id, patch)) = self.read_ledger_command(request, Keeps::Nothing, read).await?;
        let LedgerCommand { ledger, request, .. } = command;
        let is_asked_for = patch.rotate;
        let changed = self.webhooks.update(ledger.no, request, id, patch).await.map_err(not_changed)?;
        let secret = self.secret_of(&changed, is_asked_for)?;
        let Shown { outcome, endpoint } = done(changed, &ledger.id)?;
        Ok(UpdateWebhookEndpointResponse { outcome, endpoint, secret })
    }

    pub(super) async fn delete_webhook_endpoint(
        &self,
        request: Request<DeleteWebhookEndpointRequest>,
    ) -> Reply<DeleteWebhookEndpointResponse> {
        let read = |message, fields: &mut Fields| {
            let DeleteWebhookEndpointRequest { context: _, endpoint_id } = message;
            fields.made_id("endpoint_id", &endpoint_id, |id| id)
        };
        let (command, id) = self.read_ledger_command(request, Keeps::Nothing, read).await?;
        let LedgerCommand { ledger, request, .. } = command;
        let changed = self.webhooks.delete(ledger.no, request, id).await.map_err(not_changed)?;
        let outcome = done(changed, &ledger.id)?.outcome;
        Ok(DeleteWebhookEndpointResponse { outcome, endpoint_id: id.to_string() })
    }

    pub(super) async fn get_webhook_endpoint(
        &self,
        message: GetWebhookEndpointRequest,
    ) -> Reply<GetWebhookEndpointResponse> {
        let read = |message, fields: &mut Fields| {
            let GetWebhookEndpointRequest { ledger_id: _, endpoint_id } = message;
            fields.made_id("endpoint_id", &endpoint_id, |id| id)
        };
        let (ledger, id) = self.read(message, read).await?;
        // A ledger has at most 64 endpoints, so all are read.
        let all = self.webhooks.endpoints(ledger.no).await.map_err(ReadError::Storage)?;
        let found = all.iter().find(|endpoint| endpoint.id == id).ok_or_else(Problem::endpoint_not_found)?;
        Ok(GetWebhookEndpointResponse { endpoint: Some(show(found, &ledger.id)) })
    }

    pub(super) async fn list_webhook_endpoints(
        &self,
        request: ListWebhookEndpointsRequest,
    ) -> Reply<ListWebhookEndpointsResponse> {
        let read = |message, fields: &mut Fields| {
            let ListWebhookEndpointsRequest { ledger_id: _, page_size, page_token } = message;
            fields.page(page_size, page_token)
        };
        let (ledger, page) = self.read(request, read).await?;
        let all = self.webhooks.endpoints(ledger.no).await.map_err(ReadError::Storage)?;
        let listed = page.take_from(&("endpoints", ledger.no), all.into_iter())?;
        let (endpoints, next_page_token) = show_page(listed, |endpoint| show(endpoint, &ledger.id));
        Ok(ListWebhookEndpointsResponse { endpoints, next_page_token })
    }

    pub(super) async fn list_deliveries(
        &self,
        message: ListDeliveriesRequest,
    ) -> Reply<ListDeliveriesResponse> {
        let read = |message, fields: &mut Fields| {
            let ListDeliveriesRequest { ledger_id: _, endpoint_id, state, page_size, page_token } = message;
            let id = read_endpoint(fields, &endpoint_id);
            let state = fields.known::<DeliveryState>("state", state);
            let page = fields.page(page_size, page_token);
            Some((id?, state?, page?))
        };
        let (ledger, (id, state, page)) = self.read(message, read).await?;
        let id = id.unwrap_or_else(|| email_endpoint(ledger.no));
        let dead = match state {
            DeliveryState::Unspecified | DeliveryState::Pending => false,
            DeliveryState::Dead => true,
        };
        let (after, bound) = page.open::<(u64, u32)>(&("deliveries", ledger.no, id, dead))?;
        let after = after.map(|(position, place)| (Position(position), place));
        let found = self.webhooks.deliveries(ledger.no, id, dead, after, page.limit).await;
        let found = found.map_err(ReadError::Storage)?.ok_or_else(Problem::endpoint_not_found)?;
        let next = found.last().filter(|_| found.len() >= page.limit).map(Keyed::key);
        let listed = Listed::new(found, next, bound);
        let (deliveries, next_page_token) = show_page(listed, |it| show_delivery(&ledger.id, ledger.no, it));
        Ok(ListDeliveriesResponse { deliveries, next_page_token })
    }

    pub(super) async fn redeliver_event(
        &self,
        request: Request<RedeliverEventRequest>,
    ) -> Reply<RedeliverEventResponse> {
        let read = |message, fields: &mut Fields| {
            let RedeliverEventRequest { context: _, endpoint_id, position, index } = message;
            let id = read_endpoint(fields, &endpoint_id);
            let place = complete!(EventPlace {
                position: fields.position("position", position),
                index: fields.count("index", index, i32::MAX.unsigned_abs()),
            });
            id.zip(place)
        };
        let (command, (id, place)) = self.read_ledger_command(request, Keeps::Nothing, read).await?;
        let LedgerCommand { ledger, request, .. } = command;
        let id = id.unwrap_or_else(|| email_endpoint(ledger.no));
        let changed = self.webhooks.redeliver(ledger.no, request, id, place).await.map_err(not_changed)?;
        let outcome = done(changed, &ledger.id)?.outcome;
        Ok(RedeliverEventResponse { outcome, endpoint_id: show_endpoint_id(ledger.no, id) })
    }

    /// What messages to a changed endpoint are signed with. A server without the key that sealed it leaves it out, and
    /// refuses where it is what the caller asked for: another server may have the key.
    fn secret_of(&self, changed: &EndpointChanged, is_asked_for: bool) -> Reply<String> {
        let EndpointChanged::Done { endpoint: Some(endpoint), .. } = changed else {
            return Ok(String::new());
        };
        match self.webhooks.secret_of(endpoint) {
            Ok(secret) => Ok(secret.reveal().to_string()),
            Err(_) if !is_asked_for => Ok(String::new()),
            Err(sealed) => {
                let problem = format!("the signing secret of endpoint {}: {sealed}", endpoint.id);
                Err(ReadError::Storage(StoreError::Unusable(problem)).into())
            }
        }
    }
}

fn read_url(fields: &mut Fields, policy: Policy, url: &str) -> Option<Text> {
    fields.take("url", policy.target(url))?;
    fields.take("url", Text::parse(url))
}

/// Why a change was not made, or that nobody knows whether it was.
pub(super) fn not_changed(error: StoreError) -> Status {
    match error {
        StoreError::UnknownFate(_) | StoreError::Unsure(_) => {
            tracing::error!(%error, "the outcome of a change is unknown");
            SubmitError::Unknown.into()
        }
        error => ReadError::Storage(error).into(),
    }
}

/// The outcome of a change, in the form that responses share.
struct Shown {
    outcome: Option<CommandOutcome>,
    endpoint: Option<WebhookEndpoint>,
}

fn done(changed: EndpointChanged, ledger: &LedgerId) -> Reply<Shown> {
    match changed {
        EndpointChanged::Done { endpoint, replayed } => Ok(Shown {
            outcome: Some(ledger_outcome(replayed)),
            endpoint: endpoint.as_deref().map(|endpoint| show(endpoint, ledger)),
        }),
        EndpointChanged::RequestIdReused => Err(Rejection::RequestIdReused { original: None }.into()),
        EndpointChanged::EndpointNotFound => Err(Problem::endpoint_not_found().into()),
        EndpointChanged::EventNotFound => Err(Problem::event_not_found().into()),
        EndpointChanged::TooMany => Err(Problem::too_many_endpoints(ENDPOINTS_MAX).into()),
    }
}

fn show(endpoint: &delivery::Endpoint, ledger: &LedgerId) -> WebhookEndpoint {
    let disabled = endpoint.disabled.as_ref();
    WebhookEndpoint {
        endpoint_id: endpoint.id.to_string(),
        ledger_id: ledger.to_string(),
        url: endpoint.url.to_string(),
        types: endpoint.types.iter().map(|of: &Type| of.code().into()).collect(),
        description: endpoint.description.to_string(),
        created_at: Some(convert::time(endpoint.created_at)),
        enabled: disabled.is_none(),
        disabled_reason: convert::or_empty(disabled.map(|disabled| &disabled.reason)),
        disabled_at: disabled.map(|disabled| convert::time(disabled.at)),
        position: convert::signed(endpoint.done.0),
        old_secret_until: endpoint.old_secret.as_ref().map(|old| convert::time(old.until)),
    }
}

/// The name of the e-mail endpoint for callers; it has no id for them.
const EMAIL: &str = "email";

/// The id of an endpoint; `None` for that of e-mail.
fn read_endpoint(fields: &mut Fields, endpoint_id: &str) -> Option<Option<Uuid>> {
    if endpoint_id == EMAIL {
        return Some(None);
    }
    fields.made_id("endpoint_id", endpoint_id, Some)
}

fn show_endpoint_id(ledger: LedgerNo, id: Uuid) -> String {
    if id == email_endpoint(ledger) { EMAIL.to_owned() } else { id.to_string() }
}

fn show_delivery(id: &LedgerId, ledger: LedgerNo, delivery: &delivery::Delivery) -> Delivery {
    let state = if delivery.dead_at.is_some() { DeliveryState::Dead } else { DeliveryState::Pending };
    Delivery {
        endpoint_id: show_endpoint_id(ledger, delivery.endpoint),
        ledger_id: id.to_string(),
        state: state.into(),
        event_id: delivery.event_id.to_string(),
        r#type: delivery.event.code().into(),
        customer_id: delivery.customer.to_string(),
        position: convert::signed(delivery.position.0),
        index: convert::small(delivery.place),
        attempts: convert::small(delivery.attempts),
        tried_at: delivery.tried_at.map(convert::time),
        next_at: delivery.next_at.map(convert::time),
        dead_at: delivery.dead_at.map(convert::time),
        status: convert::small(delivery.status),
        error: delivery.error.to_string(),
    }
}

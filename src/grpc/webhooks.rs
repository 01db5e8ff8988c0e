//! Endpoints of webhooks on the wire: what may be asked about them, and the body of a message.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::DescriptorPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::delivery::Told;
use crate::delivery::email::email_endpoint;
use crate::delivery::webhooks::{self, Changed, ENDPOINTS_MAX, EventPlace, NewEndpoint, Patch, parse_secret};
use crate::ledger::event::EventType as Type;
use crate::ledger::{LedgerId, LedgerNo, Text};
use crate::query::{Keyed, Position, ReadError};

use super::command::bare_outcome;
use super::context::Keeps;
use super::json::{Json, Names, Place};
use super::notification_service::read_types;
use super::parse::{Fields, parse, read_mask};
use super::status::Problem;
use super::wire::*;
use super::{Api, PAGE_BYTES_MAX, convert, event};

/// How events are written. The descriptors are those that the messages were generated from; a test reads what comes of them.
static EVENT: LazyLock<Option<(Json, Place)>> = LazyLock::new(|| {
    let mut json = Json::new(Names::Proto);
    let pool = DescriptorPool::decode(DESCRIPTORS).ok()?;
    let event = json.add(&pool.get_message_by_name("creditledger.v1.Event")?)?;
    Some((json, event))
});

/// The body of a message: type, timestamp, and as data the event in the JSON of Protocol Buffers with the names of the
/// proto.
#[must_use]
pub fn message(told: &Told, ledger: &LedgerId) -> Vec<u8> {
    let event = event::event(told, ledger);
    let timestamp = event.recorded_at.as_ref().map(ToString::to_string);
    let head = serde_json::json!({ "type": told.event.event.name(), "timestamp": timestamp });
    let mut body = head.to_string().into_bytes();
    body.pop();
    body.extend_from_slice(b",\"data\":");
    let data = body.len();
    let event = event.encode_to_vec();
    if EVENT.as_ref().and_then(|(json, place)| json.write(*place, &event, &mut body)).is_none() {
        body.truncate(data);
        body.extend_from_slice(b"null");
    }
    body.push(b'}');
    body
}

impl Keyed for webhooks::Endpoint {
    type Key = Uuid;

    fn key(&self) -> Uuid {
        self.id
    }
}

impl Api {
    pub(super) async fn create_endpoint(
        &self,
        request: Request<CreateWebhookEndpointRequest>,
    ) -> Result<Response<CreateWebhookEndpointResponse>, Status> {
        let policy = self.policy;
        let (scope, new) = parse(request.into_inner(), |message, fields| {
            let CreateWebhookEndpointRequest { context, url, types, description, secret, after_position } =
                message;
            let scope = fields.bare_context(context, Keeps::Nothing);
            let url = read_url(fields, policy, &url);
            let types = read_types(fields, types);
            let description = fields.text("description", &description);
            let secret = fields.optional("secret", &secret, parse_secret);
            let after = match after_position {
                Some(after) => {
                    let after = fields.number("after_position", after, i64::MAX.unsigned_abs());
                    after.map(|after| Some(Position(after)))
                }
                None => Some(None),
            };
            let new = NewEndpoint {
                url: url?,
                types: types?,
                description: description?,
                secret: secret?,
                after: after?,
            };
            Some((scope?, new))
        })?;
        let ledger_id = scope.ledger_or_main();
        let ledger = self.ledger(&ledger_id).await?;
        let changed = self.webhooks.create(ledger, scope.request, new).await.map_err(ReadError::Storage)?;
        let (endpoint, outcome) = done(changed)?;
        let secret = endpoint.as_ref().map(|endpoint| endpoint.secret.to_string()).unwrap_or_default();
        let endpoint = endpoint.as_ref().map(|endpoint| show(endpoint, &ledger_id));
        Ok(Response::new(CreateWebhookEndpointResponse { outcome, endpoint, secret }))
    }

    pub(super) async fn update_endpoint(
        &self,
        request: Request<UpdateWebhookEndpointRequest>,
    ) -> Result<Response<UpdateWebhookEndpointResponse>, Status> {
        let policy = self.policy;
        let (scope, id, patch) = parse(request.into_inner(), |message, fields| {
            let UpdateWebhookEndpointRequest {
                context,
                endpoint_id,
                url,
                types,
                description,
                secret,
                enabled,
                update_mask,
            } = message;
            let scope = fields.bare_context(context, Keeps::Nothing);
            let id = fields.made_id("endpoint_id", &endpoint_id, |id| id);
            let named = read_mask(fields, update_mask, ["url", "types", "description", "secret", "enabled"]);
            let names_url = named.is_none_or(|[names_url, ..]| names_url);
            let url = if names_url || !url.is_empty() {
                read_url(fields, policy, &url)
            } else {
                Some(Text::default())
            };
            let types = read_types(fields, types);
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
            Some((scope?, id?, patch))
        })?;
        let ledger_id = scope.ledger_or_main();
        let ledger = self.ledger(&ledger_id).await?;
        let changed =
            self.webhooks.update(ledger, scope.request, id, patch).await.map_err(ReadError::Storage)?;
        let (endpoint, outcome) = done(changed)?;
        let secret = endpoint.as_ref().map(|endpoint| endpoint.secret.to_string()).unwrap_or_default();
        let endpoint = endpoint.as_ref().map(|endpoint| show(endpoint, &ledger_id));
        Ok(Response::new(UpdateWebhookEndpointResponse { outcome, endpoint, secret }))
    }

    pub(super) async fn delete_endpoint(
        &self,
        request: Request<DeleteWebhookEndpointRequest>,
    ) -> Result<Response<DeleteWebhookEndpointResponse>, Status> {
        let (scope, id) = parse(request.into_inner(), |message, fields| {
            let DeleteWebhookEndpointRequest { context, endpoint_id } = message;
            let scope = fields.bare_context(context, Keeps::Nothing);
            let id = fields.made_id("endpoint_id", &endpoint_id, |id| id);
            Some((scope?, id?))
        })?;
        let ledger = self.ledger(&scope.ledger_or_main()).await?;
        let changed = self.webhooks.delete(ledger, scope.request, id).await.map_err(ReadError::Storage)?;
        let (_, outcome) = done(changed)?;
        Ok(Response::new(DeleteWebhookEndpointResponse { outcome, endpoint_id: id.to_string() }))
    }

    pub(super) async fn get_endpoint(
        &self,
        request: GetWebhookEndpointRequest,
    ) -> Result<GetWebhookEndpointResponse, Status> {
        let (ledger, id) = parse(request, |message, fields| {
            let GetWebhookEndpointRequest { ledger_id, endpoint_id } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let id = fields.made_id("endpoint_id", &endpoint_id, |id| id);
            Some((ledger?, id?))
        })?;
        let no = self.ledger(&ledger).await?;
        // A ledger has few of them.
        let all = self.webhooks.endpoints(no).await.map_err(ReadError::Storage)?;
        let found = all.iter().find(|endpoint| endpoint.id == id).ok_or_else(Problem::endpoint_not_found)?;
        Ok(GetWebhookEndpointResponse { endpoint: Some(show(found, &ledger)) })
    }

    pub(super) async fn list_endpoints(
        &self,
        request: Request<ListWebhookEndpointsRequest>,
    ) -> Result<Response<ListWebhookEndpointsResponse>, Status> {
        let (ledger, page) = parse(request.into_inner(), |message, fields| {
            let ListWebhookEndpointsRequest { ledger_id, page_size, page_token } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let page = fields.page(page_size, page_token);
            Some((ledger?, page?))
        })?;
        let no = self.ledger(&ledger).await?;
        let all = self.webhooks.endpoints(no).await.map_err(ReadError::Storage)?;
        let listed = page.take_from(&("endpoints", no), all.into_iter())?;
        let (endpoints, next_page_token) =
            listed.show(PAGE_BYTES_MAX, |of| show(of, &ledger), prost::Message::encoded_len);
        Ok(Response::new(ListWebhookEndpointsResponse { endpoints, next_page_token }))
    }

    pub(super) async fn list_endpoint_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        let (ledger, id, state, page) = parse(request.into_inner(), |message, fields| {
            let ListDeliveriesRequest { ledger_id, endpoint_id, state, page_size, page_token } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let id = read_endpoint(fields, &endpoint_id);
            let state = fields.known::<DeliveryState>("state", state);
            let page = fields.page(page_size, page_token);
            Some((ledger?, id?, state?, page?))
        })?;
        let ledger_id = ledger;
        let ledger = self.ledger(&ledger_id).await?;
        let id = id.unwrap_or_else(|| email_endpoint(ledger));
        let dead = match state {
            DeliveryState::Unspecified | DeliveryState::Pending => false,
            DeliveryState::Dead => true,
        };
        let (after, bound) = page.open::<(u64, u32)>(&("deliveries", ledger, id, dead))?;
        let after = after.map(|(position, place)| (Position(position), place));
        let found = self.webhooks.deliveries(ledger, id, dead, after, page.limit).await;
        let found = found.map_err(ReadError::Storage)?.ok_or_else(Problem::endpoint_not_found)?;
        let next = found.last().filter(|_| found.len() >= page.limit).map(Keyed::key);
        let listed = crate::query::Listed::new(found, next, bound);
        let (deliveries, next_page_token) = listed.show(
            PAGE_BYTES_MAX,
            |it| show_delivery(&ledger_id, ledger, it),
            prost::Message::encoded_len,
        );
        Ok(Response::new(ListDeliveriesResponse { deliveries, next_page_token }))
    }

    pub(super) async fn redeliver(
        &self,
        request: Request<RedeliverEventRequest>,
    ) -> Result<Response<RedeliverEventResponse>, Status> {
        let (scope, id, place) = parse(request.into_inner(), |message, fields| {
            let RedeliverEventRequest { context, endpoint_id, position, index } = message;
            let scope = fields.bare_context(context, Keeps::Nothing);
            let id = read_endpoint(fields, &endpoint_id);
            let position = fields.number("position", position, i64::MAX.unsigned_abs());
            let index = fields.number("index", index.into(), i32::MAX.unsigned_abs().into());
            let index = u32::try_from(index?).unwrap_or(u32::MAX);
            Some((scope?, id?, EventPlace { position: Position(position?), index }))
        })?;
        let ledger: LedgerNo = self.ledger(&scope.ledger_or_main()).await?;
        let id = id.unwrap_or_else(|| email_endpoint(ledger));
        let changed =
            self.webhooks.redeliver(ledger, scope.request, id, place).await.map_err(ReadError::Storage)?;
        let (_, outcome) = done(changed)?;
        Ok(Response::new(RedeliverEventResponse { outcome, endpoint_id: show_endpoint_id(ledger, id) }))
    }
}

impl Keyed for webhooks::Delivery {
    type Key = (u64, u32);

    fn key(&self) -> (u64, u32) {
        (self.position.0, self.place)
    }
}

fn read_url(fields: &mut Fields, policy: webhooks::Policy, url: &str) -> Option<Text> {
    fields.take("url", policy.target(url))?;
    fields.take("url", Text::parse(url))
}

fn done(changed: Changed) -> Result<(Option<webhooks::Endpoint>, Option<CommandOutcome>), Status> {
    match changed {
        Changed::Done { endpoint, replayed } => {
            Ok((endpoint.map(|endpoint| *endpoint), Some(bare_outcome(replayed))))
        }
        Changed::RequestIdReused => Err(crate::ledger::Rejection::RequestIdReused { original: None }.into()),
        Changed::EndpointNotFound => Err(Problem::endpoint_not_found().into()),
        Changed::EventNotFound => Err(Problem::event_not_found().into()),
        Changed::TooMany => Err(Problem::too_many_endpoints(ENDPOINTS_MAX).into()),
    }
}

fn show(endpoint: &webhooks::Endpoint, ledger: &LedgerId) -> WebhookEndpoint {
    let disabled = endpoint.disabled.as_ref();
    WebhookEndpoint {
        endpoint_id: endpoint.id.to_string(),
        ledger_id: ledger.to_string(),
        url: endpoint.url.to_string(),
        types: endpoint.types.iter().map(|of: &Type| of.code().into()).collect(),
        description: endpoint.description.to_string(),
        created_at: Some(convert::time(endpoint.created_at)),
        enabled: disabled.is_none(),
        disabled_reason: disabled.map(|disabled| disabled.reason.to_string()).unwrap_or_default(),
        disabled_at: disabled.map(|disabled| convert::time(disabled.at)),
        position: convert::signed(endpoint.done.0),
        old_secret_until: endpoint.old_secret.as_ref().map(|old| convert::time(old.until)),
    }
}

/// The name by which callers know the endpoint of e-mail, which has no id for them.
const EMAIL: &str = "email";

/// The id of an endpoint; nothing for that of e-mail.
fn read_endpoint(fields: &mut Fields, endpoint_id: &str) -> Option<Option<Uuid>> {
    if endpoint_id == EMAIL {
        return Some(None);
    }
    fields.made_id("endpoint_id", endpoint_id, Some)
}

fn show_endpoint_id(ledger: LedgerNo, id: Uuid) -> String {
    if id == email_endpoint(ledger) { EMAIL.to_owned() } else { id.to_string() }
}

fn show_delivery(id: &LedgerId, ledger: LedgerNo, delivery: &webhooks::Delivery) -> Delivery {
    let small = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let state = if delivery.dead_at.is_some() { DeliveryState::Dead } else { DeliveryState::Pending };
    Delivery {
        endpoint_id: show_endpoint_id(ledger, delivery.endpoint),
        ledger_id: id.to_string(),
        state: state.into(),
        event_id: delivery.event_id.to_string(),
        r#type: delivery.event.code().into(),
        customer_id: delivery.customer.to_string(),
        position: convert::signed(delivery.position.0),
        index: small(delivery.place),
        attempts: small(delivery.attempts),
        tried_at: delivery.tried_at.map(convert::time),
        next_at: delivery.next_at.map(convert::time),
        dead_at: delivery.dead_at.map(convert::time),
        status: small(delivery.status),
        error: delivery.error.to_string(),
    }
}

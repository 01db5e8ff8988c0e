//! NotificationService: from which balance on customers are told, and the stream of events.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status, async_trait};

use crate::delivery::{Cursor, Filter, Watch};
use crate::ledger::alert::{Alerts, DefaultAlerts, Level, Threshold};
use crate::ledger::commands::SetBalanceAlerts;
use crate::ledger::event::EventType as Type;
use crate::ledger::{Command, Customer, CustomerId, CustomerKey, LedgerNo, Rejection};
use crate::query::Position;
use crate::writer::{DefaultAlertsSet, NewDefaultAlerts};

use super::command::{CommandMessage, bare_outcome};
use super::context::Keeps;
use super::event::threshold;
use super::event_stream::EventStream;
use super::parse::{Amount, Fields, parse};
use super::wire::notification_service_server::NotificationService;
use super::wire::*;
use super::{Api, Deadline};

/// Seconds between heartbeats, unless asked for otherwise.
const HEARTBEAT_SECONDS: u64 = 30;
const HEARTBEAT_SECONDS_MAX: u64 = 3_600;

#[async_trait]
impl NotificationService for Api {
    type WatchEventsStream = EventStream;

    async fn set_balance_alerts(
        &self,
        request: Request<SetBalanceAlertsRequest>,
    ) -> Result<Response<SetBalanceAlertsResponse>, Status> {
        let accepted = self.run(request).await?;
        let customer = self.reader.customer(accepted.ledger, &accepted.customer).await?;
        let (outcome, alerts) = (Some(accepted.outcome()), Some(self.alerts_of(&customer).await?));
        Ok(Response::new(SetBalanceAlertsResponse { outcome, alerts }))
    }

    async fn set_default_balance_alerts(
        &self,
        request: Request<SetDefaultBalanceAlertsRequest>,
    ) -> Result<Response<SetDefaultBalanceAlertsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let (scope, alerts) = parse(request.into_inner(), |message, fields| {
            let SetDefaultBalanceAlertsRequest { context, thresholds } = message;
            let scope = fields.bare_context(context, Keeps::By);
            let alerts = read_thresholds(fields, thresholds);
            Some((scope?, alerts?))
        })?;
        let ledger = self.ledger(&scope.ledger_or_main()).await?;
        let default = DefaultAlerts { alerts, by: scope.by };
        let new = NewDefaultAlerts { ledger, request: scope.request, default };
        match self.writer.set_default_alerts(new, deadline).await? {
            DefaultAlertsSet::Set { replayed } => {
                let alerts = Some(self.default_alerts(ledger).await?);
                let outcome = Some(bare_outcome(replayed));
                Ok(Response::new(SetDefaultBalanceAlertsResponse { outcome, alerts }))
            }
            DefaultAlertsSet::RequestIdReused => Err(Rejection::RequestIdReused { original: None }.into()),
        }
    }

    async fn get_balance_alerts(
        &self,
        request: Request<GetBalanceAlertsRequest>,
    ) -> Result<Response<GetBalanceAlertsResponse>, Status> {
        let (ledger, customer) = parse(request.into_inner(), |message, fields| {
            let GetBalanceAlertsRequest { ledger_id, customer_id } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
            Some((ledger?, customer?))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let alerts = match customer {
            Some(customer) => self.alerts_of(&self.reader.customer(ledger, &customer).await?).await?,
            None => self.default_alerts(ledger).await?,
        };
        Ok(Response::new(GetBalanceAlertsResponse { alerts: Some(alerts) }))
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<EventStream>, Status> {
        let asked = parse(request.into_inner(), read_watch)?;
        let ledger = self.ledger(&asked.ledger).await?;
        if let Some(customer) = &asked.customer {
            self.reader.customer(ledger, customer).await?;
        }
        let customer = asked.customer.as_ref().map(|customer| CustomerKey::of(ledger, customer));
        let end = self.reader.last_position(ledger).await?;
        let from = asked.from.unwrap_or(Cursor::after(end));
        let filter = Filter { customer, types: asked.types };
        let watch = Watch::new(&self.feeds, ledger, filter, from);
        let watch = if asked.until_now { watch.until(end) } else { watch };
        Ok(Response::new(self.event_stream(watch, asked.ledger, asked.heartbeat)))
    }

    async fn create_webhook_endpoint(
        &self,
        request: Request<CreateWebhookEndpointRequest>,
    ) -> Result<Response<CreateWebhookEndpointResponse>, Status> {
        self.create_endpoint(request).await
    }

    async fn update_webhook_endpoint(
        &self,
        request: Request<UpdateWebhookEndpointRequest>,
    ) -> Result<Response<UpdateWebhookEndpointResponse>, Status> {
        self.update_endpoint(request).await
    }

    async fn get_webhook_endpoint(
        &self,
        request: Request<GetWebhookEndpointRequest>,
    ) -> Result<Response<GetWebhookEndpointResponse>, Status> {
        self.get_endpoint(request.into_inner()).await.map(Response::new)
    }

    async fn list_webhook_endpoints(
        &self,
        request: Request<ListWebhookEndpointsRequest>,
    ) -> Result<Response<ListWebhookEndpointsResponse>, Status> {
        self.list_endpoints(request).await
    }

    async fn delete_webhook_endpoint(
        &self,
        request: Request<DeleteWebhookEndpointRequest>,
    ) -> Result<Response<DeleteWebhookEndpointResponse>, Status> {
        self.delete_endpoint(request).await
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        self.list_endpoint_deliveries(request).await
    }

    async fn redeliver_event(
        &self,
        request: Request<RedeliverEventRequest>,
    ) -> Result<Response<RedeliverEventResponse>, Status> {
        self.redeliver(request).await
    }
}

impl Api {
    async fn alerts_of(&self, customer: &Customer) -> Result<BalanceAlerts, Status> {
        let own = customer.state.alerts.as_deref().cloned();
        let is_default = own.is_none();
        let alerts = match own {
            Some(own) => own,
            None => self.reader.default_alerts(customer.ledger).await?,
        };
        Ok(BalanceAlerts {
            alerts: alerts.iter().map(|of| show_alert(of, Some(customer.level()))).collect(),
            is_default,
            last_purchase_credits: customer.state.last_purchase.to_string(),
        })
    }

    async fn default_alerts(&self, ledger: LedgerNo) -> Result<BalanceAlerts, Status> {
        let alerts = self.reader.default_alerts(ledger).await?;
        let alerts = alerts.iter().map(|of| show_alert(of, None)).collect();
        Ok(BalanceAlerts { alerts, is_default: true, last_purchase_credits: String::new() })
    }
}

fn show_alert(of: Threshold, at: Option<Level>) -> BalanceAlert {
    let level = at.and_then(|at| of.credits(at.last_purchase));
    BalanceAlert {
        threshold: Some(threshold(of)),
        level_credits: level.map(|level| level.to_string()).unwrap_or_default(),
        armed: at.is_some_and(|at| of.is_armed(at)),
    }
}

/// What a caller of WatchEvents wants.
struct Asked {
    ledger: crate::ledger::LedgerId,
    customer: Option<CustomerId>,
    types: Vec<Type>,
    from: Option<Cursor>,
    until_now: bool,
    heartbeat: Duration,
}

fn read_watch(message: WatchEventsRequest, fields: &mut Fields) -> Option<Asked> {
    use watch_events_request::Start;
    let WatchEventsRequest { ledger_id, customer_id, types, until_now, heartbeat_seconds, start } = message;
    let ledger = fields.ledger_or_main(&ledger_id);
    let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
    let types = read_types(fields, types);
    let from = match start {
        Some(Start::AfterPosition(position)) => {
            let position = fields.number("after_position", position, i64::MAX.unsigned_abs());
            position.map(|position| Some(Cursor::after(Position(position))))
        }
        Some(Start::ResumeToken(token)) => fields.take("resume_token", token.parse()).map(Some),
        None => Some(None),
    };
    let heartbeat = fields.number("heartbeat_seconds", heartbeat_seconds.into(), HEARTBEAT_SECONDS_MAX);
    let heartbeat = match heartbeat? {
        0 => HEARTBEAT_SECONDS,
        seconds => seconds,
    };
    Some(Asked {
        ledger: ledger?,
        customer: customer?,
        types: types?,
        from: from?,
        until_now,
        heartbeat: Duration::from_secs(heartbeat),
    })
}

/// Types of events, of which 0 is none.
pub(super) fn read_types(fields: &mut Fields, types: Vec<i32>) -> Option<Vec<Type>> {
    fields.each("types", types, |fields, code| {
        let known = u8::try_from(code).ok().and_then(Type::from_code);
        known.or_else(|| fields.refuse("", format!("has no value {code}")))
    })
}

fn read_thresholds(fields: &mut Fields, thresholds: Vec<BalanceThreshold>) -> Option<Alerts> {
    use balance_threshold::Threshold as Wire;
    let all =
        fields.each("thresholds", thresholds, |fields, BalanceThreshold { threshold }| match threshold {
            Some(Wire::Credits(credits)) => {
                fields.credits("credits", &credits, Amount::Positive).map(Threshold::Credits)
            }
            Some(Wire::PercentOfLastPurchase(percent)) => match u32::try_from(percent) {
                Ok(percent @ 1..=100) => Some(Threshold::Percent(percent)),
                Ok(_) | Err(_) => fields.refuse("percent_of_last_purchase", "must be 1 to 100"),
            },
            None => fields.refuse("", "must be credits or percent_of_last_purchase"),
        })?;
    let count = all.len();
    match Alerts::new(all) {
        Some(alerts) if alerts.iter().count() == count => Some(alerts),
        Some(_) => fields.refuse("thresholds", "must not name a threshold twice"),
        None => fields.refuse("thresholds", format!("must be at most {}", Alerts::MAX)),
    }
}

impl CommandMessage for SetBalanceAlertsRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, thresholds, use_default } = self;
        let alerts = if use_default && !thresholds.is_empty() {
            fields.refuse("thresholds", "must be empty with use_default")
        } else {
            read_thresholds(fields, thresholds)
        };
        let alerts = Some(Arc::new(alerts?)).filter(|_| !use_default);
        Some(Command::SetBalanceAlerts(SetBalanceAlerts { alerts }))
    }
}

//! NotificationService: thresholds of balances, and the stream of events. Its webhook endpoints are in `webhooks`.

use std::sync::Arc;
use std::time::Duration;

use tonic::Request;

use crate::delivery::{Cursor, Filter, Watch};
use crate::ledger::alert::{Alerts, DefaultAlerts, Margin, Threshold};
use crate::ledger::commands::SetBalanceAlerts;
use crate::ledger::event::EventType as Type;
use crate::ledger::{Command, Customer, CustomerId, CustomerKey, Rejection};
use crate::writer::{DefaultAlertsSet, NewDefaultAlerts};

use super::api::{Call, LedgerCommand, Reply};
use super::command::{AcceptedCommand, CommandMessage, Shown, ledger_outcome};
use super::context::Keeps;
use super::convert;
use super::event_stream::EventStream;
use super::parse::{Amount, Fields, complete};
use super::wire::*;

/// Seconds between heartbeats by default.
const HEARTBEAT_SECONDS: u64 = 30;
const HEARTBEAT_SECONDS_MAX: u64 = 3_600;

/// The thresholds of the customer as they are after the command.
impl Shown for BalanceAlerts {
    fn of(accepted: &AcceptedCommand) -> Option<Self> {
        let now = accepted.answer.about.as_deref()?;
        let none = Alerts::default();
        Some(show_alerts(&now.customer, now.default_alerts.as_deref().unwrap_or(&none)))
    }
}

impl Call {
    pub(super) async fn set_default_balance_alerts(
        &self,
        request: Request<SetDefaultBalanceAlertsRequest>,
    ) -> Reply<SetDefaultBalanceAlertsResponse> {
        let read = |message, fields: &mut Fields| {
            let SetDefaultBalanceAlertsRequest { context: _, thresholds, margin } = message;
            let (alerts, margin) = (read_thresholds(fields, thresholds), read_margin(fields, margin));
            Some(alerts?.with_margin(margin?))
        };
        let (command, alerts) = self.read_ledger_command(request, Keeps::By, read).await?;
        let LedgerCommand { ledger, request, by, reason: _, deadline } = command;
        let default = DefaultAlerts { alerts: alerts.clone(), by };
        let new = NewDefaultAlerts { ledger: ledger.no, request, default };
        match self.writer.set_default_alerts(new, deadline).await? {
            DefaultAlertsSet::Set { replayed } => {
                // A repeat shows what was set since. What was set just now is shown without a read after the commit.
                let now = if replayed { self.reader.default_alerts(ledger.no).await? } else { alerts };
                let (outcome, alerts) = (Some(ledger_outcome(replayed)), Some(show_default_alerts(&now)));
                Ok(SetDefaultBalanceAlertsResponse { outcome, alerts })
            }
            DefaultAlertsSet::RequestIdReused => Err(Rejection::RequestIdReused { original: None }.into()),
        }
    }

    pub(super) async fn get_balance_alerts(
        &self,
        message: GetBalanceAlertsRequest,
    ) -> Reply<GetBalanceAlertsResponse> {
        let read = |message, fields: &mut Fields| {
            let GetBalanceAlertsRequest { ledger_id: _, customer_id } = message;
            fields.optional_customer(&customer_id)
        };
        let (ledger, customer) = self.read(message, read).await?;
        let alerts = match customer {
            Some(customer) => {
                let customer = self.reader.customer(ledger.no, &customer).await?;
                show_alerts(&customer, &self.reader.default_alerts(ledger.no).await?)
            }
            None => show_default_alerts(&self.reader.default_alerts(ledger.no).await?),
        };
        Ok(GetBalanceAlertsResponse { alerts: Some(alerts) })
    }

    pub(super) async fn watch_events(&self, message: WatchEventsRequest) -> Reply<EventStream> {
        let (ledger, asked) = self.read(message, read_watch).await?;
        if let Some(customer) = &asked.customer {
            self.reader.customer(ledger.no, customer).await?;
        }
        let customer = asked.customer.as_ref().map(|customer| CustomerKey::of(ledger.no, customer));
        let end = self.reader.last_position(ledger.no).await?;
        let from = asked.from.unwrap_or(Cursor::after(end));
        let filter = Filter { customer, types: asked.types };
        let watch = Watch::new(&self.feeds, ledger.no, filter, from);
        let watch = if asked.until_now { watch.until(end) } else { watch };
        Ok(self.event_stream(watch, ledger.id, asked.heartbeat))
    }
}

/// The thresholds that apply to a customer: its own, or those of its ledger.
fn show_alerts(customer: &Customer, defaults: &Alerts) -> BalanceAlerts {
    let own = customer.state.alerts.as_deref();
    let alerts = own.unwrap_or(defaults);
    BalanceAlerts {
        alerts: alerts.iter().map(|of| show_alert(alerts, of, Some(customer))).collect(),
        is_default: own.is_none(),
        last_purchase_credits: customer.state.last_purchase.to_string(),
        margin: Some(show_margin(alerts.margin())),
    }
}

fn show_default_alerts(alerts: &Alerts) -> BalanceAlerts {
    let margin = Some(show_margin(alerts.margin()));
    let alerts = alerts.iter().map(|of| show_alert(alerts, of, None)).collect();
    BalanceAlerts { alerts, is_default: true, last_purchase_credits: String::new(), margin }
}

fn show_alert(alerts: &Alerts, of: Threshold, customer: Option<&Customer>) -> BalanceAlert {
    let level = customer.and_then(|customer| of.credits(customer.state.last_purchase));
    let is_armed = |customer: &Customer| alerts.is_armed(of, customer.level(), &customer.state.fired);
    BalanceAlert {
        threshold: Some(convert::threshold(of)),
        level_credits: convert::or_empty(level.as_ref()),
        armed: customer.is_some_and(is_armed),
        armed_above_credits: convert::or_empty(level.map(|level| alerts.margin().above(level)).as_ref()),
    }
}

fn show_margin(Margin { percent, at_least }: Margin) -> AlertMargin {
    AlertMargin { percent: Some(convert::small(percent)), min_credits: Some(at_least.to_string()) }
}

/// A request to WatchEvents, parsed.
struct Asked {
    customer: Option<CustomerId>,
    types: Vec<Type>,
    from: Option<Cursor>,
    until_now: bool,
    heartbeat: Duration,
}

fn read_watch(message: WatchEventsRequest, fields: &mut Fields) -> Option<Asked> {
    use watch_events_request::Start;
    let WatchEventsRequest { ledger_id: _, customer_id, types, until_now, heartbeat_seconds, start } =
        message;
    complete!(Asked {
        customer: fields.optional_customer(&customer_id),
        types: fields.event_types(types),
        from: match start {
            Some(Start::AfterPosition(position)) => {
                fields.position("after_position", position).map(|position| Some(Cursor::after(position)))
            }
            Some(Start::ResumeToken(token)) => fields.take("resume_token", token.parse()).map(Some),
            None => Some(None),
        },
        until_now,
        heartbeat: fields
            .number("heartbeat_seconds", heartbeat_seconds.into(), HEARTBEAT_SECONDS_MAX)
            .map(|seconds| Duration::from_secs(if seconds == 0 { HEARTBEAT_SECONDS } else { seconds })),
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

/// Reads a margin; what is not set has its default.
fn read_margin(fields: &mut Fields, margin: Option<AlertMargin>) -> Option<Margin> {
    let AlertMargin { percent, min_credits } = margin.unwrap_or_default();
    let default = Margin::default();
    fields.within("margin", |fields| {
        let percent = match percent {
            None => Some(default.percent),
            Some(percent) => fields.count("percent", percent, Margin::PERCENT_MAX),
        };
        let at_least = fields.optional_credits("min_credits", min_credits, Amount::AtLeastZero);
        Some(Margin { percent: percent?, at_least: at_least?.unwrap_or(default.at_least) })
    })
}

impl CommandMessage for SetBalanceAlertsRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, thresholds, use_default, margin } = self;
        let alerts = if use_default && !thresholds.is_empty() {
            fields.refuse("thresholds", "must be empty with use_default")
        } else {
            read_thresholds(fields, thresholds)
        };
        let margin = if use_default && margin.is_some() {
            fields.refuse("margin", "must not be set with use_default")
        } else {
            read_margin(fields, margin)
        };
        let alerts = alerts?.with_margin(margin?);
        let alerts = Some(Arc::new(alerts)).filter(|_| !use_default);
        Some(Command::SetBalanceAlerts(SetBalanceAlerts { alerts }))
    }
}

//! How what people and programs are told is shown: events, thresholds, endpoints, and what was not taken.

use serde_json::{Map, Value};

use super::show::{Row, balance, bare, forecast, time};
use crate::grpc::wire;
use crate::ledger::event::EventType;

/// The name of an event's type that people read, such as `balance.low`.
fn event_name(number: i32) -> &'static str {
    let known = u8::try_from(number).ok().and_then(EventType::from_code);
    known.map_or("unspecified", EventType::name)
}

/// An event.
pub(super) fn event(event: &wire::Event) -> Row {
    use wire::event::Payload;
    let head = Row::default()
        .with("recorded_at", time(event.recorded_at.as_ref()))
        .with("type", event_name(event.r#type))
        .with("customer_id", event.customer_id.as_str())
        .with("customer_name", event.customer_name.as_str())
        .with("incident_id", event.incident_id.as_str());
    let row = match &event.payload {
        Some(Payload::BalanceEvent(about)) => head
            .with(
                "crossed_credits",
                about.crossed.iter().map(|it| it.level_credits.as_str()).collect::<Vec<_>>(),
            )
            .and(forecast(about.forecast.as_ref())),
        Some(Payload::HoldEvent(about)) => head.with("credits", about.credits.as_str()),
        Some(Payload::ShortfallEvent(about)) => head.with("missing_credits", about.missing_credits.as_str()),
        Some(Payload::SettlementEvent(about)) => head.with("credits", about.credits.as_str()),
        Some(Payload::PurchaseEvent(about)) => head.with("credits", about.credits.as_str()),
        Some(Payload::CreditsEvent(about)) => head.with("credits", about.credits.as_str()),
        Some(Payload::TopUpEvent(about)) => head
            .with("top_up_id", about.top_up_id.as_str())
            .with("credits", about.credits.as_str())
            .with("below_credits", about.below_credits.as_str())
            .with("target_credits", about.target_credits.as_str())
            .with("lapses_at", time(about.lapses_at.as_ref())),
        None => head,
    };
    row.and(balance(event.balance.as_ref()))
        .with("event_id", event.event_id.as_str())
        .with("position", event.position)
        .with("by", event.by.as_str())
        .with("reason", event.reason.as_str())
}

/// An event as a line that people read.
pub(super) fn event_line(told: &wire::Event) -> String {
    let row = event(told);
    let mut line = format!(
        "{}  {:<22} {}",
        row.shown("recorded_at").unwrap_or_default(),
        row.shown("type").unwrap_or_default(),
        told.customer_id
    );
    for (name, shown) in [
        ("incident_id", "incident"),
        ("credits", "credits"),
        ("missing_credits", "missing"),
        ("available", "available"),
        ("run_out_date", "used up by"),
        ("lapses_at", "lapses at"),
    ] {
        if let Some(value) = row.shown(name) {
            line.push_str("  ");
            line.push_str(shown);
            line.push(' ');
            line.push_str(&value);
        }
    }
    line
}

/// Thresholds and how they stand.
pub(super) fn alerts(alerts: Option<&wire::BalanceAlerts>) -> Row {
    use wire::balance_threshold::Threshold;
    let Some(alerts) = alerts else { return Row::default() };
    let line = |alert: &wire::BalanceAlert| {
        let mut fields = Map::new();
        let set = match alert.threshold.as_ref().and_then(|of| of.threshold.as_ref()) {
            Some(Threshold::Credits(credits)) => credits.clone(),
            Some(Threshold::PercentOfLastPurchase(percent)) => format!("{percent}%"),
            None => String::new(),
        };
        fields.insert("threshold".to_owned(), set.into());
        if !alert.level_credits.is_empty() {
            fields.insert("level_credits".to_owned(), alert.level_credits.as_str().into());
            fields.insert("armed".to_owned(), alert.armed.into());
        }
        Value::Object(fields)
    };
    Row::default()
        .with("is_default", alerts.is_default)
        .with("last_purchase_credits", alerts.last_purchase_credits.as_str())
        .with("alerts", alerts.alerts.iter().map(line).collect::<Vec<_>>())
}

/// An endpoint.
pub(super) fn endpoint(endpoint: Option<&wire::WebhookEndpoint>) -> Row {
    let Some(endpoint) = endpoint else { return Row::default() };
    let types = endpoint.types.iter().map(|number| Value::from(event_name(*number)));
    Row::default()
        .with("endpoint_id", endpoint.endpoint_id.as_str())
        .with("url", endpoint.url.as_str())
        .with("types", types.collect::<Vec<_>>())
        .with("description", endpoint.description.as_str())
        .with("enabled", endpoint.enabled)
        .with("disabled_reason", endpoint.disabled_reason.as_str())
        .with("position", endpoint.position)
        .with_more("created_at", time(endpoint.created_at.as_ref()))
        .with_more("disabled_at", time(endpoint.disabled_at.as_ref()))
        .with_more("old_secret_until", time(endpoint.old_secret_until.as_ref()))
}

/// An event that an endpoint did not take.
pub(super) fn delivery(delivery: &wire::Delivery) -> Row {
    Row::default()
        .with("position", delivery.position)
        .with("index", delivery.index)
        .with("type", event_name(delivery.r#type))
        .with("customer_id", delivery.customer_id.as_str())
        .with("attempts", delivery.attempts)
        .with("next_at", time(delivery.next_at.as_ref()))
        .with("status", delivery.status)
        .with("error", delivery.error.as_str())
        .with_more("event_id", delivery.event_id.as_str())
        .with_more("state", bare(delivery.state().as_str_name(), "DELIVERY_STATE_"))
        .with_more("tried_at", time(delivery.tried_at.as_ref()))
        .with_more("dead_at", time(delivery.dead_at.as_ref()))
}

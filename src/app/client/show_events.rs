//! Rows for events, thresholds, endpoints and deliveries.

use serde_json::Value;

use super::row::{OutputRow, row};
use super::show::{balance, bare, forecast, of, time};
use crate::grpc::wire;
use crate::ledger::event::EventType;

/// The name of an event's type for people, such as `balance.low`.
fn event_name(number: i32) -> &'static str {
    let known = u8::try_from(number).ok().and_then(EventType::from_code);
    known.map_or("unspecified", EventType::name)
}

pub(super) fn event(event: &wire::Event) -> OutputRow {
    use wire::event::Payload;
    let head = OutputRow::default()
        .with("recorded_at", time(event.recorded_at.as_ref()))
        .with("type", event_name(event.r#type))
        .and(row!(event: customer_id, customer_name, incident_id));
    let about = match &event.payload {
        Some(Payload::BalanceEvent(about)) => {
            let crossed = about.crossed.iter().map(|crossed| crossed.level_credits.as_str());
            row!(about: crossed_credits = crossed.collect::<Vec<_>>())
                .and(of(about.forecast.as_ref(), forecast))
        }
        Some(Payload::HoldEvent(about)) => row!(about: credits),
        Some(Payload::ShortfallEvent(about)) => row!(about: missing_credits),
        Some(Payload::SettlementEvent(about)) => row!(about: credits),
        Some(Payload::PurchaseEvent(about)) => row!(about: credits),
        Some(Payload::CreditsEvent(about)) => row!(about: credits),
        Some(Payload::TopUpEvent(about)) => row!(about:
            top_up_id,
            credits,
            below_credits,
            target_credits,
            lapses_at = time(about.lapses_at.as_ref()),
            charge_until = time(about.charge_until.as_ref()),
        ),
        Some(Payload::TopUpSuspendedEvent(about)) => row!(about: top_up_id),
        None => OutputRow::default(),
    };
    head.and(about).and(of(event.balance.as_ref(), balance)).and(row!(event: event_id, position, by, reason))
}

/// An event as a line for people.
pub(super) fn event_line(shown: &wire::Event) -> String {
    let row = event(shown);
    let mut line = format!(
        "{}  {:<22} {}",
        row.shown("recorded_at").unwrap_or_default(),
        row.shown("type").unwrap_or_default(),
        shown.customer_id
    );
    for (name, label) in [
        ("incident_id", "incident"),
        ("credits", "credits"),
        ("missing_credits", "missing"),
        ("available", "available"),
        ("run_out_date", "used up by"),
        ("lapses_at", "lapses at"),
    ] {
        if let Some(value) = row.shown(name) {
            line.push_str("  ");
            line.push_str(label);
            line.push(' ');
            line.push_str(&value);
        }
    }
    line
}

/// Thresholds and their state.
pub(super) fn alerts(alerts: &wire::BalanceAlerts) -> OutputRow {
    let lines = alerts.alerts.iter().map(alert);
    let margin = alerts.margin.clone().unwrap_or_default();
    row!(alerts:
        is_default,
        last_purchase_credits,
        margin_percent = margin.percent,
        margin_min_credits = margin.min_credits,
        alerts = lines.collect::<Vec<_>>(),
    )
}

fn alert(alert: &wire::BalanceAlert) -> Value {
    use wire::balance_threshold::Threshold;
    let threshold = match alert.threshold.as_ref().and_then(|of| of.threshold.as_ref()) {
        Some(Threshold::Credits(credits)) => credits.clone(),
        Some(Threshold::PercentOfLastPurchase(percent)) => format!("{percent}%"),
        None => String::new(),
    };
    let row = row!(alert: threshold = threshold);
    if alert.level_credits.is_empty() {
        row.json()
    } else {
        row.and(row!(alert: level_credits, armed, armed_above_credits)).json()
    }
}

pub(super) fn endpoint(endpoint: &wire::WebhookEndpoint) -> OutputRow {
    let types = endpoint.types.iter().map(|number| Value::from(event_name(*number)));
    let row = row!(endpoint:
        endpoint_id,
        url,
        types = types.collect::<Vec<_>>(),
        description,
        enabled,
        disabled_reason,
        position,
    );
    row.with_more("created_at", time(endpoint.created_at.as_ref()))
        .with_more("disabled_at", time(endpoint.disabled_at.as_ref()))
        .with_more("old_secret_until", time(endpoint.old_secret_until.as_ref()))
}

/// An event that an endpoint did not take.
pub(super) fn delivery(delivery: &wire::Delivery) -> OutputRow {
    row!(delivery: position, index)
        .with("type", event_name(delivery.r#type))
        .and(row!(delivery:
            customer_id,
            attempts,
            next_at = time(delivery.next_at.as_ref()),
            status,
            error,
        ))
        .with_more("event_id", delivery.event_id.as_str())
        .with_more("state", bare(delivery.state().as_str_name(), "DELIVERY_STATE_"))
        .with_more("tried_at", time(delivery.tried_at.as_ref()))
        .with_more("dead_at", time(delivery.dead_at.as_ref()))
}

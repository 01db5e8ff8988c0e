//! The margin of thresholds over a real socket: set, shown, refused, and what is told of a hold that comes and goes.

use creditledger::grpc::wire::watch_events_request::Start;
use creditledger::grpc::wire::watch_events_response::Item;
use creditledger::grpc::wire::*;

use crate::errors::fields;
use crate::served::{On, Served, on_each_engine};

on_each_engine! {
    a_hold_that_comes_and_goes_is_told_of_once
    a_margin_is_set_shown_and_refused
}

/// The balance events that were told so far.
async fn told(served: &Served) -> Vec<EventType> {
    let types = [EventType::BalanceLow, EventType::BalanceDepleted, EventType::BalanceRecovered];
    let watch = WatchEventsRequest {
        types: types.map(i32::from).to_vec(),
        until_now: true,
        start: Some(Start::AfterPosition(0)),
        ..Default::default()
    };
    let mut stream = served.notifications().watch_events(watch).await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(Item::Event(event)) = message.item {
            told.push(event.r#type());
        }
    }
    told
}

fn threshold(credits: &str) -> Vec<BalanceThreshold> {
    vec![BalanceThreshold { threshold: Some(balance_threshold::Threshold::Credits(credits.into())) }]
}

#[allow(clippy::unnecessary_wraps)] // as requests take it
fn margin(percent: Option<i32>, min_credits: Option<&str>) -> Option<AlertMargin> {
    Some(AlertMargin { percent, min_credits: min_credits.map(str::to_owned) })
}

fn set(served: &Served, margin: Option<AlertMargin>) -> SetBalanceAlertsRequest {
    SetBalanceAlertsRequest {
        context: served.of("acme"),
        thresholds: threshold("5"),
        margin,
        ..Default::default()
    }
}

async fn comes_and_goes(served: &Served, times: usize) {
    for _ in 0..times {
        served.holds().place_hold(served.hold("i", "1")).await.unwrap();
        let release = ReleaseHoldRequest {
            context: served.of("acme"),
            target: Some(HoldTarget::incident("i")),
            ..Default::default()
        };
        served.holds().release_hold(release).await.unwrap();
    }
}

async fn a_hold_that_comes_and_goes_is_told_of_once(on: On) {
    let served = Served::with_credits(on, "5.5").await;
    served.notifications().set_balance_alerts(set(&served, None)).await.unwrap();
    comes_and_goes(&served, 5).await;
    assert_eq!(told(&served).await, [EventType::BalanceLow]);
    // Without a margin each time is told.
    served.notifications().set_balance_alerts(set(&served, margin(Some(0), Some("0")))).await.unwrap();
    comes_and_goes(&served, 1).await;
    let more = [EventType::BalanceRecovered, EventType::BalanceLow, EventType::BalanceRecovered];
    assert_eq!(told(&served).await[1..], more);
    served.verify().await;
}

async fn a_margin_is_set_shown_and_refused(on: On) {
    let served = Served::with_credits(on, "5.5").await;
    let mut alerts = served.notifications();
    let now = async || {
        let of = GetBalanceAlertsRequest { customer_id: "acme".into(), ..Default::default() };
        let alerts = served.notifications().get_balance_alerts(of).await.unwrap().into_inner();
        let BalanceAlerts { alerts, margin, .. } = alerts.alerts.unwrap();
        (alerts.first().map(|alert| (alert.armed_above_credits.clone(), alert.armed)), margin)
    };
    let shown = |above: &str, armed| Some((above.to_owned(), armed));
    assert_eq!(now().await, (None, margin(Some(20), Some("1"))), "no thresholds yet");
    // What is not set has its default, each by itself.
    for (given, above, known) in [
        (None, "6", margin(Some(20), Some("1"))),
        (margin(None, None), "6", margin(Some(20), Some("1"))),
        (margin(Some(50), None), "7.5", margin(Some(50), Some("1"))),
        (margin(None, Some("2.50")), "7.5", margin(Some(20), Some("2.5"))),
        (margin(Some(0), Some("0")), "5", margin(Some(0), Some("0"))),
        (margin(Some(100), Some("1000000000")), "1000000005", margin(Some(100), Some("1000000000"))),
    ] {
        let set = alerts.set_balance_alerts(set(&served, given)).await.unwrap().into_inner();
        assert_eq!(set.alerts.unwrap().margin, known);
        assert_eq!(now().await, (shown(above, true), known));
    }
    // Armed no more once it was told, until the balance is above it by the margin.
    alerts.set_balance_alerts(set(&served, None)).await.unwrap();
    comes_and_goes(&served, 1).await;
    assert_eq!(now().await.0, shown("6", false));
    served.purchases().purchase_credits(served.purchase("1", "more")).await.unwrap();
    assert_eq!(now().await.0, shown("6", true));
    // Of a ledger, and for who has none of its own.
    let default = SetDefaultBalanceAlertsRequest {
        context: served.of(""),
        thresholds: threshold("4"),
        margin: margin(Some(100), None),
    };
    let of_ledger = alerts.set_default_balance_alerts(default.clone()).await.unwrap().into_inner();
    assert_eq!(of_ledger.alerts.unwrap().margin, margin(Some(100), Some("1")));
    let use_default =
        SetBalanceAlertsRequest { context: served.of("acme"), use_default: true, ..Default::default() };
    alerts.set_balance_alerts(use_default.clone()).await.unwrap();
    assert_eq!(now().await, (shown("8", true), margin(Some(100), Some("1"))));
    // With another margin it is another command.
    let other = SetDefaultBalanceAlertsRequest { margin: None, ..default };
    let reused = alerts.set_default_balance_alerts(other).await.unwrap_err();
    assert_eq!(crate::errors::reason(&reused), "REQUEST_ID_REUSED");
    let bad = set(&served, margin(Some(101), Some("-1")));
    let refused = alerts.set_balance_alerts(bad).await.unwrap_err();
    assert_eq!(fields(&refused), ["margin.percent", "margin.min_credits"]);
    let both = SetBalanceAlertsRequest { margin: margin(None, None), ..use_default };
    let refused = alerts.set_balance_alerts(both).await.unwrap_err();
    assert_eq!(fields(&refused), ["margin"]);
    served.verify().await;
}

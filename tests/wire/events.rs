//! Events over a real socket: what each carries, resumed without gap or repeat, followed while others write, shared by a
//! thousand watchers, cut off where the reader does not keep up.

use std::collections::BTreeMap;
use std::sync::Arc;

use creditledger::grpc::wire::event::Payload;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::watch_events_request::Start;
use creditledger::grpc::wire::watch_events_response::Item;
use creditledger::grpc::wire::*;
use creditledger::ledger::event::EventType as Known;
use creditledger::store::Settings;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

use crate::races::Dice;
use crate::served::{On, Served, on_each_engine};

fn client(served: &Served) -> NotificationServiceClient<tonic::transport::Channel> {
    NotificationServiceClient::new(served.channel.clone())
}

fn from_start() -> WatchEventsRequest {
    WatchEventsRequest { start: Some(Start::AfterPosition(0)), ..Default::default() }
}

fn until_now(start: Option<Start>) -> WatchEventsRequest {
    WatchEventsRequest { until_now: true, start, ..Default::default() }
}

async fn watch(served: &Served, request: WatchEventsRequest) -> Streaming<WatchEventsResponse> {
    client(served).watch_events(request).await.unwrap().into_inner()
}

/// The next event, past heartbeats, and the token after it.
async fn next(stream: &mut Streaming<WatchEventsResponse>) -> (Event, String) {
    loop {
        let message = stream.message().await.unwrap().expect("the stream goes on");
        if let Some(Item::Event(event)) = message.item {
            return (event, message.resume_token);
        }
    }
}

/// All events up to the end of a stream that has one.
async fn read(served: &Served, request: WatchEventsRequest) -> Vec<(Event, String)> {
    let mut stream = watch(served, request).await;
    let mut events = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(Item::Event(event)) = message.item {
            events.push((event, message.resume_token));
        }
    }
    events
}

fn names(events: &[(Event, String)]) -> Vec<String> {
    events.iter().map(|(event, _)| name(event)).collect()
}

fn name(event: &Event) -> String {
    Known::from_code(u8::try_from(event.r#type).unwrap()).unwrap().to_string()
}

async fn set_alerts(served: &Served, thresholds: &[&str]) -> SetBalanceAlertsResponse {
    let request = SetBalanceAlertsRequest {
        context: served.of("acme"),
        thresholds: thresholds.iter().map(|text| threshold(text)).collect(),
        ..Default::default()
    };
    client(served).set_balance_alerts(request).await.unwrap().into_inner()
}

fn threshold(text: &str) -> BalanceThreshold {
    use balance_threshold::Threshold;
    let threshold = match text.strip_suffix('%') {
        Some(percent) => Threshold::PercentOfLastPurchase(percent.parse().unwrap()),
        None => Threshold::Credits(text.into()),
    };
    BalanceThreshold { threshold: Some(threshold) }
}

async fn place(served: &Served, incident: &str, credits: &str) {
    served.holds().place_hold(served.hold(incident, credits)).await.unwrap();
}

async fn each_event_carries_what_its_reader_needs(on: On) {
    let served = Served::start(on).await;
    let contact = Contact { name: "Ada".into(), email: "ada@example.org".into(), locale: "pt-BR".into() };
    let customer = CreateCustomerRequest {
        name: "Acme".into(),
        contact: Some(contact.clone()),
        ..served.customer("acme")
    };
    served.customers().create_customer(customer).await.unwrap();
    served.purchases().purchase_credits(served.purchase("10", "o-1")).await.unwrap();
    let set = set_alerts(&served, &["50%", "3"]).await;
    let alerts = set.alerts.unwrap();
    let shown: Vec<_> =
        alerts.alerts.iter().map(|alert| (alert.level_credits.as_str(), alert.armed)).collect();
    assert_eq!((shown, alerts.is_default), (vec![("3", true), ("5", true)], false));
    place(&served, "i-1", "8").await;
    served.holds().record_work(served.work("i-1", 240)).await.unwrap();
    served.holds().settle_hold(served.settle("i-1")).await.unwrap();
    let refused = served.holds().place_hold(served.hold("i-2", "5")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    served.purchases().purchase_credits(served.purchase("20", "o-2")).await.unwrap();
    let events = read(&served, until_now(Some(Start::AfterPosition(0)))).await;
    assert_eq!(
        names(&events),
        [
            "purchase.completed",
            "hold.placed",
            "balance.low",
            "hold.nearly_used",
            "settlement.completed",
            "credits.shortfall",
            "purchase.completed",
            "balance.recovered"
        ]
    );
    for (event, _) in &events {
        assert_eq!((event.customer_id.as_str(), event.customer_name.as_str()), ("acme", "Acme"));
        assert_eq!(event.contact.as_ref(), Some(&contact));
        assert_eq!(event.ledger_id, "main");
        assert_eq!(event.event_id, format!("{}-{}", event.posting_id, event.index));
        assert_eq!(event.balance.as_ref().unwrap().sequence, event.sequence);
        assert!(event.recorded_at.is_some());
    }
    let payload = |nth: usize| events[nth].0.payload.clone().unwrap();
    let Payload::PurchaseEvent(bought) = payload(0) else { panic!("{:?}", payload(0)) };
    assert_eq!(bought.purchase.unwrap().order_id, "o-1");
    let Payload::HoldEvent(placed) = payload(1) else { panic!("{:?}", payload(1)) };
    assert_eq!((placed.credits.as_str(), placed.hold.unwrap().incident_id.as_str()), ("8", "i-1"));
    // One posting, two events: the hold and the thresholds that it crossed, told at once.
    assert_eq!((events[1].0.position, events[1].0.index), (events[2].0.position, 0));
    assert_eq!(events[2].0.index, 1);
    let Payload::BalanceEvent(low) = payload(2) else { panic!("{:?}", payload(2)) };
    let crossed: Vec<_> = low.crossed.iter().map(|crossed| crossed.level_credits.as_str()).collect();
    assert_eq!((low.available_credits.as_str(), crossed), ("2", vec!["3", "5"]));
    assert_eq!(low.crossed[1].threshold, Some(threshold("50%")));
    let forecast = low.forecast.unwrap();
    assert_eq!((forecast.run_out_date, forecast.held_credits.as_str()), (None, "8"), "nothing was used");
    let Payload::SettlementEvent(settled) = payload(4) else { panic!("{:?}", payload(4)) };
    assert_eq!((settled.credits.as_str(), settled.hold.unwrap().settlement.is_some()), ("8", true));
    let Payload::ShortfallEvent(short) = payload(5) else { panic!("{:?}", payload(5)) };
    assert_eq!((short.missing_credits.as_str(), events[5].0.incident_id.as_str()), ("3", "i-2"));
    assert!(short.hold.is_none());
    let Payload::BalanceEvent(recovered) = payload(7) else { panic!("{:?}", payload(7)) };
    assert_eq!((recovered.available_credits.as_str(), recovered.crossed.len()), ("22", 0));
    // GetBalance tells the same forecast of now when it is asked to.
    let asked = GetBalanceRequest { customer_id: "acme".into(), with_forecast: true, ..Default::default() };
    let forecast = served.ledgers().get_balance(asked).await.unwrap().into_inner().forecast.unwrap();
    assert_eq!(forecast.weekly_credits_over_4_weeks, "8", "of a customer who is younger than a week");
    assert!(forecast.run_out_date.unwrap().year > 2025);
    let unasked = GetBalanceRequest { customer_id: "acme".into(), ..Default::default() };
    assert!(served.ledgers().get_balance(unasked).await.unwrap().into_inner().forecast.is_none());
    served.verify().await;
}

async fn a_stream_is_resumed_after_any_event(on: On) {
    let served = Served::with_credits(on, "100").await;
    set_alerts(&served, &["90", "80", "70"]).await;
    for (incident, credits) in [("a", "15"), ("b", "10"), ("c", "10"), ("d", "5")] {
        place(&served, incident, credits).await;
    }
    let all = read(&served, until_now(Some(Start::AfterPosition(0)))).await;
    let told = names(&all);
    assert_eq!(told.iter().filter(|name| *name == "balance.low").count(), 3, "{told:?}");
    for (nth, (event, token)) in all.iter().enumerate() {
        let rest = read(&served, until_now(Some(Start::ResumeToken(token.clone())))).await;
        assert_eq!(rest, all[nth + 1..], "after {}", event.event_id);
        let mut rest = read(&served, until_now(Some(Start::AfterPosition(event.position - 1)))).await;
        rest.retain(|(later, _)| (later.position, later.index) >= (event.position, event.index));
        assert_eq!(rest, all[nth..]);
        // The same for one customer, who has a history of its own.
        let own = WatchEventsRequest {
            customer_id: "acme".into(),
            ..until_now(Some(Start::ResumeToken(token.clone())))
        };
        assert_eq!(read(&served, own).await, all[nth + 1..]);
    }
    // A stream that begins with what comes has nothing to tell, and a token where it begins.
    let mut stream = watch(&served, until_now(None)).await;
    let first = stream.message().await.unwrap().unwrap();
    assert!(matches!(first.item, Some(Item::Heartbeat(_))), "{first:?}");
    place(&served, "e", "1").await;
    let later = read(&served, until_now(Some(Start::ResumeToken(first.resume_token)))).await;
    assert_eq!(names(&later), ["hold.placed"]);
}

async fn filters_leave_out_the_others_and_their_places_go_on(on: On) {
    let served = Served::with_credits(on, "100").await;
    served.customers().create_customer(served.customer("zeta")).await.unwrap();
    let other = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    served.ledgers().create_ledger(other).await.unwrap();
    for n in 0..3 {
        place(&served, &format!("i-{n}"), "1").await;
        let order =
            PurchaseCreditsRequest { context: served.of("zeta"), ..served.purchase("5", &format!("z-{n}")) };
        served.purchases().purchase_credits(order).await.unwrap();
    }
    let of = |customer: &str, types: &[EventType]| WatchEventsRequest {
        customer_id: customer.into(),
        types: types.iter().map(|of| (*of).into()).collect(),
        ..until_now(Some(Start::AfterPosition(0)))
    };
    let zeta = read(&served, of("zeta", &[])).await;
    assert_eq!(names(&zeta), ["purchase.completed"; 3]);
    assert!(zeta.iter().all(|(event, _)| event.customer_id == "zeta"));
    let placed = read(&served, of("", &[EventType::HoldPlaced])).await;
    assert_eq!(names(&placed), ["hold.placed"; 3]);
    let both = read(&served, of("acme", &[EventType::HoldPlaced, EventType::PurchaseCompleted])).await;
    assert_eq!(both.len(), 4);
    assert_eq!(read(&served, of("zeta", &[EventType::HoldPlaced])).await, []);
    let elsewhere = WatchEventsRequest { ledger_id: "other".into(), ..of("", &[]) };
    assert_eq!(read(&served, elsewhere).await, []);
    // The last message of a stream is a heartbeat whose token is past all that was left out.
    let mut stream = watch(&served, of("", &[EventType::BalanceLow])).await;
    let mut last = None;
    while let Some(message) = stream.message().await.unwrap() {
        last = Some(message);
    }
    let Some(WatchEventsResponse { item: Some(Item::Heartbeat(beat)), resume_token }) = last else {
        panic!("{last:?}")
    };
    assert_eq!(u64::try_from(beat.position).unwrap(), served.positions().await[0]);
    assert_eq!(read(&served, until_now(Some(Start::ResumeToken(resume_token)))).await, []);
    let nobody = WatchEventsRequest { customer_id: "nobody".into(), ..from_start() };
    assert_eq!(client(&served).watch_events(nobody).await.unwrap_err().code(), Code::NotFound);
}

async fn watchers_miss_nothing_while_others_write(on: On) {
    const WRITERS: usize = 4;
    const EACH: usize = 60;
    let served = Arc::new(Served::with_credits(on, "1000").await);
    set_alerts(&served, &["900", "10%"]).await;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let served = Arc::clone(&served);
        tasks.spawn(async move {
            for n in 0..EACH {
                place(&served, &format!("w-{writer}-{n}"), "1").await;
            }
            Vec::new()
        });
    }
    // Some leave now and then and come back where they were.
    for seed in 0..6 {
        let served = Arc::clone(&served);
        tasks.spawn(async move {
            let mut dice = Dice(seed);
            let customer_id = if seed % 2 == 0 { String::new() } else { "acme".to_owned() };
            let mut seen = Vec::new();
            let mut start = Start::AfterPosition(0);
            while seen.len() < WRITERS * EACH + 2 {
                let request = WatchEventsRequest {
                    customer_id: customer_id.clone(),
                    start: Some(start),
                    ..from_start()
                };
                let mut stream = watch(&served, request).await;
                let mut left = if seed < 2 { u64::MAX } else { 1 + dice.below(50) };
                let mut token = String::new();
                while left > 0 && seen.len() < WRITERS * EACH + 2 {
                    let (event, after) = next(&mut stream).await;
                    seen.push((event.position, event.index));
                    token = after;
                    left -= 1;
                }
                start = Start::ResumeToken(token);
            }
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(seen, sorted, "neither a repeat nor out of order");
            seen
        });
    }
    let mut seen = Vec::new();
    while let Some(task) = tasks.join_next().await {
        seen.push(task.unwrap());
    }
    let all = read(&served, until_now(Some(Start::AfterPosition(0)))).await;
    assert_eq!(names(&all).iter().filter(|name| *name == "balance.low").count(), 1);
    let places: Vec<_> = all.iter().map(|(event, _)| (event.position, event.index)).collect();
    assert_eq!(places.len(), WRITERS * EACH + 2);
    // Writers have seen nothing.
    for seen in seen.into_iter().filter(|seen| !seen.is_empty()) {
        assert_eq!(seen, places);
    }
}

async fn a_thousand_watchers_hear_the_same(on: On) {
    const WATCHERS: usize = 1_000;
    let served = Served::with_credits(on, "100").await;
    // A connection takes 1,024 streams, but one is slow for all of them.
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut client = NotificationServiceClient::new(served.connect().await);
        for _ in 0..WATCHERS / 4 {
            let mut stream = client.watch_events(WatchEventsRequest::default()).await.unwrap().into_inner();
            // It is there once it has given a sign of life.
            assert!(stream.message().await.unwrap().is_some());
            streams.push(stream);
        }
    }
    for n in 0..5 {
        place(&served, &format!("i-{n}"), "1").await;
    }
    let mut counts = BTreeMap::new();
    for stream in &mut streams {
        let mut heard = Vec::new();
        for _ in 0..5 {
            heard.push(next(stream).await.0.event_id);
        }
        *counts.entry(heard).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [WATCHERS]);
}

async fn a_reader_that_does_not_keep_up_is_cut_off_and_goes_on_where_it_was(on: On) {
    const COMMITS: usize = 700;
    let served = Served::with_credits(on, "1000").await;
    // A small window, so that little is on its way.
    let endpoint = Endpoint::new(served.address.clone()).unwrap().initial_stream_window_size(65_535);
    let mut narrow = NotificationServiceClient::new(endpoint.connect().await.unwrap());
    let mut slow = narrow.watch_events(from_start()).await.unwrap().into_inner();
    let (first, _) = next(&mut slow).await;
    assert_eq!(name(&first), "purchase.completed");
    // It reads nothing more, while each commit is a page that is kept for a while only.
    for n in 0..COMMITS {
        let note = "x".repeat(1_000);
        let hold = PlaceHoldRequest { note, ..served.hold(&format!("i-{n}"), "1") };
        served.holds().place_hold(hold).await.unwrap();
    }
    let mut seen = vec![first.event_id];
    let status = loop {
        match slow.message().await {
            Ok(Some(WatchEventsResponse { item: Some(Item::Event(event)), .. })) => {
                seen.push(event.event_id);
                // All of it, which is what it would hear if memory grew with what it does not read.
                assert!(seen.len() <= COMMITS, "it was not cut off");
            }
            Ok(other) => assert!(other.is_some(), "the stream ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Aborted);
    let details = status.get_details_error_info().unwrap();
    assert_eq!(details.reason, "WATCHER_TOO_SLOW");
    let token = details.metadata["resume_token"].clone();
    let rest = read(&served, until_now(Some(Start::ResumeToken(token)))).await;
    seen.extend(rest.into_iter().map(|(event, _)| event.event_id));
    let all = read(&served, until_now(Some(Start::AfterPosition(0)))).await;
    assert_eq!(seen, all.into_iter().map(|(event, _)| event.event_id).collect::<Vec<_>>());
}

async fn a_ledgers_thresholds_hold_from_the_next_posting_on(on: On) {
    let served = Served::with_credits(on, "10").await;
    let set = |request_id: &str, thresholds: &[&str]| SetDefaultBalanceAlertsRequest {
        margin: None,
        context: Some(context(request_id, "").by("op")),
        thresholds: thresholds.iter().map(|text| threshold(text)).collect(),
    };
    let mut alerts = client(&served);
    let first = alerts.set_default_balance_alerts(set("d-1", &["8", "50%"])).await.unwrap().into_inner();
    assert!(!first.outcome().replayed);
    place(&served, "a", "2").await;
    let second = alerts.set_default_balance_alerts(set("d-2", &["3"])).await.unwrap().into_inner();
    assert!(!second.clone().outcome().replayed);
    // A late repeat of the first changes nothing.
    let repeat = alerts.set_default_balance_alerts(set("d-1", &["50%", "8.0"])).await.unwrap().into_inner();
    assert_eq!(repeat.alerts, second.alerts);
    assert!(repeat.outcome().replayed);
    let other = alerts.set_default_balance_alerts(set("d-1", &["9"])).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);
    place(&served, "b", "5").await;
    let of = GetBalanceAlertsRequest { customer_id: "acme".into(), ..Default::default() };
    let now = alerts.get_balance_alerts(of).await.unwrap().into_inner().alerts.unwrap();
    assert!(now.is_default && now.last_purchase_credits == "10");
    assert_eq!((now.alerts[0].level_credits.as_str(), now.alerts[0].armed), ("3", false));
    let low = WatchEventsRequest {
        types: vec![EventType::BalanceLow.into()],
        ..until_now(Some(Start::AfterPosition(0)))
    };
    let levels: Vec<String> = read(&served, low)
        .await
        .into_iter()
        .map(|(event, _)| match event.payload {
            Some(Payload::BalanceEvent(low)) => low.crossed[0].level_credits.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(levels, ["8", "3"]);
}

on_each_engine! {
    each_event_carries_what_its_reader_needs
    a_stream_is_resumed_after_any_event
    filters_leave_out_the_others_and_their_places_go_on
    watchers_miss_nothing_while_others_write
    a_thousand_watchers_hear_the_same
    a_reader_that_does_not_keep_up_is_cut_off_and_goes_on_where_it_was
    a_ledgers_thresholds_hold_from_the_next_posting_on
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_sets_and_posts_another_knows_and_tells() {
    if !crate::postgres::available() {
        return;
    }
    let url = crate::postgres::database().await;
    let one = Served::at(&url, &Settings::default(), None).await;
    let other = Served::at(&url, &Settings::default(), None).await;
    one.buy("100").await;
    let mut stream = watch(&other, WatchEventsRequest::default()).await;
    assert!(stream.message().await.unwrap().is_some());
    // Each server in turn sets a default, and the other one's very next posting is decided by it.
    let mut left = 100;
    for round in 0..6 {
        let (sets, posts) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let level = left - 5;
        let request = SetDefaultBalanceAlertsRequest {
            margin: None,
            context: Some(context(format!("default-{round}"), "")),
            thresholds: vec![threshold(&level.to_string())],
        };
        client(sets).set_default_balance_alerts(request).await.unwrap();
        let hold = PlaceHoldRequest {
            context: Some(context(format!("hold-{round}"), "acme")),
            ..posts.hold(&format!("i-{round}"), "6")
        };
        posts.holds().place_hold(hold).await.unwrap();
        left -= 6;
        assert_eq!(name(&next(&mut stream).await.0), "hold.placed");
        let (low, _) = next(&mut stream).await;
        let Some(Payload::BalanceEvent(low)) = low.payload else { panic!("{low:?}") };
        assert_eq!(low.crossed[0].level_credits, level.to_string());
    }
    one.verify().await;
}

#[test]
fn types_are_those_of_the_core() {
    for known in Known::ALL {
        let wire = EventType::try_from(i32::from(known.code())).unwrap();
        let expected = format!("EVENT_TYPE_{}", known.name().replacen('.', "_", 1).to_ascii_uppercase());
        assert_eq!(wire.as_str_name(), expected);
    }
    let codes = (1..256).filter(|code| EventType::try_from(*code).is_ok()).count();
    assert_eq!(codes, Known::ALL.len());
}

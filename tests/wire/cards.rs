//! Rate cards over the wire: added, made the default, refused with all that is wrong, and history priced anew.

use creditledger::grpc::wire::rate_card_service_client::RateCardServiceClient;
use creditledger::grpc::wire::*;
use tonic::Code;
use tonic::transport::Channel;

use crate::errors::{fields, reason};
use crate::full_card::full_card;
use crate::served::{On, Served, on_each_engine};

fn client(served: &Served) -> RateCardServiceClient<Channel> {
    RateCardServiceClient::new(served.channel.clone())
}

fn hourly(name: &str, rate: &str) -> RateCard {
    RateCard { rate_card_id: name.into(), credits_per_hour: rate.into(), ..Default::default() }
}

fn create(served: &Served, card: RateCard) -> CreateRateCardRequest {
    CreateRateCardRequest { context: Some(context(served.next(), "").by("op")), rate_card: Some(card) }
}

async fn a_card_is_created_read_listed_and_made_the_default(on: On) {
    let served = Served::with_credits(on, "100").await;
    let mut cards = client(&served);
    let request = create(&served, full_card("mine"));
    let first = cards.create_rate_card(request.clone()).await.unwrap().into_inner();
    let card = first.rate_card.clone().unwrap();
    let expected = RateCard { ledger_id: "main".into(), version: 1, ..full_card("mine") };
    assert_eq!(card, expected);
    // A flat tier makes an hourly rate pointless: legal, and said.
    let warned: Vec<_> = first.warnings.iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!(warned, ["credits_per_hour", "increment_seconds", "minimum_seconds", "packages"]);
    assert_eq!(first.outcome(), CommandOutcome::default());
    let again = cards.create_rate_card(request.clone()).await.unwrap().into_inner();
    assert_eq!(again.rate_card.as_ref().unwrap().version, 1);
    assert!(again.outcome().replayed);
    let other = CreateRateCardRequest { rate_card: Some(hourly("mine", "1")), ..request };
    let clash = cards.create_rate_card(other).await.unwrap_err();
    assert_eq!((clash.code(), reason(&clash).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));

    let second = cards.create_rate_card(create(&served, hourly("mine", "6"))).await.unwrap().into_inner();
    assert_eq!(second.rate_card.unwrap().version, 2);
    let request = SetDefaultRateCardRequest { context: served.of(""), rate_card_id: "mine".into() };
    let default = cards.set_default_rate_card(request).await.unwrap().into_inner().rate_card.unwrap();
    assert_eq!((default.version, default.is_default), (2, true));
    for (version, is_default) in [(0, true), (1, false), (2, true)] {
        let request = GetRateCardRequest { rate_card_id: "mine".into(), version, ..Default::default() };
        let card = cards.get_rate_card(request).await.unwrap().into_inner().rate_card.unwrap();
        assert_eq!((card.version.max(version), card.is_default), (card.version, is_default));
    }
    let mut listed = Vec::new();
    let mut request = ListRateCardsRequest { page_size: 2, ..Default::default() };
    loop {
        let page = cards.list_rate_cards(request.clone()).await.unwrap().into_inner();
        listed.extend(page.rate_cards.into_iter().map(|card| (card.rate_card_id, card.version)));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let named = [
        ("flat-then-quoted", 1),
        ("half-hour", 1),
        ("mine", 1),
        ("mine", 2),
        ("prepaid", 1),
        ("three-lines", 1),
    ];
    assert_eq!(listed, named.map(|(name, version)| (name.to_owned(), version)));
    // It prices at once, whatever the caller's next call is.
    let mut holds = served.holds();
    holds.place_hold(served.hold("i", "6")).await.unwrap();
    holds.record_work(served.work("i", 60)).await.unwrap();
    let settled = holds.settle_hold(served.settle("i")).await.unwrap().into_inner().outcome().hold.unwrap();
    assert_eq!(settled.settlement.unwrap().charged_credits, "6");
    let preview = PreviewChargeRequest { work_seconds: 1_800, ..Default::default() };
    assert_eq!(cards.preview_charge(preview).await.unwrap().into_inner().credits, "3");
    served.verify().await;
}

async fn a_card_that_contradicts_itself_is_refused_with_all_that_is_wrong(on: On) {
    let served = Served::start(on).await;
    let class = |min: &str, max: &str| IncidentClassRule {
        incident_class: "a".into(),
        estimate_min_credits: min.into(),
        estimate_max_credits: max.into(),
        ..Default::default()
    };
    let bad = RateCard {
        credits_per_hour: "-1".into(),
        charge_scale: -1,
        increment_seconds: -1,
        classes: vec![class("3", "1"), class("1", "2"), class("1", "2"), class("1", "")],
        lines: vec![LineRate { line: "l".into(), free: true, credits_per_hour: "1".into() }],
        multipliers: vec![Multiplier { label: "m".into(), factor: "0".into() }],
        ..hourly("bad", "")
    };
    let refused = client(&served).create_rate_card(create(&served, bad)).await.unwrap_err();
    let mut named = fields(&refused);
    named.sort();
    let mut expected = [
        "charge_scale",
        "classes[0].estimate_min_credits",
        "classes[2]",
        "classes[3].estimate_max_credits",
        "credits_per_hour",
        "increment_seconds",
        "lines[0].credits_per_hour",
        "multipliers[0].factor",
    ]
    .map(|field| format!("rate_card.{field}"));
    expected.sort();
    assert_eq!((refused.code(), named), (Code::InvalidArgument, expected.to_vec()));
    // Parts that are right one by one, and wrong together.
    let elapsed = RateCard {
        time_basis: TimeBasis::Elapsed.into(),
        charge_scale: 0,
        minimum_credits: "0.5".into(),
        lines: vec![LineRate { line: "l".into(), free: true, ..Default::default() }],
        ..hourly("bad", "0")
    };
    let refused = client(&served).create_rate_card(create(&served, elapsed)).await.unwrap_err();
    assert_eq!(
        fields(&refused),
        ["rate_card.credits_per_hour", "rate_card.minimum_credits", "rate_card.lines"]
    );
    let missing = CreateRateCardRequest { rate_card: None, ..create(&served, hourly("bad", "1")) };
    assert_eq!(fields(&client(&served).create_rate_card(missing).await.unwrap_err()), ["rate_card"]);
    let unknown = SetDefaultRateCardRequest { context: served.of(""), rate_card_id: "bad".into() };
    let refused = client(&served).set_default_rate_card(unknown).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RATE_CARD_NOT_FOUND"));
}

async fn history_is_priced_anew_and_nothing_moves(on: On) {
    let served = Served::with_credits(on, "100").await;
    let mut holds = served.holds();
    // Estimated by time: an estimate in credits would be a quote, which the third card below would take.
    let hold = |incident: &str| PlaceHoldRequest {
        quote: Some(place_hold_request::Quote::EstimatedSeconds(1_800)),
        ..served.hold(incident, "1")
    };
    for (incident, minutes) in [("a", 10), ("b", 45), ("c", 60), ("d", 31)] {
        holds.place_hold(hold(incident)).await.unwrap();
        holds.record_work(served.work(incident, minutes)).await.unwrap();
        holds.settle_hold(served.settle(incident)).await.unwrap();
    }
    // One that was opened again: 10 minutes, then 31 more.
    holds.place_hold(hold("a")).await.unwrap();
    holds.record_work(served.work("a", 31)).await.unwrap();
    holds.settle_hold(served.settle("a")).await.unwrap();
    let before = served.positions().await;
    let ask = |card: &str| PreviewChargeRequest {
        customer_id: "acme".into(),
        rate_card_id: card.into(),
        created_from: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    let mut cards = client(&served);
    // prepaid: 1 + 1.5 + 2 + 1.03, and 41 min in all cost 1.37, the 10 before 1: 0.37.
    let same = cards.preview_charge(ask("prepaid")).await.unwrap().into_inner().what_if.unwrap();
    let sums = |what_if: &WhatIf| {
        [&what_if.charged_credits, &what_if.preview_credits, &what_if.difference_credits].map(String::clone)
    };
    assert_eq!(
        (same.settlements, sums(&same), same.differences.len()),
        (5, ["5.9", "5.9", "0"].map(str::to_owned), 0)
    );
    // half-hour: 1 + 2 + 2 + 2, and 41 min cost 2, the 10 before 1.
    let answer = cards.preview_charge(ask("half-hour")).await.unwrap().into_inner();
    assert_eq!((answer.credits.as_str(), answer.steps.len()), ("8", 0));
    let other = answer.what_if.unwrap();
    assert_eq!((other.settlements, sums(&other)), (5, ["5.9", "8", "2.1"].map(str::to_owned)));
    let differing: Vec<_> = other
        .differences
        .iter()
        .map(|by| (by.incident_id.as_str(), by.charged_credits.as_str(), by.preview_credits.as_str()))
        .collect();
    assert_eq!(differing, [("a", "0.37", "1"), ("d", "1.03", "2"), ("b", "1.5", "2")]);
    // flat-then-quoted: what took 25 minutes or more would have needed a quote.
    let flat = cards.preview_charge(ask("flat-then-quoted")).await.unwrap().into_inner().what_if.unwrap();
    assert_eq!((flat.settlements, flat.rejected), (1, 4));
    assert_eq!(
        (sums(&flat), flat.rejected_charged_credits.as_str()),
        (["1", "1", "0"].map(str::to_owned), "4.9")
    );
    assert!(flat.differences.iter().all(|by| by.rejection == "QUOTE_REQUIRED"));

    let nobody = PreviewChargeRequest { customer_id: String::new(), ..ask("prepaid") };
    assert_eq!(fields(&cards.preview_charge(nobody).await.unwrap_err()), ["customer_id"]);
    let past = PreviewChargeRequest {
        created_from: None,
        created_until: Some(prost_types::Timestamp::default()),
        ..ask("prepaid")
    };
    let none = cards.preview_charge(past).await.unwrap().into_inner().what_if.unwrap();
    assert_eq!((none.settlements, none.preview_credits.as_str()), (0, "0"));
    assert_eq!(served.positions().await, before);
}

async fn a_receipt_tells_the_rules_and_the_time_before(on: On) {
    let served = Served::with_credits(on, "100").await;
    let mut holds = served.holds();
    for minutes in [20, 20] {
        holds.place_hold(served.timed_hold("a", 60)).await.unwrap();
        holds.record_work(served.work("a", minutes)).await.unwrap();
        holds.settle_hold(served.settle("a")).await.unwrap();
    }
    let receipt = GetReceiptRequest {
        customer_id: "acme".into(),
        target: Some(HoldTarget::incident("a")),
        ..Default::default()
    };
    let receipt = holds.get_receipt(receipt).await.unwrap().into_inner().receipt.unwrap();
    let inputs = receipt.inputs.unwrap();
    let before = WorkTime { work_seconds: 1_200, elapsed_seconds: 1_200, lines: Vec::new() };
    assert_eq!((inputs.work_seconds, inputs.work_before), (1_200, Some(before)));
    assert_eq!((receipt.rules_number, inputs.charged_before_credits.as_str()), (3, "0"));
    let last = receipt.steps.last().unwrap();
    assert_eq!((last.rule(), last.credits.as_str()), (StepRule::PriceBefore, "0.33"));
    let all = ListPostingsRequest { customer_id: "acme".into(), ..Default::default() };
    let postings = served.ledgers().list_postings(all).await.unwrap().into_inner().postings;
    assert!(postings.len() > 5 && postings.iter().all(|posting| posting.rules_number == 3), "{postings:?}");
    served.verify().await;
}

async fn circumstances_reach_the_charge(on: On) {
    let served = Served::with_credits(on, "100").await;
    let mut cards = client(&served);
    let priced = RateCard {
        multipliers: vec![
            Multiplier { label: "after-hours".into(), factor: "1.5".into() },
            Multiplier { label: "on-site".into(), factor: "2".into() },
        ],
        lines: vec![LineRate { line: "first".into(), free: true, ..Default::default() }],
        emergency: EmergencyPolicy::FreeUnlessKbAnswered.into(),
        ..hourly("mine", "2")
    };
    cards.create_rate_card(create(&served, priced)).await.unwrap();
    let default = SetDefaultRateCardRequest { context: served.of(""), rate_card_id: "mine".into() };
    cards.set_default_rate_card(default).await.unwrap();
    let mut holds = served.holds();
    let on_hold = PlaceHoldRequest { labels: vec!["after-hours".into()], ..served.hold("a", "2") };
    let placed = holds.place_hold(on_hold).await.unwrap().into_inner().outcome().hold.unwrap();
    assert_eq!((placed.labels.as_slice(), placed.quoted), (&["after-hours".to_owned()][..], true));
    let free = RecordWorkRequest { line: "first".into(), ..served.work("a", 30) };
    holds.record_work(free).await.unwrap();
    let labelled = RecordWorkRequest { labels: vec!["on-site".into()], ..served.work("a", 60) };
    holds.record_work(labelled).await.unwrap();
    let settled = holds.settle_hold(served.settle("a")).await.unwrap().into_inner().outcome().hold.unwrap();
    assert_eq!(settled.settlement.unwrap().charged_credits, "4");
    let receipt = GetReceiptRequest { target: Some(HoldTarget::hold(settled.hold_id)), ..Default::default() };
    let inputs = holds.get_receipt(receipt).await.unwrap().into_inner().receipt.unwrap().inputs.unwrap();
    assert_eq!(inputs.labels, ["after-hours", "on-site"]);
    let lines: Vec<_> = inputs.lines.iter().map(|time| (time.line.as_str(), time.work_seconds)).collect();
    assert_eq!(lines, [("first", 1_800), ("", 3_600)]);

    holds.place_hold(served.hold("b", "2")).await.unwrap();
    holds.record_work(served.work("b", 60)).await.unwrap();
    let emergency = SettleHoldRequest { emergency: Some(true), ..served.settle("b") };
    let settled = holds.settle_hold(emergency).await.unwrap().into_inner().outcome().hold.unwrap();
    assert_eq!(settled.settlement.unwrap().charged_credits, "0");
    let charge = ChargeIncidentRequest {
        context: served.of("acme"),
        incident_id: "c".into(),
        work_seconds: 3_600,
        labels: vec!["after-hours".into()],
        emergency: true,
        kb_answered: true,
        ..Default::default()
    };
    let charged = holds.charge_incident(charge).await.unwrap().into_inner().outcome().hold.unwrap();
    assert_eq!(charged.settlement.unwrap().charged_credits, "3");
    served.verify().await;
}

async fn estimates_are_compared_with_charges_by_class(on: On) {
    let served = Served::with_credits(on, "100").await;
    let mut holds = served.holds();
    for (incident, class, minutes) in
        [("a", "price-plans", 45), ("b", "price-plans", 150), ("c", "sales", 10)]
    {
        let estimated = Some(place_hold_request::Quote::EstimatedSeconds(3_600));
        let hold =
            PlaceHoldRequest { incident_class: class.into(), quote: estimated, ..served.hold(incident, "1") };
        holds.place_hold(hold).await.unwrap();
        holds.record_work(served.work(incident, minutes)).await.unwrap();
        holds.settle_hold(served.settle(incident)).await.unwrap();
    }
    let mut cards = client(&served);
    let mut request = GetIncidentClassStatsRequest { page_size: 1, ..Default::default() };
    let first = cards.get_incident_class_stats(request.clone()).await.unwrap().into_inner();
    let percentiles = |p50: &str, p80: &str, p95: &str| {
        Some(Percentiles { p50: p50.into(), p80: p80.into(), p95: p95.into() })
    };
    let plans = IncidentClassStats {
        incident_class: "price-plans".into(),
        incidents: 2,
        estimated_credits: "4".into(),
        charged_credits: "6.5".into(),
        charged: percentiles("1.5", "5", "5"),
        incidents_with_estimate: 2,
        charged_to_estimated: percentiles("0.75", "2.5", "2.5"),
        share_over_estimate: "0.5".into(),
        hold_covering_80_percent_credits: "5".into(),
    };
    assert_eq!(first.classes, [plans]);
    request.page_token = first.next_page_token;
    let second = cards.get_incident_class_stats(request).await.unwrap().into_inner();
    let sales = IncidentClassStats {
        incident_class: "sales".into(),
        incidents: 1,
        estimated_credits: "0".into(),
        charged_credits: "0".into(),
        charged: percentiles("0", "0", "0"),
        hold_covering_80_percent_credits: "0".into(),
        ..Default::default()
    };
    assert_eq!((second.classes, second.next_page_token.as_str()), (vec![sales], ""));
}

on_each_engine! {
    a_receipt_tells_the_rules_and_the_time_before
    estimates_are_compared_with_charges_by_class
    a_card_is_created_read_listed_and_made_the_default
    a_card_that_contradicts_itself_is_refused_with_all_that_is_wrong
    history_is_priced_anew_and_nothing_moves
    circumstances_reach_the_charge
}

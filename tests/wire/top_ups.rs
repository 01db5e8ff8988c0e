//! Automatic top-ups over a real socket: agreed, requested, told, answered; refused where the settings make no sense.

use std::sync::Arc;

use creditledger::grpc::wire::event::Payload;
use creditledger::grpc::wire::watch_events_request::Start;
use creditledger::grpc::wire::watch_events_response::Item;
use creditledger::grpc::wire::*;

use creditledger::ledger::commands::{CreateCustomer, ReportTopUp, Said};
use creditledger::ledger::decide::decide;
use creditledger::ledger::top_up::TopUpAnswer;
use creditledger::ledger::{
    Command, Credits, LedgerNo, Posting, Request, RequestKey, Terms, Text, Timestamp, TopUp,
};
use creditledger::store::{Engine, Settings};
use creditledger::{clock, writer};

use crate::errors::fields;
use crate::served::{On, Served, on_each_engine};

on_each_engine! {
    a_storefront_is_asked_and_answers_with_a_purchase
    what_makes_no_sense_is_refused_and_leaves_nothing
    what_is_taken_back_sets_off_no_request
    a_storefront_reports_what_a_payment_comes_to
}

fn settings() -> TopUpSettings {
    TopUpSettings {
        below_credits: "5".into(),
        target_credits: "20.0".into(),
        monthly_cap_credits: Some("100".into()),
        ..TopUpSettings::default()
    }
}

fn set(served: &Served, top_up: Option<TopUpSettings>) -> SetCustomerTermsRequest {
    SetCustomerTermsRequest {
        context: Some(context(served.next(), "acme").by("op")),
        update_mask: Some(prost_types::FieldMask { paths: vec!["top_up".into()] }),
        top_up,
        ..SetCustomerTermsRequest::default()
    }
}

async fn acme(served: &Served) -> Customer {
    customer(served, "acme").await
}

async fn customer(served: &Served, customer_id: &str) -> Customer {
    let request = GetCustomerRequest { customer_id: customer_id.into(), ..Default::default() };
    served.customers().get_customer(request).await.unwrap().into_inner().customer.unwrap()
}

/// The requests that were told so far.
async fn asked(served: &Served) -> Vec<Event> {
    told(served, EventType::TopUpRequested).await
}

async fn told(served: &Served, event: EventType) -> Vec<Event> {
    let watch = WatchEventsRequest {
        types: vec![event.into()],
        until_now: true,
        start: Some(Start::AfterPosition(0)),
        ..Default::default()
    };
    let mut stream = served.notifications().watch_events(watch).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(Item::Event(event)) = message.item {
            events.push(event);
        }
    }
    events
}

async fn a_storefront_is_asked_and_answers_with_a_purchase(on: On) {
    let served = Served::start(on).await;
    let contact = Contact { name: "Ada".into(), email: "ada@example.org".into(), locale: "pt-BR".into() };
    let customer = CreateCustomerRequest { contact: Some(contact.clone()), ..served.customer("acme") };
    served.customers().create_customer(customer).await.unwrap();
    served.purchases().purchase_credits(served.purchase("10", "o-1")).await.unwrap();
    let request = set(&served, Some(settings()));
    let first = served.customers().set_customer_terms(request.clone()).await.unwrap().into_inner();
    let shown = TopUpSettings {
        target_credits: "20".into(),
        cool_down_seconds: 3_600,
        lapse_seconds: 86_400,
        ..settings()
    };
    assert_eq!(first.customer.clone().unwrap().terms.unwrap().top_up, Some(shown.clone()));
    // The same in other words is the same; with another cap it is another command.
    let spelled = SetCustomerTermsRequest { top_up: Some(shown.clone()), ..request.clone() };
    let again = served.customers().set_customer_terms(spelled).await.unwrap().into_inner();
    let (first, again) = (first.outcome(), again.outcome());
    assert_eq!((again.replayed, &again.posting), (true, &first.posting));
    let other = TopUpSettings { monthly_cap_credits: None, ..settings() };
    let other = SetCustomerTermsRequest { top_up: Some(other), ..request };
    let reused = served.customers().set_customer_terms(other).await.unwrap_err();
    assert_eq!(crate::errors::reason(&reused), "REQUEST_ID_REUSED");

    served.holds().place_hold(served.hold("i-1", "5")).await.unwrap();
    assert_eq!((asked(&served).await.len(), acme(&served).await.open_top_up), (0, None), "5 is not below 5");
    let hold = served.hold("i-2", "2.5");
    served.holds().place_hold(hold.clone()).await.unwrap();
    assert!(served.holds().place_hold(hold).await.unwrap().into_inner().outcome().replayed);
    let events = asked(&served).await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((event.customer_id.as_str(), event.contact.as_ref()), ("acme", Some(&contact)));
    assert_eq!((event.balance.as_ref().unwrap().available_credits.as_str(), event.index), ("2.5", 1));
    let Some(Payload::TopUpEvent(asked_for)) = &event.payload else { panic!("{event:?}") };
    let told = [
        &asked_for.credits,
        &asked_for.available_credits,
        &asked_for.below_credits,
        &asked_for.target_credits,
    ];
    assert_eq!(told, ["17.5", "2.5", "5", "20"]);
    assert_eq!(asked_for.top_up_id, event.posting_id);
    let recorded_at = event.recorded_at.unwrap();
    assert_eq!(asked_for.lapses_at.unwrap().seconds, recorded_at.seconds + 86_400);
    let open = TopUpRequest {
        top_up_id: asked_for.top_up_id.clone(),
        credits: "17.5".into(),
        requested_at: Some(recorded_at),
        lapses_at: asked_for.lapses_at,
        charge_until: asked_for.charge_until,
    };
    let customer = acme(&served).await;
    assert_eq!(
        (customer.open_top_up.as_ref(), customer.top_up_month_credits.as_str()),
        (Some(&open), "17.5")
    );
    let list = ListCustomersRequest::default();
    let listed = served.customers().list_customers(list).await.unwrap().into_inner().customers;
    assert_eq!(listed[0].open_top_up.as_ref(), Some(&open));

    // Settings that are taken away leave it in flight; the purchase answers it, once.
    let cleared = served.customers().set_customer_terms(set(&served, None)).await.unwrap().into_inner();
    let cleared = cleared.customer.unwrap();
    assert_eq!((cleared.terms.unwrap().top_up, cleared.open_top_up), (None, Some(open)));
    let order = served.purchase("17.5", "top-up-1");
    served.purchases().purchase_credits(order).await.unwrap();
    let customer = acme(&served).await;
    assert_eq!((customer.open_top_up, customer.top_up_month_credits.as_str()), (None, "17.5"));
    assert_eq!(customer.balance.unwrap().available_credits, "20");
    assert_eq!(asked(&served).await.len(), 1);
    served.verify().await;
}

async fn what_makes_no_sense_is_refused_and_leaves_nothing(on: On) {
    let served = Served::with_credits(on, "1").await;
    let bad = TopUpSettings {
        below_credits: "5".into(),
        target_credits: "5".into(),
        monthly_cap_credits: Some("0".into()),
        cool_down_seconds: 59,
        lapse_seconds: -1,
    };
    let names = ["monthly_cap_credits", "cool_down_seconds", "lapse_seconds", "target_credits"];
    let status = served.customers().set_customer_terms(set(&served, Some(bad.clone()))).await.unwrap_err();
    assert_eq!(fields(&status), names.map(|name| format!("top_up.{name}")));
    let terms = Some(CustomerTerms { top_up: Some(bad), ..Default::default() });
    let create = CreateCustomerRequest { terms, ..served.customer("zeta") };
    let status = served.customers().create_customer(create).await.unwrap_err();
    assert_eq!(fields(&status), names.map(|name| format!("terms.top_up.{name}")));
    let short = TopUpSettings { monthly_cap_credits: Some("14.9999".into()), ..settings() };
    let status = served.customers().set_customer_terms(set(&served, Some(short))).await.unwrap_err();
    assert_eq!(fields(&status), ["top_up.monthly_cap_credits"]);
    let customer = acme(&served).await;
    assert_eq!((customer.terms.unwrap().top_up, customer.open_top_up), (None, None));
    assert_eq!((customer.top_up_month_credits.as_str(), asked(&served).await.len()), ("0", 0));
    // From the start of a customer: nothing is available, so it is asked at once.
    let terms = Some(CustomerTerms { top_up: Some(settings()), ..Default::default() });
    let create = CreateCustomerRequest { terms, ..served.customer("zeta") };
    let made = served.customers().create_customer(create).await.unwrap().into_inner().customer.unwrap();
    assert_eq!(made.open_top_up.unwrap().credits, "20");
    assert_eq!(served.verify().await, 3);
}

async fn what_is_taken_back_sets_off_no_request(on: On) {
    let served = Served::start(on).await;
    let target = |customer_id: &str| Some(PurchaseTarget::order("web", customer_id));
    for customer_id in ["refunded", "disputed"] {
        served.customers().create_customer(served.customer(customer_id)).await.unwrap();
        let purchase =
            PurchaseCreditsRequest { context: served.of(customer_id), ..served.purchase("10", customer_id) };
        served.purchases().purchase_credits(purchase).await.unwrap();
        let set = SetCustomerTermsRequest {
            context: served.of(customer_id),
            update_mask: Some(prost_types::FieldMask { paths: vec!["top_up".into()] }),
            top_up: Some(settings()),
            ..Default::default()
        };
        served.customers().set_customer_terms(set).await.unwrap();
    }
    let refund = RefundPurchaseRequest {
        context: served.of("refunded"),
        target: target("refunded"),
        credits: "10".into(),
        ..Default::default()
    };
    let refunded = served.purchases().refund_purchase(refund).await.unwrap().into_inner();
    assert_eq!(refunded.outcome().balance.unwrap().available_credits, "0");
    let dispute = RecordChargebackRequest {
        context: served.of("disputed"),
        target: target("disputed"),
        ..Default::default()
    };
    let disputed = served.purchases().record_chargeback(dispute).await.unwrap().into_inner();
    assert_eq!(disputed.outcome().balance.unwrap().available_credits, "0");
    let decision = ResolveChargebackRequest {
        context: served.of("disputed"),
        target: target("disputed"),
        outcome: ChargebackOutcome::Lost.into(),
    };
    served.purchases().resolve_chargeback(decision).await.unwrap();
    for customer_id in ["refunded", "disputed"] {
        let now = customer(&served, customer_id).await;
        assert_eq!((now.open_top_up, now.top_ups_paused), (None, true), "{customer_id}");
    }
    assert_eq!(asked(&served).await, []);
    // What one of them uses after that asks again.
    let purchase = PurchaseCreditsRequest { context: served.of("refunded"), ..served.purchase("6", "again") };
    served.purchases().purchase_credits(purchase).await.unwrap();
    assert!(!customer(&served, "refunded").await.top_ups_paused);
    let hold = PlaceHoldRequest { context: served.of("refunded"), ..served.hold("i", "2") };
    served.holds().place_hold(hold).await.unwrap();
    assert_eq!(customer(&served, "refunded").await.open_top_up.unwrap().credits, "16");
    served.verify().await;
}

async fn a_storefront_reports_what_a_payment_comes_to(on: On) {
    let served = Served::with_credits(on, "2").await;
    let asked_for = served.customers().set_customer_terms(set(&served, Some(settings()))).await.unwrap();
    let open = asked_for.into_inner().customer.unwrap().open_top_up.unwrap();
    assert_eq!(open.charge_until.unwrap().seconds, open.lapses_at.unwrap().seconds + 3_600);
    let report = |report: TopUpReport, until: Option<i64>| ReportTopUpRequest {
        context: Some(context(served.next(), "acme").by("shop").because("insufficient funds")),
        top_up_id: open.top_up_id.clone(),
        report: report.into(),
        pending_until: until
            .map(|more| prost_types::Timestamp { seconds: open.lapses_at.unwrap().seconds + more, nanos: 0 }),
    };
    let reported = async |request| {
        let answer = served.purchases().report_top_up(request).await?.into_inner();
        Ok::<_, tonic::Status>((answer.clone().outcome(), answer.customer.unwrap()))
    };
    // It stands longer, and never shorter.
    let (outcome, longer) = reported(report(TopUpReport::Pending, Some(3_600))).await.unwrap();
    assert_eq!(outcome.posting.as_ref().unwrap().kind(), PostingKind::ReportTopUp);
    let stands = longer.open_top_up.unwrap();
    assert_eq!(stands.lapses_at.unwrap().seconds, open.lapses_at.unwrap().seconds + 3_600);
    let (_, same) = reported(report(TopUpReport::Pending, Some(-3_600))).await.unwrap();
    assert_eq!(same.open_top_up.as_ref(), Some(&stands));
    // What makes no sense is refused, all at once, and leaves nothing.
    let before = served.positions().await;
    let silent = |request: ReportTopUpRequest| ReportTopUpRequest {
        context: Some(context(served.next(), "acme")),
        ..request
    };
    for (request, wrong) in [
        (silent(report(TopUpReport::Declined, Some(9))), &["context.reason", "pending_until"][..]),
        (report(TopUpReport::Pending, None), &["pending_until"]),
        (report(TopUpReport::Pending, Some(-90_000)), &["pending_until"]),
        (report(TopUpReport::Pending, Some(31 * 86_400)), &["pending_until"]),
        (report(TopUpReport::Unspecified, None), &["report"]),
        (ReportTopUpRequest { top_up_id: "x".into(), ..report(TopUpReport::Declined, None) }, &["top_up_id"]),
    ] {
        let refused = reported(request.clone()).await.unwrap_err();
        assert_eq!(fields(&refused), wrong, "{request:?}");
    }
    let other =
        ReportTopUpRequest { top_up_id: acme_posting(&outcome), ..report(TopUpReport::Declined, None) };
    let refused = reported(other).await.unwrap_err();
    assert_eq!(
        (refused.code(), crate::errors::reason(&refused).as_str()),
        (tonic::Code::NotFound, "TOP_UP_NOT_FOUND")
    );
    assert_eq!(served.positions().await, before);
    // Declined, it is over, counts to no cap, and the next one waits. Why is kept with the posting.
    let declined = report(TopUpReport::Declined, None);
    let (outcome, now) = reported(declined.clone()).await.unwrap();
    assert_eq!(outcome.posting.as_ref().unwrap().reason, "insufficient funds");
    assert_eq!(
        (now.open_top_up, now.top_up_month_credits.as_str(), now.top_ups_suspended),
        (None, "0", false)
    );
    served.holds().place_hold(served.hold("i", "1")).await.unwrap();
    assert_eq!((acme(&served).await.open_top_up, asked(&served).await.len()), (None, 1));
    let (again, _) = reported(declined).await.unwrap();
    assert!(again.replayed && again.posting == outcome.posting);
    let late = reported(report(TopUpReport::Declined, None)).await.unwrap_err();
    assert_eq!(crate::errors::reason(&late), "TOP_UP_NOT_FOUND");
    served.verify().await;
}

/// The id of another posting, which is no request.
fn acme_posting(outcome: &CommandOutcome) -> String {
    outcome.posting.as_ref().unwrap().posting_id.clone()
}

/// Runs a command as if it were `at` another time, before the server starts.
async fn earlier(engine: &mut Engine, at: Timestamp, command: Command) -> Arc<Posting> {
    let request =
        (command != Command::ApplyDue).then(|| RequestKey::parse(&at.micros().to_string()).unwrap());
    let said = Said { reason: Text::parse("the card has expired").unwrap(), ..Said::default() };
    let customer = creditledger::ledger::CustomerId::parse("acme").unwrap();
    let request = Request { ledger: LedgerNo::MAIN, customer, request, said, command };
    let mut cards = Arc::new(creditledger::cards::built_in());
    let random = at.micros().unsigned_abs();
    let mut book = engine.writers[0].load(&[&request], at, random, &mut cards).await.unwrap();
    let answer = decide(&mut book, &request).unwrap().unwrap();
    engine.writers[0].append(&book).await.unwrap();
    answer.posting
}

#[tokio::test]
async fn the_fourth_decline_is_told_with_its_reason_and_a_purchase_begins_anew() {
    let mut engine = creditledger::store::open("memory:", clock::now(), &Settings::default()).await.unwrap();
    let mut at = clock::now().plus_seconds(-60 * 86_400);
    let top_up = TopUp {
        below: Credits::whole(5),
        target: Credits::whole(20),
        monthly_cap: None,
        cool_down_seconds: TopUp::COOL_DOWN_SECONDS_DEFAULT,
        lapse_seconds: TopUp::LAPSE_SECONDS_DEFAULT,
    };
    let terms = Terms { top_up: Some(Arc::new(top_up)), ..Terms::default() };
    let create = Command::CreateCustomer(CreateCustomer { terms, ..CreateCustomer::default() });
    let mut requested = earlier(&mut engine, at, create).await;
    for failures in 1..=4 {
        at = at.plus_seconds(60);
        let report = ReportTopUp { top_up: requested.id.into(), answer: TopUpAnswer::Declined };
        earlier(&mut engine, at, Command::ReportTopUp(report)).await;
        if failures < 4 {
            at = at.plus_seconds(86_400);
            requested = earlier(&mut engine, at, Command::ApplyDue).await;
        }
    }
    let served = Served::on(engine, None, writer::Limits::default()).await;
    let now = acme(&served).await;
    assert_eq!((now.top_ups_suspended, now.open_top_up), (true, None));
    let (events, suspended) = (asked(&served).await, told(&served, EventType::TopUpSuspended).await);
    assert_eq!((events.len(), suspended.len()), (4, 1));
    let expected = TopUpSuspendedEvent { top_up_id: requested.id.to_string(), available_credits: "0".into() };
    assert_eq!(suspended[0].payload, Some(Payload::TopUpSuspendedEvent(expected)));
    assert_eq!(suspended[0].reason, "the card has expired");
    served.purchases().purchase_credits(served.purchase("6", "o-1")).await.unwrap();
    served.holds().place_hold(served.hold("i", "2")).await.unwrap();
    let now = acme(&served).await;
    assert_eq!((now.top_ups_suspended, now.open_top_up.unwrap().credits.as_str()), (false, "16"));
    served.verify().await;
}

//! Automatic top-ups over a real socket: agreed, requested, told, answered; refused where the settings make no sense.

use creditledger::grpc::wire::event::Payload;
use creditledger::grpc::wire::watch_events_request::Start;
use creditledger::grpc::wire::watch_events_response::Item;
use creditledger::grpc::wire::*;

use crate::errors::fields;
use crate::served::{On, Served, on_each_engine};

on_each_engine! {
    a_storefront_is_asked_and_answers_with_a_purchase
    what_makes_no_sense_is_refused_and_leaves_nothing
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
    let request = GetCustomerRequest { customer_id: "acme".into(), ..Default::default() };
    served.customers().get_customer(request).await.unwrap().into_inner().customer.unwrap()
}

/// The requests that were told so far.
async fn asked(served: &Served) -> Vec<Event> {
    let watch = WatchEventsRequest {
        types: vec![EventType::TopUpRequested.into()],
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

//! The life of incidents, called as a helpdesk calls it.

use creditledger::grpc::wire::*;

use crate::served::{On, Served, on_each_engine};

async fn an_incident_from_estimate_to_receipt(on: On) {
    let served = Served::with_credits(on, "5").await;
    let mut holds = served.holds();

    let placed = holds.place_hold(served.hold("i-1", "2")).await.unwrap().into_inner().outcome();
    let hold = placed.hold.unwrap();
    assert_eq!(hold.state(), HoldState::Active);
    assert_eq!((hold.held_credits.as_str(), placed.replayed), ("2", false));
    let posting = placed.posting.unwrap();
    assert_eq!((posting.sequence, posting.kind()), (3, PostingKind::PlaceHold));
    assert_eq!(posting.hold_id, hold.hold_id);
    let moved =
        Transfer { debit_account: "available".into(), credit_account: "held".into(), credits: "2".into() };
    assert_eq!(posting.transfers, [moved]);
    let balance = placed.balance.unwrap();
    assert_eq!(
        (balance.available_credits.as_str(), balance.held_credits.as_str(), balance.sequence),
        ("3", "2", 3)
    );

    let worked = holds.record_work(served.work("i-1", 75)).await.unwrap().into_inner();
    let entry = worked.entry.clone().unwrap();
    assert_eq!((entry.work_seconds, entry.solutions), (4_500, 0));
    let outcome = worked.outcome();
    assert_eq!(outcome.posting.unwrap().work_id, entry.work_id);
    let hold = outcome.hold.unwrap();
    let work = hold.work.unwrap();
    assert_eq!((work.entries, work.counted_entries, work.work_seconds, work.solutions), (1, 1, 4_500, 0));

    let settled = holds.settle_hold(served.settle("i-1")).await.unwrap().into_inner().outcome();
    let settlement = settled.hold.unwrap().settlement.unwrap();
    assert_eq!((settlement.charged_credits.as_str(), settlement.from_held_credits.as_str()), ("2.5", "2"));
    assert_eq!(settled.balance.unwrap().available_credits, "2.5");

    let request = GetReceiptRequest {
        customer_id: "acme".into(),
        target: Some(HoldTarget::incident("i-1")),
        ..Default::default()
    };
    let receipt = holds.get_receipt(request).await.unwrap().into_inner().receipt.unwrap();
    assert_eq!(receipt.hold_id, hold.hold_id);
    let rules: Vec<_> = receipt.steps.iter().map(ChargeStep::rule).collect();
    assert_eq!(rules, [StepRule::Time, StepRule::Rate]);
    assert_eq!(receipt.inputs.unwrap().work_seconds, 4_500);
}

async fn parked_holds_are_activated_by_a_purchase(on: On) {
    let served = Served::with_credits(on, "0").await;
    let parked = PlaceHoldRequest { park: true, ..served.hold("i-1", "2") };
    let parked = served.holds().place_hold(parked).await.unwrap().into_inner().outcome().hold.unwrap();
    assert_eq!(parked.state(), HoldState::AwaitingCredits);
    let bought = served
        .purchases()
        .purchase_credits(served.purchase("5", "o-1"))
        .await
        .unwrap()
        .into_inner()
        .outcome();
    let [activated] = bought.activated_holds.try_into().unwrap();
    assert_eq!((activated.hold_id.clone(), activated.state()), (parked.hold_id, HoldState::Active));
    assert_eq!(bought.balance.unwrap().available_credits, "3");
    let purchase = bought.purchase.unwrap();
    assert_eq!((purchase.credits.as_str(), purchase.credited_credits.as_str()), ("5", "5"));
    assert_eq!(purchase.price.unwrap().amount, "19.90");
}

async fn a_repeat_is_answered_from_the_first_posting(on: On) {
    let served = Served::with_credits(on, "5").await;
    let request = served.hold("i-1", "2");
    let first = served.holds().place_hold(request.clone()).await.unwrap().into_inner().outcome();
    let spelled = PlaceHoldRequest {
        context: request.context.clone().map(|context| context.ledger("main")),
        quote: Some(place_hold_request::Quote::Credits("2.00".into())),
        ..request
    };
    let again = served.holds().place_hold(spelled).await.unwrap().into_inner().outcome();
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.posting, first.posting);
    assert_eq!(again.balance, first.balance);
}

async fn customers_are_changed_by_mask(on: On) {
    let served = Served::with_credits(on, "5").await;
    let mut customers = served.customers();
    let update = UpdateCustomerRequest {
        context: served.of("acme"),
        name: "Acme".into(),
        contact: Some(Contact { email: "a@example.org".into(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["contact".into()] }),
        ..Default::default()
    };
    let updated = customers.update_customer(update).await.unwrap().into_inner().customer.unwrap();
    assert_eq!((updated.name.as_str(), updated.contact.unwrap().email.as_str()), ("", "a@example.org"));
    let terms = SetCustomerTermsRequest {
        context: Some(context(served.next(), "acme").because("renewal")),
        product_purchase_date: Some(Date { year: 2026, month: 1, day: 31 }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["product_purchase_date".into()] }),
        charge_credits: Some("1.5".into()),
        ..Default::default()
    };
    let changed = customers.set_customer_terms(terms).await.unwrap().into_inner();
    let terms = changed.customer.clone().unwrap().terms.unwrap();
    assert_eq!(terms.product_purchase_date, Some(Date { year: 2026, month: 1, day: 31 }));
    assert_eq!(changed.outcome().balance.unwrap().available_credits, "3.5");
    let close = CloseCustomerRequest { context: served.of("acme") };
    assert!(customers.close_customer(close).await.unwrap().into_inner().customer.unwrap().closed);
}

on_each_engine! {
    an_incident_from_estimate_to_receipt
    parked_holds_are_activated_by_a_purchase
    a_repeat_is_answered_from_the_first_posting
    customers_are_changed_by_mask
}

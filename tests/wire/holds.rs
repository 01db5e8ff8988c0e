//! The life of incidents, called as a helpdesk calls it.

use creditledger::grpc::wire::*;

use crate::served::{On, Served, on_each_engine};

async fn an_incident_from_estimate_to_receipt(on: On) {
    let served = Served::with_credits(on, "5").await;
    let mut holds = served.holds();

    let placed = holds.place_hold(served.hold("i-1", "2")).await.unwrap().into_inner();
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
    assert_eq!((balance.available.as_str(), balance.held.as_str(), balance.sequence), ("3", "2", 3));

    let worked = holds.record_work(served.work("i-1", 75)).await.unwrap().into_inner();
    let hold = worked.hold.unwrap();
    assert_eq!((hold.work.len(), hold.work_seconds, hold.work[0].solutions), (1, 4_500, 0));
    assert_eq!(worked.posting.unwrap().work_id, hold.work[0].work_id);

    let settled = holds.settle_hold(served.settle("i-1")).await.unwrap().into_inner();
    let settlement = settled.hold.unwrap().settlement.unwrap();
    assert_eq!((settlement.charged_credits.as_str(), settlement.from_held_credits.as_str()), ("2.5", "2"));
    assert_eq!(settled.balance.unwrap().available, "2.5");

    let request = GetReceiptRequest {
        customer_id: "acme".into(),
        target: Some(get_receipt_request::Target::IncidentId("i-1".into())),
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
    let parked = served.holds().place_hold(parked).await.unwrap().into_inner().hold.unwrap();
    assert_eq!(parked.state(), HoldState::AwaitingCredits);
    let bought = served.purchases().purchase_credits(served.purchase("5", "o-1")).await.unwrap().into_inner();
    let [activated] = bought.activated_holds.try_into().unwrap();
    assert_eq!((activated.hold_id.clone(), activated.state()), (parked.hold_id, HoldState::Active));
    assert_eq!(bought.balance.unwrap().available, "3");
    let purchase = bought.purchase.unwrap();
    assert_eq!((purchase.credits.as_str(), purchase.credited_credits.as_str()), ("5", "5"));
    assert_eq!(purchase.price.unwrap().amount, "19.90");
}

async fn a_repeat_is_answered_from_the_first_posting(on: On) {
    let served = Served::with_credits(on, "5").await;
    let request = served.hold("i-1", "2");
    let first = served.holds().place_hold(request.clone()).await.unwrap().into_inner();
    let spelled = PlaceHoldRequest {
        quote: Some(place_hold_request::Quote::Credits("2.00".into())),
        ledger_id: "main".into(),
        ..request
    };
    let again = served.holds().place_hold(spelled).await.unwrap().into_inner();
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.posting, first.posting);
    assert_eq!(again.balance, first.balance);
}

async fn customers_are_changed_by_mask(on: On) {
    let served = Served::with_credits(on, "5").await;
    let mut customers = served.customers();
    let update = UpdateCustomerRequest {
        request_id: served.next(),
        customer_id: "acme".into(),
        name: "Acme".into(),
        contact: Some(Contact { email: "a@example.org".into(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["contact".into()] }),
        ..Default::default()
    };
    let updated = customers.update_customer(update).await.unwrap().into_inner().customer.unwrap();
    assert_eq!((updated.name.as_str(), updated.contact.unwrap().email.as_str()), ("", "a@example.org"));
    let terms = SetCustomerTermsRequest {
        request_id: served.next(),
        customer_id: "acme".into(),
        product_purchase_date: "2026-01-31".into(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["product_purchase_date".into()] }),
        charge_credits: Some("1.5".into()),
        reason: "renewal".into(),
        ..Default::default()
    };
    let changed = customers.set_customer_terms(terms).await.unwrap().into_inner();
    assert_eq!(changed.customer.unwrap().terms.unwrap().product_purchase_date, "2026-01-31");
    assert_eq!(changed.balance.unwrap().available, "3.5");
    let close =
        CloseCustomerRequest { request_id: served.next(), customer_id: "acme".into(), ..Default::default() };
    assert!(customers.close_customer(close).await.unwrap().into_inner().customer.unwrap().closed);
}

on_each_engine! {
    an_incident_from_estimate_to_receipt
    parked_holds_are_activated_by_a_purchase
    a_repeat_is_answered_from_the_first_posting
    customers_are_changed_by_mask
}

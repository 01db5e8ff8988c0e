//! One posting, one lot, what became of a request, filters of lists, and customers that are reopened.

use std::collections::HashMap;

use creditledger::grpc::wire::*;
use get_posting_request::NamedBy;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::errors::{fields, reason};
use crate::served::{On, Served, on_each_engine};

on_each_engine! {
    a_posting_is_found_by_its_id_and_by_its_request
    a_lot_is_read_with_what_is_left
    rejections_name_the_posting_that_stands_in_the_way
    filters_of_lists_agree_with_what_is_there
    a_closed_customer_is_reopened
}

fn metadata(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().unwrap().metadata
}

fn names(posting: &Posting) -> [(String, String); 2] {
    [("posting_id".into(), posting.posting_id.clone()), ("sequence".into(), posting.sequence.to_string())]
}

async fn a_posting_is_found_by_its_id_and_by_its_request(on: On) {
    let served = Served::with_credits(on, "5").await;
    let request = served.hold("i-1", "2");
    let request_id = request.context.clone().unwrap().request_id;
    let made = served.holds().place_hold(request).await.unwrap().into_inner().outcome().posting.unwrap();
    let mut ledgers = served.ledgers();
    // Positions are given shortly after the commit, at the latest when somebody reads the journal.
    served.positions().await;
    let get = |customer_id: &str, named_by: NamedBy| GetPostingRequest {
        customer_id: customer_id.into(),
        named_by: Some(named_by),
        ..Default::default()
    };
    let by_request = |kind: PostingKind, request_id: &str| {
        NamedBy::Request(AnsweredRequest { kind: kind.into(), request_id: request_id.into() })
    };
    for named_by in
        [NamedBy::PostingId(made.posting_id.clone()), by_request(PostingKind::PlaceHold, &request_id)]
    {
        let found = ledgers.get_posting(get("acme", named_by)).await.unwrap().into_inner().posting.unwrap();
        assert_eq!(found, Posting { position: 3, ..made.clone() });
    }
    for named_by in [
        by_request(PostingKind::PlaceHold, "another"),
        by_request(PostingKind::SettleHold, &request_id),
        NamedBy::PostingId("0190a2b4-c0de-7000-8000-000000000001".into()),
    ] {
        let error = ledgers.get_posting(get("acme", named_by)).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "POSTING_NOT_FOUND"));
    }
    let error = ledgers.get_posting(get("nobody", NamedBy::PostingId(made.posting_id))).await.unwrap_err();
    assert_eq!(reason(&error), "CUSTOMER_NOT_FOUND");
    let error = ledgers.get_posting(GetPostingRequest { customer_id: "acme".into(), ..Default::default() });
    assert_eq!(fields(&error.await.unwrap_err()), ["named_by"]);
}

async fn a_lot_is_read_with_what_is_left(on: On) {
    let served = Served::start(on).await;
    served.customers().create_customer(served.customer("acme")).await.unwrap();
    let bought = served.purchases().purchase_credits(served.purchase("5", "o-1")).await.unwrap();
    let lot_id = bought.into_inner().outcome().purchase.unwrap().purchase_id;
    served.holds().place_hold(served.hold("i-1", "2")).await.unwrap();
    served.holds().record_work(served.work("i-1", 60)).await.unwrap();
    served.holds().settle_hold(served.settle("i-1")).await.unwrap();
    let get = |lot_id: &str| GetLotRequest { lot_id: lot_id.into(), ..Default::default() };
    let lot = served.ledgers().get_lot(get(&lot_id)).await.unwrap().into_inner().lot.unwrap();
    let listed = ListLotsRequest { customer_id: "acme".into(), ..Default::default() };
    let listed = served.ledgers().list_lots(listed).await.unwrap().into_inner().lots;
    assert_eq!(Some(&lot), listed.iter().find(|listed| listed.lot_id == lot_id));
    assert_eq!((lot.credits.as_str(), lot.left_credits.as_str()), ("5", "3"));
    let error = served.ledgers().get_lot(get("0190a2b4-c0de-7000-8000-000000000001")).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "LOT_NOT_FOUND"));
}

async fn rejections_name_the_posting_that_stands_in_the_way(on: On) {
    let served = Served::start(on).await;
    let mut customers = served.customers();
    let first = customers.create_customer(served.customer("zeta")).await.unwrap().into_inner();
    let first = first.outcome().posting.unwrap();
    let error = customers.create_customer(served.customer("zeta")).await.unwrap_err();
    assert_eq!((reason(&error).as_str(), metadata(&error)), ("CUSTOMER_EXISTS", names(&first).into()));

    customers.create_customer(served.customer("acme")).await.unwrap();
    let order = served.purchase("5", "o-1");
    let bought = served.purchases().purchase_credits(order.clone()).await.unwrap().into_inner();
    let bought = bought.outcome().posting.unwrap();
    let changed = PurchaseCreditsRequest { credits: "6".into(), ..order };
    let error = served.purchases().purchase_credits(changed.clone()).await.unwrap_err();
    assert_eq!((reason(&error).as_str(), metadata(&error)), ("REQUEST_ID_REUSED", names(&bought).into()));
    let changed = PurchaseCreditsRequest { context: served.of("acme"), ..changed };
    let error = served.purchases().purchase_credits(changed).await.unwrap_err();
    assert_eq!(
        (reason(&error).as_str(), metadata(&error)),
        ("ORDER_ALREADY_RECORDED", names(&bought).into())
    );
}

async fn filters_of_lists_agree_with_what_is_there(on: On) {
    let served = Served::start(on).await;
    let mut customers = served.customers();
    for (id, name, tier) in [("a", "Ada", "gold"), ("b", "Adam", "iron"), ("c", "Bob", "gold")] {
        let request = CreateCustomerRequest {
            name: name.into(),
            contact: Some(Contact { email: format!("{id}@example.org"), ..Default::default() }),
            metadata: [("tier".to_owned(), tier.to_owned())].into(),
            ..served.customer(id)
        };
        customers.create_customer(request).await.unwrap();
    }
    customers.close_customer(CloseCustomerRequest { context: served.of("b") }).await.unwrap();
    let all = ListCustomersRequest::default();
    for (filter, expected) in [
        (ListCustomersRequest { name_prefix: "Ada".into(), ..all.clone() }, "a b"),
        (ListCustomersRequest { name_prefix: "ada".into(), ..all.clone() }, ""),
        (ListCustomersRequest { contact_email: "c@example.org".into(), ..all.clone() }, "c"),
        (
            ListCustomersRequest {
                metadata_key: "tier".into(),
                metadata_value: "gold".into(),
                ..all.clone()
            },
            "a c",
        ),
        (ListCustomersRequest { closed: Some(true), ..all.clone() }, "b"),
        (ListCustomersRequest { closed: Some(false), name_prefix: "Ad".into(), ..all.clone() }, "a"),
        (ListCustomersRequest { owing: Some(true), ..all.clone() }, ""),
    ] {
        let mut found = Vec::new();
        let mut token = String::new();
        loop {
            let request = ListCustomersRequest { page_size: 1, page_token: token, ..filter.clone() };
            let page = customers.list_customers(request).await.unwrap().into_inner();
            found.extend(page.customers.into_iter().map(|customer| customer.customer_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found.join(" "), expected, "{filter:?}");
    }
    // A token belongs to its filter.
    let first = ListCustomersRequest { page_size: 1, name_prefix: "Ada".into(), ..all.clone() };
    let token = customers.list_customers(first).await.unwrap().into_inner().next_page_token;
    let other =
        ListCustomersRequest { page_size: 1, page_token: token, name_prefix: "Ad".into(), ..all.clone() };
    assert_eq!(fields(&customers.list_customers(other).await.unwrap_err()), ["page_token"]);
    let alone = ListCustomersRequest { metadata_value: "gold".into(), ..all };
    assert_eq!(fields(&customers.list_customers(alone).await.unwrap_err()), ["metadata_value"]);

    served.buy("20").await;
    for (incident, label) in [("i-1", "urgent"), ("i-2", "calm")] {
        let hold = PlaceHoldRequest { labels: vec![label.into()], ..served.hold(incident, "1") };
        served.holds().place_hold(hold).await.unwrap();
    }
    let labelled = ListHoldsRequest { label: "urgent".into(), ..Default::default() };
    let holds = served.holds().list_holds(labelled).await.unwrap().into_inner().holds;
    assert_eq!(holds.iter().map(|hold| hold.incident_id.as_str()).collect::<Vec<_>>(), ["i-1"]);

    let about = |kinds: &[PostingKind], incident: &str, storefront: &str| ListPostingsRequest {
        customer_id: "acme".into(),
        kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
        incident_id: incident.into(),
        storefront: storefront.into(),
        ..Default::default()
    };
    for (request, expected) in [
        (about(&[PostingKind::PlaceHold], "", ""), 2),
        (about(&[PostingKind::PlaceHold, PostingKind::PurchaseCredits], "", ""), 3),
        (about(&[], "i-2", ""), 1),
        (about(&[], "", "web"), 1),
        (about(&[PostingKind::PlaceHold], "", "web"), 0),
        (about(&[], "i-9", ""), 0),
    ] {
        let found = served.ledgers().list_postings(request.clone()).await.unwrap().into_inner().postings;
        assert_eq!(found.len(), expected, "{request:?}");
    }
    let moved =
        ListTransfersRequest { customer_id: "acme".into(), incident_id: "i-2".into(), ..Default::default() };
    let moved = served.ledgers().list_transfers(moved).await.unwrap().into_inner().transfers;
    assert_eq!(moved.iter().map(|moved| moved.incident_id.as_str()).collect::<Vec<_>>(), ["i-2"]);
}

async fn a_closed_customer_is_reopened(on: On) {
    let served = Served::start(on).await;
    let mut customers = served.customers();
    let reopen = || ReopenCustomerRequest {
        context: Some(context(served.next(), "acme").by("ada").because("they renewed")),
    };
    customers.create_customer(served.customer("acme")).await.unwrap();
    let error = customers.reopen_customer(reopen()).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::FailedPrecondition, "CUSTOMER_NOT_CLOSED"));
    customers.close_customer(CloseCustomerRequest { context: served.of("acme") }).await.unwrap();
    let request = reopen();
    let reopened = customers.reopen_customer(request.clone()).await.unwrap().into_inner();
    assert!(!reopened.customer.unwrap().closed);
    let posting = reopened.outcome.unwrap().posting.unwrap();
    assert_eq!(
        (posting.kind(), posting.by.as_str(), posting.reason.as_str()),
        (PostingKind::ReopenCustomer, "ada", "they renewed")
    );
    let again = customers.reopen_customer(request).await.unwrap().into_inner().outcome.unwrap();
    assert!(again.replayed && again.posting.unwrap().posting_id == posting.posting_id);
    served.holds().estimate_incident(served.estimate("i-1", "2")).await.unwrap();
}

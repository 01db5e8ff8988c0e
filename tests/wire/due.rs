//! Reads of one customer show nothing that has expired, although no background task runs here.

use std::time::{Duration, SystemTime};

use creditledger::grpc::wire::*;
use creditledger::ledger::{CustomerId, CustomerKey, LedgerNo};
use creditledger::writer::Limits;
use tonic::Code;

use crate::errors::reason;
use crate::gate::gated;
use crate::served::{On, Served, on_each_engine};

on_each_engine! {
    a_read_of_one_customer_applies_what_is_due
    reads_of_the_past_and_lists_over_customers_apply_nothing
}

/// Customers that bought 10 credits, have one hold of 4, both of which expire. Returns when that moment has passed.
async fn customers_that_fall_due(served: &Served, customers: &[&str]) {
    // Long enough to prepare them on a busy machine; what is in the past by then is refused.
    let due = SystemTime::now() + Duration::from_secs(4);
    for customer in customers {
        served.customers().create_customer(served.customer(customer)).await.unwrap();
        let bought = PurchaseCreditsRequest {
            context: served.of(*customer),
            expires_at: Some(due.into()),
            ..served.purchase("10", &format!("order-{customer}"))
        };
        served.purchases().purchase_credits(bought).await.unwrap();
        let held = PlaceHoldRequest {
            context: served.of(*customer),
            expires_at: Some(due.into()),
            ..served.hold("i-1", "4")
        };
        served.holds().place_hold(held).await.unwrap();
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while SystemTime::now() <= due {
        ticks.tick().await;
    }
}

fn balance_of(customer_id: &str) -> GetBalanceRequest {
    GetBalanceRequest { customer_id: customer_id.into(), ..Default::default() }
}

fn incident(customer_id: &str) -> GetHoldRequest {
    let target = Some(HoldTarget::incident("i-1"));
    GetHoldRequest { customer_id: customer_id.into(), target, ..Default::default() }
}

/// The number of the customer's last posting as it is stored.
async fn stored_sequence(served: &Served, customer: &str) -> u64 {
    let key = CustomerKey::of(LedgerNo::MAIN, &CustomerId::parse(customer).unwrap());
    served.reader.customer(key).await.unwrap().unwrap().sequence
}

async fn a_read_of_one_customer_applies_what_is_due(on: On) {
    let served = Served::start(on).await;
    let customers = [
        "purchase",
        "balance",
        "balances",
        "customer",
        "hold",
        "hold-id",
        "holds",
        "lot",
        "lots",
        "postings",
        "statement",
    ];
    customers_that_fall_due(&served, &customers).await;
    let (mut ledgers, mut holds) = (served.ledgers(), served.holds());
    // The store is asked directly, so that nothing is applied by it.
    let key = |customer: &str| CustomerKey::of(LedgerNo::MAIN, &CustomerId::parse(customer).unwrap());
    let stored = |customer: &'static str| {
        let reader = served.reader.clone();
        async move { reader.customer(key(customer)).await.unwrap().unwrap().state }
    };

    let balance = ledgers.get_balance(balance_of("balance")).await.unwrap().into_inner().balance.unwrap();
    assert_eq!((balance.available_credits.as_str(), balance.held_credits.as_str()), ("0", "0"));

    let many = BatchGetBalancesRequest { customer_ids: vec!["balances".into()], ..Default::default() };
    let many = ledgers.batch_get_balances(many).await.unwrap().into_inner().balances;
    assert_eq!(many[0].balance.as_ref().unwrap().available_credits, "0");

    let get = GetCustomerRequest { customer_id: "customer".into(), ..Default::default() };
    let found = served.customers().get_customer(get).await.unwrap().into_inner().customer.unwrap();
    assert_eq!(found.balance.unwrap().held_credits, "0");

    let hold = holds.get_hold(incident("hold")).await.unwrap().into_inner().hold.unwrap();
    assert_eq!(hold.state(), HoldState::Expired);

    let id = stored("hold-id").await.last_hold.unwrap().to_string();
    let by_id = GetHoldRequest { target: Some(HoldTarget::hold(&id)), ..Default::default() };
    let hold = holds.get_hold(by_id).await.unwrap().into_inner().hold.unwrap();
    assert_eq!(hold.state(), HoldState::Expired);

    let list = ListHoldsRequest { customer_id: "holds".into(), ..Default::default() };
    let listed = holds.list_holds(list).await.unwrap().into_inner().holds;
    assert_eq!(listed[0].state(), HoldState::Expired);

    let lot_id = stored("lot").await.lots.iter().next().unwrap().id.to_string();
    let lot = ledgers.get_lot(GetLotRequest { lot_id, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(lot.lot.unwrap().left_credits, "0");

    let purchase = GetPurchaseRequest {
        target: Some(PurchaseTarget::order("web", "order-purchase")),
        ..Default::default()
    };
    let purchase = served.purchases().get_purchase(purchase).await.unwrap().into_inner().purchase.unwrap();
    assert_eq!(purchase.expired_credits, "10");

    let list = ListLotsRequest { customer_id: "lots".into(), ..Default::default() };
    assert_eq!(ledgers.list_lots(list).await.unwrap().into_inner().lots[0].left_credits, "0");

    let list =
        ListPostingsRequest { customer_id: "postings".into(), newest_first: true, ..Default::default() };
    let newest = &ledgers.list_postings(list).await.unwrap().into_inner().postings[0];
    assert_eq!(newest.kind(), PostingKind::ExpireHold);

    let statement = GetStatementRequest {
        customer_id: "statement".into(),
        period_from: Some(SystemTime::UNIX_EPOCH.into()),
        period_until: Some((SystemTime::now() + Duration::from_hours(1)).into()),
        ..Default::default()
    };
    let statement = ledgers.get_statement(statement).await.unwrap().into_inner();
    assert_eq!(statement.closing_balance.unwrap().available_credits, "0");
    served.verify().await;
}

async fn reads_of_the_past_and_lists_over_customers_apply_nothing(on: On) {
    let served = Served::start(on).await;
    customers_that_fall_due(&served, &["acme"]).await;
    let before = stored_sequence(&served, "acme").await;
    let earlier: prost_types::Timestamp = (SystemTime::now() - Duration::from_secs(1)).into();
    for as_of in [get_balance_request::AsOf::Time(earlier), get_balance_request::AsOf::Sequence(2)] {
        let past = GetBalanceRequest { as_of: Some(as_of), ..balance_of("acme") };
        served.ledgers().get_balance(past).await.unwrap();
    }
    let statement = GetStatementRequest {
        customer_id: "acme".into(),
        period_from: Some(SystemTime::UNIX_EPOCH.into()),
        period_until: Some(earlier),
        ..Default::default()
    };
    served.ledgers().get_statement(statement).await.unwrap();
    let all = served.customers().list_customers(ListCustomersRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.customers[0].balance.as_ref().unwrap().held_credits, "4");
    served.ledgers().list_lots(ListLotsRequest::default()).await.unwrap();
    served.holds().list_holds(ListHoldsRequest::default()).await.unwrap();
    assert_eq!(stored_sequence(&served, "acme").await, before);
    // The same customer read by itself.
    served.ledgers().get_balance(balance_of("acme")).await.unwrap();
    assert!(stored_sequence(&served, "acme").await > before);
}

#[tokio::test]
async fn a_read_that_cannot_be_current_is_unavailable() {
    let (served, mut gate) = gated(Limits { queue_commands_max: 1, ..Limits::default() }).await;
    served.customers().create_customer(served.customer("quiet")).await.unwrap();
    customers_that_fall_due(&served, &["acme"]).await;
    gate.close();
    let place = |incident: &str| {
        let mut holds = served.holds();
        let hold = PlaceHoldRequest { context: served.of("quiet"), ..served.hold(incident, "1") };
        tokio::spawn(async move { holds.place_hold(hold).await })
    };
    let ahead = place("i-1");
    gate.wait_for_commit().await;
    let behind = place("i-2");
    while served.writer.queued() != 1 {
        tokio::task::yield_now().await;
    }
    let error = served.ledgers().get_balance(balance_of("acme")).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "OVERLOADED"));
    // Nothing of this one is due, so it needs no writer.
    served.ledgers().get_balance(balance_of("quiet")).await.unwrap();
    gate.set_open(true);
    for call in [ahead, behind] {
        assert_eq!(reason(&call.await.unwrap().unwrap_err()), "INSUFFICIENT_CREDITS");
    }
    let balance = served.ledgers().get_balance(balance_of("acme")).await.unwrap().into_inner().balance;
    assert_eq!(balance.unwrap().available_credits, "0");
}

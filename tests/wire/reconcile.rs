//! A storefront's list of orders against the ledger's purchases.

use std::time::{Duration, Instant};

use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::*;
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::bulk::command;
use crate::served::{On, Served, on_each_engine};

fn listed(order: &str, credits: &str, amount: &str) -> StorefrontPurchase {
    StorefrontPurchase {
        order_id: order.into(),
        customer_id: "acme".into(),
        credits: Some(credits.into()),
        price: Some(Money { currency_code: "EUR".into(), amount: amount.into() }),
    }
}

fn part(orders: Vec<StorefrontPurchase>) -> ReconcilePurchasesRequest {
    ReconcilePurchasesRequest { storefront: "web".into(), orders, ..Default::default() }
}

async fn reconcile(
    served: &Served,
    parts: Vec<ReconcilePurchasesRequest>,
) -> Result<ReconcilePurchasesResponse, Status> {
    served.ledgers().reconcile_purchases(tokio_stream::iter(parts)).await.map(tonic::Response::into_inner)
}

async fn every_difference_is_told(on: On) {
    let served = Served::with_credits(on, "0").await;
    let mut purchases = served.purchases();
    for order in ["same", "other-price", "other-credits", "unlisted", "other-customer"] {
        purchases.purchase_credits(served.purchase("5", order)).await.unwrap();
    }
    let elsewhere = PurchaseCreditsRequest { storefront: "app".into(), ..served.purchase("5", "elsewhere") };
    purchases.purchase_credits(elsewhere).await.unwrap();
    served.positions().await;
    let zeta = StorefrontPurchase { customer_id: "zeta".into(), ..listed("other-customer", "5", "19.90") };
    let parts = vec![
        part(vec![listed("same", "5.0", "19.9"), listed("other-price", "5", "19.91")]),
        // What is the scope is said once; an order that is listed again counts once.
        ReconcilePurchasesRequest {
            orders: vec![
                listed("same", "5", "19.90"),
                listed("other-credits", "6", "19.90"),
                listed("unknown", "1", "1"),
                zeta,
            ],
            ..Default::default()
        },
    ];
    let found = reconcile(&served, parts).await.unwrap();
    assert_eq!((found.matched, found.repeated_orders), (1, 1));
    assert_eq!(
        (found.missing_in_ledger_count, found.missing_in_ledger),
        (1, vec![listed("unknown", "1", "1.00")])
    );
    let orders: Vec<_> =
        found.missing_in_storefront.iter().map(|purchase| purchase.order_id.as_str()).collect();
    assert_eq!((found.missing_in_storefront_count, orders.as_slice()), (1, ["unlisted"].as_slice()));
    let different: Vec<_> =
        found.different.iter().map(|both| both.in_ledger.as_ref().unwrap().order_id.as_str()).collect();
    assert_eq!(
        (found.different_count, different.as_slice()),
        (3, ["other-price", "other-credits", "other-customer"].as_slice())
    );
    // Of a period that is over nothing is missed; what is not said is not compared.
    let long_ago = ReconcilePurchasesRequest {
        created_until: Some(Timestamp { seconds: 1_600_000_000, nanos: 0 }),
        ..part(vec![StorefrontPurchase { order_id: "other-price".into(), ..Default::default() }])
    };
    let found = reconcile(&served, vec![long_ago]).await.unwrap();
    assert_eq!((found.matched, found.missing_in_storefront_count, found.different_count), (1, 0, 0));
}

async fn lists_that_contradict_themselves_are_refused(on: On) {
    let served = Served::with_credits(on, "0").await;
    let other_shop = ReconcilePurchasesRequest { storefront: "app".into(), ..part(vec![]) };
    let many = (0..10_001).map(|n| listed(&n.to_string(), "1", "1")).collect();
    for (parts, field) in [
        (vec![], "storefront"),
        (vec![ReconcilePurchasesRequest::default()], "storefront"),
        (vec![part(vec![]), other_shop], "storefront"),
        (vec![part(vec![listed("a", "1", "1"), listed("a", "1", "2")])], "orders[1].order_id"),
        (vec![part(vec![listed("a", "1", "1")]), part(vec![listed("a", "2", "1")])], "orders[0].order_id"),
        (vec![part(vec![listed("a", "1", "1.001")])], "orders[0].price.amount"),
        (vec![part(vec![listed("a", "-1", "1")])], "orders[0].credits"),
        (vec![part(many)], "orders"),
    ] {
        let status = reconcile(&served, parts).await.unwrap_err();
        let details = status.get_error_details();
        let told = &details.bad_request().unwrap().field_violations[0].field;
        assert_eq!((status.code(), told.as_str()), (Code::InvalidArgument, field));
    }
}

/// The memory that this process has, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

async fn a_long_list_takes_little_memory(on: On) {
    // A million where `CREDITLEDGER_TEST_LONG` asks for it: making them takes minutes.
    let parts = if std::env::var_os("CREDITLEDGER_TEST_LONG").is_some() { 100 } else { 1 };
    let served = Served::with_credits(on, "0").await;
    let mut batches = BatchServiceClient::new(served.channel.clone());
    for n in 0..parts * 10 {
        let commands = (0..1_000).map(|order| {
            command(batch_command::Command::PurchaseCredits(served.purchase("1", &format!("{n}-{order}"))))
        });
        let request = ExecuteBatchRequest { ledger_id: String::new(), commands: commands.collect() };
        batches.execute_batch(request).await.unwrap();
        // Spent again, all or nothing: what is left of a lot stands in its customer's row, which is written each time.
        let spend = ChargeIncidentRequest {
            context: served.of("acme"),
            incident_id: format!("i-{n}"),
            work_seconds: 1_800_000,
            ..Default::default()
        };
        served.holds().charge_incident(spend).await.unwrap();
    }
    served.positions().await;
    let before = resident_kib();
    let started = Instant::now();
    let orders = (0..parts * 10).map(|n| {
        // One in a thousand is not listed.
        part((1..1_000).map(|order| listed(&format!("{n}-{order}"), "1", "19.90")).collect())
    });
    let answer = served.ledgers().reconcile_purchases(tokio_stream::iter(orders)).await.unwrap().into_inner();
    let (took, grown) = (started.elapsed(), resident_kib().saturating_sub(before));
    println!("{parts}0,000 orders on {on:?}: {took:?}, {grown} KiB");
    assert_eq!((answer.matched, answer.missing_in_storefront_count), (parts * 9_990, parts * 10));
    assert!(took < Duration::from_secs(30) && grown < 100 << 10, "{took:?} {grown} KiB");
}

on_each_engine! {
    every_difference_is_told
    lists_that_contradict_themselves_are_refused
    a_long_list_takes_little_memory
}

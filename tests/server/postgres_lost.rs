//! The database goes away under a server that goes on: everybody is told, and it serves again when it is back.

use std::time::{Duration, Instant};

use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::{
    Answered as _, CreateCustomerRequest, GetBalanceRequest, GetTrialBalanceRequest, context,
};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt as _;

use super::postgres::Cluster;
use super::postgres_rig::{Journal, Site};
use super::process::PATIENCE;

/// Within this an answer comes to whoever asks: five seconds of trying again, and a slow machine.
const ANSWER: Duration = Duration::from_secs(15);

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// Waits until a watch says so.
async fn says(watch: &mut Streaming<HealthCheckResponse>, status: ServingStatus) {
    let wait = async { while watch.message().await.unwrap().unwrap().status() != status {} };
    tokio::time::timeout(PATIENCE, wait).await.expect("the health service does not say it");
}

/// It must be UNAVAILABLE, and say when to try again.
fn passing(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "STORAGE_UNAVAILABLE");
    assert!(details.retry_info().unwrap().retry_delay.is_some(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_lost_is_waited_for() {
    if !Cluster::available() {
        return;
    }
    let mut cluster = Cluster::start();
    let site = Site::on(cluster.url("postgres"));
    let server = site.serve();
    let channel = server.connect().await;
    let mut health = HealthClient::new(channel.clone());
    let mut customers = CustomerServiceClient::new(channel.clone());
    let mut ledger = LedgerServiceClient::new(channel);
    let create = |id: &str| CreateCustomerRequest {
        context: Some(context(format!("create-{id}"), id)),
        ..Default::default()
    };
    let balance = |id: &str| GetBalanceRequest { customer_id: id.to_owned(), ..GetBalanceRequest::default() };
    customers.create_customer(create("acme")).await.unwrap();
    let mut watch = health.watch(of("")).await.unwrap().into_inner();
    says(&mut watch, ServingStatus::Serving).await;

    cluster.stop_immediately();
    // Nobody has asked for anything: it notices by itself.
    says(&mut watch, ServingStatus::NotServing).await;
    for service in ["", "creditledger.v1.HoldService"] {
        assert_eq!(health.check(of(service)).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    }
    let mut another = ledger.clone();
    let start = Instant::now();
    let (created, read, summed) = tokio::join!(
        customers.create_customer(create("beta")),
        another.get_balance(balance("acme")),
        ledger.get_trial_balance(GetTrialBalanceRequest::default()),
    );
    passing(&created.unwrap_err());
    passing(&read.unwrap_err());
    passing(&summed.unwrap_err());
    assert!(start.elapsed() < ANSWER, "{:?}", start.elapsed());

    cluster.start_again();
    says(&mut watch, ServingStatus::Serving).await;
    assert_eq!(health.check(of("")).await.unwrap().into_inner().status(), ServingStatus::Serving);
    // Nothing was stored of what was refused, and the same request does it now.
    let status = ledger.get_balance(balance("beta")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    let created = customers.create_customer(create("beta")).await.unwrap().into_inner();
    assert!(!created.outcome().replayed);
    ledger.get_balance(balance("acme")).await.unwrap();
    Journal::default().reach(&server, 2).await;
    drop((watch, health, customers, ledger, another));
    server.stop();
    site.verify();
}

//! PostgreSQL ends every session under load, or has no connection left: what the callers are told, and that all goes on.

use std::time::Instant;

use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::{Answered as _, CreateCustomerRequest, context};
use sqlx::{Connection as _, PgConnection};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::postgres::{self, Cluster};
use super::postgres_rig::{Book, Journal, Site, execute};
use super::process::{PATIENCE, incidents};

const END_ALL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";
const TIMES: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_the_end_of_every_session_twenty_times() {
    if !postgres::available() {
        return;
    }
    let book = Book::of(incidents(900, 90)).await;
    let site = Site::new().await;
    let servers = [site.serve(), site.serve()];
    let replay = site.replay(&book, &servers);
    let mut journal = Journal::default();
    let mut admin = PgConnection::connect(&site.url).await.unwrap();
    for time in 1..=TIMES {
        journal.reach(&servers[usize::from(time % 2 == 0)], book.postings * time / (2 * TIMES)).await;
        sqlx::raw_sql(END_ALL).execute(&mut admin).await.unwrap();
    }
    assert!(site.postings().await < book.postings, "the last of them came after the end");
    book.must_be_in(&site, replay).await;
    for server in servers {
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_connection_nothing_is_done_and_it_is_said() {
    if !Cluster::available() {
        return;
    }
    let cluster = Cluster::start();
    let admin = cluster.url("postgres");
    execute(&admin, "CREATE ROLE ada LOGIN").await;
    execute(&admin, "CREATE DATABASE ledger OWNER ada").await;
    let site = Site::on(format!("postgres://ada@{}/ledger", cluster.address()));
    let server = site.serve();
    let mut customers = CustomerServiceClient::new(server.connect().await);
    let create = |id: &str| CreateCustomerRequest {
        context: Some(context(format!("create-{id}"), id)),
        ..Default::default()
    };
    customers.create_customer(create("acme")).await.unwrap();
    // From now on the database takes no connection, as where max_connections is reached: the same SQLSTATE.
    execute(&admin, "ALTER DATABASE ledger CONNECTION LIMIT 0").await;
    execute(&cluster.url("ledger"), END_ALL).await;
    let start = Instant::now();
    let status = customers.create_customer(create("beta")).await.unwrap_err();
    println!("no connection free: told after {:?}", start.elapsed());
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "STORAGE_UNAVAILABLE");
    assert!(details.retry_info().unwrap().retry_delay.is_some(), "{status}");
    let ended = site.place.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", &site.url]);
    assert!(ended.complaint().ends_with("too many connections for database \"ledger\""), "{}", ended.stderr);
    // There is room again: the same request does it now, once.
    execute(&admin, "ALTER DATABASE ledger CONNECTION LIMIT -1").await;
    let start = Instant::now();
    let again = async {
        while let Err(status) = customers.create_customer(create("beta")).await {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("it does not serve again");
    println!("there is room again: served after {:?}", start.elapsed());
    Journal::default().reach(&server, 2).await;
    drop(customers);
    server.stop();
    site.verify();
}

/// A synchronous standby that is away: the commit is in the primary, and nobody confirms it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_confirms_is_of_unknown_outcome_and_is_found_later() {
    if !Cluster::available() {
        return;
    }
    let cluster = Cluster::start();
    let site = Site::on(cluster.url("postgres"));
    let server = site.serve();
    let mut customers = CustomerServiceClient::new(server.connect().await);
    let create = || CreateCustomerRequest { context: Some(context("create", "acme")), ..Default::default() };
    execute(&site.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    execute(&site.url, "SELECT pg_reload_conf()").await;
    let start = Instant::now();
    let status = customers.create_customer(create()).await.unwrap_err();
    println!("a commit without an answer: told after {:?}", start.elapsed());
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "OUTCOME_UNKNOWN");
    execute(&site.url, "ALTER SYSTEM RESET synchronous_standby_names").await;
    execute(&site.url, "SELECT pg_reload_conf()").await;
    let again = async {
        loop {
            match customers.create_customer(create()).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, again).await.expect("it does not serve again");
    assert!(found.outcome().replayed, "it was done, and is not done twice");
    drop(customers);
    server.stop();
    site.verify();
}

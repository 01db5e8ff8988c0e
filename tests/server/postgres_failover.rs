//! A synchronous standby takes over under load: nothing that was acknowledged is lost, nothing is done twice, and the
//! servers find the new primary by themselves.
//!
//! `CREDITLEDGER_TEST_TIMES=25 cargo test --test server -- postgres_failover --nocapture` sends 10,000 commands, and prints
//! how long nobody was served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::{
    Answered as _, CreateCustomerRequest, GetBalanceRequest, PurchaseCreditsRequest, context,
};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::postgres::Cluster;
use super::postgres_rig::{Journal, Site, execute};
use super::process::{PATIENCE, Server};

/// What somebody may have to wait after the promotion.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Callers, each with a customer of its own.
const CALLERS: usize = 8;

/// Commands of each caller.
fn commands() -> usize {
    50 * std::env::var("CREDITLEDGER_TEST_TIMES").map_or(1, |times| times.parse::<usize>().unwrap())
}

/// A primary and a standby without which it commits nothing.
async fn pair() -> (Cluster, Cluster) {
    let primary = Cluster::start();
    let standby = primary.standby();
    // Only here: the standby would wait for one of its own once it is the primary.
    execute(&primary.url("postgres"), "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    execute(&primary.url("postgres"), "SELECT pg_reload_conf()").await;
    let mut connection = PgConnection::connect(&primary.url("postgres")).await.unwrap();
    let wait = async {
        let look = "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')";
        while !sqlx::query_scalar::<_, bool>(look).fetch_one(&mut connection).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the standby does not follow");
    (primary, standby)
}

fn hosts(first: &Cluster, second: &Cluster) -> String {
    format!(
        "postgres://postgres@{},{}/postgres?sslmode=disable&target_session_attrs=read-write",
        first.address(),
        second.address()
    )
}

async fn channel(server: &Server) -> Channel {
    Endpoint::new(server.url().to_owned()).unwrap().connect().await.unwrap()
}

async fn create(channel: &Channel, customer: &str) {
    let context = Some(context(format!("create-{customer}"), customer));
    let request = CreateCustomerRequest { context, ..Default::default() };
    CustomerServiceClient::new(channel.clone()).create_customer(request).await.unwrap();
}

fn purchase(customer: &str, number: usize) -> PurchaseCreditsRequest {
    PurchaseCreditsRequest {
        context: Some(context(format!("{customer}-{number}"), customer)),
        storefront: "web".into(),
        order_id: format!("{customer}-{number}"),
        credits: "1".into(),
        ..Default::default()
    }
}

/// Sends a command until it is answered, to the servers in turn; gives the id of its posting.
async fn until_answered(channels: &[Channel], customer: &str, number: usize) -> String {
    for turn in number.. {
        let mut client = PurchaseServiceClient::new(channels[turn % channels.len()].clone());
        match client.purchase_credits(purchase(customer, number)).await {
            Ok(answer) => return answer.into_inner().outcome().posting.unwrap().posting_id,
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
        }
    }
    unreachable!("there are enough numbers")
}

async fn available(channel: &Channel, customer: &str) -> String {
    let request = GetBalanceRequest { customer_id: customer.to_owned(), ..Default::default() };
    let answer = LedgerServiceClient::new(channel.clone()).get_balance(request).await.unwrap();
    answer.into_inner().balance.unwrap().available_credits
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_the_primary() {
    if !Cluster::available() {
        return;
    }
    let (mut primary, standby) = pair().await;
    let site = Site::on(hosts(&standby, &primary));
    // One of them looks at the standby first.
    let servers = [site.serve(), site.serve_through(&hosts(&primary, &standby), "127.0.0.1:0")];
    let channels: Arc<[Channel]> = [channel(&servers[0]).await, channel(&servers[1]).await].into();
    let (commands, answered) = (commands(), Arc::new(AtomicUsize::new(0)));
    // When an answer came last to a command that was sent after the promotion.
    let promoted = watch::Sender::new(None::<Instant>);
    let back = Arc::new(watch::Sender::new(None::<Duration>));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (channels, answered, back) = (Arc::clone(&channels), Arc::clone(&answered), Arc::clone(&back));
        let promoted = promoted.subscribe();
        callers.spawn(async move {
            let customer = format!("customer-{caller}");
            create(&channels[caller % 2], &customer).await;
            let mut told = BTreeMap::new();
            for number in 0..commands {
                let posting = until_answered(&channels, &customer, number).await;
                told.insert(format!("{customer}-{number}"), posting);
                answered.fetch_add(1, Ordering::Relaxed);
                let since = *promoted.borrow();
                if let Some(since) = since {
                    back.send_if_modified(|back| {
                        let is_first = back.is_none();
                        back.get_or_insert(since.elapsed());
                        is_first
                    });
                }
            }
            told
        });
    }
    let half = CALLERS * commands / 2;
    let load = async {
        while answered.load(Ordering::Relaxed) < half {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, load).await.expect("the load does not come on");
    let killed = Instant::now();
    primary.stop_immediately();
    standby.promote().await;
    let before = answered.load(Ordering::Relaxed);
    let takeover = killed.elapsed();
    promoted.send_replace(Some(Instant::now()));
    let mut back = back.subscribe();
    let waited = tokio::time::timeout(PATIENCE, back.wait_for(Option::is_some)).await;
    let back = waited.expect("nobody is served after the promotion").unwrap().unwrap();
    assert!(back < BACK_WITHIN, "{back:?}");
    let mut told = BTreeMap::new();
    while let Some(one) = callers.join_next().await {
        told.extend(one.unwrap());
    }
    assert_eq!(told.len(), CALLERS * commands);
    // In the new primary each is there, once, and it is what was told.
    let mut journal = Journal::default();
    journal.reach(&servers[0], i64::try_from(CALLERS * (commands + 1)).unwrap()).await;
    let mut stored = BTreeMap::new();
    for posting in journal.read.iter().filter(|posting| !posting.request_id.starts_with("create-")) {
        let twice = stored.insert(posting.request_id.clone(), posting.posting_id.clone());
        assert_eq!(twice, None, "{} is there twice", posting.request_id);
    }
    assert_eq!(stored, told);
    for caller in 0..CALLERS {
        for channel in &*channels {
            assert_eq!(available(channel, &format!("customer-{caller}")).await, commands.to_string());
        }
    }
    println!(
        "failover: {} commands, {before} answered before; the promotion took {takeover:?}, service was back {back:?} later",
        told.len()
    );
    drop(channels);
    for server in servers {
        assert!(server.stop().stderr.contains("another host of the database takes writes now"));
    }
    Site::on(standby.url("postgres")).verify();
}

/// Without a broken connection: the host goes on, but takes no writes any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_became_read_only_is_left() {
    if !Cluster::available() {
        return;
    }
    let (first, second) = pair().await;
    let site = Site::on(hosts(&first, &second));
    let server = site.serve();
    let channels = [channel(&server).await];
    create(&channels[0], "acme").await;
    until_answered(&channels, "acme", 1).await;
    assert_eq!(available(&channels[0], "acme").await, "1");
    execute(&first.url("postgres"), "ALTER SYSTEM SET default_transaction_read_only = on").await;
    execute(&first.url("postgres"), "SELECT pg_reload_conf()").await;
    // Sessions hear of it one after the other.
    let refused = async {
        for number in 2.. {
            let mut client = PurchaseServiceClient::new(channels[0].clone());
            if let Err(status) = client.purchase_credits(purchase("acme", number)).await {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                return number;
            }
        }
        unreachable!("there are enough numbers")
    };
    let number = tokio::time::timeout(PATIENCE, refused).await.expect("it still writes");
    second.promote().await;
    until_answered(&channels, "acme", number).await;
    // Balance and journal come from the new host, though the old one would still answer.
    assert_eq!(available(&channels[0], "acme").await, number.to_string());
    Journal::default().reach(&server, i64::try_from(number + 1).unwrap()).await;
    drop(channels);
    server.stop();
    Site::on(second.url("postgres")).verify();
}

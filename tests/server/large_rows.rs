//! A follower of a ledger with the largest rows keeps little of it, however slowly it reads.

use creditledger::grpc::wire::batch_command::Command as Does;
use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::watch_events_request::Start;
use creditledger::grpc::wire::*;
use tonic::transport::Channel;

use super::process::{Place, Server, sqlite};

/// What a follower may add to the memory of the process.
const MEMORY_MIB: u64 = 64;
/// What three at once may add.
const MEMORY_OF_THREE_MIB: u64 = 128;
/// Open holds that wait for credits; with the one that has them all they are as many as a customer may have.
const PARKED: usize = 999;
/// Postings that activate all of them.
const ROUNDS: usize = 2;
/// Postings with the longest texts, 128 KiB each: several pages of a stream.
const BATCHES: usize = 12;
const IN_BATCH: usize = 50;
const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

struct Caller {
    batches: BatchServiceClient<Channel>,
    requests: usize,
}

impl Caller {
    async fn new(server: &Server) -> Self {
        Self { batches: BatchServiceClient::new(server.connect().await), requests: 0 }
    }

    #[allow(clippy::unnecessary_wraps)] // as requests take it
    fn context(&mut self) -> Option<CommandContext> {
        self.requests += 1;
        let by = "b".repeat(1_024);
        Some(CommandContext { by, ..context(format!("r-{}", self.requests), "acme") })
    }

    /// A hold with the longest texts, which waits where there are no credits.
    fn place(&mut self, incident: String, credits: &str) -> Does {
        Does::PlaceHold(PlaceHoldRequest {
            context: self.context(),
            incident_id: incident,
            quote: Some(place_hold_request::Quote::Credits(credits.into())),
            range_override_reason: "r".repeat(1_024),
            note: "n".repeat(1_024),
            park: true,
            labels: (0..16).map(|nth| format!("{nth:l>64}")).collect(),
            ..Default::default()
        })
    }

    fn release(&mut self, incident: String) -> Does {
        let target = Some(HoldTarget::incident(incident));
        Does::ReleaseHold(ReleaseHoldRequest { context: self.context(), target, ..Default::default() })
    }

    async fn run(&mut self, commands: Vec<Does>) {
        let commands = commands.into_iter().map(|command| BatchCommand { command: Some(command) }).collect();
        let batch = ExecuteBatchRequest { ledger_id: String::new(), commands };
        for result in self.batches.execute_batch(batch).await.unwrap().into_inner().results {
            assert!(matches!(result.result, Some(batch_result::Result::Accepted(_))), "{result:?}");
        }
    }
}

/// Follows a ledger with one small posting. The program's code, of which each call maps some, is no part of what a
/// follower keeps.
async fn warm_up(channel: &Channel) {
    let mut ledgers = LedgerServiceClient::new(channel.clone());
    let ledger = CreateLedgerRequest { context: Some(context("warm", "")), ledger_id: "warm".into() };
    ledgers.create_ledger(ledger).await.unwrap();
    let customer = CreateCustomerRequest {
        context: Some(context("warm", "someone").ledger("warm")),
        ..Default::default()
    };
    CustomerServiceClient::new(channel.clone()).create_customer(customer).await.unwrap();
    let journal = StreamJournalRequest { ledger_id: "warm".into(), ..Default::default() };
    let mut read = ledgers.stream_journal(journal).await.unwrap().into_inner();
    assert!(read.message().await.unwrap().is_some() && read.message().await.unwrap().is_none());
}

/// The memory that a fresh server on the database takes for the journal, read from its beginning, in MiB; and how many
/// postings that gave. With `others` a second reader of the journal and a watcher never read what comes.
async fn follow(place: &Place, others: bool) -> (u64, usize) {
    let server = Server::start(place.command(&SERVE));
    let channel = server.connect().await;
    warm_up(&channel).await;
    let before = server.process.memory_mib();
    let mut ledgers = LedgerServiceClient::new(channel.clone());
    let mut watchers = NotificationServiceClient::new(channel);
    let journal = StreamJournalRequest::default();
    let stalled = if others {
        let events = WatchEventsRequest { start: Some(Start::AfterPosition(0)), ..Default::default() };
        let journal = ledgers.stream_journal(journal.clone()).await.unwrap();
        Some((journal, watchers.watch_events(events).await.unwrap()))
    } else {
        None
    };
    let mut read = ledgers.stream_journal(journal).await.unwrap().into_inner();
    let mut postings = 0;
    while read.message().await.unwrap().is_some() {
        postings += 1;
    }
    let memory = server.process.memory_mib() - before;
    drop(stalled);
    server.stop();
    (memory, postings)
}

/// The bytes of the largest posting.
fn largest(place: &Place) -> i64 {
    let largest =
        "SELECT MAX(LENGTH(p.detail) + LENGTH(w.words)) FROM posting p JOIN posting_words w USING (key)";
    sqlite(&place.path("creditledger.db")).query_row(largest, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_of_many_large_rows_keep_little() {
    let place = Place::new();
    let server = Server::start(place.command(&SERVE));
    let mut caller = Caller::new(&server).await;
    let create = CreateCustomerRequest { context: caller.context(), ..Default::default() };
    caller.run(vec![Does::CreateCustomer(create)]).await;
    for _ in 0..BATCHES {
        let mut commands = Vec::new();
        for _ in 0..IN_BATCH {
            let pairs = || (0..32).map(|nth| (format!("{nth:k>1024}"), "v".repeat(1_024))).collect();
            let context = caller.context().map(|context| CommandContext { metadata: pairs(), ..context });
            let update_mask = Some(prost_types::FieldMask { paths: vec!["metadata".into()] });
            let update =
                UpdateCustomerRequest { context, metadata: pairs(), update_mask, ..Default::default() };
            commands.push(Does::UpdateCustomer(update));
        }
        caller.run(commands).await;
    }
    server.stop();
    let (memory, postings) = follow(&place, true).await;
    assert_eq!(postings, 1 + BATCHES * IN_BATCH);
    let largest = largest(&place);
    assert!(largest > 120 << 10, "{largest} bytes in the largest posting");
    assert!(memory <= MEMORY_OF_THREE_MIB, "{memory} MiB, with postings of {largest} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_the_largest_rows_keeps_few() {
    let place = Place::new();
    let server = Server::start(place.command(&SERVE));
    let mut caller = Caller::new(&server).await;
    let buy = PurchaseCreditsRequest {
        context: caller.context(),
        storefront: "web".into(),
        order_id: "o-1".into(),
        credits: PARKED.to_string(),
        ..Default::default()
    };
    let create = CreateCustomerRequest { context: caller.context(), ..Default::default() };
    caller.run(vec![Does::CreateCustomer(create), Does::PurchaseCredits(buy)]).await;
    for round in 0..ROUNDS {
        let all = caller.place(format!("all-{round}"), &PARKED.to_string());
        let incident = |nth: usize| format!("i-{round}-{nth}");
        let mut commands = vec![all];
        for nth in 0..PARKED {
            commands.push(caller.place(incident(nth), "1"));
        }
        commands.push(caller.release(format!("all-{round}")));
        for nth in 0..PARKED {
            commands.push(caller.release(incident(nth)));
        }
        caller.run(commands).await;
    }
    server.stop();
    let (memory, postings) = follow(&place, false).await;
    assert_eq!(postings, 2 + ROUNDS * (2 + 2 * PARKED));
    let largest = largest(&place);
    assert!(largest > 3 << 20, "{largest} bytes in the largest posting");
    assert!(memory <= MEMORY_MIB, "{memory} MiB, with postings of {largest} bytes");
}

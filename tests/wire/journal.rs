//! The journal as a stream: whole, in order, resumed, and followed while others write.

use std::sync::Arc;

use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::*;
use tokio::task::JoinSet;

use crate::bulk::command;
use crate::races::Dice;
use crate::served::{On, Served, on_each_engine};

fn after(position: i64, follow: bool) -> StreamJournalRequest {
    StreamJournalRequest { after_position: position, follow, ..Default::default() }
}

async fn read_to_end(served: &Served, request: StreamJournalRequest) -> Vec<i64> {
    let mut stream = served.ledgers().stream_journal(request).await.unwrap().into_inner();
    let mut positions = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        positions.push(message.posting.unwrap().position);
    }
    positions
}

async fn place_many(served: &Served, first: usize, count: usize) {
    let holds = (first..first + count).map(|n| served.hold(&format!("i-{n}"), "0"));
    let commands = holds.map(|hold| command(batch_command::Command::PlaceHold(hold))).collect();
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
    let mut batches = batch_service_client::BatchServiceClient::new(served.channel.clone());
    for result in batches.execute_batch(request).await.unwrap().into_inner().results {
        crate::bulk::accepted(Some(result));
    }
}

async fn many_pages_are_read_to_the_end(on: On) {
    let served = Served::with_credits(on, "0").await;
    // Around full pages of 256, where an end is easily missed.
    let mut last = 1;
    for count in [254, 1, 1, 255, 1, 1_500] {
        place_many(&served, last, count).await;
        last += count;
        let all: Vec<i64> = (1..=i64::try_from(last).unwrap()).collect();
        assert_eq!(read_to_end(&served, after(0, false)).await, all);
        assert_eq!(read_to_end(&served, after(255, false)).await, all[255.min(all.len())..]);
        assert_eq!(read_to_end(&served, after(256, false)).await, all[256.min(all.len())..]);
    }
    let end = i64::try_from(last).unwrap();
    for beyond in [end, end + 1, i64::MAX] {
        assert!(read_to_end(&served, after(beyond, false)).await.is_empty());
    }
}

async fn each_ledger_has_a_journal_of_its_own(on: On) {
    let served = Served::with_credits(on, "5").await;
    let other = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    served.ledgers().create_ledger(other).await.unwrap();
    let request = StreamJournalRequest { ledger_id: "other".into(), follow: true, ..Default::default() };
    let mut stream = served.ledgers().stream_journal(request).await.unwrap().into_inner();
    served.holds().place_hold(served.hold("i-1", "1")).await.unwrap();
    let there = CreateCustomerRequest {
        context: Some(context(served.next(), "only-there").ledger("other")),
        ..served.customer("only-there")
    };
    served.customers().create_customer(there).await.unwrap();
    let posting = stream.message().await.unwrap().unwrap().posting.unwrap();
    assert_eq!((posting.position, posting.customer_id.as_str()), (1, "only-there"));
}

async fn followers_miss_nothing_while_others_write(on: On) {
    const WRITERS: usize = 8;
    const EACH: usize = 60;
    let served = Served::start(on).await;
    served.buy("1000").await;
    let served = Arc::new(served);
    let total = i64::try_from(2 + WRITERS * EACH + 300).unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let served = Arc::clone(&served);
        tasks.spawn(async move {
            let mut holds = HoldServiceClient::new(served.connect().await);
            for n in 0..EACH {
                holds.place_hold(served.hold(&format!("w-{writer}-{n}"), "1")).await.unwrap();
            }
        });
    }
    let bulk = Arc::clone(&served);
    tasks.spawn(async move { place_many(&bulk, 0, 300).await });
    // One follows all the way; others leave now and then and come back where they were, some on new connections.
    for seed in 0..4 {
        let served = Arc::clone(&served);
        tasks.spawn(async move {
            let mut dice = Dice(seed);
            let mut channel = served.channel.clone();
            let (mut last, mut sequence) = (0, 0);
            while last < total {
                let mut ledgers = LedgerServiceClient::new(channel.clone());
                let follow = seed == 0 || dice.below(3) > 0;
                let mut stream = ledgers.stream_journal(after(last, follow)).await.unwrap().into_inner();
                let mut left = if seed == 0 { u64::MAX } else { dice.below(120) };
                while left > 0 && last < total {
                    let Some(message) = stream.message().await.unwrap() else { break };
                    let posting = message.posting.unwrap();
                    assert_eq!(posting.position, last + 1, "neither a gap nor a repeat");
                    // There is but one customer, so its sequence rises with the position.
                    assert_eq!(posting.sequence, sequence + 1);
                    (last, sequence) = (posting.position, posting.sequence);
                    left -= 1;
                }
                if dice.below(4) == 0 {
                    channel = served.connect().await;
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert_eq!(read_to_end(&served, after(0, false)).await, (1..=total).collect::<Vec<_>>());
    assert_eq!(i64::try_from(served.verify().await).unwrap(), total);
}

on_each_engine! {
    many_pages_are_read_to_the_end
    each_ledger_has_a_journal_of_its_own
    followers_miss_nothing_while_others_write
}

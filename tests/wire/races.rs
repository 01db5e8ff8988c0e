//! Many callers at once: on each engine, over several connections.

use std::collections::BTreeSet;
use std::sync::Arc;

use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::errors::reason;
use crate::served::{On, Served, on_each_engine};

const CONNECTIONS: usize = 4;

async fn connections(served: &Served) -> Vec<Channel> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(served.connect().await);
    }
    connections
}

/// Numbers that look random and are the same in every run (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

async fn the_last_credits_are_held_once(on: On) {
    let served = Served::start(on).await;
    served.buy("10").await;
    let connections = connections(&served).await;
    let mut callers = JoinSet::new();
    for n in 0..64 {
        let mut holds = HoldServiceClient::new(connections[n % CONNECTIONS].clone());
        let hold = served.hold(&format!("i-{n}"), "1.5");
        callers.spawn(async move { holds.place_hold(hold).await });
    }
    let answers = callers.join_all().await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    // 6 x 1.5 = 9 fit into 10; a seventh does not.
    assert_eq!((accepted.len(), refused.len()), (6, 58));
    for status in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, "INSUFFICIENT_CREDITS")
        );
        let info = status.get_error_details().error_info().unwrap().metadata.clone();
        assert_eq!(["available", "required", "shortfall"].map(|key| info[key].as_str()), ["1", "1.5", "0.5"]);
    }
    // Every accepted call has a place of its own in the customer's history.
    let sequences: BTreeSet<_> = accepted
        .into_iter()
        .map(|answer| answer.unwrap().into_inner().outcome().posting.unwrap().sequence)
        .collect();
    assert_eq!(sequences.len(), 6);
    let request = GetBalanceRequest { customer_id: "acme".into(), ..Default::default() };
    let balance = served.ledgers().get_balance(request).await.unwrap().into_inner().balance.unwrap();
    assert_eq!((balance.available_credits.as_str(), balance.held_credits.as_str()), ("1", "9"));
    // Created, bought, 6 holds, and a note for each incident that went without.
    assert_eq!(served.verify().await, 2 + 6 + 58);
}

async fn a_thousand_repeats_have_one_effect(on: On) {
    let served = Served::start(on).await;
    served.buy("10").await;
    let connections = connections(&served).await;
    let hold = served.hold("i-1", "2");
    let mut callers = JoinSet::new();
    for n in 0..1_000 {
        let mut holds = HoldServiceClient::new(connections[n % CONNECTIONS].clone());
        let hold = hold.clone();
        callers.spawn(async move { holds.place_hold(hold).await.unwrap().into_inner().outcome() });
    }
    let mut answers = callers.join_all().await;
    let first = answers.iter().position(|answer| !answer.replayed).unwrap();
    let first = answers.swap_remove(first);
    assert_eq!(answers.len(), 999);
    let expected = CommandOutcome { replayed: true, ..first };
    assert_eq!(expected.posting.as_ref().unwrap().sequence, 3);
    for answer in answers {
        assert_eq!(answer, expected);
    }
    assert_eq!(served.verify().await, 3);
}

async fn an_order_is_recorded_once(on: On) {
    let served = Served::start(on).await;
    served.buy("0").await;
    let connections = connections(&served).await;
    for round in 0..25 {
        let order = format!("o-{round}");
        let buy = |connection: usize, credits: &str| {
            let mut purchases = PurchaseServiceClient::new(connections[connection].clone());
            let purchase = served.purchase(credits, &order);
            tokio::spawn(async move {
                Ok::<_, Status>(purchases.purchase_credits(purchase).await?.into_inner().outcome())
            })
        };
        // The same order under two request ids, and another content under a third.
        let (one, two, other) = (buy(0, "2"), buy(1, "2.0"), buy(2, "3"));
        let (one, two, other) = (one.await.unwrap(), two.await.unwrap(), other.await.unwrap());
        if let Ok(won) = other {
            assert!(!won.replayed);
            for refused in [one.unwrap_err(), two.unwrap_err()] {
                assert_eq!(
                    (refused.code(), reason(&refused).as_str()),
                    (Code::AlreadyExists, "ORDER_ALREADY_RECORDED")
                );
            }
        } else {
            let refused = other.unwrap_err();
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::AlreadyExists, "ORDER_ALREADY_RECORDED")
            );
            let (one, two) = (one.unwrap(), two.unwrap());
            assert!(one.replayed != two.replayed, "one of them recorded it");
            assert_eq!((one.posting, one.purchase), (two.posting, two.purchase));
        }
    }
    assert_eq!(served.verify().await, 1 + 25);
}

async fn callers_that_go_away_leave_nothing_half_done(on: On) {
    const CALLS: u64 = 200;
    let served = Served::start(on).await;
    served.buy("1000").await;
    let served = Arc::new(served);
    let mut dice = Dice(20_261_121);
    let mut shared = served.connect().await;
    let mut holds = Vec::new();
    for n in 0..CALLS {
        let hold = served.hold(&format!("i-{n}"), "2");
        holds.push(hold.clone());
        let mut client = HoldServiceClient::new(shared.clone());
        let call = tokio::spawn(async move { client.place_hold(hold).await });
        for _ in 0..dice.below(40) {
            tokio::task::yield_now().await;
        }
        call.abort();
        if dice.below(4) == 0 {
            // The whole connection goes, with all that is under way on it.
            shared = served.connect().await;
        }
    }
    // Bulk callers go away too: in mid-batch, and in mid-stream.
    let mut batches = Vec::new();
    for n in 0..10 {
        let command = |hold| crate::bulk::command(batch_command::Command::PlaceHold(hold));
        let commands: Vec<_> = (0..50).map(|m| command(served.hold(&format!("b-{n}-{m}"), "0.5"))).collect();
        let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
        batches.push(request.clone());
        let mut client = batch_service_client::BatchServiceClient::new(served.connect().await);
        let streamed = n % 2 == 0;
        let call = tokio::spawn(async move {
            if streamed {
                let commands = request.commands.into_iter().zip(0..).map(|(command, correlation_id)| {
                    ExecuteStreamRequest { correlation_id, command: Some(command) }
                });
                let _ = client.execute_stream(tokio_stream::iter(commands)).await;
            } else {
                let _ = client.execute_batch(request).await;
            }
        });
        for _ in 0..dice.below(200) {
            tokio::task::yield_now().await;
        }
        call.abort();
    }
    let mut clients = served.holds();
    for hold in holds {
        let first = clients.place_hold(hold.clone()).await.unwrap().into_inner().outcome();
        let again = clients.place_hold(hold).await.unwrap().into_inner().outcome();
        assert!(again.replayed);
        assert_eq!((first.posting, first.hold), (again.posting, again.hold));
    }
    for request in batches {
        let mut client = batch_service_client::BatchServiceClient::new(served.channel.clone());
        let first = client.execute_batch(request.clone()).await.unwrap().into_inner().results;
        let again = client.execute_batch(request).await.unwrap().into_inner().results;
        for (first, again) in first.into_iter().zip(again) {
            let (first, again) = (crate::bulk::accepted(Some(first)), crate::bulk::accepted(Some(again)));
            assert!(again.replayed);
            assert_eq!((first.posting_id, first.hold_id), (again.posting_id, again.hold_id));
        }
    }
    // Created, bought, and each hold once.
    assert_eq!(served.verify().await, 2 + CALLS + 500);
    let request = GetBalanceRequest { customer_id: "acme".into(), ..Default::default() };
    let balance = served.ledgers().get_balance(request).await.unwrap().into_inner().balance.unwrap();
    assert_eq!((balance.available_credits.as_str(), balance.held_credits.as_str()), ("350", "650"));
}

on_each_engine! {
    the_last_credits_are_held_once
    a_thousand_repeats_have_one_effect
    an_order_is_recorded_once
    callers_that_go_away_leave_nothing_half_done
}

//! Batches and streams of commands.

use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::served::{On, Served, on_each_engine};

pub fn command(command: batch_command::Command) -> BatchCommand {
    BatchCommand { command: Some(command) }
}

pub fn accepted(result: Option<BatchResult>) -> BatchAccepted {
    match result.unwrap().result.unwrap() {
        batch_result::Result::Accepted(accepted) => accepted,
        batch_result::Result::Error(error) => panic!("{error:?}"),
    }
}

pub fn refused(result: Option<BatchResult>) -> BatchError {
    match result.unwrap().result.unwrap() {
        batch_result::Result::Accepted(accepted) => panic!("{accepted:?}"),
        batch_result::Result::Error(error) => error,
    }
}

async fn a_batch_places_works_and_settles_in_order(on: On) {
    let served = Served::with_credits(on, "5").await;
    let commands = vec![
        command(batch_command::Command::PlaceHold(served.hold("i-1", "2"))),
        command(batch_command::Command::RecordWork(served.work("i-1", 60))),
        command(batch_command::Command::SettleHold(served.settle("i-1"))),
        command(batch_command::Command::PlaceHold(served.hold("i-2", "9"))),
    ];
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
    let results = batches.execute_batch(request).await.unwrap().into_inner().results;
    let [placed, worked, settled, short] = results.try_into().unwrap();
    let placed = accepted(Some(placed));
    assert_eq!((placed.available_credits.as_str(), placed.sequence), ("3", 3));
    assert_eq!(accepted(Some(worked)).hold_id, placed.hold_id);
    assert_eq!(accepted(Some(settled)).available_credits, "3");
    let short = refused(Some(short));
    assert_eq!((short.code, short.reason.as_str()), (9, "INSUFFICIENT_CREDITS"));
    assert_eq!(short.metadata["shortfall"], "6");
}

async fn a_malformed_batch_is_refused_as_a_whole(on: On) {
    let served = Served::with_credits(on, "5").await;
    let elsewhere = PlaceHoldRequest {
        context: Some(context(served.next(), "acme").ledger("other")),
        ..served.hold("i-2", "1")
    };
    let commands = vec![
        command(batch_command::Command::PlaceHold(served.hold("i-1", "1"))),
        command(batch_command::Command::PlaceHold(served.hold("i-1", "1e3"))),
        command(batch_command::Command::PlaceHold(elsewhere)),
        BatchCommand::default(),
    ];
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
    let status = BatchServiceClient::new(served.channel.clone()).execute_batch(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
    let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
    assert_eq!(
        fields,
        ["commands[1].place_hold.credits", "commands[2].place_hold.context.ledger_id", "commands[3].command"]
    );
    let holds = served.holds().list_holds(ListHoldsRequest::default()).await.unwrap().into_inner().holds;
    assert!(holds.is_empty());
}

async fn ten_thousand_results_fit_a_default_client(on: On) {
    let served = Served::with_credits(on, "5").await;
    let class = "c".repeat(128);
    let hold = |n: usize| {
        let hold = served.hold(&format!("i-{n}"), "1");
        PlaceHoldRequest { incident_class: class.clone(), quote: None, ..hold }
    };
    let commands = (0..10_000).map(|n| command(batch_command::Command::PlaceHold(hold(n)))).collect();
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
    let answer = BatchServiceClient::new(served.channel.clone()).execute_batch(request).await.unwrap();
    assert_eq!(answer.into_inner().results.len(), 10_000);
}

async fn a_stream_keeps_the_order_of_one_customer(on: On) {
    let served = Served::with_credits(on, "5").await;
    let commands: Vec<_> = [
        command(batch_command::Command::PlaceHold(served.hold("i-1", "2"))),
        command(batch_command::Command::RecordWork(served.work("i-1", 60))),
        command(batch_command::Command::SettleHold(served.settle("i-1"))),
        command(batch_command::Command::PlaceHold(served.hold("i-2", "x"))),
    ]
    .into_iter()
    .zip(10..)
    .map(|(command, correlation_id)| ExecuteStreamRequest { correlation_id, command: Some(command) })
    .collect();
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let mut answers = batches.execute_stream(tokio_stream::iter(commands)).await.unwrap().into_inner();
    let mut found = std::collections::BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        found.insert(answer.correlation_id, answer.result);
    }
    assert_eq!(found.len(), 4);
    assert_eq!(accepted(found.remove(&12).unwrap()).available_credits, "3");
    let malformed = refused(found.remove(&13).unwrap());
    assert_eq!((malformed.code, malformed.field_violations[0].field.as_str()), (3, "place_hold.credits"));
}

async fn a_purchase_that_activates_many_holds_is_answered(on: On) {
    let served = Served::with_credits(on, "0").await;
    let text = "t".repeat(1_024);
    let park = |n: usize| PlaceHoldRequest {
        context: Some(context(served.next(), "acme").by(text.clone())),
        park: true,
        note: text.clone(),
        range_override_reason: text.clone(),
        ..served.hold(&format!("i-{n}"), "1")
    };
    let commands = (0..1_500).map(|n| command(batch_command::Command::PlaceHold(park(n)))).collect();
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
    let mut batches = BatchServiceClient::new(served.channel.clone());
    for result in batches.execute_batch(request).await.unwrap().into_inner().results {
        accepted(Some(result));
    }
    // With the 4 MiB that clients take by default: who has paid must be told so.
    let bought = served
        .purchases()
        .purchase_credits(served.purchase("2000", "o-1"))
        .await
        .unwrap()
        .into_inner()
        .outcome();
    assert_eq!(bought.balance.unwrap().held_credits, "1500");
    let shown: Vec<_> = bought.activated_holds.iter().map(|hold| hold.incident_id.as_str()).collect();
    assert!(shown.len() > 200);
    assert_eq!(shown, (0..shown.len()).map(|n| format!("i-{n}")).collect::<Vec<_>>());
    assert_eq!(served.verify().await, 1 + 1_500 + 1);
}

on_each_engine! {
    a_batch_places_works_and_settles_in_order
    a_malformed_batch_is_refused_as_a_whole
    ten_thousand_results_fit_a_default_client
    a_stream_keeps_the_order_of_one_customer
    a_purchase_that_activates_many_holds_is_answered
}

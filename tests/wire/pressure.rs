//! Deadlines, a full queue, callers that go away at the worst moment, and a server that goes down.

use std::time::Duration;

use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::*;
use creditledger::writer::Limits;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::bulk::{accepted, command, refused};
use crate::errors::reason;
use crate::gate::gated;
use crate::http2::{Connection, frame};
use crate::served::{On, Served, on_each_engine};

/// Places a hold on a task of its own.
pub fn place(served: &Served, hold: PlaceHoldRequest) -> JoinHandle<Result<PlaceHoldResponse, Status>> {
    let mut holds = HoldServiceClient::new(served.channel.clone());
    tokio::spawn(async move { Ok(holds.place_hold(hold).await?.into_inner()) })
}

pub fn is_unavailable(status: &Status, expected: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::Unavailable, expected));
    let after = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(after > Duration::ZERO && after <= Duration::from_secs(1), "{after:?}");
}

/// What must not wait for the gate: a test that fails is better than one that hangs.
async fn at_once<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), answer).await.expect("an answer that waits for nothing")
}

async fn until_queue_is(served: &Served, commands: usize) {
    while served.writer.queued() != commands {
        tokio::task::yield_now().await;
    }
}

async fn a_call_that_comes_too_late_does_nothing(on: On) {
    let served = Served::with_credits(on, "5").await;
    let connection = Connection::open(&served).await;
    let before = served.positions().await;
    let batch = ExecuteBatchRequest {
        ledger_id: String::new(),
        commands: vec![command(batch_command::Command::PlaceHold(served.hold("i-2", "1")))],
    };
    let ledger = CreateLedgerRequest { context: served.of(""), ledger_id: "late".into() };
    for timeout in ["1n", "0m"] {
        for (method, body) in [
            ("HoldService/PlaceHold", frame(&served.hold("i-1", "1"))),
            ("CustomerService/CreateCustomer", frame(&served.customer("late"))),
            ("PurchaseService/PurchaseCredits", frame(&served.purchase("1", "late"))),
            ("BatchService/ExecuteBatch", frame(&batch)),
            ("LedgerService/CreateLedger", frame(&ledger)),
            ("LedgerService/ListLedgers", frame(&ListLedgersRequest::default())),
        ] {
            let status = connection.send(method, &[("grpc-timeout", timeout)], body).await.status();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
                "{method}"
            );
        }
    }
    // Whatever was begun has ended once the writer has answered what came after it.
    served.verify().await;
    assert_eq!(served.positions().await, before);
    let ledgers =
        served.ledgers().list_ledgers(ListLedgersRequest::default()).await.unwrap().into_inner().ledgers;
    assert_eq!(ledgers.len(), 1, "{ledgers:?}");
    // None of the ids is used up.
    let made = served.ledgers().create_ledger(ledger).await.unwrap().into_inner();
    assert!(!made.outcome().replayed);
}

#[tokio::test]
async fn a_command_whose_time_runs_out_in_the_queue_is_not_run() {
    let (served, mut gate) = gated(Limits::default()).await;
    served.buy("5").await;
    gate.close();
    let ahead = place(&served, served.hold("i-1", "1"));
    gate.wait_for_commit().await;
    let late = served.hold("i-2", "1");
    let connection = Connection::open(&served).await;
    let timeout = [("grpc-timeout", "20m")];
    let status = connection.send("HoldService/PlaceHold", &timeout, frame(&late)).await.status();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    let ledger = CreateLedgerRequest { context: served.of(""), ledger_id: "late".into() };
    let status = connection.send("LedgerService/CreateLedger", &timeout, frame(&ledger)).await.status();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    gate.set_open(true);
    ahead.await.unwrap().unwrap();
    assert_eq!(served.verify().await, 3);
    let placed = served.holds().place_hold(late).await.unwrap().into_inner();
    assert!(!placed.outcome().replayed);
    assert!(!served.ledgers().create_ledger(ledger).await.unwrap().into_inner().outcome().replayed);
}

#[tokio::test]
async fn a_full_queue_says_so_and_loses_nothing() {
    let (served, mut gate) = gated(Limits { queue_commands_max: 3, ..Limits::default() }).await;
    served.buy("9").await;
    gate.close();
    let mut waiting = vec![place(&served, served.hold("i-0", "1"))];
    gate.wait_for_commit().await;
    for n in 1..=3 {
        waiting.push(place(&served, served.hold(&format!("i-{n}"), "1")));
    }
    until_queue_is(&served, 3).await;

    let one_too_many = served.hold("i-4", "1");
    let status = at_once(served.holds().place_hold(one_too_many.clone())).await.unwrap_err();
    is_unavailable(&status, "OVERLOADED");
    let ledger = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    is_unavailable(&at_once(served.ledgers().create_ledger(ledger)).await.unwrap_err(), "OVERLOADED");
    let bulk = command(batch_command::Command::PlaceHold(one_too_many.clone()));
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands: vec![bulk.clone()] };
    let mut batches = BatchServiceClient::new(served.channel.clone());
    is_unavailable(&at_once(batches.execute_batch(request)).await.unwrap_err(), "OVERLOADED");
    let request = tokio_stream::iter([ExecuteStreamRequest { correlation_id: 7, command: Some(bulk) }]);
    let mut answers = batches.execute_stream(request).await.unwrap().into_inner();
    let error = refused(at_once(answers.message()).await.unwrap().unwrap().result);
    assert_eq!((error.code, error.reason.as_str()), (14, "OVERLOADED"));
    // Reads go on.
    served.ledgers().get_trial_balance(GetTrialBalanceRequest::default()).await.unwrap();

    gate.set_open(true);
    for placed in waiting {
        placed.await.unwrap().unwrap();
    }
    let placed = served.holds().place_hold(one_too_many).await.unwrap().into_inner();
    assert!(!placed.outcome().replayed);
    assert_eq!(served.verify().await, 2 + 5);
}

#[tokio::test]
async fn a_command_outlives_its_caller_once_it_is_being_committed() {
    let (served, mut gate) = gated(Limits::default()).await;
    served.buy("5").await;
    gate.close();
    let hold = served.hold("i-1", "2");
    let mut leaving = HoldServiceClient::new(served.connect().await);
    let sent = hold.clone();
    let call = tokio::spawn(async move { leaving.place_hold(sent).await });
    gate.wait_for_commit().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    gate.set_open(true);
    let placed = served.holds().place_hold(hold).await.unwrap().into_inner();
    assert!(placed.outcome().replayed);
    assert_eq!(served.verify().await, 3);
}

#[tokio::test]
async fn a_closed_writer_finishes_what_waits_and_takes_nothing_new() {
    let (mut served, mut gate) = gated(Limits::default()).await;
    served.buy("5").await;
    gate.close();
    let running = place(&served, served.hold("i-1", "1"));
    gate.wait_for_commit().await;
    let waiting = place(&served, served.hold("i-2", "1"));
    until_queue_is(&served, 1).await;
    served.writer.close();
    is_unavailable(&served.holds().place_hold(served.hold("i-3", "1")).await.unwrap_err(), "SHUTTING_DOWN");
    let ledger = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    is_unavailable(&served.ledgers().create_ledger(ledger).await.unwrap_err(), "SHUTTING_DOWN");
    gate.set_open(true);
    running.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    (&mut served.end.stopped).await.unwrap().unwrap();
    assert_eq!(served.positions().await, [4, 0]);
}

#[tokio::test]
async fn a_server_that_goes_down_answers_what_is_under_way() {
    let (served, mut gate) = gated(Limits::default()).await;
    served.buy("5").await;
    let follow = StreamJournalRequest { after_position: 2, follow: true, ..Default::default() };
    let mut journal = served.ledgers().stream_journal(follow).await.unwrap().into_inner();
    let (commands, source) = mpsc::channel(4);
    let mut batches = BatchServiceClient::new(served.connect().await);
    let mut answers = batches.execute_stream(ReceiverStream::new(source)).await.unwrap().into_inner();
    gate.close();
    let hold = command(batch_command::Command::PlaceHold(served.hold("i-1", "1")));
    commands.send(ExecuteStreamRequest { correlation_id: 7, command: Some(hold) }).await.unwrap();
    gate.wait_for_commit().await;
    let single = place(&served, served.hold("i-2", "1"));
    until_queue_is(&served, 1).await;

    served.stop.send(()).unwrap();
    // Streams without an end stop at once.
    is_unavailable(&journal.message().await.unwrap_err(), "SHUTTING_DOWN");
    gate.set_open(true);
    // A command on a stream is answered before the stream ends, else its sender would not know its fate.
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.correlation_id, 7);
    assert_eq!(accepted(answer.result).sequence, 3);
    is_unavailable(&answers.message().await.unwrap_err(), "SHUTTING_DOWN");
    assert_eq!(single.await.unwrap().unwrap().outcome().posting.unwrap().sequence, 4);
    drop((journal, answers, batches, served.channel));
    served.server.await.unwrap().unwrap();
}

on_each_engine! {
    a_call_that_comes_too_late_does_nothing
}

//! Callers that fall silent: on a new connection, in the middle of a request, on a stream, and while they are answered.

use std::time::{Duration, Instant};

use creditledger::grpc::Limits;
use creditledger::grpc::wire::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::errors::reason;
use crate::http2::{Connection, frame};
use crate::served::Served;

/// Short, so that a test need not wait long; what must not be cut off is done well within it.
const SILENCE: Duration = Duration::from_millis(300);
/// A busy machine meets this.
const PATIENCE: Duration = Duration::from_mins(1);

fn short() -> Limits {
    Limits { silence: SILENCE, first_bytes: SILENCE, ..Limits::default() }
}

async fn in_time<T>(what: &str, answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Waits for as long as a caller may be silent: until the server has closed a connection that says nothing.
async fn a_silence(served: &Served) {
    let mut socket = TcpStream::connect(served.address.trim_start_matches("http://")).await.unwrap();
    let mut rest = Vec::new();
    // An end or a reset; both are one.
    let _ = in_time("a silent connection", socket.read_to_end(&mut rest)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_do_not_say_what_they_want_are_closed() {
    let served = Served::within(short()).await;
    let authority = served.address.trim_start_matches("http://");
    for said in ["", "P", "PRI * HTTP/2.0\r\n\r\nS"] {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(authority).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // An end or a reset; both are one.
        let _ = in_time("a silent connection", socket.read_to_end(&mut rest)).await;
        assert!(begun.elapsed() >= SILENCE, "{said:?}: after {:?}", begun.elapsed());
    }
    // One that has said it may be idle.
    let connection = Connection::open(&served).await;
    let ask = || connection.send("LedgerService/ListLedgers", &[], frame(&ListLedgersRequest::default()));
    assert_eq!(ask().await.status().code(), Code::Ok);
    a_silence(&served).await;
    a_silence(&served).await;
    assert_eq!(ask().await.status().code(), Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_closed_and_its_place_is_free_again() {
    let served = Served::within(Limits { connections_max: 2, ..Limits::default() }).await;
    let authority = served.address.trim_start_matches("http://");
    // The channel of the rig is the first.
    let second = TcpStream::connect(authority).await.unwrap();
    let mut third = TcpStream::connect(authority).await.unwrap();
    let mut rest = Vec::new();
    let _ = in_time("a connection too many", third.read_to_end(&mut rest)).await;
    drop(second);
    in_time("the free place", async {
        loop {
            let channel = served.connect().await;
            let mut ledgers = ledger_service_client::LedgerServiceClient::new(channel);
            if ledgers.list_ledgers(ListLedgersRequest::default()).await.is_ok() {
                return;
            }
        }
    })
    .await;
}

/// Whole but for its last byte.
fn cut(message: &impl prost::Message) -> Vec<u8> {
    let mut bytes = frame(message);
    bytes.pop();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_one_byte_short_is_cut_off() {
    let served = Served::within(short()).await;
    served.buy("5").await;
    let before = served.positions().await;
    let connection = Connection::open(&served).await;
    let command = bulk_command(&served);
    let batch = ExecuteBatchRequest { ledger_id: String::new(), commands: vec![command.clone()] };
    let item = ExecuteStreamRequest { correlation_id: 1, command: Some(command) };
    let follow = StreamJournalRequest { follow: true, ..Default::default() };
    for (method, body) in [
        ("HoldService/PlaceHold", cut(&served.hold("i-1", "1"))),
        ("BatchService/ExecuteBatch", cut(&batch)),
        ("BatchService/ExecuteStream", cut(&item)),
        ("LedgerService/StreamJournal", cut(&follow)),
        (
            "LedgerService/ReconcilePurchases",
            cut(&ReconcilePurchasesRequest { storefront: "web".into(), ..Default::default() }),
        ),
    ] {
        let is_unary = method.ends_with("PlaceHold") || method.ends_with("ExecuteBatch");
        for content_type in ["application/grpc", "application/grpc-web+proto"] {
            if !is_unary && content_type != "application/grpc" {
                continue; // its status comes in the body
            }
            let headers = [("content-type", content_type)];
            let answer = in_time(method, connection.begin(method, &headers, body.clone())).await;
            let status = answer.status();
            let told = (status.code(), reason(&status));
            assert_eq!(told, (Code::Aborted, "CALLER_STALLED".to_owned()), "{method}: {status:?}");
        }
    }
    // Nothing at all, and the messages of a stream that then stops.
    for body in [Vec::new(), frame(&item_of(&served, "i-2"))] {
        let answer = in_time("a stream", connection.begin("BatchService/ExecuteStream", &[], body)).await;
        assert_eq!(reason(&answer.status()), "CALLER_STALLED");
    }
    // By Connect.
    let authority = served.address.trim_start_matches("http://");
    for length in ["content-length: 3", "transfer-encoding: chunked"] {
        let mut socket = TcpStream::connect(authority).await.unwrap();
        let head = format!(
            "POST /creditledger.v1.LedgerService/ListLedgers HTTP/1.1\r\nhost: {authority}\r\n\
             content-type: application/json\r\n{length}\r\n\r\n"
        );
        let begun = if length.starts_with('t') { "1\r\n{\r\n" } else { "{}" };
        socket.write_all(format!("{head}{begun}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = in_time("a body of JSON", socket.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("CALLER_STALLED"), "{length}: {answer}");
    }
    // Only the whole message of the stream was run.
    let after = served.positions().await;
    assert_eq!(after[0], before[0] + 1);
    served.verify().await;
}

fn bulk_command(served: &Served) -> BatchCommand {
    crate::bulk::command(batch_command::Command::PlaceHold(served.hold("i-9", "1")))
}

fn item_of(served: &Served, incident: &str) -> ExecuteStreamRequest {
    let command = crate::bulk::command(batch_command::Command::PlaceHold(served.hold(incident, "1")));
    ExecuteStreamRequest { correlation_id: 2, command: Some(command) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_ends_and_leaves_its_place() {
    let served = Served::within(Limits { streams_max: 1, ..short() }).await;
    served.buy("5").await;
    // More than the connection and the stream hold between them.
    let commands = (0..3_000).map(|n| {
        let hold = served.hold(&format!("i-{n}"), "0");
        crate::bulk::command(batch_command::Command::PlaceHold(PlaceHoldRequest {
            note: "n".repeat(200),
            ..hold
        }))
    });
    let batch = ExecuteBatchRequest { ledger_id: String::new(), commands: commands.collect() };
    let mut batches = batch_service_client::BatchServiceClient::new(served.channel.clone());
    batches.execute_batch(batch).await.unwrap();

    let follow = StreamJournalRequest { follow: true, ..Default::default() };
    let connection = Connection::open(&served).await;
    let unread = connection.open_stream("LedgerService/StreamJournal", frame(&follow)).await;
    let again = || async {
        let mut journal = served.ledgers().stream_journal(follow.clone()).await?.into_inner();
        journal.message().await
    };
    assert_eq!(reason(&again().await.unwrap_err()), "OVERLOADED");
    // Calls with one answer have places of their own.
    served.ledgers().get_trial_balance(GetTrialBalanceRequest::default()).await.unwrap();
    in_time("the place of the stream", async {
        while let Err(status) = again().await {
            assert_eq!(reason(&status), "OVERLOADED");
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_read_slowly_but_steadily_goes_on() {
    let served = Served::within(short()).await;
    served.buy("5").await;
    let follow = StreamJournalRequest { follow: true, ..Default::default() };
    let mut journal = served.ledgers().stream_journal(follow).await.unwrap().into_inner();
    for n in 0..4 {
        if n > 1 {
            served.holds().place_hold(served.hold(&format!("i-{n}"), "1")).await.unwrap();
        }
        in_time("a posting", journal.message()).await.unwrap().unwrap();
        // Longer than a reader may be silent: nothing waits for it.
        a_silence(&served).await;
        a_silence(&served).await;
        a_silence(&served).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_take_long_leave_connections_to_others() {
    if !crate::postgres::available() {
        return;
    }
    let url = crate::postgres::database().await;
    let served = Served::at(&url, &creditledger::store::Settings::default(), None).await;
    served.buy("5").await;
    served.ledgers().list_ledgers(ListLedgersRequest::default()).await.unwrap();
    // Statistics read the holds, and wait for this lock.
    let mut locking = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE hold IN ACCESS EXCLUSIVE MODE").execute(&mut locking).await.unwrap();
    let statistics: Vec<_> = (0..32)
        .map(|_| {
            let mut cards = rate_card_service_client::RateCardServiceClient::new(served.channel.clone());
            tokio::spawn(async move {
                cards.get_incident_class_stats(GetIncidentClassStatsRequest::default()).await
            })
        })
        .collect();
    // As many as may have begun.
    let mut waiting = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    in_time("the statistics", async {
        let count = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE d.datname = current_database() AND NOT granted";
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut waiting).await.unwrap() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..8 {
        served.ledgers().list_ledgers(ListLedgersRequest::default()).await.unwrap();
        served.ledgers().get_trial_balance(GetTrialBalanceRequest::default()).await.unwrap();
    }
    // Pages of the journal are short reads.
    let mut journal =
        served.ledgers().stream_journal(StreamJournalRequest::default()).await.unwrap().into_inner();
    while in_time("the journal", journal.message()).await.unwrap().is_some() {}
    let ended = statistics.iter().filter(|statistics| statistics.is_finished()).count();
    assert_eq!(ended, 0, "other reads waited until statistics gave up");
    sqlx::raw_sql("ROLLBACK").execute(&mut locking).await.unwrap();
    for statistics in statistics {
        in_time("statistics", statistics).await.unwrap().unwrap();
    }
}

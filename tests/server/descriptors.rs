//! A server that runs out of descriptors: it waits, says so seldom, and goes on.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use creditledger::grpc::wire::ListLedgersRequest;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;

use super::process::{PATIENCE, Place, Server};

/// Descriptors that the server may have: some for itself, and some connections.
const DESCRIPTORS: usize = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_descriptors_it_waits_and_goes_on() {
    let place = Place::new();
    let mut command = std::process::Command::new("sh");
    let limited = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_creditledger"), "serve", "--listen", "127.0.0.1:0"]);
    command.args(["--first-bytes-timeout-ms", "600000"]).current_dir(place.path("")).env_clear();
    let server = Server::start(command);
    let honest = server.connect().await;
    let mut ledgers = LedgerServiceClient::new(honest);
    ledgers.list_ledgers(ListLedgersRequest::default()).await.unwrap();

    // More than it can accept: the rest waits in the system's queue.
    let begun = Instant::now();
    let attackers: Vec<_> =
        (0..2 * DESCRIPTORS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let cpu = server.process.cpu_ticks();
    let watched = Duration::from_secs(3);
    let mut calls = tokio::time::interval(Duration::from_millis(50));
    while begun.elapsed() < watched {
        // Who is connected is served meanwhile.
        ledgers.list_ledgers(ListLedgersRequest::default()).await.unwrap();
        calls.tick().await;
    }
    // Ticks are hundredths of a second on Linux. A loop that does not wait uses all of them.
    let used = server.process.cpu_ticks() - cpu;
    assert!(used < 150, "{used} ticks of CPU in {watched:?}");
    drop(attackers);
    let again = tokio::time::timeout(PATIENCE, server.connect()).await.expect("it accepts again");
    LedgerServiceClient::new(again).list_ledgers(ListLedgersRequest::default()).await.unwrap();
    let lasted = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let ended = server.stop();
    let lines = ended.stderr.lines().filter(|line| line.contains("no connection can be accepted")).count();
    assert!((1..=lasted + 2).contains(&lines), "{lines} lines in {lasted} s: {}", ended.stderr);
}

//! Attacks on a real server, with honest callers beside them: no honest call fails, and the memory stays bounded.
//! `CREDITLEDGER_TEST_TIMES=20` attacks twenty times as long.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::*;
use h2::client::SendRequest;
use http::Request;
use prost::bytes::Bytes;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::process::{Place, Server};

/// The most memory of the process.
const MEMORY_MIB: u64 = 256;
/// Honest calls while nothing else goes on, and at least while the attacks do.
const CALLS: u32 = 100;
/// What a call may take on a machine that compiles at the same time, besides twice the quiet time.
const FLOOR: Duration = Duration::from_secs(3);

async fn connection(address: &str) -> SendRequest<Bytes> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    requests
}

/// A gRPC message that is packed.
fn packed(message: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(vec![1, 0, 0, 0, 0], flate2::Compression::best());
    encoder.write_all(message).unwrap();
    let mut frame = encoder.finish().unwrap();
    let length = u32::try_from(frame.len() - 5).unwrap().to_be_bytes();
    frame[1..5].copy_from_slice(&length);
    frame.into()
}

/// Sends a body to a method, and gives the stream of the answer, of which nothing is read.
async fn send(requests: &SendRequest<Bytes>, method: &str, body: Bytes, end: bool) -> Option<h2::RecvStream> {
    let request = Request::post(format!("http://x/creditledger.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "gzip");
    let mut requests = requests.clone().ready().await.ok()?;
    let (answer, mut sink) = requests.send_request(request.body(()).unwrap(), false).ok()?;
    let _ = sink.send_data(body, end);
    if !end {
        // The rest of the body never comes.
        std::mem::forget(sink);
        return None;
    }
    Some(answer.await.ok()?.into_body())
}

/// Places calls as an honest caller does, and gives the time of the slowest but one in a hundred.
async fn honest(channel: &Channel, name: &str, until: Option<Instant>) -> Duration {
    let mut customers = CustomerServiceClient::new(channel.clone());
    let mut ledgers = LedgerServiceClient::new(channel.clone());
    let mut times = Vec::new();
    let mut nth = 0;
    while nth < CALLS || until.is_some_and(|until| Instant::now() < until) {
        let begun = Instant::now();
        let id = format!("{name}-{nth}");
        let create = CreateCustomerRequest { context: Some(context(&id, &id)), ..Default::default() };
        customers.create_customer(create).await.unwrap();
        let read = GetBalanceRequest { customer_id: id, ..Default::default() };
        ledgers.get_balance(read).await.unwrap();
        times.push(begun.elapsed());
        nth += 1;
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_callers_are_served_while_others_attack() {
    let times =
        std::env::var("CREDITLEDGER_TEST_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let place = Place::new();
    let server = Server::start(place.command(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--silence-timeout-ms",
        "2000",
        "--log-filter",
        "error",
    ]));
    let channel = server.connect().await;
    let quiet = honest(&channel, "quiet", None).await;

    let address = server.address().to_owned();
    let until = Instant::now() + Duration::from_secs(5) * times;
    let mut attacks = JoinSet::new();
    // Empty commands: more than may be decoded, and nearly as many as may.
    for count in [8_000_000, 40_000, 40_000] {
        let (address, body) = (address.clone(), packed(&[2 << 3 | 2, 0].repeat(count)));
        attacks.spawn(async move {
            let requests = connection(&address).await;
            while Instant::now() < until {
                send(&requests, "BatchService/ExecuteBatch", body.clone(), true).await;
            }
        });
    }
    // Large requests that never come, and readers that never read.
    attacks.spawn({
        let address = address.clone();
        async move {
            let mut unread = Vec::new();
            let mut rounds = tokio::time::interval(Duration::from_millis(100));
            while Instant::now() < until {
                let requests = connection(&address).await;
                for _ in 0..20 {
                    let begun = Bytes::from_static(&[0, 0, 0x3f, 0xff, 0xff, 0, 0]);
                    send(&requests, "HoldService/PlaceHold", begun.clone(), false).await;
                    send(&requests, "BatchService/ExecuteBatch", begun, false).await;
                    let follow = Bytes::from_static(&[0, 0, 0, 0, 2, 3 << 3, 1]);
                    unread.push(send(&requests, "LedgerService/StreamJournal", follow, true).await);
                }
                rounds.tick().await;
            }
        }
    });
    // Connections that say nothing.
    let silent: Vec<_> = (0..300).map(|_| TcpStream::connect(&address).unwrap()).collect();

    let busy = honest(&channel, "busy", Some(until)).await;
    while let Some(attack) = attacks.join_next().await {
        attack.unwrap();
    }
    let memory = server.process.memory_mib();
    drop(silent);
    server.stop();
    place.verify();
    assert!(busy <= 2 * quiet + FLOOR, "99 of 100 calls took {busy:?}, and {quiet:?} in quiet");
    assert!(memory <= MEMORY_MIB, "{memory} MiB");
}

//! How much each caller may have done: what is over a limit is refused or held back, and nobody else notices.

use std::time::{Duration, Instant};

use creditledger::access::{CallerLimits, Quotas, RoleLimits};
use creditledger::grpc::Limits;
use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::*;
use creditledger::ledger::actor::Role;
use prost::Message;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::access::reason;
use crate::callers::{Guarded, with_token};
use crate::plain::{self, Http};
use crate::served::{On, Served};

/// A busy machine meets this.
const PATIENCE: Duration = Duration::from_mins(1);
const BALANCE: &str = "LedgerService/GetBalance";

/// What is not limited in a test.
const FREE: RoleLimits = RoleLimits {
    commands_per_second: None,
    bytes_per_second: None,
    burst_seconds: 1,
    streams: 100,
    batch_commands: 10_000,
    may_waive: true,
    may_override_range: true,
};

/// A server on which each caller has these limits.
async fn limited(limits: RoleLimits) -> (Served, Guarded) {
    let served = Served::with_credits(On::Memory, "1000").await;
    let quotas = Quotas::new(CallerLimits::new(|_| limits));
    let guarded = Guarded::limited(&served, None, quotas, 0).await;
    (served, guarded)
}

async fn in_time<T>(what: &str, answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

fn balance() -> Vec<u8> {
    GetBalanceRequest { customer_id: "acme".into(), ..Default::default() }.encode_to_vec()
}

/// Checks that a call was refused for this limit, and gives when it would pass.
fn wait_of(status: &Status, limit: &str, max: u64) -> Duration {
    assert_eq!((status.code(), &*reason(status)), (Code::ResourceExhausted, "RATE_LIMITED"), "{status}");
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((&*metadata["limit"], &*metadata["max"]), (limit, &*max.to_string()));
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO);
    wait
}

/// Calls until it is refused: on a busy machine some of what is spent comes back meanwhile.
async fn until_refused(
    guarded: &Guarded,
    token: &str,
    method: &str,
    message: &dyn Fn() -> Vec<u8>,
) -> Status {
    in_time("a caller that is never refused", async {
        loop {
            if let Err(status) = guarded.call(token, method, message()).await {
                return status;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_too_often_waits_and_nobody_else() {
    let (served, guarded) =
        limited(RoleLimits { commands_per_second: Some(1), burst_seconds: 3, ..FREE }).await;
    let tokens = &guarded.tokens;
    let abuser = tokens.issue("abuser", Role::Helpdesk, &[]);
    let renewed = tokens.again(&abuser, "clt_renewed");
    let before = served.positions().await;
    let status = until_refused(&guarded, &abuser, BALANCE, &balance).await;
    assert!(wait_of(&status, "commands_per_second", 1) <= Duration::from_secs(1));
    // Another token of the same caller is no other caller, and a command is refused like a read.
    let hold = served.hold("inc", "1").encode_to_vec();
    let status = until_refused(&guarded, &renewed, "HoldService/PlaceHold", &|| hold.clone()).await;
    assert!(wait_of(&status, "commands_per_second", 1) <= Duration::from_secs(1));
    assert!(status.message().ends_with("nothing was done"));
    // What its role may not call counts too, because it is kept.
    let grant = || GrantCreditsRequest { context: served.of("acme"), ..Default::default() }.encode_to_vec();
    in_time("the limit of refusals", async {
        while reason(&guarded.call(&abuser, "PurchaseService/GrantCredits", grant()).await.unwrap_err())
            != "RATE_LIMITED"
        {}
    })
    .await;
    // Others are served: with the same role, with another one under the same name, and a hundred more.
    for n in 0..100 {
        let honest = tokens.issue(&format!("honest-{n}"), Role::Helpdesk, &[]);
        guarded.call(&honest, BALANCE, balance()).await.unwrap();
    }
    assert_eq!(served.positions().await[0], before[0] + u64::from(served_hold(&served).await));
    // Within a second, as it was told, something has come back.
    in_time("the caller that has waited", async {
        while guarded.call(&abuser, BALANCE, balance()).await.is_err() {}
    })
    .await;
}

/// Whether the hold of the test came through, before the caller was refused.
async fn served_hold(served: &Served) -> bool {
    let asked = GetHoldRequest { target: Some(HoldTarget::incident("inc")), ..Default::default() };
    let asked = GetHoldRequest { customer_id: "acme".into(), ..asked };
    served.holds().get_hold(asked).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_connect_and_by_grpc_web_it_is_told_too() {
    let (_served, guarded) =
        limited(RoleLimits { commands_per_second: Some(1), burst_seconds: 1, ..FREE }).await;
    let token = guarded.tokens.issue("desk", Role::Helpdesk, &[]);
    let path = format!("/creditledger.v1.{BALANCE}");
    let bearer = format!("Bearer {token}");
    let ask = async |content_type: &str, body: &[u8]| {
        let headers = [("content-type", content_type), ("authorization", &*bearer)];
        plain::send_to(&guarded.address, Http::One, "POST", &path, &headers, body).await
    };
    let answer = in_time("the limit by Connect", async {
        loop {
            let answer = ask("application/json", br#"{"customerId":"acme"}"#).await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(answer.refusal(), (429, "resource_exhausted".into(), "RATE_LIMITED".into()));
    let told = answer.json().to_string();
    assert!(told.contains("google.rpc.RetryInfo") && told.contains("retryDelay"), "{told}");
    in_time("the limit by gRPC-Web", async {
        loop {
            let answer = ask("application/grpc-web+proto", &[0; 5]).await;
            let told = String::from_utf8_lossy(&answer.body).into_owned() + &format!("{:?}", answer.headers);
            if told.contains("grpc-status:8") || told.contains("\"grpc-status\": \"8\"") {
                return;
            }
        }
    })
    .await;
}

/// A batch of so many small holds that are not there to be closed: each is answered, and nothing moves.
fn batch(served: &Served, count: usize) -> ExecuteBatchRequest {
    let close = |_| BatchCommand {
        command: Some(batch_command::Command::CloseIncident(CloseIncidentRequest {
            context: served.of("acme"),
            target: Some(HoldTarget::incident("nothing")),
            ..Default::default()
        })),
    };
    ExecuteBatchRequest { ledger_id: String::new(), commands: (0..count).map(close).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_costs_its_commands_and_none_is_impossible_for_ever() {
    let limits =
        RoleLimits { commands_per_second: Some(1), burst_seconds: 1_000, batch_commands: 3_000, ..FREE };
    let (served, guarded) = limited(limits).await;
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    let desk = guarded.tokens.issue("desk", Role::Helpdesk, &[]);
    let results = client.execute_batch(with_token(&desk, batch(&served, 600))).await.unwrap().into_inner();
    assert_eq!(results.results.len(), 600);
    let status = client.execute_batch(with_token(&desk, batch(&served, 600))).await.unwrap_err();
    // 400 are left, and what has come back since.
    let wait = wait_of(&status, "commands_per_second", 1);
    assert!((Duration::from_secs(100)..=Duration::from_secs(200)).contains(&wait), "{wait:?}");
    client.execute_batch(with_token(&desk, batch(&served, 390))).await.unwrap();
    // More than can be saved up passes where all is saved up, and is paid afterwards.
    let bulk = guarded.tokens.issue("bulk", Role::Helpdesk, &[]);
    client.execute_batch(with_token(&bulk, batch(&served, 3_000))).await.unwrap();
    for status in [
        client.execute_batch(with_token(&bulk, batch(&served, 1))).await.unwrap_err(),
        guarded.call(&bulk, BALANCE, balance()).await.unwrap_err(),
    ] {
        let wait = wait_of(&status, "commands_per_second", 1);
        assert!((Duration::from_secs(1_900)..=Duration::from_secs(2_001)).contains(&wait), "{wait:?}");
    }
    // One with more commands than its role may have in one is wrong, whenever it comes.
    let large = guarded.tokens.issue("large", Role::Helpdesk, &[]);
    let status = client.execute_batch(with_token(&large, batch(&served, 3_001))).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::InvalidArgument, "INVALID_FIELD"));
    assert!(status.message().contains("must be 1 to 3000 commands"), "{status}");
    client.execute_batch(with_token(&large, batch(&served, 900))).await.unwrap();
    served.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_commands_is_held_back_and_loses_none() {
    const COUNT: u64 = 60;
    let (served, guarded) = limited(RoleLimits { commands_per_second: Some(20), ..FREE }).await;
    let desk = guarded.tokens.issue("desk", Role::Helpdesk, &[]);
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    let command = |n: u64| {
        let hold = served.hold(&format!("inc-{n}"), "1");
        let command = Some(BatchCommand { command: Some(batch_command::Command::PlaceHold(hold)) });
        ExecuteStreamRequest { correlation_id: n.try_into().unwrap(), command }
    };
    let sent: Vec<_> = (0..COUNT).map(command).collect();
    let begun = Instant::now();
    let answers = client.execute_stream(with_token(&desk, tokio_stream::iter(sent))).await.unwrap();
    let mut answers = answers.into_inner();
    let honest = guarded.tokens.issue("honest", Role::Helpdesk, &[]);
    guarded.call(&honest, BALANCE, balance()).await.unwrap();
    let mut accepted = 0;
    while let Some(answer) = in_time("a stream", answers.message()).await.unwrap() {
        let result = answer.result.unwrap().result.unwrap();
        assert!(matches!(result, batch_result::Result::Accepted(_)), "{result:?}");
        accepted += 1;
    }
    assert_eq!(accepted, COUNT);
    // 20 were saved up, of which the stream itself has taken one.
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    served.verify().await;
}

/// A hold with about so many KiB of metadata, at most 32.
fn heavy(served: &Served, kib: usize) -> PlaceHoldRequest {
    let mut hold = served.hold(&served.next(), "0");
    let pairs = (0..kib).map(|n| (format!("k{n}"), "x".repeat(1_010)));
    hold.context.as_mut().unwrap().metadata = pairs.collect();
    hold
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_count_as_they_come_and_as_they_are_unpacked() {
    let limits = RoleLimits { bytes_per_second: Some(1_024), burst_seconds: 20, ..FREE };
    let (served, guarded) = limited(limits).await;
    let tokens = &guarded.tokens;
    let desk = tokens.issue("desk", Role::Helpdesk, &[]);
    let place = "HoldService/PlaceHold";
    let status = until_refused(&guarded, &desk, place, &|| heavy(&served, 15).encode_to_vec()).await;
    assert!(wait_of(&status, "bytes_per_second", 1_024) <= Duration::from_secs(15));
    // More than can be saved up passes once.
    let bulk = tokens.issue("bulk", Role::Helpdesk, &[]);
    guarded.call(&bulk, place, heavy(&served, 31).encode_to_vec()).await.unwrap();
    let status = guarded.call(&bulk, place, heavy(&served, 1).encode_to_vec()).await.unwrap_err();
    assert!(wait_of(&status, "bytes_per_second", 1_024) > Duration::from_secs(5));
    // By Connect the same.
    let path = format!("/creditledger.v1.{place}");
    let bearer = format!("Bearer {bulk}");
    let headers = [("content-type", "application/proto"), ("authorization", &*bearer)];
    let body = heavy(&served, 1).encode_to_vec();
    let answer = plain::send_to(&guarded.address, Http::One, "POST", &path, &headers, &body).await;
    assert_eq!(answer.refusal(), (429, "resource_exhausted".into(), "RATE_LIMITED".into()));
    // A few hundred bytes that become 31 KiB.
    let packed = tokens.issue("packed", Role::Helpdesk, &[]);
    let mut client =
        HoldServiceClient::new(guarded.channel.clone()).send_compressed(CompressionEncoding::Gzip);
    client.place_hold(with_token(&packed, heavy(&served, 31))).await.unwrap();
    let status = client.place_hold(with_token(&packed, heavy(&served, 31))).await.unwrap_err();
    assert!(wait_of(&status, "bytes_per_second", 1_024) > Duration::from_secs(5));
    let honest = tokens.issue("honest", Role::Helpdesk, &[]);
    guarded.call(&honest, place, heavy(&served, 1).encode_to_vec()).await.unwrap();
    served.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_large_messages_is_read_no_faster_than_its_bytes_pass() {
    let limits = RoleLimits { bytes_per_second: Some(16 << 10), ..FREE };
    let (served, guarded) = limited(limits).await;
    let desk = guarded.tokens.issue("desk", Role::Helpdesk, &[]);
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    let sent: Vec<_> = (0..6)
        .map(|n| {
            let command = Some(batch_command::Command::PlaceHold(heavy(&served, 12)));
            ExecuteStreamRequest { correlation_id: n, command: Some(BatchCommand { command }) }
        })
        .collect();
    let begun = Instant::now();
    let answers = client.execute_stream(with_token(&desk, tokio_stream::iter(sent))).await.unwrap();
    let mut answers = answers.into_inner();
    let mut accepted = 0;
    while let Some(answer) = in_time("a stream", answers.message()).await.unwrap() {
        let result = answer.result.unwrap().result.unwrap();
        assert!(matches!(result, batch_result::Result::Accepted(_)), "{result:?}");
        accepted += 1;
    }
    // 72 KiB, of which 16 were saved up.
    assert_eq!(accepted, 6);
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_has_so_many_streams_and_another_has_its_own() {
    let (served, guarded) = limited(RoleLimits { streams: 2, ..FREE }).await;
    let (desk, other) = (
        guarded.tokens.issue("desk", Role::Helpdesk, &[]),
        guarded.tokens.issue("other", Role::Operator, &[]),
    );
    let watch = async |token: &str| {
        let mut client = NotificationServiceClient::new(guarded.channel.clone());
        let asked = WatchEventsRequest { heartbeat_seconds: 1, ..Default::default() };
        client.watch_events(with_token(token, asked)).await.map(tonic::Response::into_inner)
    };
    let mut kept = vec![watch(&desk).await.unwrap(), watch(&desk).await.unwrap()];
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    let commands = tokio_stream::iter(Vec::<ExecuteStreamRequest>::new());
    for status in [
        watch(&desk).await.unwrap_err(),
        client.execute_stream(with_token(&desk, commands)).await.unwrap_err(),
    ] {
        assert_eq!((status.code(), &*reason(&status)), (Code::ResourceExhausted, "TOO_MANY_STREAMS"));
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().metadata["max"], "2");
        assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    }
    // Calls go on, and so do others.
    guarded.call(&desk, BALANCE, balance()).await.unwrap();
    let mut follow = LedgerServiceClient::new(guarded.channel.clone());
    let asked = StreamJournalRequest { follow: true, ..Default::default() };
    let _others = [
        watch(&other).await.map(drop).map_err(drop).unwrap(),
        follow.stream_journal(with_token(&other, asked)).await.map(drop).map_err(drop).unwrap(),
    ];
    // A stream that has ended gives its place back.
    drop(kept.pop());
    in_time("the free place", async {
        loop {
            if let Ok(stream) = watch(&desk).await {
                return kept.push(stream);
            }
        }
    })
    .await;
    // So do those that end by themselves.
    drop(kept);
    in_time("streams that end", async {
        for _ in 0..20 {
            let asked = StreamJournalRequest::default();
            let Ok(stream) = follow.stream_journal(with_token(&other, asked)).await else { continue };
            let mut stream = stream.into_inner();
            while stream.message().await.unwrap().is_some() {}
        }
    })
    .await;
    served.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_leaves_connections_for_the_others() {
    let served = Served::within(Limits { connections_per_address_max: 2, ..Limits::default() }).await;
    let address: std::net::SocketAddr = served.address.trim_start_matches("http://").parse().unwrap();
    // The channel of the rig is the first.
    let second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    let _ = in_time("a connection too many", third.read_to_end(&mut Vec::new())).await;
    let elsewhere = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let socket = socket.connect(address).await.unwrap();
        let headers = [("content-type", "application/json")];
        let path = "/creditledger.v1.LedgerService/ListLedgers";
        let authority = address.to_string();
        plain::send_over(socket, &authority, Http::One, "POST", path, &headers, b"{}").await.status
    };
    assert_eq!(elsewhere().await, 200);
    drop(second);
    in_time("the free place", async {
        loop {
            let mut ledgers = LedgerServiceClient::new(served.connect().await);
            if ledgers.list_ledgers(ListLedgersRequest::default()).await.is_ok() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_guesses_waits_and_who_is_known_does_not() {
    let served = Served::with_credits(On::Memory, "10").await;
    let guarded = Guarded::limited(&served, None, Quotas::none(), 1).await;
    let good = guarded.tokens.issue("good", Role::Helpdesk, &[]);
    for guess in ["clt_guess", "a.b.c", ""] {
        let status = in_time("the limit of guesses", async {
            loop {
                let status = guarded.call(guess, BALANCE, balance()).await.unwrap_err();
                if reason(&status) != "UNAUTHENTICATED" {
                    return status;
                }
            }
        })
        .await;
        wait_of(&status, "unauthenticated_per_second", 1);
        guarded.call(&good, BALANCE, balance()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_settings_take_from_a_role_is_refused_in_each_method_and_in_batches() {
    let served = Served::with_credits(On::Memory, "100").await;
    for incident in ["settle", "release"] {
        served.holds().place_hold(served.hold(incident, "1")).await.unwrap();
    }
    let limits = CallerLimits::new(|role| RoleLimits {
        may_waive: role != Role::Helpdesk,
        may_override_range: role != Role::Helpdesk,
        ..FREE
    });
    let guarded = Guarded::limited(&served, None, Quotas::new(limits), 0).await;
    let (desk, operator) =
        (guarded.tokens.issue("desk", Role::Helpdesk, &[]), guarded.tokens.issue("op", Role::Operator, &[]));
    let why = || "so".to_owned();
    let charge = || ChargeIncidentRequest {
        context: served.of("acme"),
        incident_id: "charge".into(),
        work_seconds: 600,
        waive_reason: why(),
        ..Default::default()
    };
    let estimate = EstimateIncidentRequest { range_override_reason: why(), ..served.estimate("e", "1") };
    let place = PlaceHoldRequest { range_override_reason: why(), ..served.hold("p", "1") };
    let settle = SettleHoldRequest { waive_reason: why(), ..served.settle("settle") };
    let target = Some(HoldTarget::incident("release"));
    let release = ReleaseHoldRequest { context: served.of("acme"), target, waive_reason: why() };
    let before = served.positions().await;
    let asked = [
        ("EstimateIncident", estimate.encode_to_vec(), "range_override_reason"),
        ("PlaceHold", place.encode_to_vec(), "range_override_reason"),
        ("SettleHold", settle.encode_to_vec(), "waive_reason"),
        ("ReleaseHold", release.encode_to_vec(), "waive_reason"),
        ("ChargeIncident", charge().encode_to_vec(), "waive_reason"),
    ];
    for (method, message, field) in &asked {
        let status =
            guarded.call(&desk, &format!("HoldService/{method}"), message.clone()).await.unwrap_err();
        assert_eq!(reason(&status), "PERMISSION_DENIED");
        assert_eq!(status.message(), format!("the role helpdesk may not set {field}"), "{method}");
    }
    let command = Some(batch_command::Command::ChargeIncident(charge()));
    let batch = ExecuteBatchRequest { commands: vec![BatchCommand { command }], ..Default::default() };
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    let status = client.execute_batch(with_token(&desk, batch)).await.unwrap_err();
    assert_eq!(reason(&status), "PERMISSION_DENIED");
    assert_eq!(served.positions().await, before, "nothing of it was done");
    for (method, message, _) in asked {
        guarded.call(&operator, &format!("HoldService/{method}"), message).await.unwrap();
    }
    // Without the field the helpdesk does its work.
    guarded.call(&desk, "HoldService/PlaceHold", served.hold("q", "1").encode_to_vec()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_marked_as_claimed_unless_it_is_who_calls() {
    let served = Served::with_credits(On::Memory, "100").await;
    let guarded = Guarded::over(&served).await;
    let desk = guarded.tokens.issue("zammad", Role::Helpdesk, &[]);
    let place = async |by: &str, token: Option<&str>| {
        let mut hold = served.hold(&served.next(), "1");
        hold.context.as_mut().unwrap().by = by.to_owned();
        let placed = match token {
            Some(token) => {
                HoldServiceClient::new(guarded.channel.clone()).place_hold(with_token(token, hold)).await
            }
            None => served.holds().place_hold(Request::new(hold)).await,
        };
        let posting = placed.unwrap().into_inner().outcome.unwrap().posting.unwrap();
        let asked = GetPostingRequest {
            customer_id: "acme".into(),
            named_by: Some(get_posting_request::NamedBy::PostingId(posting.posting_id.clone())),
            ..Default::default()
        };
        let read = served.ledgers().get_posting(asked).await.unwrap().into_inner().posting.unwrap();
        assert_eq!((read.by_claimed, &*read.by), (posting.by_claimed, by));
        posting.by_claimed
    };
    assert!(place("ann", Some(&desk)).await, "the system says so");
    assert!(!place("zammad", Some(&desk)).await, "it has shown that");
    assert!(!place("", Some(&desk)).await, "nobody is named");
    assert!(place("ann", None).await, "nobody has shown anything");
}

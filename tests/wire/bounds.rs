//! Requests that are small on the wire and large once decoded, and the memory that requests may take together.

use std::io::Write as _;
use std::time::Duration;

use creditledger::clock;
use creditledger::grpc::Limits;
use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::*;
use creditledger::store::{self, Settings};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use tonic::Code;
use tonic::codec::CompressionEncoding::Gzip;

use crate::bulk::command;
use crate::errors::reason;
use crate::gate::gated_within;
use crate::http2::{Connection, framed};
use crate::plain;
use crate::pressure::{is_unavailable, place};
use crate::raw::text;
use crate::served::Served;

const KIB: usize = 1 << 10;

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The ways from a message to the lists and maps in it, each through types that are not yet on it.
fn lists(message: &MessageDescriptor, way: &[FieldDescriptor], found: &mut Vec<Vec<FieldDescriptor>>) {
    for field in message.fields() {
        let mut here = way.to_vec();
        here.push(field.clone());
        if field.is_list() || field.is_map() {
            found.push(here.clone());
        }
        if let Kind::Message(of) = field.kind() {
            let is_known = way.iter().any(|step| step.kind().as_message() == Some(&of));
            if !is_known && !field.is_map() {
                lists(&of, &here, found);
            }
        }
    }
}

/// A message of about so many bytes, all of them the smallest elements of the list at the end of the way.
fn full(way: &[FieldDescriptor], bytes: usize) -> Vec<u8> {
    let (list, outer) = way.split_last().unwrap();
    let content = match list.kind() {
        Kind::String | Kind::Message(_) => {
            text(list.number(), "").repeat(bytes / text(list.number(), "").len())
        }
        _ => text(list.number(), vec![1; bytes]),
    };
    outer.iter().rev().fold(content, |content, field| text(field.number(), content))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_of_any_message_becomes_much_larger_than_its_bytes() {
    let bounds =
        Limits { request_bytes_max: 256 * KIB, batch_request_bytes_max: 256 * KIB, ..Limits::default() };
    let served = Served::within(bounds).await;
    served.buy("5").await;
    let connection = Connection::open(&served).await;
    let before = served.positions().await;
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut count = 0;
    for service in pool.services().filter(|service| service.package_name() == "creditledger.v1") {
        for method in service.methods() {
            let mut ways = Vec::new();
            lists(&method.input(), &[], &mut ways);
            for way in ways {
                let names: Vec<_> = way.iter().map(|field| field.name().to_owned()).collect();
                let path = format!("{}/{}", service.name(), method.name());
                let message = full(&way, 200 * KIB);
                for (encoding, body) in
                    [("gzip", framed(1, &gzip(&message))), ("identity", framed(0, &message))]
                {
                    let status = connection.send(&path, &[("grpc-encoding", encoding)], body).await.status();
                    let told = (status.code(), reason(&status));
                    let expected = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned());
                    assert_eq!(told, expected, "{path} {names:?} {encoding}: {status:?}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 60, "only {count} lists");
    assert_eq!(served.positions().await, before);
    served.holds().place_hold(served.hold("i-1", "1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_kilobytes_do_not_become_millions_of_commands() {
    let served = Served::within(Limits::default()).await;
    served.buy("5").await;
    // Field 2 is the list of commands.
    let bomb = text(2, "").repeat((16 << 20) / 2 - 8);
    let packed = gzip(&bomb);
    assert!(packed.len() < 17 * KIB);
    let method = "BatchService/ExecuteBatch";
    let connection = Connection::open(&served).await;
    let status = connection.send(method, &[("grpc-encoding", "gzip")], framed(1, &packed)).await.status();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    let elements = vec!["{}"; 80_000].join(",");
    let json = gzip(format!("{{\"commands\":[{elements}]}}").as_bytes());
    for (content_type, body) in [("application/proto", packed), ("application/json", json)] {
        let headers = [("content-type", content_type), ("content-encoding", "gzip")];
        let path = format!("/creditledger.v1.{method}");
        let answer = plain::send(&served, plain::Http::Two, "POST", &path, &headers, &body).await;
        let (_, code, reason) = answer.refusal();
        assert_eq!(
            (code.as_str(), reason.as_str()),
            ("resource_exhausted", "MESSAGE_TOO_LARGE"),
            "{content_type}"
        );
    }
    served.holds().place_hold(served.hold("i-1", "1")).await.unwrap();
}

/// A batch of one command, of about so many bytes in fields that no version knows.
fn large_batch(served: &Served, bytes: usize) -> Vec<u8> {
    let hold = command(batch_command::Command::PlaceHold(served.hold("i-large", "1")));
    let batch = ExecuteBatchRequest { ledger_id: String::new(), commands: vec![hold] };
    [prost::Message::encode_to_vec(&batch), text(1_007, vec![0; bytes])].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_share_a_budget_that_small_ones_always_find_room_in() {
    let bounds =
        Limits { memory_bytes_max: 1_024 * KIB, silence: Duration::from_millis(200), ..Limits::default() };
    let (served, mut gate) = gated_within(bounds).await;
    served.buy("9").await;
    gate.close();
    // It takes most of the larger pool, until it is answered.
    let connection = Connection::open(&served).await;
    let body = framed(0, &large_batch(&served, 300 * KIB));
    let method = "BatchService/ExecuteBatch";
    let first = tokio::spawn(async move { connection.send(method, &[], body).await.status() });
    gate.wait_for_commit().await;
    // The next large one waits, and is told so; with a deadline, it waits no longer than that.
    let connection = Connection::open(&served).await;
    let body = framed(0, &large_batch(&served, 300 * KIB));
    let status = connection.send(method, &[], body.clone()).await.status();
    is_unavailable(&status, "OVERLOADED");
    let status = connection.send(method, &[("grpc-timeout", "20m")], body.clone()).await.status();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    // Small ones go on, packed or not.
    served.ledgers().get_trial_balance(GetTrialBalanceRequest::default()).await.unwrap();
    let small = place(&served, served.hold("i-1", "1"));
    let hold = PlaceHoldRequest { note: "again and ".repeat(80), ..served.hold("i-2", "1") };
    let mut packing = HoldServiceClient::new(served.channel.clone()).send_compressed(Gzip);
    let packed = tokio::spawn(async move { packing.place_hold(hold).await });
    gate.set_open(true);
    assert_eq!(first.await.unwrap().code(), Code::Ok);
    small.await.unwrap().unwrap();
    packed.await.unwrap().unwrap();
    // There is room again.
    assert_eq!(connection.send(method, &[], body).await.status().code(), Code::Ok);
    served.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_come_take_nothing_of_those_that_do() {
    // Longer than the test: whoever waits for those that are silent fails.
    let bounds = Limits {
        memory_bytes_max: 1_024 * KIB,
        silence: Duration::from_mins(10),
        batches_max: 1,
        ..Limits::default()
    };
    let served = Served::within(bounds).await;
    served.buy("9").await;
    let connection = Connection::open(&served).await;
    // Nothing, a prefix, and a little more than that; of small messages and of large ones.
    let begun = |length: u32, bytes: usize| [&[0], &length.to_be_bytes()[..], &vec![0; bytes]].concat();
    let mut open = Vec::new();
    for (method, body) in [
        ("BatchService/ExecuteBatch", Vec::new()),
        ("BatchService/ExecuteBatch", begun(15 << 20, 0)),
        ("HoldService/PlaceHold", begun(16_384, 0)),
        ("HoldService/PlaceHold", begun(16_384, 1)),
        ("HoldService/PlaceHold", begun(4 << 20, 100)),
    ] {
        for _ in 0..10 {
            open.push(connection.leave_open(method, body.clone()).await);
        }
    }
    // The server has seen those by the time that it has answered these.
    let large = framed(0, &large_batch(&served, 300 * KIB));
    let small = framed(0, &prost::Message::encode_to_vec(&GetTrialBalanceRequest::default()));
    for nth in 0..8 {
        for (method, body) in
            [("LedgerService/GetTrialBalance", &small), ("BatchService/ExecuteBatch", &large)]
        {
            let answer = connection.send(method, &[], body.clone());
            let answer = tokio::time::timeout(Duration::from_mins(1), answer).await;
            let status = answer.unwrap_or_else(|_| panic!("{method} waits, {nth}")).status();
            assert_eq!(status.code(), Code::Ok, "{method} {nth}: {status:?}");
        }
    }
    assert!(open.len() == 50);
    served.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_too_many_is_refused_once_its_message_is_there() {
    let bounds = Limits { batches_max: 1, ..Limits::default() };
    let (served, mut gate) = gated_within(bounds).await;
    served.buy("9").await;
    gate.close();
    let method = "BatchService/ExecuteBatch";
    let connection = Connection::open(&served).await;
    let body = framed(0, &large_batch(&served, 10));
    let again = Connection::open(&served).await;
    let sent = body.clone();
    let first = tokio::spawn(async move { connection.send(method, &[], sent).await.status() });
    gate.wait_for_commit().await;
    for packed in [false, true] {
        let body = if packed { framed(1, &gzip(&large_batch(&served, 10))) } else { body.clone() };
        let encoding = if packed { "gzip" } else { "identity" };
        let status = again.send(method, &[("grpc-encoding", encoding)], body).await.status();
        is_unavailable(&status, "OVERLOADED");
    }
    gate.set_open(true);
    assert_eq!(first.await.unwrap().code(), Code::Ok);
    assert_eq!(again.send(method, &[], body).await.status().code(), Code::Ok);
    served.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_commands_with_all_that_they_may_say_fit() {
    let engine = store::open("memory:", clock::now(), &Settings::default()).await.unwrap();
    let served = Served::on(engine, None, creditledger::writer::Limits::default()).await;
    served.buy("5").await;
    let labels = |n: usize| (0..32).map(move |k| (format!("k{k}"), format!("{n}"))).collect();
    let commands = (0..10_000).map(|n| {
        let hold = served.hold(&format!("i-{n}"), "1");
        let context = hold.context.clone().map(|context| CommandContext { metadata: labels(n), ..context });
        command(batch_command::Command::PlaceHold(PlaceHoldRequest { context, ..hold }))
    });
    let batch = ExecuteBatchRequest { ledger_id: String::new(), commands: commands.collect() };
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let answer = batches.execute_batch(batch).await;
    let results = answer.unwrap_or_else(|status| panic!("{}", status.message())).into_inner().results;
    assert_eq!(results.len(), 10_000);
}

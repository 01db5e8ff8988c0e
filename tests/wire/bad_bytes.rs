//! Bytes that are no message of ours: a clean error each time, and a server that goes on.

use creditledger::grpc::wire::*;
use prost::Message;
use tonic::Code;

use crate::errors::reason;
use crate::http2::{Connection, frame, framed};
use crate::served::{On, Served, on_each_engine};

/// A field of text with any bytes in it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    field.extend_from_slice(bytes);
    field
}

async fn bytes_that_are_no_message_are_refused(on: On) {
    let served = Served::with_credits(on, "5").await;
    let before = served.positions().await;
    let connection = Connection::open(&served).await;
    let cases: [(&str, Vec<u8>); 9] = [
        ("invalid UTF-8", field(2, &[b'i', 0xff, 0xfe])),
        ("an overlong encoding", field(2, &[0xc0, 0x80])),
        ("half of a pair of surrogates", field(2, &[0xed, 0xa0, 0x80])),
        ("a text that ends early", vec![2 << 3 | 2, 50, b'i']),
        (
            "a length without end",
            vec![2 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("the field number 0", vec![0, 0]),
        ("a wire type that there is not", vec![2 << 3 | 7]),
        ("a group that nothing closes", vec![99 << 3 | 3 & 0x7f]),
        ("a number for a text", vec![2 << 3, 1]),
    ];
    for (what, bytes) in cases {
        for method in
            ["HoldService/PlaceHold", "CustomerService/CreateCustomer", "LedgerService/StreamJournal"]
        {
            if method.ends_with("StreamJournal")
                && !["a group that nothing closes", "the field number 0"].contains(&what)
            {
                continue; // its field 2 is no text
            }
            let status = connection.send(method, &[], framed(0, &bytes)).await.status();
            let told = (status.code(), reason(&status));
            assert_eq!(
                told,
                (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned()),
                "{what}, {method}: {status:?}"
            );
        }
        // On a stream, too, where the error comes after the headers.
        let command = [vec![2 << 3 | 2, u8::try_from(bytes.len()).unwrap() + 2], field(11, &bytes)].concat();
        let status = connection.send("BatchService/ExecuteStream", &[], framed(0, &command)).await.status();
        let told = (status.code(), reason(&status));
        assert_eq!(told, (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned()), "{what}: {status:?}");
    }
    assert_eq!(served.positions().await, before);
    served.holds().place_hold(served.hold("i-1", "1")).await.unwrap();
}

async fn frames_that_are_none_are_refused(on: On) {
    let served = Served::with_credits(on, "5").await;
    let before = served.positions().await;
    let connection = Connection::open(&served).await;
    let good = frame(&served.hold("i-1", "1"));
    let cut = good[..good.len() - 1].to_vec();
    let cases: [(&str, Vec<u8>); 5] = [
        ("nothing", vec![]),
        ("half a header", vec![0, 0, 0]),
        ("a message that ends early", cut),
        ("an unknown flag", framed(7, b"")),
        ("compressed, without saying how", framed(1, b"xyz")),
    ];
    for (what, body) in cases {
        let status = connection.send("HoldService/PlaceHold", &[], body).await.status();
        let told = (status.code(), reason(&status));
        assert_eq!(told, (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned()), "{what}: {status:?}");
    }
    let body = framed(1, b"this is not gzip");
    let status = connection.send("HoldService/PlaceHold", &[("grpc-encoding", "gzip")], body).await.status();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"));
    let body = framed(1, b"xyz");
    let status = connection.send("HoldService/PlaceHold", &[("grpc-encoding", "zstd")], body).await.status();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNIMPLEMENTED"));
    assert_eq!(served.positions().await, before);
    served.holds().place_hold(served.hold("i-1", "1")).await.unwrap();
}

async fn messages_that_are_too_large_are_refused(on: On) {
    let served = Served::with_credits(on, "5").await;
    let before = served.positions().await;
    let connection = Connection::open(&served).await;
    // Only announced: nobody waits for 4 GiB.
    let announced = [0, 0xff, 0xff, 0xff, 0xff, b'x'].to_vec();
    let status = connection.send("HoldService/PlaceHold", &[], announced).await.status();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    // Small on the wire, too large once unpacked.
    let large = PlaceHoldRequest { note: "n".repeat(5 << 20), ..served.hold("i-1", "1") };
    let mut packing = hold_service_client::HoldServiceClient::new(served.channel.clone())
        .send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let status = packing.place_hold(large).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    // The batch service takes more, but not everything.
    let note = "n".repeat(1 << 20);
    let hold = |n| PlaceHoldRequest { note: note.clone(), ..served.hold(&format!("i-{n}"), "1") };
    let batch = |count| ExecuteBatchRequest {
        ledger_id: String::new(),
        commands: (0..count)
            .map(|n| crate::bulk::command(batch_command::Command::PlaceHold(hold(n))))
            .collect(),
    };
    let mut batches = batch_service_client::BatchServiceClient::new(served.channel.clone());
    let status = batches.execute_batch(batch(17)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    let status = batches.execute_batch(batch(5)).await.unwrap_err();
    assert_eq!(crate::errors::fields(&status).len(), 5, "each note is too long");
    assert_eq!(served.positions().await, before);
    served.holds().place_hold(served.hold("i-1", "1")).await.unwrap();
}

async fn unknown_fields_are_skipped_and_headers_bounded(on: On) {
    let served = Served::with_credits(on, "5").await;
    let connection = Connection::open(&served).await;
    let mut newer = served.hold("i-1", "1").encode_to_vec();
    newer.extend([0xfa, 0x3e, 3, b'n', b'e', b'w']); // field 1007, as a later version might send it
    let answer = connection.send("HoldService/PlaceHold", &[], framed(0, &newer)).await;
    assert_eq!(answer.status().code(), Code::Ok);
    let placed = PlaceHoldResponse::decode(&answer.body[5..]).unwrap();
    assert_eq!(placed.outcome().hold.unwrap().incident_id, "i-1");
    let large = "h".repeat(20 << 10);
    let body = frame(&ListLedgersRequest::default());
    let status = connection.send("LedgerService/ListLedgers", &[("x-large", &large)], body).await;
    // The transport itself refuses it: 431, which is no gRPC status.
    assert_eq!(status.headers.get("grpc-status"), None);
    served.holds().place_hold(served.hold("i-2", "1")).await.unwrap();
}

on_each_engine! {
    bytes_that_are_no_message_are_refused
    frames_that_are_none_are_refused
    messages_that_are_too_large_are_refused
    unknown_fields_are_skipped_and_headers_bounded
}

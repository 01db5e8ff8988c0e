//! Tests of the stage, before services that give fixed answers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer as _, Service as _};

use super::super::intake::IntakeLimits;
use super::super::limits::{Guard, Places};
use super::super::room::{Held, Room};
use super::super::stage::Staged;
use super::Connect;

fn intake() -> IntakeLimits {
    let silence = Duration::from_secs(30);
    let room = Room::new(1 << 20, silence);
    IntakeLimits { request_bytes_max: 1_024, batch_request_bytes_max: 2_048, silence, room }
}

fn request(content_type: &str, method: &str, body: &'static [u8]) -> Request<Body> {
    Request::post(format!("/creditledger.v1.{method}"))
        .header(CONTENT_TYPE, content_type)
        .header("connect-timeout-ms", "1000")
        .body(Body::new(Full::new(Bytes::from_static(body))))
        .unwrap()
}

/// Calls a service that answers with these pieces and trailers.
async fn call(request: Request<Body>, pieces: &[&'static [u8]], trailers: Option<&str>) -> Response<Body> {
    let mut frames: Vec<Result<Frame<Bytes>, Status>> =
        pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))).collect();
    if let Some(status) = trailers {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_str(status).unwrap());
        trailers.insert("x-cost", HeaderValue::from_static("7"));
        frames.push(Ok(Frame::trailers(trailers)));
    }
    let frames = Arc::new(Mutex::new(Some(frames)));
    let inner = tower::service_fn(move |request: Request<Body>| {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers().get("grpc-timeout").unwrap(), "1000m");
        let frames = frames.lock().unwrap().take().unwrap();
        async move {
            let body = request.into_body().collect().await;
            let mut answer = match body {
                Ok(_) => Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames)))),
                Err(status) => status.into_http(),
            };
            answer.headers_mut().insert("x-region", HeaderValue::from_static("eu"));
            Ok::<_, Infallible>(answer)
        }
    });
    Staged(Connect(intake())).layer(inner).call(request).await.unwrap()
}

async fn body(answer: Response<Body>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn an_answer_in_pieces_becomes_one_with_its_metadata() {
    let get = || request("application/json", "LedgerService/GetBalance", b"{}");
    let answer = call(get(), &[b"\0\0", b"\0\0\0"], Some("0")).await;
    assert_eq!(answer.headers().get("x-region").unwrap(), "eu");
    assert_eq!(answer.headers().get("trailer-x-cost").unwrap(), "7");
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("grpc-")));
    assert_eq!(body(answer).await, "{}");
    for (pieces, status) in [(&[][..], Some("0")), (&[b"\0\0\0\0\0".as_slice()][..], None), (&[][..], None)] {
        let answer = call(get(), pieces, status).await;
        assert_eq!(answer.status(), 500);
    }
    let refused = call(get(), &[], Some("5")).await;
    assert_eq!(refused.status(), 404);
}

#[tokio::test]
async fn a_stream_in_pieces_ends_with_its_metadata() {
    let envelope = b"\0\0\0\0\x02{}";
    let watch = || request("application/connect+json", "NotificationService/WatchEvents", envelope);
    let answer = call(watch(), &[b"\0\0\0\0\0\0", b"\0\0\0", b"\0"], Some("0")).await;
    assert_eq!(answer.headers().get("x-region").unwrap(), "eu");
    let end = b"\x02\0\0\0\x1d{\"metadata\":{\"x-cost\":[\"7\"]}}".as_slice();
    assert_eq!(body(answer).await, [&envelope[..], &envelope[..], end].concat());
    let answer = body(call(watch(), &[b"\0\0\0"], None).await).await;
    let end: Value = serde_json::from_slice(&answer[5..]).unwrap();
    assert_eq!(end["error"]["code"], "internal");
}

#[tokio::test]
async fn the_limits_of_all_calls_are_those_of_connect() {
    let inner = tower::service_fn(|_: Request<Body>| async {
        // It is not called.
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let mut full = Staged(Connect(intake()))
        .layer(Staged(Guard::new(Places { calls: 0, batches: 0, streams: 0 }, intake())).layer(inner));
    let answer = full.call(request("application/json", "LedgerService/GetBalance", b"{}")).await.unwrap();
    assert_eq!(answer.status(), 503);
    let error: Value = serde_json::from_slice(&body(answer).await).unwrap();
    assert_eq!(error["details"][0]["debug"], json!({ "retryDelay": "0.100s" }));
}

#[tokio::test]
async fn each_service_has_its_bound() {
    static LARGE: [u8; 1_500] = [b' '; 1_500];
    for (method, status) in [("LedgerService/GetBalance", 429), ("BatchService/ExecuteBatch", 400)] {
        let answer = call(request("application/json", method, &LARGE), &[], Some("0")).await;
        assert_eq!(answer.status(), status, "{method}");
    }
}

/// Sends JSON in these pieces without its length, and gives the bytes of the frame that it became, or the HTTP status.
async fn sent(limits: IntakeLimits, headers: &[(&str, &str)], pieces: Vec<Bytes>) -> Result<usize, u16> {
    let method = if headers[0].1 == "application/json" { "GetBalance" } else { "StreamJournal" };
    let mut request = Request::post(format!("/creditledger.v1.LedgerService/{method}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let pieces = pieces.into_iter().map(|piece| Ok::<_, Status>(Frame::data(piece)));
    let request = request.body(Body::new(StreamBody::new(tokio_stream::iter(pieces)))).unwrap();
    let (tell, mut told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let inner = tower::service_fn(move |request: Request<Body>| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move {
            let answer = match request.into_body().collect().await {
                Ok(body) => {
                    tell.send(body.to_bytes().len()).unwrap();
                    Response::new(Body::empty())
                }
                Err(status) => status.into_http(),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let answer = Staged(Connect(limits)).layer(inner).call(request).await.unwrap();
    told.try_recv().map_err(|_| answer.status().as_u16())
}

#[tokio::test]
async fn what_is_packed_has_room_before_it_is_unpacked() {
    use std::io::Write as _;
    // A message of 300 KiB that is packed to less than 2.
    let mut json = vec![b' '; 300 << 10];
    json.extend_from_slice(b"{}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&json).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(packed.len() < 2_000, "{}", packed.len());
    let length = u32::try_from(packed.len()).unwrap().to_be_bytes();
    let envelope = [&[1], &length[..], &packed].concat();
    let room = Room::new(1 << 20, Duration::from_millis(20));
    let limits = || IntakeLimits { request_bytes_max: 400 << 10, room: room.clone(), ..intake() };
    // An error of a stream is in its body.
    for (headers, body, refused) in [
        ([("content-type", "application/json"), ("content-encoding", "gzip")], packed, 503),
        ([("content-type", "application/connect+json"), ("connect-content-encoding", "gzip")], envelope, 200),
    ] {
        let body = || vec![Bytes::from(body.clone())];
        let others = Held::default();
        room.hold(&others, usize::MAX).await.unwrap();
        assert_eq!(sent(limits(), &headers, body()).await, Err(refused), "{headers:?}");
        drop(others);
        // The frame of an empty message.
        assert_eq!(sent(limits(), &headers, body()).await, Ok(5), "{headers:?}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_takes_room_in_steps() {
    let room = Room::new(1 << 20, Duration::from_millis(20));
    let limits = IntakeLimits { request_bytes_max: 4 << 20, room: room.clone(), ..intake() };
    // All that large messages may take is taken: small ones go on, whether they say how large they are or not.
    let (complete, arriving) = (Held::default(), Held::default());
    room.hold(&complete, usize::MAX).await.unwrap();
    room.arrive(&arriving, 192 << 10, usize::MAX).await.unwrap();
    let json = [(CONTENT_TYPE.as_str(), "application/json")];
    let spaces = |bytes: usize| Bytes::from(vec![b' '; bytes]);
    let pieces = vec![spaces(8 << 10), spaces(1), spaces(4 << 10), Bytes::from_static(b"{}")];
    assert_eq!(sent(limits.clone(), &json, pieces).await, Ok(5));
    assert_eq!(sent(limits, &json, vec![spaces(60 << 10), spaces(60 << 10)]).await, Err(503));
}

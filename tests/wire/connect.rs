//! Connect over real sockets: every method by JSON, reads by GET, streams, compression, deadlines, errors.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use creditledger::grpc::wire::*;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};

use crate::plain::{self, Answer, BOTH, Http, post, refusal, send};
use crate::served::{On, Served, on_each_engine};
use crate::world::World;

const BALANCE: &str = "/creditledger.v1.LedgerService/GetBalance";

fn balance_of(customer: &str) -> Value {
    let request = GetBalanceRequest { customer_id: customer.into(), ..Default::default() };
    plain::json("GetBalanceRequest", &request)
}

/// Percent-encodes what a query cannot have.
fn percent(bytes: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let encode = |byte: &u8| if is_plain(byte) { char::from(*byte).into() } else { format!("%{byte:02X}") };
    bytes.iter().map(encode).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn every_method_is_called_by_json(on: On) {
    let world = World::new(on).await;
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let (mut reads, mut commands) = (0, 0);
    for (number, (method, good)) in world.good_requests().into_iter().enumerate() {
        let (service, name) = method.split_once('/').unwrap();
        let service = pool.get_service_by_name(&format!("creditledger.v1.{service}")).unwrap();
        let described = service.methods().find(|method| method.name() == name).unwrap();
        if described.is_client_streaming() || described.is_server_streaming() {
            continue;
        }
        let http = BOTH[number % 2];
        let (input, output) = (described.input(), described.output());
        let request = serde_json::to_value(plain::read(input.name(), &good)).unwrap();
        let answer = post(&world.served, http, method, &request).await;
        assert_eq!(answer.status, 200, "{method} {request}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), "application/json");
        let by_json = plain::read_json(output.name(), &answer.body);
        // The same bytes again, not as JSON: a command is repeated, a read has the same answer.
        let path = format!("/creditledger.v1.{method}");
        let headers = [("content-type", "application/proto"), ("connect-protocol-version", "1")];
        let answer = send(&world.served, http, "POST", &path, &headers, &good).await;
        let is_command = input.get_field_by_name("context").is_some();
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.header("content-type"), "application/proto");
        let by_proto = plain::read(output.name(), &answer.body);
        if is_command {
            commands += 1;
        } else {
            reads += 1;
            // As JSON: of two messages one may have a default set that the other leaves out.
            let [by_json, by_proto] = [by_json, by_proto].map(|read| serde_json::to_value(read).unwrap());
            assert_eq!(by_json, by_proto, "{method}");
        }
    }
    assert!(reads > 15 && commands > 25, "{reads} {commands}");
    world.served.verify().await;
}

async fn commands_are_run_once(on: On) {
    let served = Served::start(on).await;
    let customer = plain::json("CreateCustomerRequest", &served.customer("acme"));
    let purchase = plain::json("PurchaseCreditsRequest", &served.purchase("5", "o-1"));
    post(&served, Http::One, "CustomerService/CreateCustomer", &customer).await;
    let mut postings = Vec::new();
    for http in [Http::One, Http::Two, Http::One] {
        let answer = post(&served, http, "PurchaseService/PurchaseCredits", &purchase).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        postings.push(answer.json());
    }
    // Numbers of 64 bits are texts, and what has its default is left out.
    let read = postings
        .iter()
        .map(|answer| plain::read_json("PurchaseCreditsResponse", answer.to_string().as_bytes()));
    let read: Vec<_> =
        read.map(|read| PurchaseCreditsResponse::decode(read.encode_to_vec().as_slice()).unwrap()).collect();
    let outcomes: Vec<_> = read.into_iter().map(|answer| answer.outcome.unwrap()).collect();
    assert_eq!(outcomes.iter().map(|outcome| outcome.replayed).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(outcomes[0].posting, outcomes[2].posting);
    let text = postings[0].to_string();
    assert!(text.contains(r#""sequence":"2""#) && !text.contains("replayed"), "{text}");
    served.verify().await;
}

#[tokio::test]
async fn reads_are_called_by_get() {
    let served = Served::with_credits(On::Memory, "5").await;
    let json = balance_of("acme").to_string();
    let request = GetBalanceRequest { customer_id: "acme".into(), ..Default::default() }.encode_to_vec();
    for http in BOTH {
        let get =
            async |query: String| send(&served, http, "GET", &format!("{BALANCE}?{query}"), &[], b"").await;
        for query in [
            format!("connect=v1&encoding=json&message={}", percent(json.as_bytes())),
            format!("message={}&base64=1&encoding=json&cache=no", URL_SAFE_NO_PAD.encode(&json)),
            format!(
                "message={}&base64=1&encoding=json&compression=gzip",
                URL_SAFE_NO_PAD.encode(gzip(json.as_bytes()))
            ),
        ] {
            let answer = get(query).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["balance"]["availableCredits"], "5");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        let answer =
            get(format!("encoding=proto&base64=1&message={}", URL_SAFE_NO_PAD.encode(&request))).await;
        assert_eq!(answer.header("content-type"), "application/proto");
        assert_eq!(
            GetBalanceResponse::decode(answer.body.as_slice()).unwrap().balance.unwrap().available_credits,
            "5"
        );
        let nobody = percent(balance_of("nobody").to_string().as_bytes());
        let answer = get(format!("encoding=json&message={nobody}")).await;
        assert_eq!(answer.refusal(), (404, "not_found".into(), "CUSTOMER_NOT_FOUND".into()));
    }
}

#[tokio::test]
async fn errors_have_their_details() {
    let served = Served::with_credits(On::Memory, "1").await;
    let hold = plain::json("PlaceHoldRequest", &served.hold("i-1", "3"));
    for http in BOTH {
        let answer = post(&served, http, "HoldService/PlaceHold", &hold).await;
        let refused = (400, "failed_precondition".to_owned(), "INSUFFICIENT_CREDITS".to_owned());
        assert_eq!(answer.refusal(), refused);
        let error = answer.json();
        let info = &error["details"][0];
        assert_eq!(info["debug"]["metadata"]["shortfall"], "2");
        let value = STANDARD_NO_PAD.decode(info["value"].as_str().unwrap()).unwrap();
        let value = tonic_types::pb::ErrorInfo::decode(value.as_slice()).unwrap();
        assert_eq!(
            (value.reason.as_str(), value.metadata["required"].as_str()),
            ("INSUFFICIENT_CREDITS", "3")
        );
        // All fields at once, and the same by bytes: an error is JSON.
        let answer = post(&served, http, "HoldService/PlaceHold", &json!({})).await;
        assert_eq!(answer.refusal(), (400, "invalid_argument".into(), "INVALID_FIELD".into()));
        let violations = answer.json()["details"][1]["debug"]["fieldViolations"].as_array().unwrap().len();
        assert!(violations >= 3, "{answer:?}");
        let headers = [("content-type", "application/proto")];
        let by_bytes =
            send(&served, http, "POST", "/creditledger.v1.HoldService/PlaceHold", &headers, b"").await;
        assert_eq!(by_bytes.json(), answer.json());
    }
}

#[tokio::test]
async fn gzip_goes_both_ways() {
    let served = Served::with_credits(On::Memory, "5").await;
    for n in 0..20 {
        served.customers().create_customer(served.customer(&format!("c-{n}"))).await.unwrap();
    }
    let path = "/creditledger.v1.CustomerService/ListCustomers";
    let headers =
        [("content-type", "application/json"), ("content-encoding", "gzip"), ("accept-encoding", "br, gzip")];
    for http in BOTH {
        let plain = post(&served, http, "CustomerService/ListCustomers", &json!({})).await;
        assert!(plain.body.len() > 2_000 && plain.header("content-encoding").is_empty());
        let packed = send(&served, http, "POST", path, &headers, &gzip(b"{}")).await;
        assert_eq!(packed.header("content-encoding"), "gzip");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body);
        assert!(packed.body.len() * 2 < plain.body.len());
        // Nothing is not unpacked.
        let proto = [("content-type", "application/proto"), ("content-encoding", "gzip")];
        assert_eq!(send(&served, http, "POST", path, &proto, b"").await.status, 200);
        // A small answer is not packed.
        let small =
            send(&served, http, "POST", BALANCE, &headers, &gzip(balance_of("acme").to_string().as_bytes()))
                .await;
        assert_eq!(small.json()["balance"]["availableCredits"], "5");
    }
}

/// A watch of everything up to now, in its envelope.
async fn watch(served: &Served, http: Http, start: Option<watch_events_request::Start>) -> Answer {
    let request = WatchEventsRequest { until_now: true, start, ..Default::default() };
    let json = plain::json("WatchEventsRequest", &request).to_string();
    stream(served, http, &[], &crate::http2::framed(0, json.as_bytes())).await
}

async fn stream(served: &Served, http: Http, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut all = vec![("content-type", "application/connect+json"), ("connect-protocol-version", "1")];
    all.extend_from_slice(headers);
    let path = "/creditledger.v1.NotificationService/WatchEvents";
    let answer = send(served, http, "POST", path, &all, body).await;
    assert_eq!(answer.header("content-type"), "application/connect+json", "{answer:?}");
    answer
}

async fn events_are_streamed_and_resumed(on: On) {
    use watch_events_request::Start;
    let served = Served::with_credits(on, "5").await;
    let order = served.next();
    served.purchases().purchase_credits(served.purchase("1", &order)).await.unwrap();
    for http in BOTH {
        let (messages, end) = watch(&served, http, Some(Start::AfterPosition(0))).await.envelopes();
        assert_eq!(end, json!({}));
        let events: Vec<_> = messages.iter().filter(|message| message.get("event").is_some()).collect();
        assert!(events.len() >= 2, "{messages:?}");
        let token = events[0]["resumeToken"].as_str().unwrap().to_owned();
        let (after, end) = watch(&served, http, Some(Start::ResumeToken(token))).await.envelopes();
        assert_eq!(end, json!({}));
        let after: Vec<_> = after.iter().filter(|message| message.get("event").is_some()).collect();
        assert_eq!(after, events[1..]);
        // How it failed stands in its end, whether it was refused at once or has begun.
        let (none, end) = watch(&served, http, Some(Start::ResumeToken("x".into()))).await.envelopes();
        assert!(none.is_empty());
        assert_eq!(refusal(&end["error"]), ("invalid_argument".into(), "INVALID_FIELD".into()));
        let mut packed = vec![1];
        let message = gzip(br#"{"untilNow": true}"#);
        packed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        packed.extend_from_slice(&message);
        let (_, end) =
            stream(&served, http, &[("connect-content-encoding", "gzip")], &packed).await.envelopes();
        assert_eq!(end, json!({}));
    }
}

#[tokio::test]
async fn a_stream_without_end_is_told_of_the_servers() {
    let mut served = Served::with_credits(On::Memory, "5").await;
    let (never, _) = tokio::sync::oneshot::channel();
    let stop = std::mem::replace(&mut served.stop, never);
    let request = plain::json("WatchEventsRequest", &WatchEventsRequest::default()).to_string();
    let body = crate::http2::framed(0, request.as_bytes());
    let mut heartbeat = Some(stop);
    let answer = plain::receive(&served, "/creditledger.v1.NotificationService/WatchEvents", &body, || {
        // What comes first is there before the stream has ended.
        if let Some(stop) = heartbeat.take() {
            stop.send(()).unwrap();
        }
    })
    .await;
    let (messages, end) = answer.envelopes();
    assert!(!messages.is_empty());
    assert_eq!(refusal(&end["error"]), ("unavailable".into(), "SHUTTING_DOWN".into()));
}

#[tokio::test]
async fn deadlines_are_kept() {
    let served = Served::with_credits(On::Memory, "5").await;
    let body = balance_of("acme").to_string();
    for http in BOTH {
        let call = async |timeout: &str| {
            let headers = [("content-type", "application/json"), ("connect-timeout-ms", timeout)];
            send(&served, http, "POST", BALANCE, &headers, body.as_bytes()).await
        };
        assert_eq!(call("0").await.refusal(), (504, "deadline_exceeded".into(), "DEADLINE_EXCEEDED".into()));
        for timeout in ["60000", "9999999999"] {
            assert_eq!(call(timeout).await.status, 200);
        }
        for timeout in ["-1", "soon", "12345678901", "1.5", "1S"] {
            let refused = (400, "invalid_argument".to_owned(), "MALFORMED_REQUEST".to_owned());
            assert_eq!(call(timeout).await.refusal(), refused, "{timeout}");
        }
    }
}

#[tokio::test]
async fn health_is_asked_by_json() {
    let served = Served::start(On::Memory).await;
    let headers = [("content-type", "application/json; charset=utf-8")];
    let answer = send(&served, Http::One, "POST", "/grpc.health.v1.Health/Check", &headers, b"{}").await;
    assert_eq!(answer.json(), json!({ "status": "SERVING" }));
}

on_each_engine! {
    every_method_is_called_by_json
    commands_are_run_once
    events_are_streamed_and_resumed
}

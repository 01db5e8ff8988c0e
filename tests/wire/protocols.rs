//! gzip, gRPC-Web over HTTP/1.1, reflection, and the health service's end.

use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::*;
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding::Gzip;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::http2::{Connection, frame};
use crate::served::{On, Served, on_each_engine};

/// The services of our package, as compiled.
fn services() -> Vec<String> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let named = |file: prost_types::FileDescriptorProto| {
        let package = file.package().to_owned();
        file.service.into_iter().map(move |service| format!("{package}.{}", service.name()))
    };
    let services: Vec<_> = files.into_iter().flat_map(named).collect();
    assert!(services.len() >= 6);
    services
}

#[tokio::test]
async fn gzip_is_taken_and_given() {
    let served = Served::with_credits(On::Memory, "5").await;
    let mut packing =
        HoldServiceClient::new(served.channel.clone()).send_compressed(Gzip).accept_compressed(Gzip);
    let hold = PlaceHoldRequest { note: "again and ".repeat(80), ..served.hold("i-1", "1") };
    let answer = packing.place_hold(hold.clone()).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner().outcome().hold.unwrap().note, hold.note);
    // Repeated without gzip: the same content, so the same answer, and plain.
    let plain = served.holds().place_hold(hold).await.unwrap();
    assert!(plain.metadata().get("grpc-encoding").is_none() && plain.into_inner().outcome().replayed);
    // On the wire it is smaller indeed.
    let connection = Connection::open(&served).await;
    let list = || frame(&ListHoldsRequest::default());
    let large = connection.send("HoldService/ListHolds", &[], list()).await;
    let small = connection.send("HoldService/ListHolds", &[("grpc-accept-encoding", "gzip")], list()).await;
    assert_eq!((large.body[0], small.body[0]), (0, 1), "the flag of a frame says whether it is packed");
    assert!(small.body.len() * 2 < large.body.len());
}

/// Posts a gRPC-Web request over HTTP/1.1 and gives the head and the body of the answer.
async fn post(served: &Served, method: &str, body: &[u8]) -> (String, Vec<u8>) {
    let authority = served.address.trim_start_matches("http://");
    let mut socket = TcpStream::connect(authority).await.unwrap();
    let head = format!(
        "POST /creditledger.v1.{method} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/grpc-web+proto\r\n\
         x-grpc-web: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_ascii_lowercase();
    let body = answer.split_off(end);
    if !head.contains("transfer-encoding: chunked") {
        return (head, body);
    }
    let mut rest = body.as_slice();
    let mut joined = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return (head, joined);
        }
        joined.extend_from_slice(&rest[line + 2..][..length]);
        rest = &rest[line + 2 + length + 2..];
    }
}

#[tokio::test]
async fn browsers_speak_grpc_web() {
    let served = Served::with_credits(On::Memory, "5").await;
    let request = GetBalanceRequest { customer_id: "acme".into(), ..Default::default() };
    let (head, body) = post(&served, "LedgerService/GetBalance", &frame(&request)).await;
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-type: application/grpc-web+proto"),
        "{head}"
    );
    let length = usize::try_from(u32::from_be_bytes(body[1..5].try_into().unwrap())).unwrap();
    let (answer, trailers) = body[5..].split_at(length);
    let balance = GetBalanceResponse::decode(answer).unwrap().balance.unwrap();
    assert_eq!(balance.available_credits, "5");
    // Trailers are a frame of their own, with the highest bit set.
    assert_eq!(trailers[0], 0x80);
    let trailers = std::str::from_utf8(&trailers[5..]).unwrap();
    assert!(trailers.contains("grpc-status:0"), "{trailers}");

    let nobody = GetBalanceRequest { customer_id: "nobody".into(), ..Default::default() };
    let (head, body) = post(&served, "LedgerService/GetBalance", &frame(&nobody)).await;
    let shown = head + &String::from_utf8_lossy(&body);
    assert!(shown.contains("grpc-status: 5") || shown.contains("grpc-status:5"), "{shown}");
    assert!(shown.contains("grpc-status-details-bin"), "{shown}");
}

#[tokio::test]
async fn reflection_lists_every_service() {
    let served = Served::start(On::Memory).await;
    let mut client = ServerReflectionClient::new(served.channel.clone());
    let mut ask = async |message| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let mut answers =
            client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(listed) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let listed: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    for service in services() {
        assert!(listed.contains(&service), "{service} is not in {listed:?}");
        let described = ask(MessageRequest::FileContainingSymbol(service.clone())).await;
        assert!(matches!(described, MessageResponse::FileDescriptorResponse(_)), "{service}: {described:?}");
    }
    assert!(listed.contains(&"grpc.health.v1.Health".to_owned()));
    // What the details of errors are made of.
    let described = ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned())).await;
    assert!(matches!(described, MessageResponse::FileDescriptorResponse(_)), "{described:?}");
}

#[tokio::test]
async fn older_tools_find_reflection_under_its_older_name() {
    use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;
    let served = Served::start(On::Memory).await;
    let mut client = ServerReflectionClient::new(served.channel.clone());
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let answer = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = { answer }.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = answer else { panic!("{answer:?}") };
    assert!(services().iter().all(|name| listed.service.iter().any(|service| service.name == *name)));
}

#[tokio::test]
async fn health_ends_with_the_server() {
    let served = Served::start(On::Memory).await;
    let mut health = HealthClient::new(served.channel.clone());
    let mut watches = Vec::new();
    for service in services().into_iter().chain([String::new()]) {
        let request = HealthCheckRequest { service: service.clone() };
        let told = health.check(request.clone()).await.unwrap().into_inner();
        assert_eq!(told.status(), ServingStatus::Serving, "{service}");
        let mut watch = health.watch(request).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving, "{service}");
        watches.push((service, watch));
    }
    let unknown = HealthCheckRequest { service: "creditledger.v1.Nothing".into() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), tonic::Code::NotFound);
    served.stop.send(()).unwrap();
    for (service, watch) in &mut watches {
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing, "{service}");
    }
}

async fn health_ends_with_the_writer(on: On) {
    let served = Served::start(on).await;
    let mut health = HealthClient::new(served.channel.clone());
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    // Without its writer a server can only refuse, and must not be sent any more calls.
    served.writer.close();
    served.end.stopped.await.unwrap().unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}

on_each_engine! {
    health_ends_with_the_writer
}

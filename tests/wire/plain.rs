//! Plain requests over HTTP/1.1 and HTTP/2, as curl and browsers send them, and messages as JSON.

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use prost::Message;
use prost::bytes::Bytes;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use creditledger::grpc::wire::DESCRIPTORS;

use crate::served::Served;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

pub const BOTH: [Http; 2] = [Http::One, Http::Two];

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        let shown = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"))
    }

    /// The code and the reason of an error, which has one.
    pub fn refusal(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let (code, reason) = refusal(&self.json());
        (self.status.as_u16(), code, reason)
    }

    /// The messages of a stream, and how it ended.
    pub fn envelopes(&self) -> (Vec<Value>, Value) {
        assert_eq!(self.status, StatusCode::OK);
        let mut messages = Vec::new();
        let mut rest = self.body.as_slice();
        loop {
            let (prefix, after) = rest.split_first_chunk::<5>().expect("the stream has no end");
            let length = usize::try_from(u32::from_be_bytes(prefix[1..].try_into().unwrap())).unwrap();
            let message: Value = serde_json::from_slice(&after[..length]).unwrap();
            rest = &after[length..];
            match prefix[0] {
                0 => messages.push(message),
                2 => {
                    assert!(rest.is_empty(), "something follows the end");
                    return (messages, message);
                }
                flags => panic!("{flags}"),
            }
        }
    }
}

/// The code and the reason of an error as Connect has it: exactly one ErrorInfo.
pub fn refusal(error: &Value) -> (String, String) {
    let details = error["details"].as_array().unwrap_or_else(|| panic!("{error}"));
    let infos: Vec<_> = details.iter().filter(|detail| detail["type"] == "google.rpc.ErrorInfo").collect();
    assert_eq!(infos.len(), 1, "{error}");
    assert_eq!(infos[0]["debug"]["domain"], "creditledger");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&error["code"]), text(&infos[0]["debug"]["reason"]))
}

/// Sends a request to a path, and waits for the whole answer.
pub async fn send(
    served: &Served,
    http: Http,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    send_to(&served.address, http, verb, path, headers, body).await
}

/// The same to the server at an address, such as `http://127.0.0.1:1`.
pub async fn send_to(
    address: &str,
    http: Http,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let authority = address.trim_start_matches("http://");
    let socket = TcpStream::connect(authority).await.unwrap();
    send_over(socket, authority, http, verb, path, headers, body).await
}

/// The same over a connection that is there, which nothing else uses.
pub async fn send_over(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    authority: &str,
    http: Http,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut request = Request::builder().method(verb);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match http {
        Http::One => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
            tokio::spawn(connection);
            let body = Full::new(Bytes::copy_from_slice(body));
            let request = request.uri(path).header("host", authority).body(body).unwrap();
            let (head, body) = sender.send_request(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Answer { status: head.status, headers: head.headers, body }
        }
        Http::Two => {
            let (sender, connection) = h2::client::handshake(socket).await.unwrap();
            tokio::spawn(connection);
            let request = request.uri(format!("http://{authority}{path}")).body(()).unwrap();
            let mut sender = sender.ready().await.unwrap();
            let (answer, mut sink) = sender.send_request(request, false).unwrap();
            // A server that has refused the call already may have closed its side.
            let _ = sink.send_data(Bytes::copy_from_slice(body), true);
            let (head, mut source) = answer.await.unwrap().into_parts();
            let mut body = Vec::new();
            while let Some(chunk) = source.data().await {
                let chunk = chunk.unwrap();
                source.flow_control().release_capacity(chunk.len()).unwrap();
                body.extend_from_slice(&chunk);
            }
            assert!(
                source.trailers().await.unwrap().is_none_or(|trailers| trailers.contains_key("grpc-status"))
            );
            Answer { status: head.status, headers: head.headers, body }
        }
    }
}

/// Opens a stream over HTTP/1.1, and calls `seen` whenever something of it has come.
pub async fn receive(served: &Served, path: &str, body: &[u8], mut seen: impl FnMut()) -> Answer {
    let authority = served.address.trim_start_matches("http://");
    let socket = TcpStream::connect(authority).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::post(path).header("host", authority).header("content-type", "application/connect+json");
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let (head, mut source) = sender.send_request(request).await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(frame) = source.frame().await {
        body.extend_from_slice(&frame.unwrap().into_data().unwrap());
        seen();
    }
    Answer { status: head.status, headers: head.headers, body }
}

/// Posts JSON to a method of ours.
pub async fn post(served: &Served, http: Http, method: &str, json: &Value) -> Answer {
    let path = format!("/creditledger.v1.{method}");
    let headers = [("content-type", "application/json")];
    send(served, http, "POST", &path, &headers, json.to_string().as_bytes()).await
}

/// A message of ours as JSON, so that tests need not know how its fields are named.
pub fn json(name: &str, message: &impl Message) -> Value {
    let message = read(name, &message.encode_to_vec());
    serde_json::to_value(&message).unwrap()
}

/// An encoded message of ours.
pub fn read(name: &str, encoded: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(described(name), encoded).unwrap()
}

/// A message of ours from JSON, which must be nothing else.
pub fn read_json(name: &str, json: &[u8]) -> DynamicMessage {
    let mut source = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(described(name), &mut source).unwrap();
    source.end().unwrap();
    // As it is sent: a field that is set to its default is none.
    read(name, &message.encode_to_vec())
}

fn described(name: &str) -> prost_reflect::MessageDescriptor {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    pool.get_message_by_name(&format!("creditledger.v1.{name}")).unwrap()
}

//! Calls frame by frame, for headers that client libraries act upon themselves and for bodies that they never send.

use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use prost::bytes::Bytes;
use tokio::net::TcpStream;
use tonic::Status;

use crate::served::Served;

/// A connection that knows nothing of gRPC.
pub struct Connection {
    requests: SendRequest<Bytes>,
    authority: String,
}

/// What came back.
pub struct Answer {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Answer {
    /// The status of the call, which stands in the trailers, or in the headers where there is no answer.
    pub fn status(&self) -> Status {
        let status =
            Status::from_header_map(&self.trailers).or_else(|| Status::from_header_map(&self.headers));
        status.unwrap_or_else(|| panic!("no status: {:?} {:?}", self.headers, self.trailers))
    }
}

impl Connection {
    pub async fn open(served: &Served) -> Self {
        let authority = served.address.trim_start_matches("http://").to_owned();
        let socket = TcpStream::connect(&authority).await.unwrap();
        let (requests, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self { requests, authority }
    }

    /// Sends `body` as it is, in one piece.
    pub async fn send(&self, method: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> Answer {
        self.call(method, headers, body, true).await
    }

    /// The same, and then waits for the answer without an end of the request.
    pub async fn begin(&self, method: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> Answer {
        self.call(method, headers, body, false).await
    }

    /// Opens a stream whose answers nobody reads.
    pub async fn open_stream(&self, method: &str, body: Vec<u8>) -> h2::RecvStream {
        let uri = format!("http://{}/creditledger.v1.{method}", self.authority);
        let request = Request::post(uri).header("te", "trailers").header("content-type", "application/grpc");
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (answer, mut sink) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        sink.send_data(body.into(), true).unwrap();
        answer.await.unwrap().into_body()
    }

    /// Begins a call with `body`, and leaves it open until both halves are dropped. The server need not have seen it yet.
    pub async fn leave_open(
        &self,
        method: &str,
        body: Vec<u8>,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let uri = format!("http://{}/creditledger.v1.{method}", self.authority);
        let request = Request::post(uri).header("te", "trailers").header("content-type", "application/grpc");
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (answer, mut sink) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        if !body.is_empty() {
            sink.send_data(body.into(), false).unwrap();
        }
        (answer, sink)
    }

    async fn call(&self, method: &str, headers: &[(&'static str, &str)], body: Vec<u8>, end: bool) -> Answer {
        let uri = format!("http://{}/creditledger.v1.{method}", self.authority);
        let mut request = Request::post(uri).header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (answer, mut sink) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        // A server that has refused the call already may have closed its side.
        let _ = sink.send_data(body.into(), end);
        let answer = answer.await.unwrap();
        let (head, mut source) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(chunk) = source.data().await {
            let chunk = chunk.unwrap();
            source.flow_control().release_capacity(chunk.len()).unwrap();
            body.extend_from_slice(&chunk);
        }
        let trailers = source.trailers().await.unwrap().unwrap_or_default();
        Answer { headers: head.headers, body, trailers }
    }
}

/// A message in its frame: not compressed, with its length.
pub fn frame(message: &impl Message) -> Vec<u8> {
    framed(0, &message.encode_to_vec())
}

pub fn framed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

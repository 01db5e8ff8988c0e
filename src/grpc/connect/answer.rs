//! Translates an answer of gRPC into one of Connect.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::super::methods::Methods;
use super::super::status::Problem;
use super::call::Call;
use super::content::Encoding;
use super::error;
use super::frame::{framed, is_metadata, taken};

/// Answers of fewer bytes are not worth compressing.
const GZIP_BYTES_MIN: usize = 1_024;

/// Translates the answer of a service into the protocol of its caller.
pub(super) async fn translated(answer: Response<Body>, call: Call) -> Response<Body> {
    let (head, body) = answer.into_parts();
    // An answer without a message has its status in the headers.
    if let Some(status) = Status::from_header_map(&head.headers) {
        return error::answer(&status, call.encoding, call.streams);
    }
    if call.streams {
        let body = Envelopes { call, inner: Some(body), received: BytesMut::new() };
        let mut answer = Response::new(Body::new(body));
        copy_metadata(&head.headers, "", answer.headers_mut());
        answer.headers_mut().insert(CONTENT_TYPE, call.encoding.content_type(true));
        return answer;
    }
    match unary(body, call).await {
        Ok((message, trailers)) => {
            let mut answer = Response::new(Body::empty());
            let headers = answer.headers_mut();
            copy_metadata(&head.headers, "", headers);
            copy_metadata(&trailers, "trailer-", headers);
            headers.insert(CONTENT_TYPE, call.encoding.content_type(false));
            // A cached balance would be a wrong balance.
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            let packed = (call.gzip && message.len() >= GZIP_BYTES_MIN).then(|| packed(&message)).flatten();
            if packed.is_some() {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            answer.map(|_| Body::new(Full::new(packed.unwrap_or(message))))
        }
        Err(status) => error::answer(&status, call.encoding, false),
    }
}

async fn unary(body: Body, call: Call) -> Result<(Bytes, HeaderMap), Status> {
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    status_of(Some(&trailers))?;
    let mut received = BytesMut::from(collected.to_bytes());
    let message = taken(&mut received).ok_or_else(Problem::internal)?;
    Ok((written(message, call)?, trailers))
}

/// How a call ended. An answer without a status was cut off.
fn status_of(trailers: Option<&HeaderMap>) -> Result<(), Status> {
    match trailers.and_then(Status::from_header_map) {
        Some(status) if i32::from(status.code()) == 0 => Ok(()),
        Some(status) => Err(status),
        None => Err(Problem::internal().into()),
    }
}

fn written(message: Bytes, call: Call) -> Result<Bytes, Problem> {
    match call.encoding {
        Encoding::Proto => Ok(message),
        Encoding::Json => {
            let mut json = Vec::with_capacity(message.len().saturating_mul(2));
            match Methods::all().json.write(call.method.response, &message, &mut json) {
                Some(()) => Ok(json.into()),
                None => Err(Problem::internal()),
            }
        }
    }
}

fn packed(message: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn copy_metadata(from: &HeaderMap, prefix: &str, to: &mut HeaderMap) {
    for (name, value) in from.iter().filter(|(name, _)| is_metadata(name)) {
        if let Ok(name) = HeaderName::try_from(format!("{prefix}{name}")) {
            to.append(name, value.clone());
        }
    }
}

/// The body of a stream of answers: each message in its envelope as soon as it arrives, and then the end.
struct Envelopes {
    call: Call,
    /// `None` after the end was sent.
    inner: Option<Body>,
    /// At most one message and what arrived with its last piece, so it is bounded by the limit on responses.
    received: BytesMut,
}

impl Envelopes {
    fn end(
        &mut self,
        status: Result<(), Status>,
        trailers: &HeaderMap,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        Poll::Ready(Some(Ok(Frame::data(error::end(status.err().as_ref(), trailers)))))
    }
}

impl hyper::body::Body for Envelopes {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            let this = &mut *self;
            if let Some(message) = taken(&mut this.received) {
                return match written(message, this.call) {
                    Ok(message) => Poll::Ready(Some(Ok(Frame::data(framed(0, &message))))),
                    Err(problem) => this.end(Err(problem.into()), &HeaderMap::new()),
                };
            }
            let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
            match ready!(Pin::new(inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.received.extend_from_slice(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().ok();
                        let status = status_of(trailers.as_ref());
                        return this.end(status, &trailers.unwrap_or_default());
                    }
                },
                Some(Err(status)) => return this.end(Err(status), &HeaderMap::new()),
                None => return this.end(status_of(None), &HeaderMap::new()),
            }
        }
    }
}

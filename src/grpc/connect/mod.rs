//! The Connect protocol (<https://connectrpc.com/docs/protocol>) on the paths and the port of gRPC: JSON for curl, browsers
//! and callers without a gRPC library.
//!
//! # What it is
//! A door before the services. A call of gRPC or gRPC-Web passes after one look at its content type. A call of Connect
//! becomes one of gRPC: its message is put into a frame, and the answer and the status are translated back. So deadlines,
//! overload, traces and limits are those of every call.
//!
//! | request | what is called |
//! |---|---|
//! | POST, `application/json` or `application/proto` | a unary method |
//! | POST, `application/connect+json` or `application/connect+proto` | a method that streams its answers, with one message |
//! | GET, `?encoding=json&message=...` (also `base64=1`, `compression=gzip`, `connect=v1`) | a unary method without side effects |
//!
//! Headers: `connect-protocol-version` (only 1), `connect-timeout-ms` (the deadline), `content-encoding` and
//! `accept-encoding` (gzip), for streams `connect-content-encoding` (gzip; answers are not compressed).
//!
//! # JSON
//! The JSON mapping of proto3. Fields are written as `customerId` and read as that or as `customer_id`. What has its
//! default (no, 0, an empty text or list) is left out: a message has one JSON, here and in webhooks, and a page of rows is
//! not mostly names. Numbers of 64 bits are written as texts; enumerations by their names.
//!
//! # What is refused
//! Before anything runs, without an error of the protocol: 405 (with `allow`) for other HTTP methods, and 415 (with
//! `accept-post`) for other content types, on every path; so no web page can have a form executed.
//! With an error of Connect, which has the reason of every other error in its details:
//!
//! | what | code | reason |
//! |---|---|---|
//! | broken JSON, bad base64, gzip, envelope, query or header of Connect | `invalid_argument` | MALFORMED_REQUEST |
//! | an unknown field, one given twice, a value of the wrong type or size | `invalid_argument` | INVALID_FIELD, all with their names |
//! | a body, or what it is unpacked to, beyond the bound of a message (4 MiB; batch service 16 MiB) | `resource_exhausted` | MESSAGE_TOO_LARGE |
//! | an unknown method, one that streams its requests, an unknown compression | `unimplemented` | UNIMPLEMENTED |
//!
//! # Bounds
//! A body is read up to the bound of a message, JSON too, and so is what gzip unpacks. A list or map of JSON has at most
//! 100,000 elements. A call has its place among all calls
//! from its headers on: the body is read by the service, behind the limits.

mod answer;
mod content;
mod error;
mod methods;
mod query;
mod request;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method as Verb, Request, Response, Version};
use tonic::body::Body;
use tower::{Layer, Service};

use content::{Content, Encoding};
use methods::{Method, Methods, Shape};
use request::Carrier;

use super::status::Problem;
use super::wire::batch_service_server;

/// Puts the door before the services.
#[derive(Clone, Debug)]
pub struct Door {
    /// Bytes of a request.
    pub request_bytes_max: usize,
    /// Bytes of a request to the batch service.
    pub batch_request_bytes_max: usize,
}

/// A mark on requests that came by Connect.
#[derive(Clone, Copy, Debug)]
pub struct ByConnect;

/// A call of Connect, as far as its answer depends on it.
#[derive(Clone, Copy, Debug)]
struct Call {
    methods: &'static Methods,
    method: &'static Method,
    encoding: Encoding,
    /// The answer is a stream.
    streams: bool,
    /// The caller takes gzip.
    gzip: bool,
}

/// What becomes of a request.
enum Entry {
    /// It is gRPC's.
    Pass(Request<Body>),
    /// It is gRPC's from now on.
    Call(Request<Body>, Call),
    Refused(Response<Body>),
}

impl Door {
    fn enter(&self, mut request: Request<Body>) -> Entry {
        let methods = Methods::all();
        let method = methods.find(request.uri().path());
        if request.method() != Verb::POST {
            return match method.filter(|method| method.reads && request.method() == Verb::GET) {
                Some(method) => self.get(request, methods, method),
                None => Entry::Refused(content::not_allowed(request.method(), method)),
            };
        }
        match content::of(request.headers()) {
            Some(Content::Grpc(name)) => {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(name));
                Entry::Pass(request)
            }
            Some(Content::Unary(encoding)) => match method.map(|method| method.shape) {
                Some(Shape::Unary) | None => self.post(request, methods, method, encoding, false),
                Some(Shape::ServerStream | Shape::ClientStream) => {
                    Entry::Refused(content::unsupported(method))
                }
            },
            Some(Content::Stream(encoding)) => match method.map(|method| method.shape) {
                Some(Shape::ServerStream | Shape::ClientStream) | None => {
                    self.post(request, methods, method, encoding, true)
                }
                Some(Shape::Unary) => Entry::Refused(content::unsupported(method)),
            },
            None => Entry::Refused(content::unsupported(method)),
        }
    }

    fn post(
        &self,
        mut request: Request<Body>,
        methods: &'static Methods,
        method: Option<&'static Method>,
        encoding: Encoding,
        streams: bool,
    ) -> Entry {
        let refuse = |problem: Problem| Entry::Refused(error::answer(&problem.into(), encoding, streams));
        let method = match method {
            Some(method) if method.shape != Shape::ClientStream => method,
            Some(_) => {
                return refuse(Problem::unimplemented(
                    "a method that streams its requests is called by gRPC",
                ));
            }
            None => return refuse(Problem::unimplemented("there is no such method")),
        };
        let carrier = if streams { Carrier::Envelope } else { Carrier::Body };
        let head = match request::head(request.headers_mut(), carrier) {
            Ok(head) => head,
            Err(problem) => return refuse(problem),
        };
        let call = Call { methods, method, encoding, streams, gzip: head.accepts_gzip };
        let bytes_max = self.bytes_max(request.uri().path());
        let request = request.map(|body| request::framed(body, call, head.gzip, bytes_max));
        Entry::Call(as_grpc(request), call)
    }

    fn get(&self, mut request: Request<Body>, methods: &'static Methods, method: &'static Method) -> Entry {
        let query = match query::read(request.uri().query().unwrap_or_default()) {
            Ok(query) => query,
            Err(problem) => return Entry::Refused(error::answer(&problem.into(), Encoding::Json, false)),
        };
        let Some(encoding) = query.encoding else {
            return Entry::Refused(content::unsupported(Some(method)));
        };
        let head = match request::head(request.headers_mut(), Carrier::Query { gzip: query.gzip }) {
            Ok(head) => head,
            Err(problem) => return Entry::Refused(error::answer(&problem.into(), encoding, false)),
        };
        let call = Call { methods, method, encoding, streams: false, gzip: head.accepts_gzip };
        let bytes_max = self.bytes_max(request.uri().path());
        let message = Body::new(http_body_util::Full::new(query.message));
        let mut request = request.map(|_| request::framed(message, call, head.gzip, bytes_max));
        *request.method_mut() = Verb::POST;
        Entry::Call(as_grpc(request), call)
    }

    fn bytes_max(&self, path: &str) -> usize {
        let is_batch =
            path.trim_start_matches('/').split('/').next() == Some(batch_service_server::SERVICE_NAME);
        if is_batch { self.batch_request_bytes_max } else { self.request_bytes_max }
    }
}

/// The rest of a request as gRPC has it: the path without a query, and HTTP/2.
fn as_grpc(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path().parse();
    if let Ok(path) = path {
        *request.uri_mut() = path;
    }
    *request.version_mut() = Version::HTTP_2;
    request.extensions_mut().insert(ByConnect);
    request
}

impl<S> Layer<S> for Door {
    type Service = Entered<S>;

    fn layer(&self, inner: S) -> Entered<S> {
        Entered { inner, door: self.clone() }
    }
}

/// The services behind the door.
#[derive(Clone, Debug)]
pub struct Entered<S> {
    inner: S,
    door: Door,
}

impl<S> Service<Request<Body>> for Entered<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answering<S::Future, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() == Verb::POST && content::is_plain_grpc(request.headers()) {
            return Answering::Passed { answer: self.inner.call(request) };
        }
        match self.door.enter(request) {
            Entry::Pass(request) => Answering::Passed { answer: self.inner.call(request) },
            Entry::Refused(answer) => Answering::Own { answer: Box::pin(std::future::ready(Ok(answer))) },
            Entry::Call(request, call) => {
                let answer = self.inner.call(request);
                Answering::Own {
                    answer: Box::pin(async move { Ok(answer::translated(answer.await?, call).await) }),
                }
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// An answer on its way; what only passes is put into no box of its own.
    #[project = AnsweringNow]
    pub enum Answering<F, E> {
        /// That of the services.
        Passed { #[pin] answer: F },
        /// That of the door.
        Own { answer: Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>> },
    }
}

impl<F, E> Future for Answering<F, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnsweringNow::Passed { answer } => answer.poll(context),
            AnsweringNow::Own { answer } => answer.as_mut().poll(context),
        }
    }
}

#[cfg(test)]
mod tests;

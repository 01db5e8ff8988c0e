//! What browsers are told: which pages may call (CORS), and that a name which is not the server's leads nowhere.
//!
//! # Invariants
//! - A page can make no call that changes something unless the browser has asked first: all content types of calls need
//!   that, and only reads are called by GET (`connect`).
//! - A refused call is answered before its message is read, and nothing was done.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::stage::{Answer, Inner, Stage};
use crate::access::{Hosts, Origins};

/// How long a browser remembers what it was told.
const MAX_AGE: std::time::Duration = std::time::Duration::from_hours(2);

/// Headers that pages may send, besides those that every page may.
const SENT: [HeaderName; 15] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    ACCEPT_ENCODING,
    HeaderName::from_static("connect-protocol-version"),
    HeaderName::from_static("connect-timeout-ms"),
    HeaderName::from_static("connect-content-encoding"),
    HeaderName::from_static("connect-accept-encoding"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("x-creditledger-ledger"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Headers of answers that pages may read.
const READ: [HeaderName; 6] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("connect-content-encoding"),
    CONTENT_ENCODING,
];

/// Answers the questions of browsers, where any page may call.
pub fn cors(origins: &Origins) -> Option<CorsLayer> {
    if origins.0.is_empty() {
        return None;
    }
    let origins = origins.0.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::POST, Method::GET])
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(MAX_AGE);
    Some(layer)
}

/// Refuses calls that name the server by a name which is not its own.
#[derive(Clone)]
pub struct OwnNames(pub Hosts);

impl Stage for OwnNames {
    fn call<S: Inner>(&self, request: Request<Body>, services: &mut S) -> Answer<S> {
        if self.0 == Hosts::Any || name(&request).is_some_and(|name| self.0.allow(name)) {
            return Answer::<S>::Passed { answer: services.call(request) };
        }
        let text = "this server does not answer to that name: see its setting allowed_hosts\n";
        let mut answer = Response::new(Body::new(http_body_util::Full::from(text)));
        *answer.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Answer::<S>::own(std::future::ready(Ok(answer)))
    }
}

/// The name by which a request calls the server. One that gives two different names gives none.
fn name(request: &Request<Body>) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let host = match (host, more) {
        (None, _) => None,
        (Some(host), None) => Some(host.to_str().ok()?),
        (Some(_), Some(_)) => return None,
    };
    match (request.uri().authority(), host) {
        (Some(authority), Some(host)) if authority.as_str() != host => None,
        (Some(authority), _) => Some(authority.as_str()),
        (None, host) => host,
    }
}

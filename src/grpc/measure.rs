//! The stage that takes the time of each call: from its head to its answer, or to the end of its stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Frame;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::connect::ByConnect;
use super::methods::{Methods, Shape};
use super::stage::Inner;
use crate::metrics::{CallSystem, Metrics};

/// The codes of gRPC by their numbers, under the names of the conventions.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// Of a call whose answer nobody waited for.
const CANCELLED: &str = CODES[1];
/// The name of all methods that are not known, by the conventions.
pub const OTHER: &str = "_OTHER";

/// The name of a status.
pub fn code_name(status: &Status) -> &'static str {
    usize::try_from(i32::from(status.code())).ok().and_then(|number| CODES.get(number)).unwrap_or(&CODES[2])
}

/// The status in headers or trailers; OK where there is none.
fn code_in(headers: &HeaderMap) -> &'static str {
    Status::from_header_map(headers).map_or(CODES[0], |status| code_name(&status))
}

/// The system by which a request came.
pub fn system<B>(request: &Request<B>) -> CallSystem {
    if request.extensions().get::<ByConnect>().is_some() { CallSystem::Connect } else { CallSystem::Grpc }
}

/// The name of the method that a path means, by the conventions.
pub fn method_name(path: &str) -> &'static str {
    Methods::all().full_name(path).unwrap_or(OTHER)
}

#[derive(Clone)]
pub struct Measure(Metrics);

impl Measure {
    /// `None` where nothing is measured: then there is no such stage.
    pub fn new(metrics: &Metrics) -> Option<Self> {
        metrics.get().map(|_| Self(metrics.clone()))
    }
}

impl<S> Layer<S> for Measure {
    type Service = Measured<S>;

    fn layer(&self, services: S) -> Measured<S> {
        Measured { metrics: self.0.clone(), services }
    }
}

/// Services whose calls are measured.
#[derive(Clone)]
pub struct Measured<S> {
    metrics: Metrics,
    services: S,
}

impl<S: Inner> Service<Request<Body>> for Measured<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Timing<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let lasts = Methods::all().find(path).is_none_or(|method| method.shape != Shape::Unary);
        let running = Running {
            metrics: self.metrics.clone(),
            begun: Instant::now(),
            system: system(&request),
            method: method_name(path),
            code: CANCELLED,
        };
        Timing { answer: self.services.call(request), running: Some(running), lasts }
    }
}

/// A call under way. It ends when this is dropped.
struct Running {
    metrics: Metrics,
    begun: Instant,
    system: CallSystem,
    method: &'static str,
    code: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(on) = self.metrics.get() {
            on.calls.ended(self.system, self.method, self.code, self.begun.elapsed());
        }
    }
}

pin_project_lite::pin_project! {
    /// The answer to a call that is measured.
    pub struct Timing<F> {
        #[pin]
        answer: F,
        running: Option<Running>,
        lasts: bool,
    }
}

impl<F, E> Future for Timing<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        let Some(mut running) = this.running.take() else { return Poll::Ready(answer) };
        let Ok(answer) = answer else {
            running.code = CODES[13];
            return Poll::Ready(answer);
        };
        let refused = Status::from_header_map(answer.headers());
        if let (true, None) = (*this.lasts, &refused) {
            return Poll::Ready(Ok(answer.map(|body| Body::new(Lasting { body, running: Some(running) }))));
        }
        running.code = refused.map_or(CODES[0], |status| code_name(&status));
        Poll::Ready(Ok(answer))
    }
}

/// The answer of a stream that is measured.
struct Lasting {
    body: Body,
    /// `None` once it has ended.
    running: Option<Running>,
}

impl Lasting {
    fn end(&mut self, code: &'static str) {
        if let Some(mut running) = self.running.take() {
            running.code = code;
        }
    }
}

impl hyper::body::Body for Lasting {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.end(code_in(trailers));
                }
            }
            Some(Err(status)) => self.end(code_name(status)),
            None => self.end(CODES[0]),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_the_conventions() {
        for (number, name) in (0..).zip(CODES) {
            let status = Status::new(number.into(), "");
            let told = format!("{:?}", status.code());
            assert_eq!(name.replace('_', ""), told.to_uppercase());
            assert_eq!(code_name(&status), name);
        }
    }
}

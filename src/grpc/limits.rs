//! The guard that every call passes first: a span, a bound on concurrent calls, and the deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::health_server;
use tracing::Instrument as _;

use super::api::Deadline;
use super::intake::IntakeLimits;
use super::room::Held;
use super::stage::{Answer, Inner, Stage};
use super::status::Problem;
use super::trace;
use super::wire::batch_service_server;

#[derive(Clone)]
pub struct Guard {
    calls: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    intake: IntakeLimits,
}

impl Guard {
    /// At most so many calls at a time. Calls to the batch service are counted separately, because their requests are
    /// large.
    pub fn new(calls_max: usize, batches_max: usize, intake: IntakeLimits) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(calls_max)),
            batches: Arc::new(Semaphore::new(batches_max)),
            intake,
        }
    }

    /// Takes a place for one call without waiting, so that an overloaded server refuses at once. Health checks need no
    /// place: a busy server is healthy, and must not be restarted for being busy.
    fn admit(&self, path: &str) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let service = path.trim_start_matches('/').split('/').next();
        let places = match service {
            Some(health_server::SERVICE_NAME) => return Ok(None),
            Some(batch_service_server::SERVICE_NAME) => &self.batches,
            Some(_) | None => &self.calls,
        };
        Arc::clone(places).try_acquire_owned().map(Some).map_err(|_| Problem::overloaded())
    }
}

impl Stage for Guard {
    fn call<S: Inner>(&self, mut request: Request<Body>, services: &mut S) -> Answer<S> {
        let span = trace::span(&request);
        let refuse = |problem: Problem| -> Answer<S> {
            Answer::<S>::own(std::future::ready(Ok(Status::from(problem).into_http())))
        };
        let permit = match self.admit(request.uri().path()) {
            Ok(permit) => permit,
            Err(problem) => return refuse(problem),
        };
        // tonic answers CANCELLED when the time is up, so our own timeout ends a moment earlier.
        let left = timeout(request.headers());
        if left.is_some_and(|left| left.is_zero()) {
            // The first poll of a call can do all of its work, so it must not happen.
            return refuse(Problem::deadline_exceeded());
        }
        let deadline = left.and_then(|left| Instant::now().checked_add(left));
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
        // What Connect has taken room for already is the same message.
        let held = request.extensions_mut().remove::<Held>().unwrap_or_default();
        let (head, body) = request.into_parts();
        let body = self.intake.body(head.uri.path(), &head.headers, body, held.clone());
        let request = Request::from_parts(head, body);
        let answer = span.in_scope(|| services.call(request));
        let bounded = async move {
            let _held = held;
            let answer = match deadline {
                None => answer.await,
                Some(deadline) => match tokio::time::timeout_at(deadline.into(), answer).await {
                    Ok(answer) => answer,
                    Err(_) => return Ok(Status::from(Problem::deadline_exceeded()).into_http()),
                },
            };
            answer.map(explained).map(|answer| answer.map(|body| counted(body, permit)))
        };
        Answer::<S>::own(bounded.instrument(span))
    }
}

/// A body that keeps its call's place until it ends: a stream counts as a call while it lasts.
fn counted(body: Body, permit: Option<OwnedSemaphorePermit>) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &permit;
        frame
    }))
}

/// Adds a reason to an answer with an error status that has none: tonic's own have none.
fn explained(answer: Response<Body>) -> Response<Body> {
    match Status::from_header_map(answer.headers()) {
        Some(status) if Problem::is_unexplained(&status) => Problem::explain(status).into_http(),
        Some(_) | None => answer,
    }
}

/// How long the caller waits: the header `grpc-timeout`, less the moment by which we end before tonic. A malformed
/// header is ignored, as tonic does.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    const AHEAD: Duration = Duration::from_millis(1);
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count.saturating_mul(3_600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(timeout.saturating_sub(AHEAD))
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, Service as _};

    use super::super::stage::Staged;
    use super::*;

    const LATE: &str = "5m";

    fn limits() -> IntakeLimits {
        let silence = Duration::from_secs(30);
        let room = super::super::room::Room::new(1 << 20, silence);
        IntakeLimits { request_bytes_max: 1 << 20, batch_request_bytes_max: 1 << 20, silence, room }
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_static(text));
            timeout(&headers)
        };
        assert_eq!(read("2S"), Some(Duration::from_millis(1_999)));
        assert_eq!(read("250m"), Some(Duration::from_millis(249)));
        assert_eq!(read("5n"), Some(Duration::ZERO));
        for bad in ["", "S", "5", "5x", "-5S", "123456789S", "+5S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    /// Calls a service that is not ready at once, or never with the timeout [`LATE`].
    async fn call(guard: &Guard, timeout: Option<&'static str>) -> Option<Status> {
        let inner = tower::service_fn(move |_: Request<Body>| async move {
            tokio::task::yield_now().await;
            if timeout == Some(LATE) {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::convert::Infallible>(Response::new(Body::default()))
        });
        let mut request = Request::new(Body::default());
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", http::HeaderValue::from_static(timeout));
        }
        let answer = Staged(guard.clone()).layer(inner).call(request).await.unwrap();
        Status::from_header_map(answer.headers())
    }

    #[tokio::test]
    async fn late_calls_are_told_so() {
        let guard = Guard::new(1, 1, limits());
        assert_eq!(call(&guard, Some(LATE)).await.unwrap().code(), tonic::Code::DeadlineExceeded);
        assert!(call(&guard, Some("10S")).await.is_none());
        assert!(call(&guard, None).await.is_none());
    }

    #[tokio::test]
    async fn one_call_too_many_is_refused_at_once() {
        let guard = Guard::new(1, 1, limits());
        let (first, second) = tokio::join!(call(&guard, None), call(&guard, None));
        assert!(first.is_none());
        assert_eq!(second.unwrap().code(), tonic::Code::Unavailable);
        assert!(call(&guard, None).await.is_none());
    }

    #[tokio::test]
    async fn an_answer_that_streams_is_a_call_until_it_ends_and_health_checks_are_none() {
        let guard = Guard::new(1, 1, limits());
        let inner = tower::service_fn(|_: Request<Body>| async {
            let body =
                Body::new(http_body_util::Full::new(tonic::codegen::Bytes::from_static(b"to be sent")));
            Ok::<_, std::convert::Infallible>(Response::new(body))
        });
        let streaming = Staged(guard.clone()).layer(inner).call(Request::new(Body::default())).await.unwrap();
        assert_eq!(call(&guard, None).await.unwrap().code(), tonic::Code::Unavailable);
        let check = Request::builder().uri("/grpc.health.v1.Health/Check").body(Body::default()).unwrap();
        let answer = Staged(guard.clone()).layer(inner).call(check).await.unwrap();
        assert!(Status::from_header_map(answer.headers()).is_none());
        drop(streaming);
        assert!(call(&guard, None).await.is_none());
    }
}

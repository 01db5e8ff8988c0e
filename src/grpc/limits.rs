//! The guard that every call passes first: a span, a bound on concurrent calls, and the deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::health_server;
use tracing::Instrument as _;

use super::api::Deadline;
use super::intake::IntakeLimits;
use super::methods::{Methods, Shape};
use super::outgoing::{self, Kept};
use super::room::Held;
use super::stage::{Answer, Inner, Stage};
use super::status::Problem;
use super::trace;
use super::wire::batch_service_server;

/// Calls of `Health.Watch` that may be under way. Callers that balance their load watch each connection so.
const WATCHES_MAX: usize = 1_024;

/// How many calls may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Calls with one answer, also those of ExecuteBatch whose message is not complete.
    pub calls: usize,
    /// ExecuteBatch, whose requests are large, from the moment that its message is complete.
    pub batches: usize,
    /// Calls that stream. They last, so they never take the places of others.
    pub streams: usize,
}

#[derive(Clone)]
pub struct Guard {
    calls: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    intake: IntakeLimits,
}

impl Guard {
    pub fn new(places: Places, intake: IntakeLimits) -> Self {
        let Places { calls, batches, streams } = places;
        let [calls, batches, streams, watches] =
            [calls, batches, streams, WATCHES_MAX].map(|places| Arc::new(Semaphore::new(places)));
        Self { calls, batches, streams, watches, intake }
    }

    /// Takes a place for one call without waiting, so that an overloaded server refuses at once. Gives the places to
    /// which the call changes once its message is complete, if there are such.
    fn admit(&self, path: &str, is_stream: bool, held: &Held) -> Result<Option<Arc<Semaphore>>, Problem> {
        let service = path.trim_start_matches('/').split('/').next();
        let (places, later) = match service {
            // A busy server is healthy, and must not be restarted for being busy. So a check needs no place, and
            // those that watch take none of the others.
            Some(health_server::SERVICE_NAME) if !is_stream => return Ok(None),
            Some(health_server::SERVICE_NAME) => (&self.watches, None),
            _ if is_stream => (&self.streams, None),
            Some(batch_service_server::SERVICE_NAME) => (&self.calls, Some(Arc::clone(&self.batches))),
            Some(_) | None => (&self.calls, None),
        };
        held.take_place(Arc::clone(places).try_acquire_owned().map_err(|_| Problem::overloaded())?);
        Ok(later)
    }
}

impl Stage for Guard {
    fn call<S: Inner>(&self, mut request: Request<Body>, services: &mut S) -> Answer<S> {
        let span = trace::span(&request);
        let refuse = |problem: Problem| -> Answer<S> {
            let answer = Status::from(problem).into_http();
            trace::answered(&span, &answer, false);
            Answer::<S>::own(std::future::ready(Ok(answer)))
        };
        let method = Methods::all().find(request.uri().path());
        let is_stream = method.is_some_and(|method| method.shape != Shape::Unary);
        // What Connect has taken room for already is the same message.
        let held = request.extensions_mut().remove::<Held>().unwrap_or_default();
        let later = match self.admit(request.uri().path(), is_stream, &held) {
            Ok(later) => later,
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
        let (head, body) = request.into_parts();
        let body = self.intake.body(&head, method, body, held.clone(), later);
        let request = Request::from_parts(head, body);
        let answer = span.in_scope(|| services.call(request));
        let intake = self.intake.clone();
        // The answer to a command is given in any case: it was done.
        let may_refuse = method.is_some_and(|method| method.reads);
        let answered = async move {
            let answer = explained(answer.await?);
            // Reflection has no entry among the methods. It streams.
            if is_stream || method.is_none() {
                // What feeds the stream notices a silent reader first, and ends it with a status.
                let kept = Kept::new(held, intake.silence.saturating_mul(2));
                return Ok(answer.map(|body| outgoing::streamed(body, kept)));
            }
            let kept = Kept::new(held, intake.silence);
            Ok(outgoing::gathered(answer, kept, may_refuse.then_some(&intake.room)).await)
        };
        let of_call = span.clone();
        let bounded = async move {
            let answer = match deadline {
                None => answered.await,
                Some(deadline) => match tokio::time::timeout_at(deadline.into(), answered).await {
                    Ok(answer) => answer,
                    Err(_) => Ok(Status::from(Problem::deadline_exceeded()).into_http()),
                },
            }?;
            trace::answered(&of_call, &answer, is_stream);
            Ok(answer)
        };
        Answer::<S>::own(bounded.instrument(span))
    }
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

    const ONE: Places = Places { calls: 1, batches: 1, streams: 1 };

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
        let guard = Guard::new(ONE, limits());
        assert_eq!(call(&guard, Some(LATE)).await.unwrap().code(), tonic::Code::DeadlineExceeded);
        assert!(call(&guard, Some("10S")).await.is_none());
        assert!(call(&guard, None).await.is_none());
    }

    #[tokio::test]
    async fn one_call_too_many_is_refused_at_once() {
        let guard = Guard::new(ONE, limits());
        let (first, second) = tokio::join!(call(&guard, None), call(&guard, None));
        assert!(first.is_none());
        assert_eq!(second.unwrap().code(), tonic::Code::Unavailable);
        assert!(call(&guard, None).await.is_none());
    }

    const FOLLOW: &str = "/creditledger.v1.LedgerService/StreamJournal";
    const READ: &str = "/creditledger.v1.LedgerService/ListPostings";

    /// Calls a service that answers with so many bytes.
    async fn answer(guard: &Guard, path: &str, bytes: usize) -> Response<Body> {
        let inner = tower::service_fn(move |_: Request<Body>| async move {
            let body = Body::new(http_body_util::Full::new(vec![0; bytes].into()));
            Ok::<_, std::convert::Infallible>(Response::new(body))
        });
        let request = Request::builder().uri(path).body(Body::default()).unwrap();
        Staged(guard.clone()).layer(inner).call(request).await.unwrap()
    }

    fn refused(answer: &Response<Body>) -> bool {
        Status::from_header_map(answer.headers())
            .is_some_and(|status| status.code() == tonic::Code::Unavailable)
    }

    #[tokio::test]
    async fn a_large_answer_and_a_stream_keep_their_places_until_they_end() {
        let guard = Guard::new(ONE, limits());
        // A small answer is the connection's, whether it is read or not.
        let small = answer(&guard, READ, 100).await;
        let large = answer(&guard, READ, 100_000).await;
        assert!(!refused(&large));
        assert!(refused(&answer(&guard, READ, 100).await));
        // A stream has places of its own, and health checks need none.
        let stream = answer(&guard, FOLLOW, 100).await;
        assert!(refused(&answer(&guard, FOLLOW, 100).await));
        assert!(!refused(&answer(&guard, "/grpc.health.v1.Health/Check", 100).await));
        let watch = answer(&guard, "/grpc.health.v1.Health/Watch", 100).await;
        assert!(!refused(&watch), "who watches the health takes the server for down");
        drop(large);
        assert!(!refused(&answer(&guard, READ, 100).await));
        assert!(refused(&answer(&guard, FOLLOW, 100).await));
        drop((stream, small));
        assert!(!refused(&answer(&guard, FOLLOW, 100).await));
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_share_the_budget_and_are_taken_back() {
        use http_body_util::BodyExt as _;
        let silence = Duration::from_millis(100);
        let places = Places { calls: 9, batches: 9, streams: 9 };
        let guard = Guard::new(places, IntakeLimits { silence, ..limits() });
        // Half of 1 MiB is for large ones.
        let mut unread = answer(&guard, READ, 500_000).await;
        assert!(refused(&answer(&guard, READ, 500_000).await));
        // What was done is answered all the same.
        let command = "/creditledger.v1.HoldService/PlaceHold";
        assert!(!refused(&answer(&guard, command, 500_000).await));
        // A piece is on its way, and nobody comes for the next.
        let piece = unread.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(piece.len() < 20_000, "{}", piece.len());
        let free = async {
            while refused(&answer(&guard, READ, 500_000).await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), free).await.unwrap();
        let status = unread.body_mut().frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::Aborted);
        // One that is read comes whole.
        let read = answer(&guard, READ, 100_000).await;
        assert_eq!(read.into_body().collect().await.unwrap().to_bytes().len(), 100_000);
    }
}

//! The stage that asks who calls, whether it has called too often, and whether its role may call the method.
//!
//! # What it is
//! It reads what a call shows of its caller, asks [`Access`], and puts the [`Called`] into the request. Behind it nothing
//! is served without one. It comes before the guard: a call that must wait for its check takes no place of others.
//!
//! # Invariants
//! - A refused call is answered before its message is read.
//! - A call is counted before it is told whether its role may call the method: refusals are kept, and cost work too.
//! - A stream ends when its caller's token or certificate expires or is revoked, also in the middle: it is looked at
//!   again and again.
//! - A connection outlives no certificate: each call asks for its dates, also where callers are not authenticated.
//! - A health check needs no caller, because probes have none. It tells nothing but whether the server serves.
//!
//! # Failure
//! UNAUTHENTICATED for who is not known, with one message for everything that can be wrong. PERMISSION_DENIED for a
//! role that may not call the method. RATE_LIMITED and TOO_MANY_STREAMS for a caller that has had as much done as it may,
//! and RATE_LIMITED for an address of which too many calls were not known. IDENTITY_UNAVAILABLE where it cannot be checked now, also where as many calls wait
//! for a check as may.
//!
//! # Cost
//! A caller that is known already costs its look-up: the answer is there at the first poll, and nothing is boxed but
//! that question. Only a call whose check takes longer is moved to a future of its own.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use hyper::body::Frame;
use opentelemetry::KeyValue;
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::called::Called;
use super::methods::{Methods, Shape};
use super::stage::{Answer, Inner, Stage};
use super::status::Problem;
use crate::access::{
    Access, Allowance, CallFacts, Caller, Counts, Quotas, Recorder, Refused, Shown, StreamPlace, Token,
};
use crate::metrics::Metrics;
use crate::tls::Peer;

/// Calls that may wait for a check at a time.
const WAITING_MAX: usize = 1_024;
/// How often the caller of a stream is looked at again. With the age of what tokens are known by, a revoked one ends its
/// streams within 5 s.
const AGAIN: Duration = Duration::from_secs(1);

/// What probes call. To watch the health takes a place, and so a caller.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// A call of many commands.
const BATCH: &str = "/creditledger.v1.BatchService/ExecuteBatch";

#[derive(Clone)]
pub struct Identify {
    access: Access,
    quotas: Quotas,
    recorder: Recorder,
    metrics: Metrics,
    waiting: Arc<Semaphore>,
}

type Known = Result<Arc<Caller>, Refused>;
type Checking = Pin<Box<dyn Future<Output = Known> + Send>>;

/// What a call of a stream keeps until it ends: who calls, and the place among the streams of that caller.
type Watching = Option<(Called, Option<StreamPlace>)>;

impl Identify {
    pub fn new(access: Access, quotas: Quotas, recorder: Recorder, metrics: Metrics) -> Self {
        Self { access, quotas, recorder, metrics, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// The answer to a call that is refused because of who makes it.
    fn refuse(&self, problem: Problem) -> Response<Body> {
        self.metrics
            .count(|on| &on.access_refusals, &[KeyValue::new("creditledger.reason", problem.reason())]);
        Status::from(problem).into_http()
    }

    /// The caller, if it is known. The audit log hears of all others.
    fn known(&self, known: Known, peer: Option<IpAddr>, path: &str) -> Result<Called, Problem> {
        let caller = known.map_err(|refused| {
            if refused != Refused::Unavailable {
                self.recorder.unauthenticated(peer);
            }
            Problem::refused(refused)
        })?;
        let allowance = self.quotas.of(&caller);
        Ok(Called::new(caller, peer, path).limited(allowance))
    }

    /// Refuses a method that the caller's role may not call. The audit log hears of it.
    fn may_call(&self, called: &Called, path: &str) -> Result<(), Problem> {
        called.may_call(path).inspect_err(|problem| {
            let actor = called.actor();
            let facts = CallFacts { actor: actor.as_deref(), method: called.method, ..CallFacts::default() };
            self.recorder.refused(&facts, problem.reason());
        })
    }

    /// Lets a call in, with its caller in the request. Calls that are not allowed count too.
    fn enter(&self, known: Known, shown: Shown, request: &mut Request<Body>) -> Result<Watching, Problem> {
        let path = request.uri().path();
        let called = self.known(known, shown.peer.ip(), path)?;
        let lasts = is_stream(request);
        let place = called.allowance().map(|allowance| count(allowance, path, lasts)).transpose()?.flatten();
        self.may_call(&called, path).inspect_err(|_| {
            // Its commands are never counted.
            if let Some(allowance) = called.allowance().filter(|_| path == BATCH) {
                allowance.owe(Counts::Commands, 1);
            }
        })?;
        let called = if lasts { self.lasting(called, path, shown) } else { called };
        request.extensions_mut().insert(called.clone());
        Ok(lasts.then_some((called, place)))
    }

    fn check(&self, shown: Shown) -> Checking {
        let access = self.access.clone();
        Box::pin(async move { access.who(&shown).await })
    }
}

/// Counts a call: as a command, and as an open stream if it is one. The commands of a batch are counted once it is read,
/// so it needs only that one would pass.
fn count(allowance: &Arc<Allowance>, path: &str, lasts: bool) -> Result<Option<StreamPlace>, Problem> {
    let counted = match path {
        BATCH => allowance.has(Counts::Commands),
        _ => allowance.spend(Counts::Commands, 1),
    };
    counted.map_err(Problem::rate_limited)?;
    lasts.then(|| allowance.open_stream()).transpose().map_err(Problem::too_many_streams)
}

impl Stage for Identify {
    fn call<S: Inner>(&self, mut request: Request<Body>, services: &mut S) -> Answer<S> {
        let connection = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let peer = connection.ip();
        let anybody = if request.uri().path() == HEALTH_CHECK {
            Access::open().anybody()
        } else if connection.valid_until.is_none() {
            self.access.anybody()
        } else {
            None
        };
        if let Some(anybody) = anybody {
            let called = Called::new(anybody, peer, request.uri().path());
            request.extensions_mut().insert(called);
            return Answer::<S>::Passed { answer: services.call(request) };
        }
        let shown = Shown { token: token(request.headers()), peer: connection };
        let mut checking = self.check(shown.clone());
        // Without a waker: one that is pending is polled again from its own future.
        if let Poll::Ready(known) = checking.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()))
        {
            return match self.enter(known, shown, &mut request) {
                Err(problem) => Answer::<S>::own(std::future::ready(Ok(self.refuse(problem)))),
                Ok(None) => Answer::<S>::Passed { answer: services.call(request) },
                Ok(Some(watching)) => {
                    let answer = services.call(request);
                    Answer::<S>::own(async move { Ok(watch_over(answer.await?, watching)) })
                }
            };
        }
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            let answer = self.refuse(Problem::refused(Refused::Unavailable));
            return Answer::<S>::own(std::future::ready(Ok(answer)));
        };
        let (stage, services) = (self.clone(), services.clone());
        Answer::<S>::own(async move {
            let known = checking.await;
            drop(place);
            let watching = match stage.enter(known, shown, &mut request) {
                Ok(watching) => watching,
                Err(problem) => return Ok(stage.refuse(problem)),
            };
            let answer = services.oneshot(request).await?;
            Ok(match watching {
                None => answer,
                Some(watching) => watch_over(answer, watching),
            })
        })
    }
}

/// The token of a call. The scheme is written as the specification writes it, and there is one header.
fn token(headers: &HeaderMap) -> Token {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Token::Absent,
        (Some(header), None) => {
            let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
            token.map_or(Token::Broken, |token| Token::Bearer(token.into()))
        }
        (Some(_), Some(_)) => Token::Broken,
    }
}

/// Whether a call lasts. Reflection, which has no entry among the methods, does.
fn is_stream(request: &Request<Body>) -> bool {
    Methods::all().find(request.uri().path()).is_none_or(|method| method.shape != Shape::Unary)
}

impl Identify {
    /// Looks at the caller of a stream again and again, and ends the stream once it is no longer known. The look-out ends
    /// with the stream.
    fn lasting(&self, called: Called, path: &str, shown: Shown) -> Called {
        let (end, ended) = watch::channel(None);
        let (stage, path) = (self.clone(), path.to_owned());
        let looking = async move {
            loop {
                tokio::time::sleep(AGAIN).await;
                let known = stage.check(shown.clone()).await;
                let known = stage.known(known, shown.peer.ip(), &path);
                if let Err(problem) = known.and_then(|called| stage.may_call(&called, &path)) {
                    return problem;
                }
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                problem = looking => drop(end.send_replace(Some(problem))),
                () = end.closed() => {}
            }
        });
        called.until(ended)
    }
}

/// Ends the answer once the caller is no longer known.
fn watch_over(answer: Response<Body>, (called, place): (Called, Option<StreamPlace>)) -> Response<Body> {
    let ended = Box::pin(called.ended());
    answer.map(|body| Body::new(Watched { body, ended: Some(ended), place }))
}

/// The answer of a stream, until its caller is no longer known.
struct Watched {
    body: Body,
    /// `None` once it has ended.
    ended: Option<Pin<Box<dyn Future<Output = Problem> + Send>>>,
    /// Its place among the streams of its caller, until it has ended.
    place: Option<StreamPlace>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(ended) = &mut self.ended else { return Poll::Ready(None) };
        if let Poll::Ready(problem) = ended.as_mut().poll(context) {
            (self.ended, self.place) = (None, None);
            // What feeds the stream, and what reads requests of it, ends with its body.
            self.body = Body::default();
            let mut trailers = HeaderMap::new();
            let added = Status::from(problem).add_header(&mut trailers);
            return Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None) = frame {
            (self.ended, self.place) = (None, None);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_none() || self.body.is_end_stream()
    }
}

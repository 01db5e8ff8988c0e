//! The stage that asks who calls, and whether its role may call the method.
//!
//! # What it is
//! It reads what a call shows of its caller, asks [`Access`], and puts the [`Called`] into the request. Behind it nothing
//! is served without one. It comes before the guard: a call that must wait for its check takes no place of others.
//!
//! # Invariants
//! - A refused call is answered before its message is read.
//! - A stream ends when its caller's token or certificate expires or is revoked, also in the middle: it is looked at
//!   again and again.
//! - A connection outlives no certificate: each call asks for its dates, also where callers are not authenticated.
//! - A health check needs no caller, because probes have none. It tells nothing but whether the server serves.
//!
//! # Failure
//! UNAUTHENTICATED for who is not known, with one message for everything that can be wrong. PERMISSION_DENIED for a
//! role that may not call the method. IDENTITY_UNAVAILABLE where it cannot be checked now, also where as many calls wait
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
use crate::access::{Access, CallFacts, Caller, Recorder, Refused, Shown, Token};
use crate::metrics::Metrics;
use crate::tls::Peer;

/// Calls that may wait for a check at a time.
const WAITING_MAX: usize = 1_024;
/// How often the caller of a stream is looked at again. With the age of what tokens are known by, a revoked one ends its
/// streams within 5 s.
const AGAIN: Duration = Duration::from_secs(1);

/// What probes call. To watch the health takes a place, and so a caller.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

#[derive(Clone)]
pub struct Identify {
    access: Access,
    recorder: Recorder,
    metrics: Metrics,
    waiting: Arc<Semaphore>,
}

type Checking = Pin<Box<dyn Future<Output = Result<Arc<Caller>, Refused>> + Send>>;

impl Identify {
    pub fn new(access: Access, recorder: Recorder, metrics: Metrics) -> Self {
        Self { access, recorder, metrics, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// The answer to a call that is refused because of who makes it.
    fn refuse(&self, problem: Problem) -> Response<Body> {
        self.metrics
            .count(|on| &on.access_refusals, &[KeyValue::new("creditledger.reason", problem.reason())]);
        Status::from(problem).into_http()
    }

    /// The caller, if it is known and its role may call the method. The audit log hears of all others.
    fn admitted(
        &self,
        known: Result<Arc<Caller>, Refused>,
        peer: Option<IpAddr>,
        path: &str,
    ) -> Result<Called, Problem> {
        let caller = known.map_err(|refused| {
            if refused == Refused::Unauthenticated {
                self.recorder.unauthenticated(peer);
            }
            Problem::refused(refused)
        })?;
        let called = Called::new(caller, peer, path);
        if let Err(problem) = called.may_call(path) {
            let actor = called.actor();
            let facts = CallFacts { actor: actor.as_deref(), method: called.method, ..CallFacts::default() };
            self.recorder.refused(&facts, problem.reason());
            return Err(problem);
        }
        Ok(called)
    }

    fn check(&self, shown: Shown) -> Checking {
        let access = self.access.clone();
        Box::pin(async move { access.who(&shown).await })
    }
}

impl Stage for Identify {
    fn call<S: Inner>(&self, mut request: Request<Body>, services: &mut S) -> Answer<S> {
        let connection = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let peer = connection.address.map(|address| address.ip());
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
            return match self.admitted(known, peer, request.uri().path()) {
                Err(problem) => Answer::<S>::own(std::future::ready(Ok(self.refuse(problem)))),
                Ok(called) => {
                    let called = self.lasting(called, &request, shown, peer);
                    let watched = is_stream(&request).then(|| called.clone());
                    request.extensions_mut().insert(called);
                    let answer = services.call(request);
                    match watched {
                        None => Answer::<S>::Passed { answer },
                        Some(called) => {
                            Answer::<S>::own(async move { Ok(watch_over(answer.await?, &called)) })
                        }
                    }
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
            let called = match stage.admitted(known, peer, request.uri().path()) {
                Ok(called) => called,
                Err(problem) => return Ok(stage.refuse(problem)),
            };
            let called = stage.lasting(called, &request, shown, peer);
            let watched = is_stream(&request).then(|| called.clone());
            request.extensions_mut().insert(called);
            let answer = services.oneshot(request).await?;
            Ok(match watched {
                None => answer,
                Some(called) => watch_over(answer, &called),
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
    fn lasting(&self, called: Called, request: &Request<Body>, shown: Shown, peer: Option<IpAddr>) -> Called {
        if !is_stream(request) {
            return called;
        }
        let (end, ended) = watch::channel(None);
        let (stage, path) = (self.clone(), request.uri().path().to_owned());
        let looking = async move {
            loop {
                tokio::time::sleep(AGAIN).await;
                let known = stage.check(shown.clone()).await;
                if let Err(problem) = stage.admitted(known, peer, &path) {
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
fn watch_over(answer: Response<Body>, called: &Called) -> Response<Body> {
    let ended = Box::pin(called.ended());
    answer.map(|body| Body::new(Watched { body, ended: Some(ended) }))
}

/// The answer of a stream, until its caller is no longer known.
struct Watched {
    body: Body,
    /// `None` once it has ended.
    ended: Option<Pin<Box<dyn Future<Output = Problem> + Send>>>,
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
            self.ended = None;
            // What feeds the stream, and what reads requests of it, ends with its body.
            self.body = Body::default();
            let mut trailers = HeaderMap::new();
            let added = Status::from(problem).add_header(&mut trailers);
            return Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None) = frame {
            self.ended = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_none() || self.body.is_end_stream()
    }
}

//! The stage that asks who calls, and whether its role may call the method.
//!
//! # What it is
//! It reads what a call shows of its caller, asks [`Access`], and puts the [`Called`] into the request. Behind it nothing
//! is served without one. It comes before the guard: a call that must wait for its check takes no place of others.
//!
//! # Invariants
//! - A refused call is answered before its message is read.
//! - A stream ends when its caller's token expires or is revoked, also in the middle: it is looked at again and again.
//! - Health checks need no caller, because probes have none. They tell nothing but whether the server serves.
//!
//! # Failure
//! UNAUTHENTICATED for who is not known, with one message for everything that can be wrong. PERMISSION_DENIED for a
//! role that may not call the method. IDENTITY_UNAVAILABLE where it cannot be checked now, also where as many calls wait
//! for a check as may.
//!
//! # Cost
//! A caller that is known already costs its look-up: the answer is there at the first poll, and nothing is boxed but
//! that question. Only a call whose check takes longer is moved to a future of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use hyper::body::Frame;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::health_server;
use tower::ServiceExt as _;

use super::called::Called;
use super::methods::{Methods, Shape};
use super::stage::{Answer, Inner, Stage};
use super::status::Problem;
use crate::access::{Access, Caller, Refused, Shown, Token};
use crate::tls::Peer;

/// Calls that may wait for a check at a time.
const WAITING_MAX: usize = 1_024;
/// How often the caller of a stream is looked at again. With the age of what tokens are known by, a revoked one ends its
/// streams within 5 s.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Identify {
    access: Access,
    waiting: Arc<Semaphore>,
}

type Checking = Pin<Box<dyn Future<Output = Result<Arc<Caller>, Refused>> + Send>>;

impl Identify {
    pub fn new(access: Access) -> Self {
        Self { access, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    fn check(&self, shown: Shown) -> Checking {
        let access = self.identities.clone();
        Box::pin(async move { access.who(&shown).await })
    }
}

impl Stage for Identify {
    fn call<S: Inner>(&self, mut request: Request<Body>, services: &mut S) -> Answer<S> {
        let connection = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let peer = connection.address.map(|address| address.ip());
        let is_health = service(&request) == Some(health_server::SERVICE_NAME);
        let anybody = if is_health { Access::open().anybody() } else { self.access.anybody() };
        if let Some(anybody) = anybody {
            request.extensions_mut().insert(Called::new(anybody, peer));
            return Answer::<S>::Passed { answer: services.call(request) };
        }
        let shown = Shown { token: token(request.headers()), names: connection.names };
        let mut checking = self.check(shown.clone());
        // Without a waker: one that is pending is polled again from its own future.
        if let Poll::Ready(known) = checking.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()))
        {
            return match admitted(known, peer, request.uri().path()) {
                Err(problem) => Answer::<S>::own(std::future::ready(Ok(Status::from(problem).into_http()))),
                Ok(called) => {
                    let lasting = self.lasting(&request, shown);
                    request.extensions_mut().insert(called);
                    let answer = services.call(request);
                    match lasting {
                        None => Answer::<S>::Passed { answer },
                        Some(lasting) => Answer::<S>::own(async move { Ok(lasting.around(answer.await?)) }),
                    }
                }
            };
        }
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            let problem = Problem::refused(Refused::Unavailable);
            return Answer::<S>::own(std::future::ready(Ok(Status::from(problem).into_http())));
        };
        let (stage, services) = (self.clone(), services.clone());
        Answer::<S>::own(async move {
            let known = checking.await;
            drop(place);
            let called = match admitted(known, peer, request.uri().path()) {
                Ok(called) => called,
                Err(problem) => return Ok(Status::from(problem).into_http()),
            };
            let lasting = stage.lasting(&request, shown);
            request.extensions_mut().insert(called);
            let answer = services.oneshot(request).await?;
            Ok(match lasting {
                None => answer,
                Some(lasting) => lasting.around(answer),
            })
        })
    }
}

/// The service that is called.
fn service(request: &Request<Body>) -> Option<&str> {
    request.uri().path().trim_start_matches('/').split('/').next()
}

/// The caller, if it is known and its role may call the method.
fn admitted(
    known: Result<Arc<Caller>, Refused>,
    peer: Option<std::net::IpAddr>,
    path: &str,
) -> Result<Called, Problem> {
    let called = Called::new(known.map_err(Problem::refused)?, peer);
    called.may_call(path).map(|()| called)
}

/// The token of a call. The scheme is written as the specification writes it, and there is one header.
fn token(headers: &HeaderMap) -> Token {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Token::Absent,
        (Some(header), None) => {
            let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
            token.map_or(Token::Broken, |token| Token::Bearer(token.to_owned()))
        }
        (Some(_), Some(_)) => Token::Broken,
    }
}

/// The caller of a stream, who must still be known while it lasts.
struct Lasting {
    stage: Identify,
    shown: Shown,
    path: String,
}

impl Identify {
    /// What a stream is watched by; `None` for calls with one answer.
    fn lasting(&self, request: &Request<Body>, shown: Shown) -> Option<Lasting> {
        let path = request.uri().path();
        let is_stream = Methods::all().find(path).is_none_or(|method| method.shape != Shape::Unary);
        is_stream.then(|| Lasting { stage: self.clone(), shown, path: path.to_owned() })
    }
}

impl Lasting {
    /// Ends the answer once the caller is no longer known.
    fn around(self, answer: Response<Body>) -> Response<Body> {
        let ended = Box::pin(self.ended());
        answer.map(|body| Body::new(Watched { body, ended: Some(ended) }))
    }

    async fn ended(self) -> Problem {
        loop {
            tokio::time::sleep(AGAIN).await;
            let known = self.stage.check(self.shown.clone()).await;
            if let Err(problem) = admitted(known, None, &self.path) {
                return problem;
            }
        }
    }
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

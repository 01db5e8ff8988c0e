//! Plain HTTP on the listener of gRPC: requests below one path go to a handler of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Body as _;
use tonic::body::Body;

use super::room::{Held, Room};
use super::stage::{Answer, Inner, Stage};

/// Answers one HTTP request. A failure is an answer too.
pub type Handler =
    Arc<dyn Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

/// Requests whose path begins with `prefix` are answered by `handler`.
#[derive(Clone)]
pub struct HttpRoutes {
    /// Such as `/webhooks/`; no gRPC service has such a name.
    pub prefix: &'static str,
    pub handler: Handler,
    /// The most bytes of a body that the handler reads.
    pub body_bytes_max: usize,
}

/// The stage of the routes. Their requests share the memory of all requests.
#[derive(Clone)]
pub struct Routed {
    pub routes: HttpRoutes,
    pub room: Room,
}

impl Stage for Routed {
    fn call<S: Inner>(&self, request: Request<Body>, services: &mut S) -> Answer<S> {
        if !request.uri().path().starts_with(self.routes.prefix) {
            return Answer::<S>::Passed { answer: services.call(request) };
        }
        let Self { routes, room } = self.clone();
        Answer::<S>::own(async move {
            let announced = request.body().size_hint().upper();
            let bytes = announced.map_or(routes.body_bytes_max, |bytes| {
                usize::try_from(bytes).map_or(routes.body_bytes_max, |bytes| bytes.min(routes.body_bytes_max))
            });
            let held = Held::default();
            // The bytes, and what is read from them.
            if room.hold(&held, bytes.saturating_mul(2)).await.is_err() {
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Ok(answer);
            }
            let answer = (routes.handler)(request).await;
            drop(held);
            Ok(answer)
        })
    }
}

//! Plain HTTP on the listener of gRPC: requests below one path go to a handler of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;

use super::stage::{Answer, Inner, Stage};

/// Answers one HTTP request. A failure is an answer too. The handler bounds what its requests take: they have no part in
/// the budget of calls.
pub type Handler =
    Arc<dyn Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

/// Requests whose path begins with `prefix` are answered by `handler`.
#[derive(Clone)]
pub struct HttpRoutes {
    /// Such as `/webhooks/`; no gRPC service has such a name.
    pub prefix: &'static str,
    pub handler: Handler,
}

impl Stage for HttpRoutes {
    fn call<S: Inner>(&self, request: Request<Body>, services: &mut S) -> Answer<S> {
        if !request.uri().path().starts_with(self.prefix) {
            return Answer::<S>::Passed { answer: services.call(request) };
        }
        let answer = (self.handler)(request);
        Answer::<S>::own(async move { Ok(answer.await) })
    }
}

//! What is served on the same listener besides gRPC: requests below one path go to a handler of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

/// Answers one HTTP request; it never fails, it answers.
pub type Handler =
    Arc<dyn Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

/// Requests whose path begins with `prefix` are answered by `handler`.
#[derive(Clone)]
pub struct Besides {
    /// Such as `/webhooks/`; no gRPC service has a name like it.
    pub prefix: &'static str,
    /// Who answers.
    pub handler: Handler,
}

impl<S> Layer<S> for Besides {
    type Service = Divided<S>;

    fn layer(&self, inner: S) -> Divided<S> {
        Divided { inner, besides: self.clone() }
    }
}

/// The services, and what is served besides.
#[derive(Clone)]
pub struct Divided<S> {
    inner: S,
    besides: Besides,
}

impl<S> Service<Request<Body>> for Divided<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(self.besides.prefix) {
            let answer = (self.besides.handler)(request);
            return Box::pin(async move { Ok(answer.await) });
        }
        Box::pin(self.inner.call(request))
    }
}

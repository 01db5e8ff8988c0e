//! The stages that calls pass on their way to the services, as layers of tower.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

type OwnAnswer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

pin_project_lite::pin_project! {
    /// The future of an answer. A call that only passes is not boxed.
    #[project = AnswerNow]
    pub enum Answering<F, E> {
        /// The answer of what is behind the stage.
        Passed { #[pin] answer: F },
        /// The stage's own answer.
        Own { answer: OwnAnswer<E> },
    }
}

/// The answer to a call of `S` by way of a stage.
pub type Answer<S> = Answering<<S as Service<Request<Body>>>::Future, <S as Service<Request<Body>>>::Error>;

impl<F, E> Answering<F, E> {
    /// The stage's own answer.
    pub fn own(answer: impl Future<Output = Result<Response<Body>, E>> + Send + 'static) -> Self {
        Self::Own { answer: Box::pin(answer) }
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for Answering<F, E> {
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerNow::Passed { answer } => answer.poll(context),
            AnswerNow::Own { answer } => answer.as_mut().poll(context),
        }
    }
}

/// What is behind a stage: the next stage, or the services.
pub trait Inner:
    Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// Answers calls, or passes them on.
pub trait Stage: Clone {
    /// Answers a call by itself or by what is behind it.
    fn call<S: Inner>(&self, request: Request<Body>, services: &mut S) -> Answer<S>;
}

/// Puts a stage before the services.
#[derive(Clone)]
pub struct Staged<T>(pub T);

impl<T: Stage, S> Layer<S> for Staged<T> {
    type Service = Behind<T, S>;

    fn layer(&self, services: S) -> Behind<T, S> {
        Behind { stage: self.0.clone(), services }
    }
}

/// The services behind a stage.
#[derive(Clone)]
pub struct Behind<T, S> {
    stage: T,
    services: S,
}

impl<T: Stage, S: Inner> Service<Request<Body>> for Behind<T, S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.stage.call(request, &mut self.services)
    }
}

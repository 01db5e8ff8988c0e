//! The stage of Connect: passes calls of gRPC on, and turns those of Connect into calls of gRPC.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method as Verb, Request, Response, Version};
use http_body_util::Full;
use tonic::body::Body;

use super::super::intake::IntakeLimits;
use super::super::methods::{Method, Methods, Shape};
use super::super::room::Held;
use super::super::stage::{Answer, Inner, Stage};
use super::super::status::Problem;
use super::call::{ByConnect, Call};
use super::content::{self, Content, Encoding};
use super::request::{self, Carrier};
use super::{answer, error, query};

#[derive(Clone, Debug)]
pub struct Connect(pub IntakeLimits);

impl Stage for Connect {
    fn call<S: Inner>(&self, request: Request<Body>, services: &mut S) -> Answer<S> {
        if request.method() == Verb::POST && content::is_plain_grpc(request.headers()) {
            return Answer::<S>::Passed { answer: services.call(request) };
        }
        match self.enter(request) {
            Ok((request, None)) => Answer::<S>::Passed { answer: services.call(request) },
            Ok((request, Some(call))) => {
                let answer = services.call(request);
                Answer::<S>::own(async move { Ok(answer::translated(answer.await?, call).await) })
            }
            Err(refusal) => Answer::<S>::own(std::future::ready(Ok(*refusal))),
        }
    }
}

/// A request of gRPC and the Connect call that it was made from, if any; or the answer to a refused request.
type Entered = Result<(Request<Body>, Option<Call>), Box<Response<Body>>>;

impl Connect {
    fn enter(&self, mut request: Request<Body>) -> Entered {
        let method = Methods::all().find(request.uri().path());
        if request.method() != Verb::POST {
            return match method.filter(|method| method.reads && request.method() == Verb::GET) {
                Some(method) => self.get(request, method),
                None => Err(content::not_allowed(request.method(), method).into()),
            };
        }
        let (encoding, streams) = match content::of(request.headers()) {
            Some(Content::Grpc(name)) => {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(name));
                return Ok((request, None));
            }
            Some(Content::Unary(encoding)) => (encoding, false),
            Some(Content::Stream(encoding)) => (encoding, true),
            None => return Err(content::unsupported(method).into()),
        };
        let refuse =
            |message| Err(error::answer(&Problem::unimplemented(message).into(), encoding, streams).into());
        let carrier = if streams { Carrier::Envelope } else { Carrier::Body };
        match method.map(|method| (method, method.shape)) {
            Some((method, Shape::Unary)) if !streams => self.as_grpc(request, method, encoding, carrier),
            Some((method, Shape::ServerStream)) if streams => {
                self.as_grpc(request, method, encoding, carrier)
            }
            Some((_, Shape::ClientStream)) if streams => {
                refuse("a method that streams its requests is called by gRPC")
            }
            Some((_, Shape::Unary | Shape::ServerStream | Shape::ClientStream)) => {
                Err(content::unsupported(method).into())
            }
            None => refuse("there is no such method"),
        }
    }

    fn get(&self, mut request: Request<Body>, method: &'static Method) -> Entered {
        let query = query::read(request.uri().query().unwrap_or_default())
            .map_err(|problem| error::answer(&problem.into(), Encoding::Json, false))?;
        let Some(encoding) = query.encoding else { return Err(content::unsupported(Some(method)).into()) };
        *request.method_mut() = Verb::POST;
        let request = request.map(|_| Body::new(Full::new(query.message)));
        self.as_grpc(request, method, encoding, Carrier::Query { gzip: query.gzip })
    }

    /// Turns a request into one of gRPC: its headers, its message in a frame, the path without a query, and HTTP/2.
    fn as_grpc(
        &self,
        mut request: Request<Body>,
        method: &'static Method,
        encoding: Encoding,
        carrier: Carrier,
    ) -> Entered {
        let streams = carrier == Carrier::Envelope;
        let head = request::head(request.headers_mut(), carrier)
            .map_err(|problem| error::answer(&problem.into(), encoding, streams))?;
        let call = Call { method, encoding, streams, gzip: head.accepts_gzip };
        let (head_of, body) = request.into_parts();
        let held = Held::default();
        let body = request::framed(body, call, head.gzip, head_of.uri.path(), &self.0, held.clone());
        let mut request = Request::from_parts(head_of, body);
        // The next stage goes on with the same room.
        request.extensions_mut().insert(held);
        if let Ok(path) = request.uri().path().parse() {
            *request.uri_mut() = path;
        }
        *request.version_mut() = Version::HTTP_2;
        request.extensions_mut().insert(ByConnect);
        Ok((request, Some(call)))
    }
}

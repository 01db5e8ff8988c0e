//! Content types: which protocol a request speaks, and the refusals of requests that speak none.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method as Verb, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use super::super::methods::{Method, Shape};

const GRPC: &str = "application/grpc";

/// The content types that are accepted. tonic checks those of gRPC only in part: it treats an unknown one as gRPC.
const TAKEN: [(&str, Content); 10] = [
    (GRPC, Content::Grpc(GRPC)),
    ("application/grpc+proto", Content::Grpc("application/grpc+proto")),
    ("application/grpc-web", Content::Grpc("application/grpc-web")),
    ("application/grpc-web+proto", Content::Grpc("application/grpc-web+proto")),
    ("application/grpc-web-text", Content::Grpc("application/grpc-web-text")),
    ("application/grpc-web-text+proto", Content::Grpc("application/grpc-web-text+proto")),
    ("application/json", Content::Unary(Encoding::Json)),
    ("application/proto", Content::Unary(Encoding::Proto)),
    ("application/connect+json", Content::Stream(Encoding::Json)),
    ("application/connect+proto", Content::Stream(Encoding::Proto)),
];

/// The protocol and form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// gRPC or gRPC-Web, with the name that tonic compares.
    Grpc(&'static str),
    /// A call of Connect with one message and one answer.
    Unary(Encoding),
    /// A call of Connect in envelopes.
    Stream(Encoding),
}

/// How messages are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Proto,
}

impl Encoding {
    /// The content type of a body with this encoding.
    pub(super) fn content_type(self, streams: bool) -> HeaderValue {
        HeaderValue::from_static(match (self, streams) {
            (Self::Json, false) => "application/json",
            (Self::Proto, false) => "application/proto",
            (Self::Json, true) => "application/connect+json",
            (Self::Proto, true) => "application/connect+proto",
        })
    }
}

/// True for the one content type that nearly all calls have, so that those need no further look.
pub(super) fn is_plain_grpc(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    types.next().is_some_and(|first| first == GRPC) && types.next().is_none()
}

/// The content of a request; `None` for one that is not accepted: no content type, two, or another.
pub(super) fn of(headers: &HeaderMap) -> Option<Content> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(given), None) = (types.next(), types.next()) else { return None };
    let mut parts = given.to_str().ok()?.split(';').map(str::trim);
    let essence = parts.next()?;
    let is_readable = |part: &str| match part.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some(_) | None => true,
    };
    if !parts.all(is_readable) {
        return None;
    }
    TAKEN.iter().find(|(name, _)| name.eq_ignore_ascii_case(essence)).map(|(_, content)| *content)
}

/// The answer to a content type that is not accepted, or not by this method.
pub(super) fn unsupported(method: Option<&Method>) -> Response<Body> {
    let is_taken = |content: Content| match (content, method.map(|method| method.shape)) {
        (Content::Grpc(_), _) | (_, None) => true,
        (Content::Unary(_), Some(shape)) => shape == Shape::Unary,
        (Content::Stream(_), Some(shape)) => shape == Shape::ServerStream,
    };
    let taken: Vec<&str> =
        TAKEN.iter().filter(|(_, content)| is_taken(*content)).map(|(name, _)| *name).collect();
    let taken = taken.join(", ");
    let text = format!("The content type must be one of: {taken}\n");
    refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, HeaderName::from_static("accept-post"), &taken, text)
}

/// The answer to an HTTP method that is not accepted.
pub(super) fn not_allowed(verb: &Verb, method: Option<&Method>) -> Response<Body> {
    let allowed = if method.is_some_and(|method| method.reads) { "GET, POST" } else { "POST" };
    // An answer to HEAD has no body. Nothing strips it over HTTP/2: a caller that gets one drops the stream.
    let text = if *verb == Verb::HEAD {
        String::new()
    } else {
        format!("The HTTP method must be one of: {allowed}\n")
    };
    refusal(StatusCode::METHOD_NOT_ALLOWED, ALLOW, allowed, text)
}

fn refusal(status: StatusCode, header: HeaderName, value: &str, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::new(Full::new(text.into())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(header, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(types: &[&str]) -> Option<Content> {
        let mut headers = HeaderMap::new();
        for given in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_str(given).unwrap());
        }
        assert!(!is_plain_grpc(&headers) || types == [GRPC]);
        of(&headers)
    }

    #[test]
    fn one_known_content_type_is_taken() {
        for (name, content) in TAKEN {
            assert_eq!(read(&[name]), Some(content));
            assert_eq!(read(&[&name.to_uppercase()]), Some(content));
            assert_eq!(read(&[&format!("{name} ; charset=\"UTF-8\"")]), Some(content));
        }
        for bad in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonx",
            "application/grpc+json",
            "application/grpc-web+json",
            "application/grpcx",
            "application/connect+xml",
            "application/json; charset=latin1",
            "text/plain; application/json",
            "*/*",
            "application",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[GRPC, "text/plain"]), None);
        assert_eq!(read(&["application/json", "application/json"]), None);
    }
}

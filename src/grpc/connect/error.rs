//! Errors in the form of Connect: an HTTP status with a JSON object, or the end of a stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use prost::Message as _;
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic::body::Body;

use super::super::methods::Methods;
use super::content::Encoding;
use super::frame::{framed, is_metadata};

/// The flag of the envelope that ends a stream.
const END: u8 = 2;

/// The codes in the order of their gRPC numbers, each with the HTTP status that the protocol gives it.
const CODES: [(&str, u16); 17] = [
    // OK is no error, so this entry is never used.
    ("unknown", 500),
    ("canceled", 499),
    ("unknown", 500),
    ("invalid_argument", 400),
    ("deadline_exceeded", 504),
    ("not_found", 404),
    ("already_exists", 409),
    ("permission_denied", 403),
    ("resource_exhausted", 429),
    ("failed_precondition", 400),
    ("aborted", 409),
    ("out_of_range", 400),
    ("unimplemented", 501),
    ("internal", 500),
    ("unavailable", 503),
    ("data_loss", 500),
    ("unauthenticated", 401),
];

fn code(status: &Status) -> (&'static str, u16) {
    let number = usize::try_from(i32::from(status.code())).unwrap_or_default();
    CODES.get(number).copied().unwrap_or(("unknown", 500))
}

/// The error as an object: code, message, and the details that gRPC has, each with its JSON for people.
fn object(status: &Status) -> Value {
    let mut error = json!({ "code": code(status).0, "message": status.message() });
    let details = tonic_types::pb::Status::decode(status.details()).map(|status| status.details);
    let details: Vec<Value> = details.unwrap_or_default().iter().map(detail).collect();
    if !details.is_empty() {
        error["details"] = Value::Array(details);
    }
    error
}

fn detail(detail: &prost_types::Any) -> Value {
    let name = detail.type_url.rsplit('/').next().unwrap_or_default();
    let mut object = json!({ "type": name, "value": STANDARD_NO_PAD.encode(&detail.value) });
    let debug = || {
        let (methods, mut json) = (Methods::all(), Vec::new());
        methods.json.write(methods.detail(name)?, &detail.value, &mut json)?;
        serde_json::from_slice::<Value>(&json).ok()
    };
    if let Some(debug) = debug() {
        object["debug"] = debug;
    }
    object
}

/// The answer to a call that failed before any message was sent.
pub(super) fn answer(status: &Status, encoding: Encoding, streams: bool) -> Response<Body> {
    let (body, http_status, content_type) = if streams {
        (end(Some(status), &HeaderMap::new()), StatusCode::OK, encoding.content_type(true))
    } else {
        let http_status = StatusCode::from_u16(code(status).1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // An error is JSON, whatever the encoding of its call.
        (object(status).to_string().into(), http_status, Encoding::Json.content_type(false))
    };
    let mut answer = Response::new(Body::new(Full::new(body)));
    *answer.status_mut() = http_status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    // What does not exist now may exist in a moment, and caches would keep such an answer to a GET.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The last envelope of a stream: how it ended, and its trailers.
pub(super) fn end(error: Option<&Status>, trailers: &HeaderMap) -> bytes::Bytes {
    let mut end = Map::new();
    if let Some(status) = error {
        end.insert("error".to_owned(), object(status));
    }
    let mut metadata = Map::new();
    for name in trailers.keys().filter(|name| is_metadata(name)) {
        let values = trailers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        metadata.insert(name.as_str().to_owned(), values.collect());
    }
    if !metadata.is_empty() {
        end.insert("metadata".to_owned(), metadata.into());
    }
    framed(END, Value::Object(end).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::status::Problem;

    #[test]
    fn codes_stand_at_their_numbers() {
        for (number, (name, _)) in (0..).zip(CODES).skip(1) {
            let named = format!("{:?}", tonic::Code::from(number));
            let plain = name.replace('_', "");
            let plain = if plain == "canceled" { "cancelled" } else { &plain };
            assert_eq!(named.to_lowercase(), plain);
        }
    }

    #[test]
    fn details_have_their_json() {
        let status = Status::from(Problem::field("customer_id", "is odd"));
        let error = object(&status);
        assert_eq!(error["code"], "invalid_argument");
        assert_eq!(error["message"], "customer_id is odd");
        assert_eq!(error["details"][0]["type"], "google.rpc.ErrorInfo");
        assert_eq!(
            error["details"][0]["debug"],
            json!({ "reason": "INVALID_FIELD", "domain": "creditledger" })
        );
        let violations = json!({ "fieldViolations": [{ "field": "customer_id", "description": "is odd" }] });
        assert_eq!(error["details"][1]["debug"], violations);
        let value = STANDARD_NO_PAD.decode(error["details"][1]["value"].as_str().unwrap()).unwrap();
        let bad = tonic_types::pb::BadRequest::decode(value.as_slice()).unwrap();
        assert_eq!(bad.field_violations[0].field, "customer_id");
        let overloaded = object(&Status::from(Problem::overloaded()));
        assert_eq!(overloaded["details"][0]["debug"], json!({ "retryDelay": "0.100s" }));
    }
}

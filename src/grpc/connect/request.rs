//! Translates a request of Connect into one of gRPC: its headers, and its body as a frame.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::super::gzip;
use super::super::intake::{IntakeLimits, PREFIX_BYTES, Patient};
use super::super::json::Unreadable;
use super::super::methods::Methods;
use super::super::room::Held;
use super::super::status::Problem;
use super::call::Call;
use super::content::Encoding;
use super::frame;

/// Headers that only gRPC may have, that only Connect has, or that described the original body.
const REMOVED: [&str; 11] = [
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
    "connect-timeout-ms",
    "connect-protocol-version",
    "connect-content-encoding",
    "connect-accept-encoding",
    "accept-encoding",
    "content-encoding",
    "content-length",
    "transfer-encoding",
];

/// Buffers that have the bytes of a message at the same time: its JSON, the message, its frame, and what grows.
const COPIES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The message, or each envelope that is marked so, is compressed.
    pub(super) gzip: bool,
    /// The answer may be compressed.
    pub(super) accepts_gzip: bool,
}

/// Where the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Body,
    Envelope,
    /// The query says whether it is compressed.
    Query {
        gzip: bool,
    },
}

/// Reads the headers of a call and leaves those of gRPC. It fails for an unknown version or compression, or a malformed
/// timeout.
pub(super) fn head(headers: &mut HeaderMap, carrier: Carrier) -> Result<Head, Problem> {
    if headers.get("connect-protocol-version").is_some_and(|version| version != "1") {
        return Err(Problem::malformed("connect-protocol-version must be 1"));
    }
    let timeout = headers.get("connect-timeout-ms").map(grpc_timeout).transpose()?;
    let packed = |name: Option<&HeaderValue>| name.map_or(Ok(false), |name| is_gzip(name.as_bytes()));
    let gzip = match carrier {
        Carrier::Body => packed(headers.get(CONTENT_ENCODING))?,
        Carrier::Envelope => packed(headers.get("connect-content-encoding"))?,
        Carrier::Query { gzip } => gzip,
    };
    let accepted = headers.get_all(ACCEPT_ENCODING);
    let accepts_gzip = accepted.iter().next().map_or(gzip, |_| accepted.iter().any(names_gzip));
    for name in REMOVED {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(timeout) = timeout {
        headers.insert("grpc-timeout", timeout);
    }
    Ok(Head { gzip, accepts_gzip })
}

/// Connect gives milliseconds in up to ten digits, gRPC takes up to eight.
fn grpc_timeout(given: &HeaderValue) -> Result<HeaderValue, Problem> {
    let wrong = || Problem::malformed("connect-timeout-ms must be a number of at most 10 digits");
    let text = given.to_str().map_err(|_| wrong())?;
    if text.is_empty() || text.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let ms: u64 = text.parse().map_err(|_| wrong())?;
    let timeout = if ms < 100_000_000 { format!("{ms}m") } else { format!("{}S", ms.div_ceil(1_000)) };
    HeaderValue::from_str(&timeout).map_err(|_| wrong())
}

/// True for gzip, false for no compression, and an error for any other.
pub(super) fn is_gzip(name: &[u8]) -> Result<bool, Problem> {
    match name {
        b"gzip" => Ok(true),
        b"identity" | b"" => Ok(false),
        _ => Err(Problem::unimplemented("the compression must be gzip or identity")),
    }
}

/// True if a list of compressions has gzip with a weight above 0.
fn names_gzip(value: &HeaderValue) -> bool {
    let is_gzip = |item: &str| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim() == "gzip" && weight.is_none_or(|weight| weight.is_ok_and(|weight| weight > 0.0))
    };
    value.to_str().is_ok_and(|text| text.split(',').any(is_gzip))
}

/// The body of a call as one frame of gRPC. It is read only when the service asks for it. So a call waits for its body
/// within its limits and its deadline, and a malformed body is an error of the call.
///
/// `held` keeps the room of the body, until the message that it becomes has room of its own.
pub(super) fn framed(
    body: Body,
    call: Call,
    gzip: bool,
    path: &str,
    limits: &IntakeLimits,
    held: Held,
) -> Body {
    let (bytes_max, limits) = (limits.bytes_max(path), limits.clone());
    let frame = async move {
        let (message, is_packed) = if call.streams {
            // One envelope, with a message of at most `bytes_max`.
            let body = collected(body, bytes_max.saturating_add(PREFIX_BYTES), &limits, &held).await?;
            enveloped(body, gzip, bytes_max)?
        } else {
            let body = collected(body, bytes_max, &limits, &held).await?;
            // The protocol says that an empty body is not unpacked.
            let is_packed = gzip && !body.is_empty();
            (body, is_packed)
        };
        let message = if is_packed {
            gzip::unpacked(message, bytes_max, COPIES, (&limits.room, &held)).await?
        } else {
            limits.room.hold(&held, message.len().saturating_mul(COPIES)).await?;
            message
        };
        let message = encoded(message, call)?;
        Ok(frame::framed(0, &message))
    };
    Body::new(Once { frame: Some(Box::pin(frame)) })
}

/// The whole body, with room for what has arrived of it.
async fn collected(
    body: Body,
    bytes_max: usize,
    limits: &IntakeLimits,
    held: &Held,
) -> Result<Bytes, Status> {
    // A body that announces too many bytes is refused without reading it.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > bytes_max {
        return Err(Problem::too_large(bytes_max).into());
    }
    let whole = body.size_hint().exact().map_or(bytes_max, |_| announced);
    let mut collected = BytesMut::new();
    let mut body = Patient::new(body, limits.silence);
    while let Some(frame) = body.frame(bytes_max).await? {
        let Ok(data) = frame.into_data() else { continue };
        let length = collected.len().saturating_add(data.len());
        if length > bytes_max {
            return Err(Problem::too_large(bytes_max).into());
        }
        limits.room.arrive(held, length, whole).await?;
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// The message in the one envelope of a request, and whether it is compressed.
fn enveloped(mut body: Bytes, gzip: bool, bytes_max: usize) -> Result<(Bytes, bool), Problem> {
    let wrong = |what: &str| Problem::malformed(format!("the body is no envelope with one message: {what}"));
    let Some((prefix, _)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(wrong("it ends early"));
    };
    let [flags, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(Problem::too_large(bytes_max));
    }
    let message = body.split_off(PREFIX_BYTES);
    match (message.len().cmp(&length), flags) {
        (std::cmp::Ordering::Less, _) => Err(wrong("it ends early")),
        (std::cmp::Ordering::Greater, _) => Err(wrong("something follows")),
        (std::cmp::Ordering::Equal, 0) => Ok((message, false)),
        (std::cmp::Ordering::Equal, 1) if gzip => Ok((message, true)),
        (std::cmp::Ordering::Equal, 1) => Err(wrong("it is compressed, without saying how")),
        (std::cmp::Ordering::Equal, _) => Err(wrong("it has unknown flags")),
    }
}

fn encoded(message: Bytes, call: Call) -> Result<Bytes, Problem> {
    match call.encoding {
        Encoding::Proto => Ok(message),
        Encoding::Json => match Methods::all().json.read(call.method.request, &message) {
            Ok(encoded) => Ok(encoded.into()),
            Err(Unreadable::Syntax(wrong)) => Err(Problem::malformed(format!("the JSON is broken: {wrong}"))),
            Err(Unreadable::Fields(violations)) => Err(violations.into()),
        },
    }
}

/// A body of one frame that is made when it is polled.
struct Once<F> {
    frame: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = Result<Bytes, Status>>> hyper::body::Body for Once<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = &mut self.frame else { return Poll::Ready(None) };
        let made = std::task::ready!(frame.as_mut().poll(context));
        self.frame = None;
        Poll::Ready(Some(made.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&'static str, &str)], carrier: Carrier) -> Result<(Head, HeaderMap), Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        head(&mut headers, carrier).map(|head| (head, headers))
    }

    #[test]
    fn timeouts_become_those_of_grpc() {
        let cases = [
            ("0", "0m"),
            ("250", "250m"),
            ("99999999", "99999999m"),
            ("100000001", "100001S"),
            ("9999999999", "10000000S"),
        ];
        for (ms, timeout) in cases {
            let (_, headers) =
                read(&[("connect-timeout-ms", ms), ("grpc-timeout", "1n")], Carrier::Body).unwrap();
            assert_eq!(headers.get("grpc-timeout").unwrap(), timeout);
            assert!(headers.get("connect-timeout-ms").is_none());
        }
        for bad in ["", "-1", "1.5", "12345678901", " 1 2", "1S"] {
            assert!(read(&[("connect-timeout-ms", bad)], Carrier::Body).is_err(), "{bad}");
        }
    }

    #[test]
    fn compressions_are_those_of_the_shape() {
        let is_packed =
            |given: &[(&'static str, &str)], carrier| read(given, carrier).map(|(head, _)| head.gzip);
        assert!(is_packed(&[("content-encoding", "gzip")], Carrier::Body).unwrap());
        assert!(!is_packed(&[("content-encoding", "identity")], Carrier::Body).unwrap());
        assert!(is_packed(&[("content-encoding", "br")], Carrier::Body).is_err());
        assert!(!is_packed(&[("content-encoding", "br")], Carrier::Envelope).unwrap());
        assert!(is_packed(&[("connect-content-encoding", "gzip")], Carrier::Envelope).unwrap());
        let takes = |given: &str| read(&[("accept-encoding", given)], Carrier::Body).unwrap().0.accepts_gzip;
        assert!(takes("br, gzip") && takes("gzip;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("gzip;q=x"));
        assert!(read(&[("content-encoding", "gzip")], Carrier::Body).unwrap().0.accepts_gzip);
    }

    #[test]
    fn one_envelope_is_one_message() {
        let read = |bytes: &[u8]| enveloped(Bytes::copy_from_slice(bytes), false, 8);
        assert_eq!(read(&[0, 0, 0, 0, 2, b'{', b'}']).unwrap(), ("{}".into(), false));
        for bad in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&[0, 0, 0, 0, 9]).is_err());
    }
}

//! The query of a GET: the message and how it is encoded.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::super::status::Problem;
use super::content::Encoding;
use super::request;

/// Padding is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// `None` for an encoding that is not supported.
    pub(super) encoding: Option<Encoding>,
    pub(super) message: Bytes,
    /// The message is compressed.
    pub(super) gzip: bool,
}

/// Reads a query. Unknown parameters are skipped, as the protocol asks. It fails where a parameter of Connect is
/// missing, given twice, or malformed.
pub(super) fn read(query: &str) -> Result<Query, Problem> {
    let wrong = |what: String| Problem::malformed(format!("the query is no call: {what}"));
    let [mut encoding, mut message, mut base64, mut compression, mut version] = [const { None }; 5];
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "encoding" => &mut encoding,
            "message" => &mut message,
            "base64" => &mut base64,
            "compression" => &mut compression,
            "connect" => &mut version,
            _ => continue,
        };
        if place.is_some() {
            return Err(wrong(format!("{name} is given twice")));
        }
        let value = value.replace('+', " ");
        *place = Some(percent_decode_str(&value).collect::<Vec<u8>>());
    }
    if version.is_some_and(|version| version != b"v1") {
        return Err(wrong("connect must be v1".to_owned()));
    }
    let gzip = match compression {
        None => false,
        Some(compression) => request::is_gzip(&compression)?,
    };
    let encoding = match encoding.as_deref() {
        Some(b"json") => Some(Encoding::Json),
        Some(b"proto") => Some(Encoding::Proto),
        Some(_) => None,
        None => return Err(wrong("encoding is missing".to_owned())),
    };
    let Some(message) = message else { return Err(wrong("message is missing".to_owned())) };
    // The protocol ignores other values of the parameter.
    let message = if base64.is_some_and(|base64| base64 == b"1") {
        BASE64.decode(&message).map_err(|error| wrong(format!("message is not base64: {error}")))?
    } else {
        message
    };
    Ok(Query { encoding, message: message.into(), gzip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_in_any_order() {
        let json = |message: &[u8]| Query {
            encoding: Some(Encoding::Json),
            message: Bytes::copy_from_slice(message),
            gzip: false,
        };
        assert_eq!(read("connect=v1&encoding=json&message=%7B%7D").unwrap(), json(b"{}"));
        assert_eq!(read("message=a+b%2B&x=1&encoding=json&base64=0").unwrap(), json(b"a b+"));
        for padded in ["e30", "e30=", "e30%3D"] {
            assert_eq!(read(&format!("base64=1&message={padded}&encoding=json")).unwrap(), json(b"{}"));
        }
        assert_eq!(read("encoding=json&message=").unwrap(), json(b""));
        assert_eq!(read("encoding=xml&message=").unwrap().encoding, None);
        assert!(read("encoding=proto&message=&compression=gzip").unwrap().gzip);
        for bad in [
            "",
            "encoding=json",
            "message=%7B%7D",
            "encoding=json&message=a&message=b",
            "encoding=json&encoding=json&message=a",
            "encoding=json&message=a&connect=v2",
            "encoding=json&message=a&compression=br",
            "encoding=json&message=$&base64=1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

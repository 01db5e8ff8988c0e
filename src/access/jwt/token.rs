//! A token taken apart: header, claims and signature of the compact form. Nothing here says that it holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::{Fault, json};

/// The longest token that is read.
pub(super) const BYTES_MAX: usize = 8 << 10;

/// Members of a header that say where a key is found, or that more has to be understood.
const REFUSED_MEMBERS: [&str; 5] = ["jwk", "jku", "x5u", "crit", "b64"];
/// What a header may say that it is; nothing is allowed too. Others, such as `logout+jwt`, show nobody's access.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token whose parts could be read.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// What is signed: header and claims as they came.
    pub signed: &'t [u8],
    pub signature: Vec<u8>,
    pub algorithm: Algorithm,
    /// The name of its key.
    pub kid: Option<String>,
    pub claims: Map<String, Value>,
}

impl<'t> Token<'t> {
    pub fn parse(text: &'t str) -> Result<Self, Fault> {
        if text.len() > BYTES_MAX {
            return Err(Fault("is too long"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Fault("has no parts"))?;
        let (header, claims) = signed.split_once('.').ok_or(Fault("has two parts"))?;
        let part = |text: &str| match URL_SAFE_NO_PAD.decode(text) {
            Ok(bytes) if !bytes.is_empty() => Ok(bytes),
            Ok(_) => Err(Fault("has an empty part")),
            Err(_) => Err(Fault("has a part that is not base64url, or too many parts")),
        };
        let header = json::object(&part(header)?).ok_or(Fault("has a header that cannot be read"))?;
        let (algorithm, kid) = read_header(&header)?;
        let claims = json::object(&part(claims)?).ok_or(Fault("has claims that cannot be read"))?;
        Ok(Self { signed: signed.as_bytes(), signature: part(signature)?, algorithm, kid, claims })
    }
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Fault> {
    if REFUSED_MEMBERS.iter().any(|member| header.contains_key(*member)) {
        return Err(Fault("has a header that brings its own key, or asks for an extension"));
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if TYPES.contains(&&*typ.to_ascii_lowercase()) => {}
        Some(_) => return Err(Fault("is of another type")),
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => Algorithm::named(name),
        _ => None,
    };
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if !kid.is_empty() => Some(kid.clone()),
        Some(_) => return Err(Fault("has a kid that is no text")),
    };
    Ok((algorithm.ok_or(Fault("has an algorithm that is not allowed"))?, kid))
}

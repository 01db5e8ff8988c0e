//! The claims that every token must have (RFC 7519, section 4.1), each with its type.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Fault;
use crate::ledger::Timestamp;

/// How far the clocks of a provider and of the server may differ.
const LEEWAY_SECONDS: i64 = 30;
/// The last second of the year 9999: later ones are no time that anybody means.
const SECONDS_MAX: i64 = 253_402_300_799;

/// The issuer, as the token has it.
pub(super) fn issuer(claims: &Map<String, Value>) -> Result<&str, Fault> {
    text(claims, "iss").ok_or(Fault("has no iss that is a text"))
}

/// Checks the times, the audience and that there is a subject. Gives the time at which the token is no longer taken.
pub(super) fn check(
    claims: &Map<String, Value>,
    audiences: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Timestamp, Fault> {
    let until = seconds(claims, "exp")?.ok_or(Fault("has no exp"))?.plus_seconds(LEEWAY_SECONDS);
    if until <= now {
        return Err(Fault("has expired"));
    }
    let latest = now.plus_seconds(LEEWAY_SECONDS);
    if seconds(claims, "nbf")?.is_some_and(|nbf| nbf > latest) {
        return Err(Fault("is not valid yet"));
    }
    if seconds(claims, "iat")?.is_some_and(|iat| iat > latest) {
        return Err(Fault("was issued in the future"));
    }
    if !is_for(claims.get("aud"), audiences)? {
        return Err(Fault("is for another audience"));
    }
    text(claims, "sub").ok_or(Fault("has no sub that is a text"))?;
    // Whoever shows such a token must show a key too, which is not looked for here (RFC 7800).
    if claims.contains_key("cnf") {
        return Err(Fault("is bound to a key of its holder"));
    }
    Ok(until)
}

/// A text that says something.
fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A time in whole seconds since 1970.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_i64().filter(|seconds| (0..=SECONDS_MAX).contains(seconds));
    let seconds = seconds.ok_or(Fault("has a time that is no whole number of seconds"))?;
    Ok(Some(Timestamp::from_micros(0).plus_seconds(seconds)))
}

fn is_for(aud: Option<&Value>, audiences: &BTreeSet<String>) -> Result<bool, Fault> {
    match aud {
        Some(Value::String(one)) => Ok(audiences.contains(one)),
        Some(Value::Array(all)) => {
            let mut is_for = false;
            for one in all {
                let one = one.as_str().ok_or(Fault("has an aud that is no text"))?;
                is_for |= audiences.contains(one);
            }
            Ok(is_for)
        }
        _ => Err(Fault("has no aud that is a text or a list")),
    }
}

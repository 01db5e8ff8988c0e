//! Reads a JWKS (RFC 7517): which of its keys can be used, and finds them by name. A key of an odd shape is left out, and
//! does not spoil the others.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, PublicKey};

/// Keys that a set may have.
const KEYS_MAX: usize = 10_000;
/// The longest name of a key.
const KID_BYTES_MAX: usize = 1_024;
/// How much is told of what cannot be read.
const ERROR_CHARS_MAX: usize = 200;
/// The size of a modulus, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// Why a set is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is no set of keys: {0}")]
    Unreadable(String),
    #[error("none of its keys can be used: {skipped} were left out, the first because it {reason}")]
    NoneUsable { skipped: usize, reason: &'static str },
    #[error("it has no keys")]
    Empty,
}

impl From<serde_json::Error> for KeySetError {
    /// The error may repeat what it met, which may be as long as the body.
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string().chars().take(ERROR_CHARS_MAX).collect())
    }
}

/// The keys of a provider.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    shelves: HashMap<Algorithm, Shelf>,
    /// Keys that were left out, and why the first was.
    skipped: Option<(usize, &'static str)>,
}

/// The keys of one algorithm.
#[derive(Debug, Default)]
struct Shelf {
    named: HashMap<Box<str>, Arc<PublicKey>>,
    /// The key, while there is one: a token that names none can mean no other.
    single: Option<Arc<PublicKey>>,
    count: usize,
}

impl KeySet {
    /// Reads the keys that serve for one of `algorithms`.
    pub fn read(body: &[u8], algorithms: &BTreeSet<Algorithm>) -> Result<Self, KeySetError> {
        let mut set = Self::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        json.deserialize_map(Document { set: &mut set, algorithms })?;
        json.end()?;
        match set.skipped {
            _ if set.count() > 0 => Ok(set),
            Some((skipped, reason)) => Err(KeySetError::NoneUsable { skipped, reason }),
            None => Err(KeySetError::Empty),
        }
    }

    /// The key of this name for this algorithm; where no name is given, the only one.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Arc<PublicKey>> {
        let shelf = self.shelves.get(&algorithm)?;
        match kid {
            Some(kid) => shelf.named.get(kid),
            None => shelf.single.as_ref(),
        }
    }

    pub fn count(&self) -> usize {
        self.shelves.values().map(|shelf| shelf.count).sum()
    }

    /// How many keys were left out, and why the first was.
    pub const fn skipped(&self) -> Option<(usize, &'static str)> {
        self.skipped
    }

    fn take(&mut self, jwk: &Value, algorithms: &BTreeSet<Algorithm>) {
        let added = read_key(jwk).and_then(|(kid, key)| {
            if !algorithms.contains(&key.algorithm()) {
                return Err("is for an algorithm that the settings do not allow");
            }
            self.add(kid, key)
        });
        if let Err(reason) = added {
            let (skipped, first) = self.skipped.unwrap_or((0, reason));
            self.skipped = Some((skipped.saturating_add(1), first));
        }
    }

    fn add(&mut self, kid: Option<&str>, key: PublicKey) -> Result<(), &'static str> {
        let shelf = self.shelves.entry(key.algorithm()).or_default();
        let key = Arc::new(key);
        if let Some(kid) = kid {
            match shelf.named.entry(kid.into()) {
                Entry::Occupied(_) => return Err("has the name of an earlier one"),
                Entry::Vacant(place) => drop(place.insert(Arc::clone(&key))),
            }
        }
        shelf.count = shelf.count.saturating_add(1);
        shelf.single = (shelf.count == 1).then_some(key);
        Ok(())
    }
}

/// The whole document. Keys are read one by one, so that a large set is never a large tree.
struct Document<'a> {
    set: &'a mut KeySet,
    algorithms: &'a BTreeSet<Algorithm>,
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list `keys`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { set, algorithms } = self;
        let mut is_there = false;
        while let Some(name) = members.next_key::<String>()? {
            if name != "keys" {
                members.next_value::<IgnoredAny>()?;
            } else if std::mem::replace(&mut is_there, true) {
                return Err(A::Error::custom("`keys` stands twice"));
            } else {
                members.next_value_seed(Keys { set, algorithms })?;
            }
        }
        if is_there { Ok(()) } else { Err(A::Error::missing_field("keys")) }
    }
}

struct Keys<'a> {
    set: &'a mut KeySet,
    algorithms: &'a BTreeSet<Algorithm>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut keys: A) -> Result<(), A::Error> {
        let mut count = 0_usize;
        while let Some(jwk) = keys.next_element::<Value>()? {
            if count == KEYS_MAX {
                return Err(A::Error::custom(format_args!("it has more than {KEYS_MAX} keys")));
            }
            count = count.saturating_add(1);
            self.set.take(&jwk, self.algorithms);
        }
        Ok(())
    }
}

/// Reads one key. The error continues "the key ...".
fn read_key(jwk: &Value) -> Result<(Option<&str>, PublicKey), &'static str> {
    let jwk = jwk.as_object().ok_or("is no object")?;
    if jwk.contains_key("d") {
        return Err("shows its private part");
    }
    match jwk.get("use") {
        None => {}
        Some(Value::String(purpose)) if purpose == "sig" => {}
        Some(_) => return Err("is not for signatures"),
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
        Some(_) => return Err("is not for verifying"),
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) if !kid.is_empty() && kid.len() <= KID_BYTES_MAX => Some(kid.as_str()),
        Some(_) => return Err("has a name that is no text, empty or too long"),
    };
    let key = match text(jwk, "kty") {
        Some("RSA") => rsa(jwk)?,
        Some("EC") => p256(jwk)?,
        Some("OKP") => ed25519(jwk)?,
        _ => return Err("is of another type"),
    };
    match jwk.get("alg") {
        None => Ok((kid, key)),
        Some(Value::String(name)) if Algorithm::named(name) == Some(key.algorithm()) => Ok((kid, key)),
        Some(_) => Err("is for another algorithm"),
    }
}

fn text<'k>(jwk: &'k Map<String, Value>, name: &str) -> Option<&'k str> {
    jwk.get(name).and_then(Value::as_str)
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let decoded = text(jwk, name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    decoded.ok_or("has a part that is missing or not base64url")
}

fn rsa(jwk: &Map<String, Value>) -> Result<PublicKey, &'static str> {
    let whole = |name: &str| {
        let bytes = bytes(jwk, name)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok::<Box<[u8]>, &'static str>(bytes[zeros..].into())
    };
    let (n, e) = (whole("n")?, whole("e")?);
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let top = n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&n.len().saturating_mul(8).saturating_sub(top)) {
        return Err("has a modulus of less than 2048 or more than 8192 bits");
    }
    if !is_odd(&n) || !is_odd(&e) || e.len() > 4 || *e == [1] {
        return Err("is no key of RSA");
    }
    Ok(PublicKey::Rsa { n, e })
}

fn p256(jwk: &Map<String, Value>) -> Result<PublicKey, &'static str> {
    if text(jwk, "crv") != Some("P-256") {
        return Err("is on another curve");
    }
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    let point = [&[4][..], &x, &y].concat();
    if x.len() != 32 {
        return Err("is no point of P-256");
    }
    point.try_into().map(PublicKey::P256).map_err(|_| "is no point of P-256")
}

fn ed25519(jwk: &Map<String, Value>) -> Result<PublicKey, &'static str> {
    if text(jwk, "crv") != Some("Ed25519") {
        return Err("is on another curve");
    }
    bytes(jwk, "x")?.try_into().map(PublicKey::Ed25519).map_err(|_| "is no point of Ed25519")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_set_is_short_whatever_it_is() {
        let algorithms = BTreeSet::from(Algorithm::ALL);
        let long = "\u{e9}".repeat(1 << 20);
        for (body, told) in [
            (format!("\"{long}\""), "it is no set of keys: invalid type: string \""),
            (format!("{{\"keys\":\"{long}\"}}"), "it is no set of keys: invalid type: string \""),
            (format!("{{\"{long}\":1}}"), "it is no set of keys: missing field `keys`"),
            (format!("<html>{long}"), "it is no set of keys: expected value at line 1 column 1"),
            (format!("{{\"keys\":[\"{long}\"]}}"), "none of its keys can be used: 1 were left out"),
        ] {
            let error = KeySet::read(body.as_bytes(), &algorithms).unwrap_err().to_string();
            assert!(error.starts_with(told) && error.chars().count() < 300, "{error}");
        }
    }
}

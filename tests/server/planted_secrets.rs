//! Secrets that are planted by a test, and how each looks in the encodings in which it might show.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Bytes that the longest form of a secret may take.
const LONGEST_FORM: usize = 200;

/// The planted secrets, and how they may look.
#[derive(Clone, Default)]
pub struct Planted(Arc<Mutex<Vec<(String, String)>>>);

impl Planted {
    /// A new secret, which no other text has a part of. It has characters that encodings change.
    pub fn new_secret(&self, place: &str) -> String {
        let mut planted = self.0.lock().unwrap();
        let number = planted.len();
        // The spread of a multiplication: the same in each run, and different for each secret.
        let spread = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let secret = format!("Pl4nt{number:03}+/{spread:016x}");
        planted.push((place.to_owned(), secret.clone()));
        secret
    }

    /// One that signs webhooks.
    pub fn signing_secret(&self, place: &str) -> String {
        format!("whsec_{}", STANDARD.encode(self.new_secret(place)))
    }

    /// One that seals.
    pub fn sealing_key(&self, place: &str) -> String {
        STANDARD.encode(format!("{}______", self.new_secret(place)))
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Where a text shows a secret.
    fn shown_in(&self, text: &str) -> BTreeSet<String> {
        let planted = self.0.lock().unwrap();
        let text = suspicious(text);
        if text.is_empty() {
            return BTreeSet::new();
        }
        let shown = |secret: &str| forms(secret).into_iter().any(|form| text.contains(&form));
        planted.iter().filter(|(_, secret)| shown(secret)).map(|(place, _)| place.clone()).collect()
    }

    pub fn are_not_in(&self, what: &str, text: &str) {
        let shown = self.shown_in(text);
        if !shown.is_empty() {
            let line = text.lines().find(|line| !self.shown_in(line).is_empty()).unwrap_or_default();
            panic!("{what} shows {shown:?}: {line:.1000}");
        }
    }
}

/// A secret as it is, percent-encoded, in base64 at each offset, in hexadecimal, and as Debug shows bytes.
fn forms(secret: &str) -> Vec<String> {
    let escaped = |upper: bool| {
        secret.bytes().fold(String::new(), |mut text, byte| {
            match byte {
                byte if byte.is_ascii_alphanumeric() => text.push(byte.into()),
                byte if upper => write!(text, "%{byte:02X}").unwrap(),
                byte => write!(text, "%{byte:02x}").unwrap(),
            }
            text
        })
    };
    let hex = secret.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let numbers: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    let mut forms =
        vec![secret.to_owned(), escaped(true), escaped(false), hex.to_uppercase(), hex, numbers.join(", ")];
    for offset in 0..3 {
        let bytes = [&b"___"[..offset], secret.as_bytes()].concat();
        for engine in [STANDARD, URL_SAFE] {
            let whole = engine.encode(&bytes);
            // The ends depend on what stands beside it.
            let begin = if offset == 0 { 0 } else { 4 };
            forms.push(whole[begin..whole.len() - 4].to_owned());
        }
    }
    forms
}

/// The parts of a text that begin as the forms of all secrets do, so that a long log is searched once for all of them.
fn suspicious(text: &str) -> String {
    let begin = |one: &str, other: &str| {
        let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
        assert!(same >= 4, "{one} and {other} do not begin alike");
        one[..same].to_owned()
    };
    let begins: BTreeSet<String> = forms("Pl4nt000+/0123456789abcdef")
        .iter()
        .zip(forms("Pl4nt999+/fedcba9876543210"))
        .map(|(one, other)| begin(one, &other))
        .collect();
    let mut parts = String::new();
    for begin in begins {
        for (at, _) in text.match_indices(&begin) {
            let part = &text.as_bytes()[at..text.len().min(at + LONGEST_FORM)];
            writeln!(parts, "{}", String::from_utf8_lossy(part)).unwrap();
        }
    }
    parts
}

#[test]
fn a_secret_that_shows_is_found_in_every_form() {
    let planted = Planted::default();
    let secrets: Vec<String> = (0..3).map(|number| planted.new_secret(&format!("place {number}"))).collect();
    let secret = &secrets[1];
    let url = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
    let mut texts = vec![
        format!("token={secret};"),
        format!("token={url}"),
        url.to_lowercase().replace("pl4nt", "Pl4nt"),
        format!("{:?}", secret.as_bytes()),
        format!("{:?}", format!("\"{secret}\"")),
    ];
    for before in ["", "a", "ab", "user:", "\0user\0"] {
        texts.push(STANDARD.encode(format!("{before}{secret}")));
        texts.push(URL_SAFE.encode(format!("{before}{secret} and more")));
    }
    for text in texts {
        let shown = planted.shown_in(&format!("a line\nwith {text} in it"));
        assert_eq!(shown, BTreeSet::from(["place 1".to_owned()]), "{text}");
    }
    assert_eq!(planted.shown_in("Pl4nt and nothing else"), BTreeSet::new());
}

//! The URL of a PostgreSQL database: the parameters that are understood, and what of it may be shown.
//!
//! # Invariants
//! A key or a value that is not known is neither shown nor logged, and does not reach the driver, which would log it: a
//! password with a mistyped key is still a password.

use url::Url;

use crate::hidden::Hidden;

/// Parameters that the driver understands, and whether their values may be shown.
const KNOWN: [(&str, bool); 15] = [
    ("application_name", true),
    ("dbname", true),
    ("host", true),
    ("hostaddr", true),
    ("options", false),
    ("password", false),
    ("port", true),
    ("ssl-ca", false),
    ("ssl-cert", false),
    ("ssl-key", false),
    ("sslmode", true),
    ("ssl-mode", true),
    ("sslcert", false),
    ("sslkey", false),
    ("sslrootcert", false),
];
/// More that are understood, without values to show.
const MORE: [&str; 4] = ["ssl-root-cert", "statement-cache-capacity", "user", "options["];

/// A URL that the driver may have, and what of it may be shown.
#[derive(Clone, Debug)]
pub(super) struct ReadUrl {
    pub used: Hidden<String>,
    pub shown: String,
    /// Parameters that are not known.
    pub ignored: usize,
}

/// Reads a URL.
///
/// # Errors
/// What is wrong with its form, without a part of it.
pub(super) fn read(text: &str) -> Result<ReadUrl, url::ParseError> {
    let mut url = Url::parse(text)?;
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| is_known(key));
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(&known);
    }
    let host = url.host_str().unwrap_or_default();
    let user = match (url.username(), url.password()) {
        ("", None) => String::new(),
        (user, None) => format!("{user}@"),
        (user, Some(_)) => format!("{user}:***@"),
    };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let mut shown = format!("{}://{user}{host}{port}{}", url.scheme(), url.path());
    for (nth, (key, value)) in known.iter().enumerate() {
        let may_be_shown = KNOWN.contains(&(key.as_str(), true));
        let value = if may_be_shown { value } else { "***" };
        shown.push_str(if nth == 0 { "?" } else { "&" });
        shown.push_str(key.split('[').next().unwrap_or_default());
        shown.push('=');
        shown.push_str(value);
    }
    Ok(ReadUrl { used: Hidden::new(url.into()), shown, ignored: unknown.len() })
}

fn is_known(key: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == key)
        || MORE.iter().any(|known| if known.ends_with('[') { key.starts_with(known) } else { key == *known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_used_or_shown() {
        for (url, shown, ignored) in [
            ("postgres://ada:s3cret@h/db", "postgres://ada:***@h/db", 0),
            (
                "postgres://ada:a@s3cret@h:5/db?sslmode=require",
                "postgres://ada:***@h:5/db?sslmode=require",
                0,
            ),
            (
                "postgres://ada@h/db?password=s3cret&host=/tmp",
                "postgres://ada@h/db?password=***&host=/tmp",
                0,
            ),
            ("postgres://h/db?p%61ssword=s3cret", "postgres://h/db?password=***", 0),
            ("postgres://h/db?sslmode=disable&passwrod=s3cret", "postgres://h/db?sslmode=disable", 1),
            ("postgres://h/db?s3cret", "postgres://h/db", 1),
            ("postgres://h/db?a=s3cret&s3cret=b&sslkey=s3cret", "postgres://h/db?sslkey=***", 2),
            ("postgres://h/db?options[s3cret]=s3cret#s3cret", "postgres://h/db?options=***", 0),
            ("postgresql://h", "postgresql://h", 0),
            ("postgresql://[::1]/db", "postgresql://[::1]/db", 0),
        ] {
            let read = read(url).unwrap();
            assert_eq!((read.shown.as_str(), read.ignored), (shown, ignored), "{url}");
            assert!(!read.shown.contains("s3cret"), "{url}");
            // The driver is given what is known, and nothing else.
            let asked = Url::parse(read.used.reveal()).unwrap();
            assert!(asked.query_pairs().all(|(key, _)| is_known(&key)), "{}", read.used.reveal());
        }
        for wrong in ["postgres://ada:s3/cret@h/db", "postgres://h:s3cret/db", "postgres://[s3cret]/db"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(!error.contains("cret"), "{error}");
        }
    }
}

//! The URL of a PostgreSQL database: its hosts, the parameters that are understood, and what of it may be shown.
//!
//! # Invariants
//! - A key or a value that is not known is neither shown nor logged, and does not reach the driver, which would log it: a
//!   password with a mistyped key is still a password.
//! - A fault names the part that is wrong and never repeats it: the part may be the password.

use std::net::IpAddr;

use url::Url;

use super::schema::Schema;
use crate::hidden::Hidden;

/// Parameters that are understood, and whether their values may be shown.
const KNOWN: [(&str, bool); 17] = [
    ("application_name", true),
    ("dbname", true),
    ("host", true),
    ("hostaddr", true),
    ("options", false),
    ("password", false),
    ("port", true),
    ("schema", true),
    ("ssl-ca", false),
    ("ssl-cert", false),
    ("ssl-key", false),
    ("sslmode", true),
    ("ssl-mode", true),
    ("sslcert", false),
    ("sslkey", false),
    ("sslrootcert", false),
    ("target_session_attrs", true),
];
/// More that are understood, without values to show.
const MORE: [&str; 4] = ["ssl-root-cert", "statement-cache-capacity", "user", "options["];
/// Parameters that are read here: the driver knows one host, and neither schemas nor what a server must be.
const OURS: [&str; 5] = ["host", "hostaddr", "port", "schema", "target_session_attrs"];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// The URL of each host, and what of it may be shown.
#[derive(Clone, Debug)]
pub(super) struct ReadUrl {
    /// For the driver, in the order in which hosts are tried. There is at least one.
    pub hosts: Vec<Hidden<String>>,
    pub schema: Option<Schema>,
    pub shown: String,
    /// Parameters that are not known.
    pub ignored: usize,
}

/// Reads a URL as libpq writes it: hosts may be a list.
///
/// # Errors
/// All that is wrong with it, without a part of it.
pub(super) fn read(text: &str) -> Result<ReadUrl, String> {
    let authority = Authority::of(text);
    let mut faults = Vec::new();
    let urls = authority.urls(&mut faults);
    let Some(url) = urls.first() else { return Err(faults.join("; ")) };
    if !authority.before.contains('@') && url.path().contains('@') {
        faults.push("a / in its user or password must be written as %2F".to_owned());
    }
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| is_known(key));
    let hosts = hosts_of(&urls, &known, &mut faults);
    check_values(&known, &mut faults);
    let schemas: Vec<&str> = values(&known, "schema").collect();
    let schema = match *schemas {
        [] => None,
        [name] => Schema::parse(name).map_err(|fault| faults.push(fault)).ok(),
        _ => {
            faults.push("the schema is given twice".to_owned());
            None
        }
    };
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    Ok(ReadUrl { hosts, schema, shown: shown(&urls, url, &known), ignored: unknown.len() })
}

/// A URL around its list of hosts, which the library does not know.
struct Authority<'t> {
    /// Scheme, user and password.
    before: &'t str,
    hosts: &'t str,
    /// Path and parameters.
    after: &'t str,
}

impl<'t> Authority<'t> {
    fn of(text: &'t str) -> Self {
        let begin = text.find("://").map_or(0, |at| at.saturating_add(3));
        let (scheme, rest) = text.split_at(begin);
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let user = authority.rfind('@').map_or(0, |at| at.saturating_add(1));
        let (before, hosts) = text.split_at(scheme.len().saturating_add(user));
        let hosts = hosts.strip_suffix(after).unwrap_or(hosts);
        Self { before, hosts, after }
    }

    /// The URL of each host, as if it were the only one.
    fn urls(&self, faults: &mut Vec<String>) -> Vec<Url> {
        let is_list = self.hosts.contains(',');
        let mut urls = Vec::new();
        for (nth, host) in (1_u32..).zip(self.hosts.split(',')) {
            let place = if is_list { format!("host {nth}: ") } else { String::new() };
            if is_list && (host.is_empty() || host.starts_with(':')) {
                faults.push(format!("{place}it has no name"));
                continue;
            }
            match Url::parse(&format!("{}{host}{}", self.before, self.after)) {
                Ok(url) => urls.push(url),
                Err(error) => faults.push(format!("{place}{error}")),
            }
        }
        urls
    }
}

fn values<'p>(pairs: &'p [(String, String)], key: &'static str) -> impl Iterator<Item = &'p str> {
    pairs.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
}

/// The last value of a parameter counts, as for libpq.
fn list<'p>(pairs: &'p [(String, String)], key: &'static str) -> Option<Vec<&'p str>> {
    values(pairs, key).last().map(|value| value.split(',').collect())
}

/// An entry that is not empty.
fn entry<'v>(list: Option<&[&'v str]>, nth: usize) -> Option<&'v str> {
    list?.get(nth).copied().filter(|entry| !entry.is_empty())
}

/// What the driver is given for each host. Parameters win over what stands before the path.
fn hosts_of(urls: &[Url], known: &[(String, String)], faults: &mut Vec<String>) -> Vec<Hidden<String>> {
    let (names, addresses) = (list(known, "host"), list(known, "hostaddr"));
    let ports = list(known, "port").unwrap_or_default();
    let count = match (&names, &addresses) {
        (Some(names), _) => names.len(),
        // Addresses alone are hosts; beside hosts they say where each of them is.
        (None, Some(addresses)) if urls.len() == 1 => addresses.len(),
        (None, _) => urls.len(),
    };
    if addresses.as_ref().is_some_and(|addresses| addresses.len() != count) {
        faults.push("hostaddr must have an address for each host".to_owned());
    }
    if ports.len() > 1 && ports.len() != count {
        faults.push("port must be one number, or one for each host".to_owned());
    }
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    if !ports.iter().all(|port| is_port(port)) {
        faults.push("port must be a number from 1 to 65535".to_owned());
    }
    let given = addresses.iter().flatten().filter(|address| !address.is_empty());
    if !given.clone().all(|address| address.parse::<IpAddr>().is_ok()) {
        faults.push("hostaddr must be an IP address".to_owned());
    }
    let named = |nth: usize| {
        let address = entry(addresses.as_deref(), nth);
        address.or_else(|| entry(names.as_deref(), nth))
    };
    if (names.is_some() || count > urls.len()) && !(0..count).all(|nth| named(nth).is_some()) {
        faults.push("host must name every host".to_owned());
    }
    let common: Vec<_> = known.iter().filter(|(key, _)| !OURS.contains(&key.as_str())).collect();
    let host = |nth: usize| {
        // A list of parameters may be longer than the one before the path.
        let mut url = urls.get(nth).or_else(|| urls.first())?.clone();
        let mut own = Vec::new();
        own.extend(named(nth).map(|host| ("host", host)));
        let port = if ports.len() == 1 { ports.first() } else { ports.get(nth) };
        own.extend(port.filter(|port| !port.is_empty()).map(|port| ("port", *port)));
        url.set_query(None);
        if !common.is_empty() || !own.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(&own)
                .extend_pairs(common.iter().map(|(key, value)| (key, value)));
        }
        Some(Hidden::new(url.into()))
    };
    (0..count).filter_map(host).collect()
}

/// Values that the driver would refuse without saying which.
fn check_values(known: &[(String, String)], faults: &mut Vec<String>) {
    for (key, value) in known {
        match key.as_str() {
            "sslmode" | "ssl-mode" if !SSL_MODES.contains(&value.as_str()) => {
                faults.push(format!("{key} must be one of {}", SSL_MODES.join(", ")));
            }
            "statement-cache-capacity" if value.parse::<usize>().is_err() => {
                faults.push(format!("{key} must be a number"));
            }
            "target_session_attrs" if !["read-write", "primary", "any"].contains(&value.as_str()) => {
                faults.push(format!("{key} must be read-write, primary or any, because a server writes"));
            }
            _ => {}
        }
    }
}

fn shown(urls: &[Url], url: &Url, known: &[(String, String)]) -> String {
    let user = match (url.username(), url.password()) {
        ("", None) => String::new(),
        (user, None) => format!("{user}@"),
        (user, Some(_)) => format!("{user}:***@"),
    };
    let host = |url: &Url| {
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}{port}", url.host_str().unwrap_or_default())
    };
    let hosts = urls.iter().map(host).collect::<Vec<_>>().join(",");
    let mut shown = format!("{}://{user}{hosts}{}", url.scheme(), url.path());
    for (nth, (key, value)) in known.iter().enumerate() {
        let may_be_shown = KNOWN.contains(&(key.as_str(), true));
        let value = if may_be_shown { value } else { "***" };
        shown.push_str(if nth == 0 { "?" } else { "&" });
        shown.push_str(key.split('[').next().unwrap_or_default());
        shown.push('=');
        shown.push_str(value);
    }
    shown
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
            (
                "postgres://ada:s3cret,x@h1:1,h2/db?target_session_attrs=read-write&schema=cell",
                "postgres://ada:***@h1:1,h2/db?target_session_attrs=read-write&schema=cell",
                0,
            ),
        ] {
            let read = read(url).unwrap();
            assert_eq!((read.shown.as_str(), read.ignored), (shown, ignored), "{url}");
            assert!(!read.shown.contains("s3cret"), "{url}");
            // The driver is given what is known, and nothing else.
            for used in read.hosts {
                let asked = Url::parse(used.reveal()).unwrap();
                assert!(asked.query_pairs().all(|(key, _)| is_known(&key)), "{}", used.reveal());
            }
        }
        for wrong in ["postgres://ada:s3/cret@h/db", "postgres://h:s3cret/db", "postgres://[s3cret]/db"] {
            let error = read(wrong).unwrap_err();
            assert!(!error.contains("cret"), "{error}");
        }
    }

    #[test]
    fn hosts_are_a_list_as_libpq_writes_it() {
        let b = "b?sslmode=disable";
        for (url, hosts) in [
            ("postgres://h1,h2/b", vec!["postgres://h1/b", "postgres://h2/b"]),
            ("postgres://u:p@h1:1,h2:2/b", vec!["postgres://u:p@h1:1/b", "postgres://u:p@h2:2/b"]),
            ("postgres://[::1]:1,[::2]/b", vec!["postgres://[::1]:1/b", "postgres://[::2]/b"]),
            ("postgres:///b", vec!["postgres:///b"]),
            (
                &format!("postgres://h1,h2/{b}"),
                vec!["postgres://h1/b?sslmode=disable", "postgres://h2/b?sslmode=disable"],
            ),
            ("postgres:///b?host=h1,h2", vec!["postgres:///b?host=h1", "postgres:///b?host=h2"]),
            (
                "postgres://x:9/b?host=h1,h2&port=5",
                vec!["postgres://x:9/b?host=h1&port=5", "postgres://x:9/b?host=h2&port=5"],
            ),
            ("postgres://h1,h2/b?port=1,2", vec!["postgres://h1/b?port=1", "postgres://h2/b?port=2"]),
            ("postgres://h1,h2/b?port=,2", vec!["postgres://h1/b", "postgres://h2/b?port=2"]),
            (
                "postgres:///b?hostaddr=10.0.0.1,::2",
                vec!["postgres:///b?host=10.0.0.1", "postgres:///b?host=%3A%3A2"],
            ),
            (
                "postgres://h1,h2/b?hostaddr=,10.0.0.2",
                vec!["postgres://h1/b", "postgres://h2/b?host=10.0.0.2"],
            ),
            ("postgres://%2Ftmp:1,%2Fvar:2/b", vec!["postgres://%2Ftmp:1/b", "postgres://%2Fvar:2/b"]),
        ] {
            let read = read(url).unwrap();
            let used: Vec<_> = read.hosts.iter().map(|host| host.reveal().as_str()).collect();
            assert_eq!(used, hosts, "{url}");
        }
    }

    #[test]
    fn every_fault_is_named_and_none_repeated() {
        for (url, faults) in [
            (
                "postgres://ada:s3cret@h1:x,,h3:99999/b",
                "host 1: invalid port number; host 2: it has no name; host 3: invalid port number",
            ),
            ("postgres://h1,h2/b?port=1,2,3", "port must be one number, or one for each host"),
            (
                "postgres://h1,h2/b?port=0&hostaddr=s3cret",
                "hostaddr must have an address for each host; port must be a number from 1 to 65535; hostaddr must be an IP address",
            ),
            ("postgres:///b?host=h1,", "host must name every host"),
            (
                "postgres://h/b?target_session_attrs=standby",
                "target_session_attrs must be read-write, primary or any, because a server writes",
            ),
            (
                "postgres://h/b?sslmode=s3cret&schema=S",
                "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full; the schema must be 1 to 48 of a-z, 0-9 and _, begin with no digit, and not with pg_",
            ),
            ("postgres://h/b?schema=a&schema=b", "the schema is given twice"),
            ("postgres://ada:12/s3cret@h/b", "a / in its user or password must be written as %2F"),
        ] {
            assert_eq!(read(url).unwrap_err(), faults, "{url}");
        }
    }
}

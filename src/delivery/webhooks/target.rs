//! Which URLs and addresses events may be sent to: the protection against SSRF. Callers choose the URLs, so a message
//! must not reach the server's own network. The URL and every address that its name resolves to are checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Ports that messages are sent to: those of HTTPS. Other ports belong to services with other protocols.
const PORTS: [u16; 2] = [443, 8443];
/// The longest URL that is taken.
const BYTES_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Also allows http, any port, and loopback addresses. Other addresses that are not public stay refused. For
    /// development only.
    pub development: bool,
}

/// A URL that messages may be sent to, unless its name resolves to an address that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// True for https.
    pub tls: bool,
    /// The name or address, as it is resolved and as TLS checks it.
    pub host: String,
    pub port: u16,
    /// Host and port as the `host` header has them.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Policy {
    /// Parses and checks a URL. The error says what is wrong, for the caller who gave it.
    pub fn target(self, text: &str) -> Result<Target, &'static str> {
        if text.len() > BYTES_MAX {
            return Err("must be at most 1000 bytes");
        }
        // The URL parser of browsers accepts these, and reads the URL differently from a person.
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if text.contains(is_odd) {
            return Err("must be a URL without spaces and backslashes");
        }
        let url = Url::parse(text).map_err(|_| "must be a URL such as https://example.com/hooks")?;
        let tls = match url.scheme() {
            "https" => true,
            "http" if self.development => false,
            _ => return Err("must be an https URL"),
        };
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err("must not carry credentials");
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment");
        }
        let port = url.port_or_known_default().filter(|port| *port > 0).ok_or("must have a port")?;
        if !self.development && !PORTS.contains(&port) {
            return Err("must use port 443 or 8443");
        }
        let refused = "must lead to a public address";
        let host = match url.host() {
            Some(Host::Ipv4(address)) => {
                self.check(address.into()).map_err(|Refused| refused)?;
                address.to_string()
            }
            Some(Host::Ipv6(address)) => {
                self.check(address.into()).map_err(|Refused| refused)?;
                address.to_string()
            }
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                if !self.allows_name(&name) {
                    return Err(refused);
                }
                name
            }
            None => return Err("must name a host"),
        };
        let authority = url.authority().to_owned();
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Ok(Target { tls, host, port, authority, path })
    }

    /// False for names that mean the inside of a network, whatever they resolve to.
    fn allows_name(self, name: &str) -> bool {
        const INSIDE: [&str; 9] =
            ["localhost", "local", "internal", "intranet", "lan", "home", "corp", "arpa", "onion"];
        if self.development && name == "localhost" {
            return true;
        }
        let last = name.rsplit('.').next().unwrap_or(name);
        name.contains('.') && !INSIDE.contains(&last)
    }

    /// Checks an address before it is connected to.
    pub fn check(self, address: IpAddr) -> Result<(), Refused> {
        let is_allowed = is_public(address) || (self.development && address.is_loopback());
        if is_allowed { Ok(()) } else { Err(Refused) }
    }
}

/// An address that nothing is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address is not public")]
pub struct Refused;

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// True for all but the ranges in the IANA registry of special-purpose addresses.
#[allow(clippy::unnested_or_patterns)] // a network a line, to be compared with the registry
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 88, 99)
            | (192, 168, _)
            | (192, 175, 48)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., _, _)
    );
    !is_special
}

/// True for global unicast addresses (2000::/3), except special ranges and those that carry an IPv4 address inside.
#[allow(clippy::unnested_or_patterns)] // a network a line, to be compared with the registry
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_special = matches!(
        (a, b),
        (0x2001, 0x0000..=0x01ff) // protocols: Teredo, benchmarks, ORCHID, ...
            | (0x2001, 0x0db8)
            | (0x2002, _) // 6to4
            | (0x2620, 0x004f)
            | (0x3fff, _)
            | (0x3ffe, _)
    );
    (0x2000..=0x3fff).contains(&a) && !is_special
}

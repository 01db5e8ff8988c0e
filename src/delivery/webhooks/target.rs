//! Which URLs and addresses events may be sent to: the protection against SSRF. Callers choose the URLs, so a message
//! must not reach the server's own network. The URL and every address that its name resolves to are checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Target;

/// Ports that messages are sent to: those of HTTPS. Other ports belong to services with other protocols.
const PORTS: [u16; 2] = [443, 8443];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Also allows http, any port, and loopback addresses. Other addresses that are not public stay refused. For
    /// development only.
    pub development: bool,
}

impl Policy {
    /// Parses and checks a URL. The error says what is wrong, for the caller who gave it.
    pub fn target(self, text: &str) -> Result<Target, &'static str> {
        let target = Target::parse(text)?;
        if !target.tls && !self.development {
            return Err("must be an https URL");
        }
        if !self.development && !PORTS.contains(&target.port) {
            return Err("must use port 443 or 8443");
        }
        let is_allowed = match target.host.parse() {
            Ok(address) => self.check(address).is_ok(),
            Err(_) => self.allows_name(&target.host),
        };
        if is_allowed { Ok(target) } else { Err("must lead to a public address") }
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

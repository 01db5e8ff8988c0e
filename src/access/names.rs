//! Which names of the server, and which web pages, browsers may use to reach it.
//!
//! A page of a stranger can make its own name lead to this machine (DNS rebinding), and would then be a local caller. The
//! browser still sends that name, so a server that asks for no identity answers to its own names alone.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The names that calls may have in `host` or `:authority`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Names of this machine for itself, and addresses; any name where callers must show who they are.
    #[default]
    Usual,
    /// Any.
    Any,
    /// These, in lower case, and the usual ones.
    Named(BTreeSet<String>),
}

impl Hosts {
    /// Reads names with commas between them; `*` for any, nothing for the usual ones.
    ///
    /// # Errors
    /// What is wrong, to follow the name of the setting.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(Self::Usual),
            "*" => Ok(Self::Any),
            names => {
                let names = names.split(',').map(|name| {
                    let name = name.trim().to_ascii_lowercase();
                    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._[:]".contains(c);
                    if name.is_empty() || !name.chars().all(is_name) || name_of(&name) != name {
                        return Err(format!("has {name:?}, which is no name of a host without a port"));
                    }
                    Ok(name)
                });
                names.collect::<Result<_, _>>().map(Self::Named)
            }
        }
    }

    /// With what the usual names are, where nothing else is set.
    #[must_use]
    pub fn or_any(self, any: bool) -> Self {
        if any && self == Self::Usual { Self::Any } else { self }
    }

    /// Whether a call may name the server so: a name or an address, with or without a port.
    pub fn allow(&self, authority: &str) -> bool {
        let name = name_of(authority);
        match self {
            Self::Any => true,
            Self::Usual => is_own(name),
            Self::Named(names) => is_own(name) || names.contains(&name.to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => Ok(()),
            Self::Any => f.write_str("*"),
            Self::Named(names) => {
                f.write_str(&names.iter().map(String::as_str).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// The name in `name:port`, without a last dot.
fn name_of(authority: &str) -> &str {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        Some(_) | None => authority,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether a name means this machine to itself, wherever it is looked up, or is an address: no page can make an address
/// lead elsewhere.
fn is_own(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok()
        || name.strip_prefix('[').and_then(|name| name.strip_suffix(']')?.parse::<Ipv6Addr>().ok()).is_some()
}

/// The web pages that may call: origins such as `https://desk.example`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub BTreeSet<String>);

impl Origins {
    /// Reads origins with commas between them.
    ///
    /// # Errors
    /// What is wrong, to follow the name of the setting.
    pub fn parse(text: &str) -> Result<Self, String> {
        let all = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let checked = all.map(|origin| {
            let url = url::Url::parse(origin).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            // As browsers write it: lower case, no path, no port that is the scheme's own.
            match url.map(|url| url.origin().ascii_serialization()) {
                Some(written) if written == origin => Ok(written),
                Some(written) => Err(format!("has {origin:?}, which browsers write as {written:?}")),
                None => Err(format!("has {origin:?}, which is no origin such as \"https://desk.example\"")),
            }
        });
        checked.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_to_its_own_names() {
        let named = Hosts::parse("Ledger.example, 10.1.2.3").unwrap();
        for (authority, usual, also) in [
            ("localhost", true, true),
            ("LOCALHOST:50051", true, true),
            ("localhost.:80", true, true),
            ("a.localhost", true, true),
            ("127.0.0.1:50051", true, true),
            ("127.9.9.9", true, true),
            ("[::1]:50051", true, true),
            ("[::1]", true, true),
            ("ledger.example", false, true),
            ("LEDGER.example:443", false, true),
            ("10.1.2.3:50051", true, true),
            ("evil.example", false, false),
            ("evil.example:127", false, false),
            ("localhost.evil.example", false, false),
            ("127.0.0.1.evil.example", false, false),
            ("notlocalhost", false, false),
            ("[::2]:1", true, true),
            ("[::2", false, false),
            ("[evil]", false, false),
            ("", false, false),
            (":50051", false, false),
        ] {
            assert_eq!(Hosts::Usual.allow(authority), usual, "{authority}");
            assert_eq!(named.allow(authority), also, "{authority}");
            assert!(Hosts::parse("*").unwrap().allow(authority));
        }
        assert_eq!(Hosts::parse("").unwrap().or_any(true), Hosts::Any);
        assert_eq!(named.clone().or_any(true), named);
        for bad in ["a b", "https://x", "x:1", "a,,b", "a/b", "*.example"] {
            assert!(Hosts::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let read = Origins::parse("https://a.example, http://localhost:8080").unwrap();
        assert_eq!(read.to_string(), "http://localhost:8080,https://a.example");
        for bad in [
            "a.example",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "*",
            "null",
            "ftp://a",
        ] {
            assert!(Origins::parse(bad).is_err(), "{bad}");
        }
    }
}

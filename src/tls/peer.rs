//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::clock;

/// The other end of a connection. Each request has it in its extensions: `request.extensions().get::<Peer>()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from, which is a proxy where one stands between. `None` if it was closed at once.
    pub address: Option<SocketAddr>,
    /// The subject alternative names of the client's certificate: DNS names as `DNS:a.example` in lower case, then URIs as
    /// `URI:spiffe://b.example/c`. An authority of the client authorities' file vouches for them. Empty without a
    /// certificate, and without TLS. Other kinds of names (addresses, mail, the common name) are left out, and so is a URI
    /// with anything but visible ASCII.
    pub names: Arc<[String]>,
    /// The last second, since 1970, in which the client's certificate is valid. `None` without a certificate.
    pub valid_until: Option<u64>,
}

/// The names of a certificate that the handshake has verified.
fn names(certificate: &EndEntityCert<'_>) -> Arc<[String]> {
    let dns = certificate.valid_dns_names().map(|name| format!("DNS:{}", name.to_ascii_lowercase()));
    let uris = certificate.valid_uri_names().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    dns.chain(uris.map(|name| format!("URI:{name}"))).collect()
}

/// The last second in which a certificate is valid; `None` where that cannot be told.
fn last_second(certificate: &EndEntityCert<'_>) -> Option<u64> {
    // No certificate is valid so late. The dates are checked before it turns out that no authority is given here.
    let late = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let checked = certificate.verify_for_usage(&[], &[], &[], late, KeyUsage::client_auth(), None, None);
    match checked.err()? {
        webpki::Error::CertExpired { not_after, .. } => Some(not_after.as_secs()),
        _ => None,
    }
}

impl Peer {
    /// At this address, with the names and the last second of the first certificate that it has proved to have.
    pub fn new(address: Option<SocketAddr>, verified: Option<&[CertificateDer<'_>]>) -> Self {
        let Some(certificate) = verified.and_then(|chain| chain.first()) else {
            return Self { address, ..Self::default() };
        };
        // The handshake has read it with the same reader before. What cannot be read here names nobody, and is over.
        let over = || Self { address, names: Arc::default(), valid_until: Some(0) };
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return over() };
        let Some(last) = last_second(&certificate) else { return over() };
        Self { address, names: names(&certificate), valid_until: Some(last) }
    }

    /// The address that it comes from, without the port.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }

    /// Whether the client's certificate was valid at the handshake and is no longer. A new connection would be refused.
    pub fn has_expired(&self) -> bool {
        let now = u64::try_from(clock::wall().micros().div_euclid(1_000_000)).unwrap_or(0);
        self.valid_until.is_some_and(|last| now > last)
    }
}

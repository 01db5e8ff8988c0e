//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

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
}

/// The names of a certificate that the handshake has verified.
fn names(certificate: &CertificateDer<'_>) -> Arc<[String]> {
    // The handshake has read it with the same reader before.
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Arc::default() };
    let dns = certificate.valid_dns_names().map(|name| format!("DNS:{}", name.to_ascii_lowercase()));
    let uris = certificate.valid_uri_names().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    dns.chain(uris.map(|name| format!("URI:{name}"))).collect()
}

impl Peer {
    /// At this address, with the names of the first certificate that it has proved to have.
    pub fn new(address: Option<SocketAddr>, verified: Option<&[CertificateDer<'_>]>) -> Self {
        let certificate = verified.and_then(|chain| chain.first());
        Self { address, names: certificate.map(names).unwrap_or_default() }
    }
}

//! Connections that the server makes to others over HTTP/1.1: URLs that were checked, TLS, and nothing that redirects.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};
use url::{Host, Url};

use crate::tls;

/// The longest URL that is taken.
const URL_BYTES_MAX: usize = 1_000;

/// A URL that is taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// True for https, false for http.
    pub tls: bool,
    /// The name or address, as it is resolved and as TLS checks it.
    pub host: String,
    pub port: u16,
    /// Host and port as the `host` header has them.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// Takes a URL of http or https without credentials and fragment. The error says what is wrong, for whoever gave it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > URL_BYTES_MAX {
            return Err("must be at most 1000 bytes");
        }
        // The URL parser of browsers accepts these, and reads the URL differently from a person.
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if text.contains(is_odd) {
            return Err("must be a URL without spaces and backslashes");
        }
        let url = Url::parse(text).map_err(|_| "must be a URL such as https://example.com/path")?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("must be an https URL"),
        };
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err("must not carry credentials");
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment");
        }
        let port = url.port_or_known_default().filter(|port| *port > 0).ok_or("must have a port")?;
        let host = match url.host() {
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_ascii_lowercase(),
            None => return Err("must name a host"),
        };
        let authority = url.authority().to_owned();
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Ok(Self { tls, host, port, authority, path })
    }
}

/// How names are resolved and connections made.
#[async_trait]
pub trait Network: Send + Sync {
    /// The addresses that a name resolves to.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// The network of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNetwork;

#[async_trait]
impl Network for SystemNetwork {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// TLS to servers that `roots` vouch for.
///
/// # Errors
/// If the cryptography provider lacks what TLS needs.
pub fn connector(roots: RootCertStore) -> Result<TlsConnector, Error> {
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection over which requests are sent.
pub type Connection = SendRequest<Full<Bytes>>;

/// The addresses that a target's host stands for.
pub async fn addresses(network: &dyn Network, target: &Target) -> io::Result<Vec<SocketAddr>> {
    match target.host.parse() {
        Ok(address) => Ok(vec![SocketAddr::new(address, target.port)]),
        Err(_) => network.resolve(&target.host, target.port).await,
    }
}

/// Connects to the first of the addresses that answers. They were checked; the name is not resolved again.
pub async fn connect(
    network: &dyn Network,
    tls: &TlsConnector,
    target: &Target,
    addresses: &[SocketAddr],
) -> io::Result<Connection> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name leads nowhere");
    for address in addresses {
        match network.connect(SocketAddr::new(address.ip(), target.port)).await {
            Ok(stream) => return speak(tls, target, stream).await,
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn speak(tls: &TlsConnector, target: &Target, stream: TcpStream) -> io::Result<Connection> {
    if !target.tls {
        return open(TokioIo::new(stream)).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
    open(TokioIo::new(tls.connect(name, stream).await?)).await
}

async fn open<S>(stream: S) -> io::Result<Connection>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (connection, driver) = handshake(stream).await.map_err(io::Error::other)?;
    // The driver ends with the connection. An error in it is reported to whoever waits for an answer.
    tokio::spawn(driver);
    Ok(connection)
}

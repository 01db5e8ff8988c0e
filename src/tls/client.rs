//! The client's side of TLS: what it trusts, who it is, and in words why it cannot connect.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use tower::Service;

use super::{HTTP_2, VERSIONS, pem, provider, public_roots};

/// How long connecting may take, and how long the handshake after it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The files of a client. All may be left out.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// Authorities to trust instead of those that browsers trust.
    pub authorities: Option<PathBuf>,
    /// The client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Connects to a server by TLS, for HTTP/2.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    identified: bool,
    refusal: Refusal,
}

/// Why the server has refused the last connection after its handshake. TLS 1.3 lets a client go on before its certificate
/// is looked at, and what fails then looks like any broken connection to the layers above.
#[derive(Clone, Debug, Default)]
pub struct Refusal(Arc<Mutex<Option<ConnectFailure>>>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("identified", &self.identified).finish_non_exhaustive()
    }
}

/// Why a server cannot be used by TLS, with what to do about it. It continues the server's name.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct ConnectFailure {
    problem: String,
    /// Whether trying again may help: nothing answered, but nothing was refused either.
    pub passing: bool,
}

impl Refusal {
    pub fn last(&self) -> Option<ConnectFailure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, failure: Option<ConnectFailure>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

impl Client {
    pub fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, as a text for people.
    pub fn new(files: &ClientFiles) -> Result<Self, String> {
        let roots = match &files.authorities {
            Some(path) => pem::authorities(path, &pem::read(path)?)?,
            None => public_roots(),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_root_certificates(roots);
        let mut config = match &files.identity {
            Some((certificate, key)) => {
                let chain = pem::certificates(certificate, &pem::read(certificate)?)?;
                let secret = pem::key(key, &pem::read(key)?)?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    format!("{} and {} cannot be used: {error}", certificate.display(), key.display())
                })?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        let identified = files.identity.is_some();
        Ok(Self { config: Arc::new(config), identified, refusal: Refusal::default() })
    }

    /// Connects to the hosts of URLs, as tonic's channels ask.
    pub fn connector(
        self,
    ) -> impl Service<Uri, Response = TokioIo<Connected>, Error = ConnectFailure, Future: Send> + Send + 'static
    {
        tower::service_fn(move |uri: Uri| {
            let host = uri.host().map(bare).unwrap_or_default().to_owned();
            let connecting = self.clone().connect(host, uri.port_u16().unwrap_or(443));
            async move { connecting.await.map(TokioIo::new) }
        })
    }

    /// Connects to a host, whose name or address its certificate must have.
    ///
    /// # Errors
    /// [`ConnectFailure`] where nothing answers, or what answers cannot be trusted.
    pub async fn connect(self, host: String, port: u16) -> Result<Connected, ConnectFailure> {
        let name = ServerName::try_from(host.clone())
            .map_err(|_| ConnectFailure::lasting("has no name that a certificate could be for"))?;
        let socket = in_time(TcpStream::connect((host.as_str(), port)))
            .await
            .map_err(|error| ConnectFailure::passing(format!("does not answer: {error}")))?;
        // Without it small calls wait for each other; a system that cannot do it still connects.
        let _ = socket.set_nodelay(true);
        let Self { config, identified, refusal } = self;
        refusal.set(None);
        let stream = in_time(TlsConnector::from(config).connect(name, socket))
            .await
            .map_err(|error| explained(&error, identified))?;
        if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
            return Ok(Connected { stream, identified, refusal: Some(refusal) });
        }
        Err(ConnectFailure::lasting("speaks TLS but no HTTP/2, which gRPC needs"))
    }
}

pub(super) async fn in_time<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("nothing came within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, connecting).await.map_err(late)?
}

impl ConnectFailure {
    pub(super) fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), passing: false }
    }

    fn passing(problem: String) -> Self {
        Self { problem, passing: true }
    }
}

/// The host of a URL without the brackets of an IPv6 address.
pub fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Says what failed, and what to do about it.
fn explained(error: &io::Error, identified: bool) -> ConnectFailure {
    let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
        return ConnectFailure::passing(match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!(
                    "has closed the connection instead of answering by TLS: say http:// if it is meant to be without ({error})"
                )
            }
            _ => format!("does not answer by TLS: {error}"),
        });
    };
    ConnectFailure::lasting(match tls {
        Error::InvalidMessage(_) => "does not speak TLS: say http:// if it is meant to be without".to_owned(),
        Error::InvalidCertificate(problem) => untrusted(problem),
        Error::AlertReceived(alert) => refused(*alert, identified),
        other => format!("cannot be used by TLS: {other}"),
    })
}

fn refused(alert: AlertDescription, identified: bool) -> String {
    use AlertDescription as Alert;
    match alert {
        _ if identified => {
            format!("has refused the handshake, maybe for the certificate of --cert: {alert:?}")
        }
        // The last one by TLS 1.2.
        Alert::CertificateRequired | Alert::BadCertificate | Alert::HandshakeFailure => {
            format!("wants a certificate of its client: name it with --cert and --key ({alert:?})")
        }
        _ => format!("has refused the handshake: {alert:?}"),
    }
}

fn untrusted(problem: &CertificateError) -> String {
    use CertificateError as Bad;
    match problem {
        Bad::UnknownIssuer => {
            "has a certificate of an authority that is not trusted: name the authority's file with --ca"
                .to_owned()
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            format!("has a certificate for another name: call it by one that its certificate has ({problem})")
        }
        Bad::Expired | Bad::ExpiredContext { .. } => {
            format!(
                "has a certificate that has expired: it needs a new one, or this machine's clock is wrong ({problem})"
            )
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            format!("has a certificate that is not valid yet: look at both machines' clocks ({problem})")
        }
        other => format!("has a certificate that cannot be trusted: {other}"),
    }
}

/// A connection by TLS.
#[derive(Debug)]
pub struct Connected {
    stream: TlsStream<TcpStream>,
    identified: bool,
    /// Where a refusal is noted, until the server has said anything else.
    refusal: Option<Refusal>,
}

impl AsyncRead for Connected {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready()
            && let Some(refusal) = self.refusal.take()
            && let Poll::Ready(Err(error)) = &polled
            && error.get_ref().is_some_and(|inner| inner.is::<Error>())
        {
            refusal.set(Some(explained(error, self.identified)));
        }
        polled
    }
}

impl AsyncWrite for Connected {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

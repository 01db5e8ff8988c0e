//! How client commands reach a server: by TLS or without, with a certificate, with a token. All of them connect here.
//!
//! tonic has TLS of its own for clients. It is left off: it would be compiled into the server too, and does not say what
//! to do where a server cannot be trusted. A connector over [`tls::Client`] is smaller.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::transport::{self, Endpoint};
use tower::Service;

use crate::tls::{self, ClientFiles, ConnectFailure, Refusal};

/// The server that a client calls by default.
pub const SERVER: &str = "http://127.0.0.1:50051";

/// The variable with the caller's token.
const TOKEN: &str = "CREDITLEDGER_TOKEN";
/// Names the ledger of a call, so that a proxy finds its cell without reading the message. Servers do not read it.
const LEDGER: HeaderName = HeaderName::from_static("x-creditledger-ledger");
/// More than any token has; the server reads 16 KiB of headers.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// How servers are reached, besides their URLs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Reach {
    /// Authorities that vouch for https:// servers, in PEM [default: those that browsers trust]
    #[arg(long, env = "CREDITLEDGER_CA", value_name = "FILE", help_heading = "Connection")]
    ca: Option<PathBuf>,
    /// The certificate that says to https:// servers who calls, in PEM
    #[arg(
        long,
        env = "CREDITLEDGER_CLIENT_CERT",
        value_name = "FILE",
        requires = "key",
        help_heading = "Connection"
    )]
    cert: Option<PathBuf>,
    /// The private key of --cert, in PEM
    #[arg(
        long,
        env = "CREDITLEDGER_CLIENT_KEY",
        value_name = "FILE",
        requires = "cert",
        help_heading = "Connection"
    )]
    key: Option<PathBuf>,
    /// A file with the token that says who calls [default: the token in CREDITLEDGER_TOKEN, if it is set]
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    token_file: Option<PathBuf>,
}

impl Reach {
    /// With the token of a file, and nothing else.
    pub(super) fn by_token_file(file: PathBuf) -> Self {
        Self { token_file: Some(file), ..Self::default() }
    }
}

/// A server that cannot be used. No token stands in it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no server answers at {server}: {reason}")]
    Unanswered {
        /// The address as it was given.
        server: String,
        reason: String,
    },
    /// By TLS, or because it is by TLS.
    #[error("{server} {failure}")]
    Tls {
        /// The address as it was given.
        server: String,
        failure: ConnectFailure,
    },
    /// The address, a file or the token cannot be used, or they do not go together.
    #[error("{0}")]
    Settings(String),
}

/// Where calls go: to one server, or to several of one database in turn. Each carries the caller's token.
#[derive(Clone, Debug)]
pub struct Channel {
    servers: Arc<[(transport::Channel, Refusal)]>,
    /// How often a server was chosen.
    turn: Arc<AtomicUsize>,
    /// The server of the next call, once one is chosen for it.
    chosen: (transport::Channel, Refusal),
    is_chosen: bool,
    /// Marked as sensitive, so that nothing shows it.
    authorization: Option<HeaderValue>,
    ledger: Option<HeaderValue>,
}

impl Reach {
    /// Connects to a server; `http://` may be left out.
    ///
    /// # Errors
    /// [`ConnectError`] where it does not answer now, or cannot be trusted.
    pub async fn connect(&self, server: &str) -> Result<Channel, ConnectError> {
        self.connect_to_all(&[server.to_owned()]).await
    }

    /// Connects to several servers of one database; calls go to them in turn.
    ///
    /// # Errors
    /// [`ConnectError`] where one of them does not answer now, or cannot be trusted.
    pub async fn connect_to_all(&self, servers: &[String]) -> Result<Channel, ConnectError> {
        let authorization = self.authorization().map_err(ConnectError::Settings)?;
        let files =
            ClientFiles { authorities: self.ca.clone(), identity: self.cert.clone().zip(self.key.clone()) };
        let mut channels = Vec::with_capacity(servers.len());
        for server in servers {
            let uri = self.checked(server, authorization.is_some()).map_err(ConnectError::Settings)?;
            channels.push(open(server, uri, &files).await?);
        }
        let chosen = channels.first().cloned();
        let chosen = chosen.ok_or_else(|| ConnectError::Settings("no server is named".to_owned()))?;
        let (servers, turn) = (channels.into(), Arc::default());
        Ok(Channel { servers, turn, chosen, is_chosen: false, authorization, ledger: None })
    }

    /// The server's URL, unless what is sent there should not be sent in the clear.
    fn checked(&self, server: &str, has_token: bool) -> Result<Uri, String> {
        let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let uri: Uri = url.parse().map_err(|error| format!("{server} is no URL of a server: {error}"))?;
        let (Some(scheme), Some(host)) = (uri.scheme(), uri.host()) else {
            return Err(format!("{server} is no URL of a server"));
        };
        if *scheme == Scheme::HTTPS {
            return Ok(uri);
        }
        if *scheme != Scheme::HTTP {
            return Err(format!("{server} must begin with http:// or https://"));
        }
        if self.ca.is_some() || self.cert.is_some() {
            return Err(format!("--ca, --cert and --key are for https:// servers, and {server} is none"));
        }
        if has_token && !is_this_machine(host) {
            return Err(format!("the token is not sent to {server} in the clear: use https://"));
        }
        Ok(uri)
    }

    /// The header with the token of the file, or else of the variable. The error does not show the token.
    fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let (token, place) = match &self.token_file {
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let read = read.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
                (read, path.display().to_string())
            }
            None => match std::env::var_os(TOKEN) {
                Some(token) => (token.into_string().unwrap_or_default(), TOKEN.to_owned()),
                None => return Ok(None),
            },
        };
        let token = token.trim_end_matches(['\r', '\n']);
        let is_token = !token.is_empty()
            && token.len() <= TOKEN_BYTES_MAX
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = is_token.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok()).flatten();
        let mut header = header.ok_or_else(|| {
            format!(
                "{place} has no token: it must be one line of visible ASCII, at most {TOKEN_BYTES_MAX} bytes"
            )
        })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = tls::bare(host).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

async fn open(
    server: &str,
    uri: Uri,
    files: &ClientFiles,
) -> Result<(transport::Channel, Refusal), ConnectError> {
    let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
    let endpoint = Endpoint::from(uri);
    let mut refusal = Refusal::default();
    let opened = if is_secure {
        let client = tls::Client::new(files).map_err(ConnectError::Settings)?;
        refusal = client.refusal();
        endpoint.connect_with_connector(client.connector()).await
    } else {
        let refusal = refusal.clone();
        let connector = tower::service_fn(move |uri: Uri| {
            let host = uri.host().map(tls::bare).unwrap_or_default().to_owned();
            let connecting = tls::connect_in_the_clear(host, uri.port_u16().unwrap_or(80), refusal.clone());
            async move { connecting.await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connector).await
    };
    let channel = opened.map_err(|error| match tls_failure(&error).cloned().or_else(|| refusal.last()) {
        Some(failure) => ConnectError::Tls { server: server.to_owned(), failure },
        None => ConnectError::Unanswered { server: server.to_owned(), reason: innermost(&error) },
    })?;
    Ok((channel, refusal))
}

/// The first cause of an error, which the layers above it do not show.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The failure of TLS among the causes of an error.
pub(super) fn tls_failure<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e ConnectFailure> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.into_iter().find_map(|error| error.downcast_ref())
}

impl Channel {
    /// A channel for calls about this ledger. What is no header is no id of a ledger: the server says so.
    #[must_use]
    pub fn for_ledger(self, ledger: &str) -> Self {
        Self { ledger: HeaderValue::from_str(ledger).ok(), ..self }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = tower::BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.is_chosen && self.servers.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let place = turn.checked_rem(self.servers.len()).unwrap_or_default();
            if let Some(server) = self.servers.get(place) {
                self.chosen = server.clone();
            }
        }
        self.is_chosen = true;
        self.chosen.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answer {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(ledger) = &self.ledger {
            request.headers_mut().insert(LEDGER, ledger.clone());
        }
        self.is_chosen = false;
        Answer { answer: self.chosen.0.call(request), refusal: self.chosen.1.clone() }
    }
}

pin_project_lite::pin_project! {
    /// An answer on its way. Where the connection was refused by TLS, that is the error.
    pub struct Answer {
        #[pin]
        answer: <transport::Channel as Service<Request<Body>>>::Future,
        refusal: Refusal,
    }
}

impl Future for Answer {
    type Output = Result<Response<Body>, tower::BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let refusal = this.refusal;
        this.answer.poll(context).map_err(|error| match refusal.last() {
            Some(failure) => failure.into(),
            None => error.into(),
        })
    }
}

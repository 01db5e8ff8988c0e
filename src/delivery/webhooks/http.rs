//! Posts one message over HTTP/1.1. It connects only to addresses that were checked, and follows no redirects. A name
//! is resolved once for each connection.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::RootCertStore;

use super::target::{Policy, Refused};
use crate::ledger::Timestamp;
use crate::net::{Connection, Network, Target, addresses, connect, connector};

/// Connections to one endpoint that are kept for the next message.
const IDLE_MAX: usize = 64;
/// Bytes of an answer's body that are read, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A connection is not used for longer than this, so that a changed DNS entry is noticed.
const CONNECTION_AGE_SECONDS: i64 = 60;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The name resolves to an address that nothing is sent to.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The URL is malformed or not allowed.
    #[error("the URL {0}")]
    Url(&'static str),
    /// The name could not be resolved, nothing answers there, or the connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server does not speak HTTP, or broke off.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The message cannot be written as a request.
    #[error("{0}")]
    Request(#[from] http::Error),
}

/// What an endpoint answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// Seconds that it asks to wait.
    pub retry_after: Option<i64>,
}

#[derive(Clone)]
pub struct HttpClient {
    policy: Policy,
    network: Arc<dyn Network>,
    tls: TlsConnector,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Idle connections to one endpoint, with the time at which each was made.
#[derive(Debug, Default)]
pub struct Idle(Mutex<Vec<(Connection, Timestamp)>>);

impl HttpClient {
    /// Sends where `policy` allows it, over `network`, to servers that `roots` vouch for.
    ///
    /// # Errors
    /// If the cryptography provider lacks what TLS needs.
    pub fn new(
        policy: Policy,
        network: Arc<dyn Network>,
        roots: RootCertStore,
    ) -> Result<Self, tokio_rustls::rustls::Error> {
        Ok(Self { policy, network, tls: connector(roots)? })
    }

    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Posts a body with headers, and reads the status of the answer. It has no timeout: callers bound the time.
    pub async fn post(
        &self,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
        idle: &Idle,
        now: Timestamp,
    ) -> Result<Answer, SendError> {
        let target = self.policy.target(url).map_err(SendError::Url)?;
        self.post_to(&target, headers, body, idle, now).await
    }

    /// The same for a URL that was parsed before.
    pub async fn post_to(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
        idle: &Idle,
        now: Timestamp,
    ) -> Result<Answer, SendError> {
        let request = || {
            let mut request = Request::post(target.path.as_str())
                .header(header::HOST, target.authority.as_str())
                .header(header::CONTENT_LENGTH, body.len())
                .body(Full::new(body.clone()))?;
            request.headers_mut().extend(headers.clone());
            Ok::<_, SendError>(request)
        };
        let kept = match idle.take(now) {
            // The other end may have closed a kept connection by now; that is no failure of the endpoint.
            Some((mut kept, made_at)) => match kept.send_request(request()?).await {
                Ok(answer) => Some((kept, made_at, answer)),
                Err(_) => None,
            },
            None => None,
        };
        let (mut connection, made_at, answer) = if let Some(kept) = kept {
            kept
        } else {
            let mut new = self.connect(target).await?;
            let answer = new.send_request(request()?).await?;
            (new, now, answer)
        };
        let status = answer.status();
        let wait = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|wait| seconds_of(wait, now));
        // Only a connection whose answer was read to its end can be used again.
        let is_read = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.is_ok();
        if is_read && connection.ready().await.is_ok() {
            idle.put(connection, made_at);
        }
        Ok(Answer { status, retry_after })
    }

    /// Connects where a URL leads, by TLS where it says so, and sends nothing. It has no timeout: callers bound the time.
    ///
    /// # Errors
    /// As [`HttpClient::post`].
    pub async fn reach(&self, url: &str) -> Result<(), SendError> {
        let target = self.policy.target(url).map_err(SendError::Url)?;
        self.connect(&target).await.map(drop)
    }

    /// Connects to an address of the name, and only if all its addresses are allowed. A name that also resolves to an
    /// internal address could lead there at the next attempt (SSRF).
    async fn connect(&self, target: &Target) -> Result<Connection, SendError> {
        let addresses = addresses(&*self.network, target).await?;
        for address in &addresses {
            self.policy.check(address.ip())?;
        }
        Ok(connect(&*self.network, &self.tls, target, &addresses).await?)
    }
}

/// `retry-after` in seconds from now. The header has a number or a date.
fn seconds_of(text: &str, now: Timestamp) -> Option<i64> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(seconds.into());
    }
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let now = now.micros().div_euclid(Timestamp::MICROS_PER_SECOND);
    Some(i64::try_from(date).ok()?.saturating_sub(now).max(0))
}

impl Idle {
    fn take(&self, now: Timestamp) -> Option<(Connection, Timestamp)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, made_at)) = kept.pop() {
            let is_young = made_at.plus_seconds(CONNECTION_AGE_SECONDS) > now;
            if is_young && connection.is_ready() {
                return Some((connection, made_at));
            }
        }
        None
    }

    fn put(&self, connection: Connection, made_at: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < IDLE_MAX {
            kept.push((connection, made_at));
        }
    }
}

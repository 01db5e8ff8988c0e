//! Fetches the keys of a provider: from a file, or by one GET that follows no redirect.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsConnector;

use super::provider::KeySource;
use crate::net::{SystemNetwork, Target, addresses, connect, connector};
use crate::tls::{public_roots, roots_of};

/// The largest set that is read.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;

/// Why no keys were fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("it answered {0}")]
    Status(http::StatusCode),
    #[error("it is longer than {BODY_BYTES_MAX} bytes, or broke off")]
    Body,
    #[error("it is no file")]
    NoFile,
    #[error("the name leads beyond this machine, which needs https")]
    NotLoopback,
}

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub body: Bytes,
    /// How long the provider says that it may be kept, in seconds.
    pub max_age: Option<u64>,
}

/// Where keys are fetched from.
pub(super) enum Source {
    File(PathBuf),
    Url { target: Target, tls: TlsConnector },
}

impl Source {
    /// Of what the settings say.
    ///
    /// # Errors
    /// What is wrong with the file of authorities.
    pub fn of(keys: &KeySource) -> Result<Self, String> {
        match keys {
            KeySource::File(path) => Ok(Self::File(path.clone())),
            KeySource::Url { target, authorities } => {
                let roots = authorities.as_ref().map_or_else(|| Ok(public_roots()), |file| roots_of(file))?;
                let tls = connector(roots).map_err(|error| error.to_string())?;
                Ok(Self::Url { target: target.clone(), tls })
            }
        }
    }

    pub const fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Fetches once. It has no time-out: callers bound the time.
    pub async fn fetch(&self) -> Result<Fetched, FetchError> {
        match self {
            Self::File(path) => {
                // Whatever else has that name, such as a pipe, could keep a thread for ever.
                if !tokio::fs::metadata(path).await?.is_file() {
                    return Err(FetchError::NoFile);
                }
                let mut body = Vec::new();
                let limit = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
                tokio::fs::File::open(path).await?.take(limit).read_to_end(&mut body).await?;
                if body.len() > BODY_BYTES_MAX {
                    return Err(FetchError::Body);
                }
                Ok(Fetched { body: body.into(), max_age: None })
            }
            Self::Url { target, tls } => get(target, tls).await,
        }
    }
}

async fn get(target: &Target, tls: &TlsConnector) -> Result<Fetched, FetchError> {
    let addresses = addresses(&SystemNetwork, target).await?;
    if !target.tls && addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(FetchError::NotLoopback);
    }
    let mut connection = connect(&SystemNetwork, tls, target, &addresses).await?;
    let request = Request::get(target.path.as_str())
        .header(header::HOST, target.authority.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("creditledger/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::new()))?;
    let answer = connection.send_request(request).await?;
    // A redirect leads where nobody has looked.
    if answer.status() != http::StatusCode::OK {
        return Err(FetchError::Status(answer.status()));
    }
    let max_age = max_age(answer.headers());
    let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| FetchError::Body)?.to_bytes();
    Ok(Fetched { body, max_age })
}

/// The directive `max-age` of `cache-control`, in seconds.
fn max_age(headers: &http::HeaderMap) -> Option<u64> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives =
        values.flat_map(|value| value.split(',')).filter_map(|one| one.trim().split_once('='));
    let (_, seconds) = directives.find(|(name, _)| name.eq_ignore_ascii_case("max-age"))?;
    seconds.trim_matches('"').parse().ok()
}

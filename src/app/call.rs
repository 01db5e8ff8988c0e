//! Calls to a server as a client makes them: the channel, and the text for a person when a call fails.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::grpc::reason_name;
use crate::grpc::wire::ErrorReason;
use crate::ledger::Credits;
use crate::ledger::credits::parse_units;

/// The server that a client calls by default.
pub const SERVER: &str = "http://127.0.0.1:50051";

/// A server's address that cannot be used, or where nothing answers.
#[derive(Debug, thiserror::Error)]
#[error("no server answers at {server}: {reason}")]
pub struct ConnectError {
    /// The address as it was given.
    pub server: String,
    pub reason: String,
}

/// Connects to `server`; `http://` may be left out.
pub async fn connect(server: &str) -> Result<Channel, ConnectError> {
    endpoint(server)?.connect().await.map_err(|error| wrong(server, &error))
}

/// Connects to several servers of one database; calls are spread over those that answer.
///
/// # Errors
/// [`ConnectError`] where one of them does not answer now.
pub async fn connect_to_all(servers: &[String]) -> Result<Channel, ConnectError> {
    let mut endpoints = Vec::with_capacity(servers.len());
    for server in servers {
        connect(server).await?;
        endpoints.push(endpoint(server)?);
    }
    Ok(Channel::balance_list(endpoints.into_iter()))
}

fn endpoint(server: &str) -> Result<Endpoint, ConnectError> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(url).map_err(|error| wrong(server, &error))?;
    Ok(endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true))
}

/// The transport's own text is only "transport error"; the reason is in its source.
fn wrong(server: &str, error: &tonic::transport::Error) -> ConnectError {
    ConnectError { server: server.to_owned(), reason: innermost(error) }
}

/// The first cause of an error, which the layers above it do not show.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Reads an amount of an answer. Unlike an amount of a command it may be negative, and as large as a ledger.
///
/// # Errors
/// [`CallError`] where it is no decimal.
pub fn amount(text: &str) -> Result<Credits, CallError> {
    let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |digits| (digits, -1));
    let units = parse_units(digits, 4, i64::MAX).map_err(|_| CallError::unexpected("amount"))?;
    Ok(Credits::from_units(units.saturating_mul(sign)))
}

/// Why a call did not give its answer.
#[derive(Clone, Debug)]
pub struct CallError {
    /// The documented reason, such as `INSUFFICIENT_CREDITS`; `None` where no server of ours answered.
    pub reason: Option<String>,
    /// Values that belong to the reason, such as `shortfall`.
    pub metadata: HashMap<String, String>,
    /// True if trying again may help. It is always safe with the same request id.
    pub passing: bool,
    /// How long the server asks to wait first.
    pub wait: Option<Duration>,
    code: Code,
    message: String,
}

impl CallError {
    pub fn is(&self, reason: ErrorReason) -> bool {
        self.reason.as_deref() == Some(reason_name(reason))
    }

    /// True if a server of ours rejected the command for good.
    pub fn is_refusal(&self) -> bool {
        self.reason.is_some() && !self.passing
    }

    /// True if a change may have been made: there is no answer, or none that settles it.
    pub fn leaves_outcome_unknown(&self) -> bool {
        // These are UNAVAILABLE as well, but mean that nothing was done.
        let untouched = [ErrorReason::Overloaded, ErrorReason::ShuttingDown, ErrorReason::StorageUnavailable]
            .iter()
            .any(|reason| self.is(*reason));
        (self.passing || self.code == Code::DeadlineExceeded) && !untouched
    }

    /// An answer that this client does not understand.
    #[must_use]
    pub fn unexpected(what: &str) -> Self {
        Self {
            reason: None,
            metadata: HashMap::new(),
            passing: false,
            wait: None,
            code: Code::Internal,
            message: format!("the server's answer has no usable {what}"),
        }
    }
}

impl std::error::Error for CallError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{reason}: {}", self.message),
            None => write!(f, "{}: {}", self.code.description(), self.message),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        let violations: Vec<String> = status
            .get_details_bad_request()
            .into_iter()
            .flat_map(|bad| bad.field_violations)
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .collect();
        let mut message =
            if violations.is_empty() { status.message().to_owned() } else { violations.join("; ") };
        // A status that this side made, after a broken connection, has a source. An answer has none.
        let broken = status.source();
        if let Some(error) = broken {
            message = innermost(error);
        }
        let (reason, metadata) =
            info.map_or_else(Default::default, |info| (Some(info.reason), info.metadata));
        Self {
            reason,
            metadata,
            passing: status.code() == Code::Unavailable || broken.is_some(),
            wait: status.get_details_retry_info().and_then(|info| info.retry_delay),
            code: status.code(),
            message,
        }
    }
}

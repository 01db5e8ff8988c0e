//! Calls to a server as a client makes them: amounts of answers, and the text for a person when a call fails.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::connect::{innermost, tls_failure};
use crate::grpc::reason_name;
use crate::grpc::wire::ErrorReason;
use crate::ledger::Credits;
use crate::ledger::credits::parse_units;

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
    /// With the meaning of the code, where there is no reason.
    message: String,
}

/// The caller has had as much done as it may for now.
const LIMITED: [ErrorReason; 2] = [ErrorReason::RateLimited, ErrorReason::TooManyStreams];

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
        // These may pass as well, but mean that nothing was done.
        let untouched = [ErrorReason::Overloaded, ErrorReason::ShuttingDown, ErrorReason::StorageUnavailable]
            .iter()
            .chain(&LIMITED)
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
            message: coded(Code::Internal, &format!("the server's answer has no usable {what}")),
        }
    }
}

impl std::error::Error for CallError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{reason}: {}", self.message),
            None => f.write_str(&self.message),
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
        let untrusted = broken.and_then(tls_failure);
        if let Some(failure) = untrusted {
            message = format!("the server {failure}");
        } else if info.is_none() {
            message = coded(status.code(), &message);
        }
        // What TLS has refused was not sent, and to repeat it does not help.
        let is_refused = untrusted.is_some_and(|failure| !failure.passing);
        let (reason, metadata) =
            info.map_or_else(Default::default, |info| (Some(info.reason), info.metadata));
        let is_limited = LIMITED.iter().any(|limit| reason.as_deref() == Some(reason_name(*limit)));
        Self {
            reason,
            metadata,
            passing: !is_refused && (status.code() == Code::Unavailable || broken.is_some() || is_limited),
            wait: status.get_details_retry_info().and_then(|info| info.retry_delay),
            code: status.code(),
            message,
        }
    }
}

fn coded(code: Code, message: &str) -> String {
    format!("{}: {message}", code.description())
}

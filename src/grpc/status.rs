//! Errors as callers see them. Only this file knows which gRPC code and metadata a reason has. The reasons are an enum
//! of the protos, whose comments say the same; a test compares the two.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::access::{Over, Refused};
use crate::ledger::actor::Role;
use crate::ledger::reject::{Original, RejectionClass};
use crate::ledger::{ClassId, Kind, Rejection};
use crate::query::{ReadError, StoreError};
use crate::writer::SubmitError;

use super::violations::{Violation, Violations};
use super::wire::{self, ErrorReason as Reason};

/// The domain of every reason.
pub const DOMAIN: &str = "creditledger";

/// The name of a reason in errors: that of the enum without its prefix.
pub fn name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// Details travel in a header, which some clients bound at 8 KiB after base64.
const VIOLATIONS_BYTES_MAX: usize = 4_096;

/// A refusal or a failure, before it becomes a status or a batch result.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self::explained(code, name(reason), message.into())
    }

    fn explained(code: Code, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, metadata: Vec::new(), violations: Vec::new(), retry_after: None }
    }

    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Violations { shown: vec![Violation { field: field.into(), problem: problem.into() }], count: 1 }
            .into()
    }

    /// A ledger with this id was made by another request.
    pub fn ledger_exists() -> Self {
        Self::new(Code::AlreadyExists, Reason::LedgerExists, "the ledger exists already")
    }

    /// The database has as many ledgers as it can number.
    pub fn too_many_ledgers() -> Self {
        Self::new(Code::FailedPrecondition, Reason::TooManyLedgers, "the server keeps no more ledgers")
    }

    /// The database keeps no more changes of rate cards.
    pub fn too_many_rate_cards() -> Self {
        Self::new(Code::FailedPrecondition, Reason::TooManyRateCards, "the server keeps no more rate cards")
    }

    /// The caller's deadline passed while the call was under way.
    pub fn deadline_exceeded() -> Self {
        let message = "the deadline passed; the same request_id finds out what became of a command";
        Self::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
    }

    /// More work than the server accepts at a time.
    pub fn overloaded() -> Self {
        SubmitError::Overloaded.into()
    }

    /// The request is not a valid message or call.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, Reason::MalformedRequest, message)
    }

    /// A message is beyond its bound.
    pub fn too_large(bytes_max: usize) -> Self {
        let message = format!("a message has at most {bytes_max} bytes, unpacked too");
        Self::new(Code::ResourceExhausted, Reason::MessageTooLarge, message)
    }

    /// A message becomes too much once it is decoded.
    pub fn too_heavy(bytes_max: usize) -> Self {
        let message =
            format!("a message takes at most {bytes_max} bytes of memory; send fewer elements at once");
        Self::new(Code::ResourceExhausted, Reason::MessageTooLarge, message)
    }

    /// The caller sends nothing, or takes nothing, for too long.
    pub fn caller_stalled() -> Self {
        let message = "the caller was silent for too long; what was not complete was not run";
        Self::new(Code::Aborted, Reason::CallerStalled, message)
    }

    /// There is no such method.
    pub fn unimplemented(message: &'static str) -> Self {
        Self::new(Code::Unimplemented, Reason::Unimplemented, message)
    }

    /// It is not known who calls, or it cannot be checked now. Nothing tells what exactly is wrong.
    pub fn refused(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Unauthenticated => Self::new(Code::Unauthenticated, Reason::Unauthenticated, message),
            Refused::Unavailable => {
                let problem = Self::new(Code::Unavailable, Reason::IdentityUnavailable, message);
                Self { retry_after: Some(Duration::from_secs(1)), ..problem }
            }
            Refused::TooMany(over) => Self { message, ..Self::rate_limited(over) },
        }
    }

    /// The caller has had as much done as it may for now.
    pub fn rate_limited(over: Over) -> Self {
        let Over { limit, max, wait } = over;
        let message = format!("{limit} is {max} for this caller; nothing was done");
        let problem = Self::new(Code::ResourceExhausted, Reason::RateLimited, message);
        let metadata = vec![("limit", limit.to_owned()), ("max", max.to_string())];
        Self { retry_after: Some(wait), metadata, ..problem }
    }

    /// The caller has as many streams open as it may.
    pub fn too_many_streams(over: Over) -> Self {
        let Over { limit: _, max, wait } = over;
        let message = format!("{max} streams of this caller are open already");
        let problem = Self::new(Code::ResourceExhausted, Reason::TooManyStreams, message);
        Self { retry_after: Some(wait), metadata: vec![("max", max.to_string())], ..problem }
    }

    /// The caller's role may not do this.
    pub fn permission_denied(role: Role, what: &str) -> Self {
        let message = format!("the role {role} may not {what}");
        let problem = Self::new(Code::PermissionDenied, Reason::PermissionDenied, message);
        Self { metadata: vec![("role", role.to_string())], ..problem }
    }

    /// Another ledger than the caller's, whether there is one with this name or not.
    pub fn ledger_denied(role: Role) -> Self {
        Self::permission_denied(role, "name this ledger here: it is bound to others")
    }

    /// A failure of our own.
    pub fn internal() -> Self {
        SubmitError::Internal.into()
    }

    /// The server is going down.
    pub fn shutting_down() -> Self {
        SubmitError::ShuttingDown.into()
    }

    /// The reader of a stream does not keep up; it may go on after `resume_token`.
    pub fn watcher_too_slow(resume_token: &impl ToString) -> Self {
        let message = "the reader does not keep up; the stream may be resumed";
        let problem = Self::new(Code::Aborted, Reason::WatcherTooSlow, message);
        Self { metadata: vec![("resume_token", resume_token.to_string())], ..problem }
    }

    pub fn endpoint_not_found() -> Self {
        Self::new(Code::NotFound, Reason::WebhookEndpointNotFound, "there is no such endpoint in this ledger")
    }

    pub fn token_not_found() -> Self {
        Self::new(Code::NotFound, Reason::TokenNotFound, "there is no token with this id")
    }

    /// There are as many live tokens as servers keep in memory.
    pub fn too_many_tokens(max: u64) -> Self {
        let message = format!("there are at most {max} tokens that are neither revoked nor expired");
        let problem = Self::new(Code::FailedPrecondition, Reason::TooManyTokens, message);
        Self { metadata: vec![("max", max.to_string())], ..problem }
    }

    pub fn event_not_found() -> Self {
        Self::new(Code::NotFound, Reason::EventNotFound, "there is no event at that place of the journal")
    }

    /// The ledger has reached the limit on its endpoints.
    pub fn too_many_endpoints(max: usize) -> Self {
        let message = format!("a ledger has at most {max} endpoints");
        let problem = Self::new(Code::FailedPrecondition, Reason::TooManyWebhookEndpoints, message);
        Self { metadata: vec![("max", max.to_string())], ..problem }
    }

    /// Whether a status says that what was asked for was decided against. Trouble and malformed requests are no decisions.
    pub fn is_rejection(status: &Status) -> bool {
        matches!(status.code(), Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition)
    }

    /// Whether a status says that something may have been done.
    pub fn leaves_outcome_unknown(status: &Status) -> bool {
        let details = status.get_error_details();
        details.error_info().is_some_and(|info| info.reason == name(Reason::OutcomeUnknown))
    }

    /// Its reason.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// True for an error without a reason: tonic's own, never one of ours.
    pub fn is_unexplained(status: &Status) -> bool {
        status.code() != Code::Ok && status.details().is_empty()
    }

    /// The same status with a reason, if it has none.
    pub fn explain(status: Status) -> Status {
        if Self::is_unexplained(&status) { Self::before_the_service(&status).into() } else { status }
    }

    /// Errors of tonic before any of our code saw the call, such as an unknown method. There, INTERNAL always means a
    /// request that could not be decoded, which is the caller's error.
    pub fn before_the_service(status: &Status) -> Self {
        let (code, reason) = match status.code() {
            Code::Internal => (Code::InvalidArgument, Reason::MalformedRequest),
            // For the announced size, and for the size after unpacking.
            Code::OutOfRange | Code::ResourceExhausted => (Code::ResourceExhausted, Reason::MessageTooLarge),
            Code::Unimplemented => (Code::Unimplemented, Reason::Unimplemented),
            code => (code, Reason::Transport),
        };
        Self::new(code, reason, status.message())
    }

    /// The same problem for a command within a request: its fields are named under the command's name.
    pub fn within(mut self, command: Kind) -> Self {
        for violation in &mut self.violations {
            violation.field = format!("{}.{}", command.name().to_ascii_lowercase(), violation.field);
        }
        self
    }

    /// Converts it for a result of a batch.
    pub fn into_batch_error(self) -> wire::BatchError {
        let Self { code, reason, message, metadata, violations, retry_after: _ } = self;
        wire::BatchError {
            code: i32::from(code),
            reason: reason.to_owned(),
            message,
            metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            field_violations: violations
                .into_iter()
                .map(|Violation { field, problem }| wire::BatchFieldViolation { field, description: problem })
                .collect(),
        }
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let Problem { code, reason, message, metadata, violations, retry_after } = problem;
        let metadata: HashMap<_, _> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        if !violations.is_empty() {
            let violations: Vec<_> =
                violations.into_iter().map(|v| FieldViolation::new(v.field, v.problem)).collect();
            details.set_bad_request(violations);
        }
        if retry_after.is_some() {
            details.set_retry_info(retry_after);
        }
        Self::with_error_details(code, message, details)
    }
}

impl From<Violations> for Problem {
    fn from(violations: Violations) -> Self {
        let Violations { mut shown, count } = violations;
        let mut bytes = 0_usize;
        let fits = |violation: &Violation| {
            bytes = bytes.saturating_add(violation.field.len()).saturating_add(violation.problem.len());
            bytes <= VIOLATIONS_BYTES_MAX
        };
        let kept = shown.iter().map(fits).take_while(|fits| *fits).count();
        shown.truncate(kept.max(1));
        let message = match shown.first() {
            Some(Violation { field, problem }) if count > 1 => {
                format!("{field} {problem} (and {} more)", count - 1)
            }
            Some(Violation { field, problem }) => format!("{field} {problem}"),
            None => "the request is malformed".to_owned(),
        };
        let mut problem = Self::new(Code::InvalidArgument, Reason::InvalidField, message);
        if count > shown.len() {
            problem.metadata.push(("violations", count.to_string()));
        }
        problem.violations = shown;
        problem
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        if let Rejection::InvalidField { field, problem } = rejection {
            return Self::field(field, problem);
        }
        let code = match rejection.class() {
            RejectionClass::InvalidArgument => Code::InvalidArgument,
            RejectionClass::NotFound => Code::NotFound,
            RejectionClass::AlreadyExists => Code::AlreadyExists,
            RejectionClass::FailedPrecondition => Code::FailedPrecondition,
            RejectionClass::Internal => Code::Internal,
        };
        let metadata = metadata(&rejection);
        Self { metadata, ..Self::explained(code, rejection.reason(), rejection.to_string()) }
    }
}

/// The metadata of a rejection; `tests/wire/reasons.rs` compares it with the comments of the protos.
fn metadata(rejection: &Rejection) -> Vec<(&'static str, String)> {
    let pairs: &[(&'static str, &dyn ToString)] = match rejection {
        Rejection::RateCardNotFound(card) => &[("rate_card_id", card)],
        Rejection::RequestIdReused { original: Some(Original { posting, sequence }) }
        | Rejection::CustomerExists { original: Some(Original { posting, sequence }) }
        | Rejection::OrderAlreadyRecorded { original: Original { posting, sequence } } => {
            &[("posting_id", posting), ("sequence", sequence)]
        }
        Rejection::HoldExists { hold } => &[("hold_id", hold)],
        Rejection::InsufficientCredits { available, required, shortfall } => {
            &[("available", available), ("required", required), ("shortfall", shortfall)]
        }
        Rejection::ExceedsMaxCharge { charge, max_charge } => {
            &[("charge", charge), ("max_charge", max_charge)]
        }
        Rejection::ChargeChanged { expected, charged } => &[("expected", expected), ("charged", charged)],
        Rejection::QuoteConfirmed { quote } => &[("quote", quote)],
        Rejection::HoldNotActive { state }
        | Rejection::HoldNotSettled { state }
        | Rejection::EstimateNotOpen { state } => &[("state", state)],
        Rejection::RefundNotStanding { state } => &[("state", state)],
        Rejection::WorkRecorded { seconds } => &[("work_seconds", seconds)],
        Rejection::WorkChanged { expected, recorded } => {
            &[("expected_work_seconds", expected), ("work_seconds", recorded)]
        }
        Rejection::TooMuchWork { bound, max } => &[("of", &bound.name()), ("max", max)],
        Rejection::EstimateOutOfRange { estimate, min, max } => {
            &[("estimate", estimate), ("min", min), ("max", max)]
        }
        Rejection::QuoteRequired { class } => {
            &[("incident_class", &class.as_ref().map(ClassId::as_str).unwrap_or_default())]
        }
        Rejection::OutOfScope { class } => &[("incident_class", class)],
        Rejection::HoldsOpen { count } => &[("open_holds", count)],
        Rejection::ExceedsReversible { reversible } => &[("reversible", reversible)],
        Rejection::ExceedsRefundable { refundable } => &[("refundable", refundable)],
        Rejection::LotSpent { refundable, shortfall } => {
            &[("refundable", refundable), ("shortfall", shortfall)]
        }
        Rejection::TooManyOpenHolds { max } => &[("max", max)],
        Rejection::TooManyPayments { max } | Rejection::TooManyRefunds { max } => &[("max", max)],
        _ => &[],
    };
    pairs.iter().map(|(key, value)| (*key, value.to_string())).collect()
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        let (code, reason, retry_after_ms) = match error {
            SubmitError::Overloaded => (Code::Unavailable, Reason::Overloaded, Some(100)),
            SubmitError::ShuttingDown => (Code::Unavailable, Reason::ShuttingDown, Some(1_000)),
            SubmitError::DeadlineExceeded => (Code::DeadlineExceeded, Reason::DeadlineExceeded, None),
            SubmitError::Unknown => (Code::Unavailable, Reason::OutcomeUnknown, Some(1_000)),
            SubmitError::StorageUnavailable | SubmitError::Locked => {
                (Code::Unavailable, Reason::StorageUnavailable, Some(1_000))
            }
            SubmitError::Internal => (Code::Internal, Reason::Internal, None),
        };
        Self { retry_after: retry_after_ms.map(Duration::from_millis), ..Self::new(code, reason, message) }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let not_found = |reason| Self::new(Code::NotFound, reason, error.to_string());
        match &error {
            ReadError::LedgerNotFound => not_found(Reason::LedgerNotFound),
            ReadError::CustomerNotFound => not_found(Reason::CustomerNotFound),
            ReadError::HoldNotFound => not_found(Reason::HoldNotFound),
            ReadError::PurchaseNotFound => not_found(Reason::PurchaseNotFound),
            ReadError::LotNotFound => not_found(Reason::LotNotFound),
            ReadError::PostingNotFound => not_found(Reason::PostingNotFound),
            ReadError::SettlementNotFound => not_found(Reason::SettlementNotFound),
            // An unknown fate is the writer's: the read itself changes nothing, and is simply tried again.
            ReadError::NotCurrent(SubmitError::Unknown) => SubmitError::StorageUnavailable.into(),
            ReadError::NotCurrent(refused) => Self::from(*refused),
            ReadError::PageToken => Self::field("page_token", "does not belong to this list and filter"),
            ReadError::Storage(cause) => {
                // The caller gets no internals; the log does, and only here.
                tracing::error!(error = %cause, "a read failed");
                if matches!(cause, StoreError::Damaged(_)) {
                    // Repeating the call does not help.
                    return Self::new(Code::DataLoss, Reason::DataDamaged, "what is stored cannot be read");
                }
                let message = "the storage cannot be read at the moment";
                let problem = Self::new(Code::Unavailable, Reason::StorageUnavailable, message);
                Self { retry_after: Some(Duration::from_secs(1)), ..problem }
            }
        }
    }
}

/// Converts the errors of handlers into a status in one step.
macro_rules! into_status {
    ($($error:ty),*) => {
        $(impl From<$error> for Status {
            fn from(error: $error) -> Self {
                Problem::from(error).into()
            }
        })*
    };
}
into_status!(Violations, Rejection, SubmitError, ReadError);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Credits;

    #[test]
    fn short_credits_say_how_many_are_missing() {
        let rejection = Rejection::InsufficientCredits {
            available: Credits::whole(1),
            required: Credits::whole(3),
            shortfall: Credits::whole(2),
        };
        let status = Status::from(rejection);
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.domain.as_str(), info.reason.as_str()), (DOMAIN, "INSUFFICIENT_CREDITS"));
        assert_eq!(info.metadata["shortfall"], "2");
        assert!(details.bad_request().is_none() && details.retry_info().is_none());
    }

    #[test]
    fn violations_are_listed_and_bounded() {
        let violation =
            |n: usize| Violation { field: format!("commands[{n}].credits"), problem: "is odd".to_owned() };
        let status = Status::from(Violations { shown: (0..5_000).map(violation).collect(), count: 5_000 });
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let shown = details.bad_request().unwrap().field_violations.len();
        assert!((100..1_000).contains(&shown));
        assert_eq!(details.error_info().unwrap().metadata["violations"], "5000");
        assert!(status.details().len() < 20_000);
    }

    #[test]
    fn storage_failures_say_nothing_of_the_inside() {
        let failure = ReadError::Storage(StoreError::Failed("SELECT secret FROM /var/lib".into()));
        let status = Status::from(failure);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("SELECT"));
        assert!(status.get_error_details().retry_info().is_some());
    }

    #[test]
    fn batch_errors_are_compact() {
        let class = crate::ledger::ClassId::parse(&"c".repeat(128)).unwrap();
        let error = Problem::from(Rejection::QuoteRequired { class: Some(class) }).into_batch_error();
        assert_eq!((error.code, error.reason.as_str()), (9, "QUOTE_REQUIRED"));
        // 10,000 of them fit the 4 MiB that clients take by default.
        assert!(prost::Message::encoded_len(&error) < 400);
    }
}

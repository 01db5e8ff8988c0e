//! What goes wrong, as callers see it: the only place that knows which gRPC code and which metadata a reason has. The
//! reasons themselves are an enum of the protos, whose comments say the same; a test holds the two together.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::ledger::reject::Original;
use crate::ledger::{Kind, Rejection};
use crate::query::{ReadError, StoreError};
use crate::writer::SubmitError;

use super::violations::{Violation, Violations};
use super::wire::{self, ErrorReason as Reason};

/// The domain of every reason.
pub const DOMAIN: &str = "creditledger";

/// The name of a reason as callers are told it: that of the enum without its prefix.
#[must_use]
pub fn name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// Details travel in a header, which some clients bound at 8 KiB after base64.
const VIOLATIONS_BYTES_MAX: usize = 4_096;

/// A refusal or a failure, before it is put into a status or a batch result.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    reason: Reason,
    message: String,
    metadata: Vec<(&'static str, String)>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, metadata: Vec::new(), violations: Vec::new(), retry_after: None }
    }

    /// One field is wrong.
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

    /// The caller's deadline has passed while the call was under way.
    pub fn deadline_exceeded() -> Self {
        let message = "the deadline passed; the same request_id finds out what became of a command";
        Self::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
    }

    /// More than the server does at a time.
    pub fn overloaded() -> Self {
        SubmitError::Overloaded.into()
    }

    /// What came is no message, or no call.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, Reason::MalformedRequest, message)
    }

    /// A message beyond its bound.
    pub fn too_large(bytes_max: usize) -> Self {
        let message = format!("a message has at most {bytes_max} bytes, unpacked too");
        Self::new(Code::ResourceExhausted, Reason::MessageTooLarge, message)
    }

    /// There is no such thing to be called.
    pub fn unimplemented(message: &'static str) -> Self {
        Self::new(Code::Unimplemented, Reason::Unimplemented, message)
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

    /// There is no such endpoint.
    pub fn endpoint_not_found() -> Self {
        Self::new(Code::NotFound, Reason::WebhookEndpointNotFound, "there is no such endpoint in this ledger")
    }

    /// There is no such event.
    pub fn event_not_found() -> Self {
        Self::new(Code::NotFound, Reason::EventNotFound, "there is no event at that place of the journal")
    }

    /// A ledger has as many endpoints as it may have.
    pub fn too_many_endpoints(max: usize) -> Self {
        let message = format!("a ledger has at most {max} endpoints");
        let problem = Self::new(Code::FailedPrecondition, Reason::TooManyWebhookEndpoints, message);
        Self { metadata: vec![("max", max.to_string())], ..problem }
    }

    /// True for an error that has no reason: tonic's own, never one of ours.
    pub fn is_unexplained(status: &Status) -> bool {
        status.code() != Code::Ok && status.details().is_empty()
    }

    /// What tonic refused before any of our code saw the call, such as an unknown method. All that it calls INTERNAL
    /// there is a request that it could not decode, which is the caller's matter.
    pub fn before_the_service(status: &Status) -> Self {
        let (code, reason) = match status.code() {
            Code::Internal => (Code::InvalidArgument, Reason::MalformedRequest),
            // The size as it is announced, and as it turns out once unpacked.
            Code::OutOfRange | Code::ResourceExhausted => (Code::ResourceExhausted, Reason::MessageTooLarge),
            Code::Unimplemented => (Code::Unimplemented, Reason::Unimplemented),
            code => (code, Reason::Transport),
        };
        Self::new(code, reason, status.message())
    }

    /// The same for a command that is a part of a request: its fields are named under the command's own name.
    pub fn within(mut self, command: Kind) -> Self {
        for violation in &mut self.violations {
            violation.field = format!("{}.{}", command.name().to_ascii_lowercase(), violation.field);
        }
        self
    }

    /// For a result of a batch.
    pub fn into_batch_error(self) -> wire::BatchError {
        let Self { code, reason, message, metadata, violations, retry_after: _ } = self;
        wire::BatchError {
            code: i32::from(code),
            reason: name(reason).to_owned(),
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
        let mut details = ErrorDetails::with_error_info(name(reason), DOMAIN, metadata);
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
        use Code::{AlreadyExists, FailedPrecondition, NotFound};
        let message = rejection.to_string();
        let (code, reason, metadata) = match rejection {
            Rejection::InvalidField { field, problem } => return Self::field(field, problem),
            Rejection::CustomerNotFound => (NotFound, Reason::CustomerNotFound, vec![]),
            Rejection::HoldNotFound => (NotFound, Reason::HoldNotFound, vec![]),
            Rejection::WorkNotFound => (NotFound, Reason::WorkNotFound, vec![]),
            Rejection::RateCardNotFound(card) => {
                (NotFound, Reason::RateCardNotFound, vec![("rate_card_id", card.to_string())])
            }
            Rejection::RequestIdReused { original: None } => (AlreadyExists, Reason::RequestIdReused, vec![]),
            Rejection::RequestIdReused { original: Some(Original { posting, sequence }) } => (
                AlreadyExists,
                Reason::RequestIdReused,
                vec![("posting_id", posting.to_string()), ("sequence", sequence.to_string())],
            ),
            Rejection::CustomerExists { original: None } => (AlreadyExists, Reason::CustomerExists, vec![]),
            Rejection::CustomerExists { original: Some(Original { posting, sequence }) } => (
                AlreadyExists,
                Reason::CustomerExists,
                vec![("posting_id", posting.to_string()), ("sequence", sequence.to_string())],
            ),
            Rejection::CustomerIdUnusable => (FailedPrecondition, Reason::CustomerIdUnusable, vec![]),
            Rejection::HoldExists { hold } => {
                (AlreadyExists, Reason::HoldExists, vec![("hold_id", hold.to_string())])
            }
            Rejection::OrderAlreadyRecorded { original: Original { posting, sequence } } => (
                AlreadyExists,
                Reason::OrderAlreadyRecorded,
                vec![("posting_id", posting.to_string()), ("sequence", sequence.to_string())],
            ),
            Rejection::InsufficientCredits { available, required, shortfall } => (
                FailedPrecondition,
                Reason::InsufficientCredits,
                vec![
                    ("available", available.to_string()),
                    ("required", required.to_string()),
                    ("shortfall", shortfall.to_string()),
                ],
            ),
            Rejection::ExceedsMaxCharge { charge, max_charge } => (
                FailedPrecondition,
                Reason::ExceedsMaxCharge,
                vec![("charge", charge.to_string()), ("max_charge", max_charge.to_string())],
            ),
            Rejection::HoldNotActive { state } => {
                (FailedPrecondition, Reason::HoldNotActive, vec![("state", state.to_string())])
            }
            Rejection::HoldNotSettled { state } => {
                (FailedPrecondition, Reason::HoldNotSettled, vec![("state", state.to_string())])
            }
            // Only the server itself asks for what is due.
            Rejection::NothingDue => (Code::Internal, Reason::Internal, vec![]),
            Rejection::EstimateNotOpen { state } => {
                (FailedPrecondition, Reason::EstimateNotOpen, vec![("state", state.to_string())])
            }
            Rejection::WorkRecorded { seconds } => {
                (FailedPrecondition, Reason::WorkRecorded, vec![("work_seconds", seconds.to_string())])
            }
            Rejection::WorkChanged { expected, recorded } => (
                FailedPrecondition,
                Reason::WorkChanged,
                vec![("expected_work_seconds", expected.to_string()), ("work_seconds", recorded.to_string())],
            ),
            Rejection::WorkVoided => (FailedPrecondition, Reason::WorkVoided, vec![]),
            Rejection::TooMuchWork { bound, max } => (
                FailedPrecondition,
                Reason::TooMuchWork,
                vec![("of", bound.name().to_owned()), ("max", max.to_string())],
            ),
            Rejection::EstimateOutOfRange { estimate, min, max } => (
                FailedPrecondition,
                Reason::EstimateOutOfRange,
                vec![("estimate", estimate.to_string()), ("min", min.to_string()), ("max", max.to_string())],
            ),
            Rejection::QuoteRequired { class } => {
                let class = class.map(|class| class.to_string()).unwrap_or_default();
                (FailedPrecondition, Reason::QuoteRequired, vec![("incident_class", class)])
            }
            Rejection::HoldRequired => (FailedPrecondition, Reason::HoldRequired, vec![]),
            Rejection::OutOfScope { class } => {
                (FailedPrecondition, Reason::OutOfScope, vec![("incident_class", class.to_string())])
            }
            Rejection::CustomerClosed => (FailedPrecondition, Reason::CustomerClosed, vec![]),
            Rejection::CustomerNotClosed => (FailedPrecondition, Reason::CustomerNotClosed, vec![]),
            Rejection::HoldsOpen { count } => {
                (FailedPrecondition, Reason::HoldsOpen, vec![("open_holds", count.to_string())])
            }
            Rejection::ExceedsReversible { reversible } => {
                (FailedPrecondition, Reason::ExceedsReversible, vec![("reversible", reversible.to_string())])
            }
            Rejection::PurchaseNotFound => (NotFound, Reason::PurchaseNotFound, vec![]),
            Rejection::RefundNotFound => (NotFound, Reason::RefundNotFound, vec![]),
            Rejection::RefundNotStanding { state } => {
                (FailedPrecondition, Reason::RefundNotStanding, vec![("state", state.to_string())])
            }
            Rejection::ExceedsRefundable { refundable } => {
                (FailedPrecondition, Reason::ExceedsRefundable, vec![("refundable", refundable.to_string())])
            }
            Rejection::LotSpent { refundable, shortfall } => (
                FailedPrecondition,
                Reason::LotSpent,
                vec![("refundable", refundable.to_string()), ("shortfall", shortfall.to_string())],
            ),
            Rejection::PurchaseDisputed => (FailedPrecondition, Reason::PurchaseDisputed, vec![]),
            Rejection::PurchaseNotDisputed => (FailedPrecondition, Reason::PurchaseNotDisputed, vec![]),
            Rejection::PurchaseChanged => (FailedPrecondition, Reason::PurchaseChanged, vec![]),
            Rejection::PaymentNotFound => (NotFound, Reason::PaymentNotFound, vec![]),
            Rejection::TooManyPayments { max } => {
                (FailedPrecondition, Reason::TooManyPayments, vec![("max", max.to_string())])
            }
            Rejection::TooManyRefunds { max } => {
                (FailedPrecondition, Reason::TooManyRefunds, vec![("max", max.to_string())])
            }
            Rejection::AmountOutOfBounds => (FailedPrecondition, Reason::AmountOutOfBounds, vec![]),
        };
        Self { metadata, ..Self::new(code, reason, message) }
    }
}

/// The reason that callers are given for a rejection.
#[must_use]
pub fn reason_of(rejection: &Rejection) -> &'static str {
    name(Problem::from(rejection.clone()).reason)
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        let (code, reason, retry_after_ms) = match error {
            SubmitError::Overloaded => (Code::Unavailable, Reason::Overloaded, Some(100)),
            SubmitError::ShuttingDown => (Code::Unavailable, Reason::ShuttingDown, Some(1_000)),
            SubmitError::DeadlineExceeded => (Code::DeadlineExceeded, Reason::DeadlineExceeded, None),
            SubmitError::Unknown => (Code::Unavailable, Reason::OutcomeUnknown, Some(1_000)),
            SubmitError::StorageUnavailable => (Code::Unavailable, Reason::StorageUnavailable, Some(1_000)),
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
            ReadError::PageToken => Self::field("page_token", "does not belong to this list and filter"),
            ReadError::Storage(cause) => {
                // The caller learns nothing of the inside; the log does, and only here.
                tracing::error!(error = %cause, "a read failed");
                if matches!(cause, StoreError::Damaged(_)) {
                    // No repeat mends it.
                    return Self::new(Code::DataLoss, Reason::DataDamaged, "what is stored cannot be read");
                }
                let message = "the storage cannot be read at the moment";
                let problem = Self::new(Code::Unavailable, Reason::StorageUnavailable, message);
                Self { retry_after: Some(Duration::from_secs(1)), ..problem }
            }
        }
    }
}

/// What handlers meet becomes a status in one step.
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

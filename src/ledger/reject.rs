//! Every way in which the core refuses a command: one table with the class, the reason and the sentence of each.
//!
//! A new reason is a row here and a value of `ErrorReason` in the protos. Where callers are given metadata with it, it
//! is also a line in `grpc/status.rs`.

use std::fmt;

use super::credits::Credits;
use super::hold::HoldState;
use super::ids::{CardId, ClassId, HoldId, PostingId};
use super::lot::RefundState;
use super::posting::Posting;

/// What kind of refusal a rejection is, by what the caller can do about it. The names are those of the gRPC codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionClass {
    InvalidArgument,
    /// What was named does not exist.
    NotFound,
    /// What was to be made exists, or was made with other content.
    AlreadyExists,
    /// The state does not allow it.
    FailedPrecondition,
    /// Only the server itself can meet it.
    Internal,
}

/// Makes the rejections from rows of `Variant: class, reason, (sentence)`.
macro_rules! rejections {
    ($($(#[$doc:meta])*
        $name:ident $({ $($fields:tt)* })? $(($inner:ty))?: $class:ident, $reason:literal, ($($sentence:tt)*);
    )*) => {
        /// Why a command was not accepted. It moved nothing.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Rejection {
            $($(#[$doc])* #[error($($sentence)*)] $name $({ $($fields)* })? $(($inner))?,)*
        }

        impl Rejection {
            /// Every variant, with its class and reason.
            pub const TABLE: &'static [(&'static str, RejectionClass, &'static str)] =
                &[$((stringify!($name), RejectionClass::$class, $reason)),*];

            pub const fn class(&self) -> RejectionClass {
                match self { $(Self::$name { .. } => RejectionClass::$class),* }
            }

            /// The reason as callers know it.
            pub const fn reason(&self) -> &'static str {
                match self { $(Self::$name { .. } => $reason),* }
            }
        }
    };
}

rejections! {
    /// A field that only the state or the time can judge. `problem` continues "`field` ...".
    InvalidField { field: &'static str, problem: String }: InvalidArgument, "INVALID_FIELD", ("{field} {problem}");
    CustomerNotFound: NotFound, "CUSTOMER_NOT_FOUND", ("the customer does not exist in this ledger");
    /// No such hold of this customer, or no hold for this incident.
    HoldNotFound: NotFound, "HOLD_NOT_FOUND", ("the customer has no such hold");
    WorkNotFound: NotFound, "WORK_NOT_FOUND", ("the hold has no such entry of work");
    RateCardNotFound(CardId): NotFound, "RATE_CARD_NOT_FOUND", ("the rate card {0} does not exist in this ledger");
    /// `original` is the posting of the command that used the request id. `None` for what leaves no posting: ledgers,
    /// rate cards, default thresholds and endpoints.
    RequestIdReused { original: Option<Original> }: AlreadyExists, "REQUEST_ID_REUSED",
        ("the request_id was already used for another command");
    /// `original` is the customer's first posting. The core gives `None`, as that is not loaded with the customer; the
    /// layer that answers the caller reads it.
    CustomerExists { original: Option<Original> }: AlreadyExists, "CUSTOMER_EXISTS",
        ("the customer exists already");
    /// The ids of two customers share a key: 1 in 2^64, see [`CustomerKey`](super::ids::CustomerKey).
    CustomerIdUnusable: FailedPrecondition, "CUSTOMER_ID_UNUSABLE",
        ("the customer_id cannot be used in this ledger; choose another");
    HoldExists { hold: HoldId }: AlreadyExists, "HOLD_EXISTS", ("the incident has an open hold: {hold}");
    /// `original` is the posting that recorded the order, maybe another customer's. The lot that it brought in has the
    /// same id.
    OrderAlreadyRecorded { original: Original }: AlreadyExists, "ORDER_ALREADY_RECORDED",
        ("the order was already recorded with other content");
    /// `required` must come from `available`; `shortfall` is the difference.
    InsufficientCredits { available: Credits, required: Credits, shortfall: Credits }:
        FailedPrecondition, "INSUFFICIENT_CREDITS",
        ("{required} credits are required, {available} are available, {shortfall} are missing");
    /// `charge` is what the customer would pay.
    ExceedsMaxCharge { charge: Credits, max_charge: Credits }: FailedPrecondition, "EXCEEDS_MAX_CHARGE",
        ("the charge of {charge} credits exceeds max_charge {max_charge}");
    /// The incident has cost more or less than the caller has seen.
    ChargeChanged { expected: Credits, charged: Credits }: FailedPrecondition, "CHARGE_CHANGED",
        ("{charged} credits are charged for the incident, {expected} were expected");
    HoldNotActive { state: HoldState }: FailedPrecondition, "HOLD_NOT_ACTIVE", ("the hold is {state}, not ACTIVE");
    /// The hold was never settled, so there is nothing to give back.
    HoldNotSettled { state: HoldState }: FailedPrecondition, "HOLD_NOT_SETTLED", ("the hold is {state}, not SETTLED");
    /// There is no estimate to confirm or decline.
    EstimateNotOpen { state: HoldState }: FailedPrecondition, "ESTIMATE_NOT_OPEN",
        ("the hold is {state} and has no estimate that waits for an answer");
    /// Work is recorded on the hold, so it is not released without a reason to waive it.
    WorkRecorded { seconds: u64 }: FailedPrecondition, "WORK_RECORDED",
        ("{seconds} seconds of work are recorded on the hold");
    /// Other work was recorded since the caller looked.
    WorkChanged { expected: u64, recorded: u64 }: FailedPrecondition, "WORK_CHANGED",
        ("{recorded} seconds of work are recorded, {expected} were expected");
    WorkVoided: FailedPrecondition, "WORK_VOIDED", ("the entry of work is voided already");
    /// A hold takes no more entries of work or labels, or its incident no more lines.
    TooMuchWork { bound: WorkBound, max: u32 }: FailedPrecondition, "TOO_MUCH_WORK",
        ("the work would have more than {max} {}", .bound.name());
    /// The estimate lies outside its class's range and no reason was given.
    EstimateOutOfRange { estimate: Credits, min: Credits, max: Credits }:
        FailedPrecondition, "ESTIMATE_OUT_OF_RANGE",
        ("the estimate of {estimate} credits is outside the range {min}-{max} of the class");
    /// The work needs a confirmed quote and has none. Its class asks for one, or it is too long for a flat price.
    /// `class` is `None` where none was named.
    QuoteRequired { class: Option<ClassId> }: FailedPrecondition, "QUOTE_REQUIRED",
        ("{} needs a confirmed quote", QuotedFor(.class.as_ref()));
    /// The customer confirmed a quote, so nothing more is set aside without a new one.
    QuoteConfirmed { quote: Credits }: FailedPrecondition, "QUOTE_CONFIRMED",
        ("the customer confirmed a quote of {quote} credits; a new estimate names another total");
    /// The card settles only confirmed holds.
    HoldRequired: FailedPrecondition, "HOLD_REQUIRED", ("the rate card charges nothing without a confirmed hold");
    /// The card refuses the class.
    OutOfScope { class: ClassId }: FailedPrecondition, "OUT_OF_SCOPE", ("the class {class} is out of scope");
    CustomerClosed: FailedPrecondition, "CUSTOMER_CLOSED", ("the customer is closed");
    CustomerNotClosed: FailedPrecondition, "CUSTOMER_NOT_CLOSED", ("the customer is not closed");
    /// A customer with open holds cannot be closed.
    HoldsOpen { count: u32 }: FailedPrecondition, "HOLDS_OPEN", ("the customer has {count} open holds");
    /// One hold more than a customer may have open.
    TooManyOpenHolds { max: u32 }: FailedPrecondition, "TOO_MANY_OPEN_HOLDS",
        ("the customer has {max} open holds, the most that a customer may have");
    /// More than what the customer paid and has not got back.
    ExceedsReversible { reversible: Credits }: FailedPrecondition, "EXCEEDS_REVERSIBLE",
        ("at most {reversible} credits can be reversed");
    PurchaseNotFound: NotFound, "PURCHASE_NOT_FOUND", ("the customer has no such purchase");
    RefundNotFound: NotFound, "REFUND_NOT_FOUND", ("the purchase has no such refund");
    /// The refund was undone before, or it is a chargeback.
    RefundNotStanding { state: RefundState }: FailedPrecondition, "REFUND_NOT_STANDING",
        ("the refund is {state}, not REFUNDED");
    /// More than what was bought and not given back.
    ExceedsRefundable { refundable: Credits }: FailedPrecondition, "EXCEEDS_REFUNDABLE",
        ("at most {refundable} credits can be refunded");
    /// What is to be refunded is spent, or set aside by holds.
    LotSpent { refundable: Credits, shortfall: Credits }: FailedPrecondition, "LOT_SPENT",
        ("{refundable} credits of the purchase can be taken back, {shortfall} are spent or held");
    PurchaseDisputed: FailedPrecondition, "PURCHASE_DISPUTED", ("the purchase is in dispute");
    PurchaseNotDisputed: FailedPrecondition, "PURCHASE_NOT_DISPUTED", ("the purchase is not in dispute");
    /// More or less of the purchase was given back than the caller has seen.
    PurchaseChanged: FailedPrecondition, "PURCHASE_CHANGED",
        ("other refunds of the purchase were recorded in between");
    PaymentNotFound: NotFound, "PAYMENT_NOT_FOUND", ("no such payment waits");
    /// The suspense account takes no more payments.
    TooManyPayments { max: usize }: FailedPrecondition, "TOO_MANY_PAYMENTS",
        ("{max} payments wait, the most that are kept");
    /// The customer has no such request in flight: it was answered or declined, it can no longer be charged, or it never
    /// was.
    TopUpNotFound: NotFound, "TOP_UP_NOT_FOUND", ("the customer has no such top-up in flight");
    TooManyRefunds { max: usize }: FailedPrecondition, "TOO_MANY_REFUNDS",
        ("the purchase has {max} refunds, the most that one purchase takes");
    /// Nothing of the customer is due. Only the server itself asks for what is due.
    NothingDue: Internal, "INTERNAL", ("nothing is due");
    /// A balance or a charge would leave its bounds.
    AmountOutOfBounds: FailedPrecondition, "AMOUNT_OUT_OF_BOUNDS",
        ("the amount would leave the bounds of an account");
}

impl Rejection {
    /// A field that is wrong; `problem` continues "`field` ...".
    pub(super) fn field(field: &'static str, problem: &str) -> Self {
        Self::InvalidField { field, problem: problem.to_owned() }
    }
}

/// The posting of an earlier command that rules this one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    pub posting: PostingId,
    /// Its place among its customer's postings.
    pub sequence: u64,
}

impl Original {
    pub const fn of(posting: &Posting) -> Self {
        Self { posting: posting.id, sequence: posting.sequence }
    }
}

/// What bounds the work on a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkBound {
    /// The hold's entries, voided ones included.
    Entries,
    /// The lines of support that the incident's billable work names.
    Lines,
    /// The hold's labels, those of its work included.
    Labels,
}

impl WorkBound {
    /// What there are too many of, in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Lines => "lines",
            Self::Labels => "labels",
        }
    }
}

/// What needs a quote.
struct QuotedFor<'a>(Option<&'a ClassId>);

impl fmt::Display for QuotedFor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(class) => write!(f, "work of class {class}"),
            None => f.write_str("the work"),
        }
    }
}

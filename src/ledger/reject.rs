//! Every way in which the core says no. `grpc/status.rs` maps each to its code and reason, nothing else does.

use std::fmt;

use super::credits::Credits;
use super::hold::HoldState;
use super::ids::{CardId, ClassId, HoldId, PostingId};
use super::lot::RefundState;
use super::posting::Posting;

/// Why a command was not accepted. It moved nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A field that only the state or the time can judge.
    #[error("{field} {problem}")]
    InvalidField {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it, continuing "`field` ...".
        problem: String,
    },
    /// No such customer in this ledger.
    #[error("the customer does not exist in this ledger")]
    CustomerNotFound,
    /// No such hold of this customer, or no hold for this incident.
    #[error("the customer has no such hold")]
    HoldNotFound,
    /// No such entry of work on this hold.
    #[error("the hold has no such entry of work")]
    WorkNotFound,
    /// No such rate card in this ledger.
    #[error("the rate card {0} does not exist in this ledger")]
    RateCardNotFound(CardId),
    /// The request id was used for something else.
    #[error("the request_id was already used for another command")]
    RequestIdReused {
        /// The posting of the command that used it; `None` for what leaves no posting: ledgers, rate cards, default
        /// thresholds and endpoints.
        original: Option<Original>,
    },
    /// The customer exists.
    #[error("the customer exists already")]
    CustomerExists {
        /// Its first posting. The core gives `None`, as that is not loaded with it; who tells the caller reads it.
        original: Option<Original>,
    },
    /// The ids of two customers share a key: 1 in 2^64, see [`super::ids::CustomerKey`].
    #[error("the customer_id cannot be used in this ledger; choose another")]
    CustomerIdUnusable,
    /// The incident has an open hold.
    #[error("the incident has an open hold: {hold}")]
    HoldExists {
        /// Which.
        hold: HoldId,
    },
    /// The storefront's order was recorded with other content.
    #[error("the order was already recorded with other content")]
    OrderAlreadyRecorded {
        /// The posting that recorded it, maybe another customer's. The lot that it brought in has the same id.
        original: Original,
    },
    /// The customer has too few credits.
    #[error("{required} credits are required, {available} are available, {shortfall} are missing")]
    InsufficientCredits {
        /// What there is.
        available: Credits,
        /// What must come from `available`.
        required: Credits,
        /// The difference.
        shortfall: Credits,
    },
    /// The charge is above what the caller allows.
    #[error("the charge of {charge} credits exceeds max_charge {max_charge}")]
    ExceedsMaxCharge {
        /// What it would cost.
        charge: Credits,
        /// What was allowed.
        max_charge: Credits,
    },
    /// The hold is not ACTIVE.
    #[error("the hold is {state}, not ACTIVE")]
    HoldNotActive {
        /// What it is.
        state: HoldState,
    },
    /// The hold was never settled, so there is nothing to give back.
    #[error("the hold is {state}, not SETTLED")]
    HoldNotSettled {
        /// What it is.
        state: HoldState,
    },
    /// There is no estimate to confirm or decline.
    #[error("the hold is {state} and has no estimate that waits for an answer")]
    EstimateNotOpen {
        /// What it is.
        state: HoldState,
    },
    /// Work is recorded on the hold, so it is not released without a reason to waive it.
    #[error("{seconds} seconds of work are recorded on the hold")]
    WorkRecorded {
        /// How much.
        seconds: u64,
    },
    /// Other work was recorded since the caller looked.
    #[error("{recorded} seconds of work are recorded, {expected} were expected")]
    WorkChanged {
        /// What the caller has seen.
        expected: u64,
        /// What is recorded.
        recorded: u64,
    },
    /// The entry of work was voided before.
    #[error("the entry of work is voided already")]
    WorkVoided,
    /// A hold takes no more entries of work, or its incident no more lines or labels.
    #[error("the work would have more than {max} {}", .bound.name())]
    TooMuchWork {
        /// What there are too many of.
        bound: WorkBound,
        /// The bound.
        max: u32,
    },
    /// The estimate lies outside its class's range and no reason was given.
    #[error("the estimate of {estimate} credits is outside the range {min}-{max} of the class")]
    EstimateOutOfRange {
        /// What was estimated.
        estimate: Credits,
        /// The least.
        min: Credits,
        /// The most.
        max: Credits,
    },
    /// The class is priced by a confirmed quote, or the work is longer than what has a flat price, and there is no
    /// quote.
    #[error("{} needs a confirmed quote", QuotedFor(.class.as_ref()))]
    QuoteRequired {
        /// Which class, where one was named.
        class: Option<ClassId>,
    },
    /// The card settles only confirmed holds.
    #[error("the rate card charges nothing without a confirmed hold")]
    HoldRequired,
    /// The class is refused by the card.
    #[error("the class {class} is out of scope")]
    OutOfScope {
        /// Which class.
        class: ClassId,
    },
    /// The customer is closed.
    #[error("the customer is closed")]
    CustomerClosed,
    /// The customer is not closed, so there is nothing to reopen.
    #[error("the customer is not closed")]
    CustomerNotClosed,
    /// The customer has open holds and cannot be closed.
    #[error("the customer has {count} open holds")]
    HoldsOpen {
        /// How many.
        count: u32,
    },
    /// More than what the customer paid and has not got back.
    #[error("at most {reversible} credits can be reversed")]
    ExceedsReversible {
        /// What can be reversed.
        reversible: Credits,
    },
    /// No such purchase of this customer.
    #[error("the customer has no such purchase")]
    PurchaseNotFound,
    /// No such refund of this purchase.
    #[error("the purchase has no such refund")]
    RefundNotFound,
    /// The refund cannot be undone: it was before, or it is a chargeback.
    #[error("the refund is {state}, not REFUNDED")]
    RefundNotStanding {
        /// What it is.
        state: RefundState,
    },
    /// More than what was bought and not given back.
    #[error("at most {refundable} credits can be refunded")]
    ExceedsRefundable {
        /// What can be given back.
        refundable: Credits,
    },
    /// What is to be refunded is spent, or set aside by holds.
    #[error("{refundable} credits of the purchase can be taken back, {shortfall} are spent or held")]
    LotSpent {
        /// What could be taken.
        refundable: Credits,
        /// What is missing.
        shortfall: Credits,
    },
    /// The purchase is in dispute already.
    #[error("the purchase is in dispute")]
    PurchaseDisputed,
    /// The purchase is not in dispute.
    #[error("the purchase is not in dispute")]
    PurchaseNotDisputed,
    /// More or less of the purchase was given back than the caller has seen.
    #[error("other refunds of the purchase were recorded in between")]
    PurchaseChanged,
    /// No such payment waits.
    #[error("no such payment waits")]
    PaymentNotFound,
    /// The suspense account takes no more payments.
    #[error("{max} payments wait, the most that are kept")]
    TooManyPayments {
        /// The bound.
        max: usize,
    },
    /// A purchase takes no more refunds.
    #[error("the purchase has {max} refunds, the most that one purchase takes")]
    TooManyRefunds {
        /// The bound.
        max: usize,
    },
    /// Nothing of the customer is due; only the ledger itself asks.
    #[error("nothing is due")]
    NothingDue,
    /// A balance or a charge would leave its bounds.
    #[error("the amount would leave the bounds of an account")]
    AmountOutOfBounds,
}

impl Rejection {
    /// A field that is wrong; `problem` continues "`field` ...".
    pub(super) fn field(field: &'static str, problem: &str) -> Self {
        Self::InvalidField { field, problem: problem.to_owned() }
    }
}

/// The posting of an earlier command that stands in the way of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its id.
    pub posting: PostingId,
    /// Its place among its customer's postings.
    pub sequence: u64,
}

impl Original {
    /// The one that is `posting`.
    #[must_use]
    pub const fn of(posting: &Posting) -> Self {
        Self { posting: posting.id, sequence: posting.sequence }
    }
}

/// What bounds the work on a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkBound {
    /// The hold's entries, voided ones included.
    Entries,
    /// The lines of support that the incident's work names.
    Lines,
    /// The incident's labels, those of its work included.
    Labels,
}

impl WorkBound {
    /// What there are too many of, in a word.
    #[must_use]
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

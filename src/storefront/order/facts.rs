//! The facts of an order: what was sold, what was paid, given back and disputed. Amounts are in the smallest unit of the
//! shop's currency (ISO 4217), never in the currency that a customer was shown.

use std::collections::BTreeMap;

use crate::ledger::codec::{Codec, DecodeError, Decoder, Encoder, coded_enum, record};
use crate::ledger::{Credits, Currency, OpenText, OrderId, Text, Timestamp};

/// Everything that was told of an order. It has no names of people and no addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The vendor's ids of it: order, checkout session, payment intent, charge, invoice. Any of them finds it, and each
    /// belongs to one order only. Never one that several orders share, such as a subscription.
    pub names: BTreeMap<OpenText, Naming>,
    /// What was sold. A vendor may tell it in several documents, such as a checkout session and an invoice.
    pub contents: BTreeMap<Source, Told<Content>>,
    /// By the vendor's refund id.
    pub refunds: BTreeMap<OpenText, Told<Refund>>,
    /// All that went back so far, where the vendor tells a sum: the refunds made up to the version's time are in it.
    pub refunded_total: Option<Told<i64>>,
    /// By the vendor's dispute id.
    pub disputes: BTreeMap<OpenText, Told<Dispute>>,
    /// Whom the shop names as the customer, where it names somebody.
    pub customer: Option<Told<Text>>,
    /// The name of what several orders share, such as a subscription. That is an order of its own, which tells nothing
    /// but the customer: whoever it names is the customer of those that name nobody.
    pub agreement: Option<Told<OpenText>>,
    /// True where nothing was paid in earnest.
    pub test: bool,
    /// The greatest sum of refunds that an earlier version recorded or kept, and when. It counts as
    /// [`Order::refunded_total`] until the vendor tells a later one, or a greater one.
    pub refunded_before: Option<Told<i64>>,
    /// The currency of [`Order::refunded_total`], told with it; the order's own where it is not told.
    pub refunded_in: Option<Told<Currency>>,
}
record!(Order {
    1 => names, 2 => contents, 3 => refunds, 4 => refunded_total, 5 => disputes, 6 => customer, 7 => agreement,
    8 => test, 9 => refunded_before, 10 => refunded_in,
});

/// How well a name serves as the order id in the ledger: the greatest of an order's names is taken. `1` for the least.
pub type Naming = u32;

/// A fact with the vendor's word for how new it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    pub version: Version,
    pub fact: T,
}

/// Which of two facts about one thing is the newer: the later `at`; at one time the higher `rank`; then, so that the
/// answer never depends on arrival, the greater encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The vendor's time of the change. The default, the epoch, where the vendor tells none.
    pub at: Timestamp,
    /// How far the state has moved: states without a time only move forward.
    pub rank: u32,
}
record!(Version { 1 => at, 2 => rank });

coded_enum!(
    /// Which document tells what was sold. A later one counts more, where it has a product that is mapped.
    Source {
        /// What an earlier version of this server recorded, or kept, of it.
        Before = 1 / "BEFORE",
        /// A checkout session with its metadata.
        Checkout = 2 / "CHECKOUT",
        /// The order or invoice itself, with its lines.
        Order = 3 / "ORDER",
    }
);

coded_enum!(
    PaymentState {
        /// Not paid yet, or only in part: nothing is credited.
        Open = 1 / "OPEN",
        Paid = 2 / "PAID",
        /// It was cancelled before it was paid, or the payment failed.
        Void = 3 / "VOID",
    }
);

/// What was sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub payment: PaymentState,
    /// The shop's currency.
    pub currency: Currency,
    /// What was paid for the whole order, with tax, shipping and fees; 0 for an order for nothing.
    pub total: i64,
    /// The part of `total` that is for no line: shipping, fees, tips, duties.
    pub elsewhere: i64,
    pub lines: Vec<Line>,
    /// Why a person has to look at it; empty where all of it was read.
    pub problem: Text,
    /// What was changed in reading it, such as a rounded amount; for people.
    pub note: Text,
}
record!(Content {
    1 => payment, 2 => currency, 3 => total, 4 => elsewhere, 5 => lines, 6 => problem, 7 => note,
});

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The vendor's id of the line, by which refunds name it; empty where it has none.
    pub id: OpenText,
    /// Ids by which its product may be mapped, the most exact first.
    pub products: Vec<OpenText>,
    /// Units sold that are still in the order: those that an edit took out are not counted, those that were refunded
    /// are. `None` where only the money tells how many.
    pub quantity: Option<u64>,
    /// What was paid for `quantity`, without tax, after all discounts. 0 where it was free.
    pub net: i64,
    /// The tax on `net`.
    pub tax: i64,
    /// What discounts took off, without tax: at list price the line is worth `net + discount`.
    pub discount: i64,
    /// What it comes to in credits, worked out by an earlier version of this server; otherwise the mapping says it.
    pub credits: Option<Credits>,
    /// Why a person has to look at it, should it be a line of credits; empty where all of it was read.
    pub problem: Text,
}
record!(Line {
    1 => id, 2 => products, 3 => quantity, 4 => net, 5 => tax, 6 => discount, 7 => credits, 8 => problem,
});

coded_enum!(
    RefundState {
        /// Asked for; the money has not gone back yet.
        Pending = 1 / "PENDING",
        Done = 2 / "DONE",
        /// It failed, or was cancelled or deleted: the money is with the shop.
        Undone = 3 / "UNDONE",
    }
);

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub state: RefundState,
    /// When the vendor made it; the epoch where it does not say.
    pub made_at: Timestamp,
    /// The money that goes back, with tax; at least 0.
    pub amount: i64,
    /// The lines that it names, with their parts of `amount`.
    pub lines: Vec<RefundLine>,
    /// The part of `amount` that is said to be for other things, such as shipping and fees.
    pub elsewhere: i64,
    /// Why a person has to look at it; empty where all of it was read.
    pub problem: Text,
    /// The currency of its amounts; the order's own where it is not told.
    pub currency: Option<Currency>,
}
record!(Refund {
    1 => state, 2 => made_at, 3 => amount, 4 => lines, 5 => elsewhere, 6 => problem, 7 => currency,
});

/// The part of a refund that is for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundLine {
    /// [`Line::id`].
    pub line: OpenText,
    /// Ids by which the line's product may be mapped, where the vendor repeats them.
    pub products: Vec<OpenText>,
    /// Units that it takes back; counts only for a line that was free.
    pub quantity: u64,
    /// The money that goes back for it, with tax.
    pub amount: i64,
}
record!(RefundLine { 1 => line, 2 => products, 3 => quantity, 4 => amount });

coded_enum!(
    DisputeState {
        /// The bank asks; no money has moved.
        Inquiry = 1 / "INQUIRY",
        /// The bank has taken the money.
        Open = 2 / "OPEN",
        /// Decided for the shop, or withdrawn: the money is back.
        Won = 3 / "WON",
        /// Decided for the customer.
        Lost = 4 / "LOST",
    }
);

/// A dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    pub state: DisputeState,
    /// What the bank takes, with tax; may be more than was paid.
    pub amount: i64,
    /// Why a person has to look at it; empty where all of it was read.
    pub problem: Text,
    /// The currency of its amount; the order's own where it is not told.
    pub currency: Option<Currency>,
}
record!(Dispute { 1 => state, 2 => amount, 3 => problem, 4 => currency });

impl Order {
    /// The best of its names that can be its order id in the ledger.
    pub fn best_id(&self) -> Option<(OrderId, Naming)> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(name, naming)| (std::cmp::Reverse(**naming), *name));
        let id =
            |(name, naming): (&OpenText, &Naming)| Some((OrderId::parse(name.0.as_str()).ok()?, *naming));
        names.into_iter().find_map(id)
    }

    /// All that went back so far, where that is told as a sum.
    pub fn refunded_sum(&self) -> Option<&Told<i64>> {
        let (told, before) = (self.refunded_total.as_ref(), self.refunded_before.as_ref());
        let is_newer = |before: &Told<i64>| {
            // A delivery that came late may tell of a change before the last one that was recorded.
            told.is_none_or(|told| told.version.at < before.version.at && told.fact < before.fact)
        };
        before.filter(|before| is_newer(before)).or(told)
    }
}

impl Line {
    /// How many of what, for people.
    pub fn shown(&self) -> String {
        let name = self.products.first().map(ToString::to_string).unwrap_or_default();
        self.quantity.map_or_else(|| name.clone(), |quantity| format!("{quantity} x {name}"))
    }
}

impl<T: Codec> Codec for Told<T> {
    fn put(&self, out: &mut Encoder) {
        self.version.put(out);
        self.fact.put(out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { version: Version::take(input)?, fact: T::take(input)? })
    }
}

impl<T> Told<T> {
    /// A fact that the vendor dates.
    pub const fn at(at: Timestamp, rank: u32, fact: T) -> Self {
        Self { version: Version { at, rank }, fact }
    }

    /// A fact without a date: its state decides.
    pub fn undated(rank: u32, fact: T) -> Self {
        Self::at(Timestamp::default(), rank, fact)
    }
}

//! What people decided about an order. Each word counts for what was told until then.

#[cfg(doc)]
use super::target::Disputed;
use super::target::Unnamed;
use crate::ledger::codec::record;
use crate::ledger::{Credits, OpenText, PostingId};

/// What people decided about an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The content that the recorded purchase stands for, as a hash: a purchase by hand, or one that a person let stand.
    pub accepted: Option<u64>,
    /// What the refunds come to beyond (or, below zero, short of) what the facts say.
    pub beyond: Credits,
    /// The same in money.
    pub beyond_money: i64,
    /// What money that does not say what it is for was said to be for.
    pub unnamed: Option<Unnamed>,
    /// Refunds and chargebacks by hand that a person has compared with the shop's.
    pub seen: Vec<PostingId>,
    /// Disputes that a person dismissed, with what was told of them then: [`Disputed::told`].
    pub dismissed: Vec<(OpenText, u64)>,
    /// The refunds that a person let stand although they are unclear, as a hash.
    pub unclear: Option<u64>,
    /// The content that a person saw who is about to record a purchase for it, as a hash.
    pub assigned: Option<u64>,
}
record!(Decided {
    1 => accepted, 2 => beyond, 3 => beyond_money, 4 => unnamed, 5 => seen, 6 => dismissed, 7 => unclear, 8 => assigned,
});

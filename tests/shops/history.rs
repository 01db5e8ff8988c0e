//! A history of a shop, and what the ledger has to show at its end.

use creditledger::ledger::Credits;
use serde_json::Value;

/// A delivery as the vendor sends it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The vendor's name of the event or topic, where a header has it.
    pub topic: String,
    pub body: Value,
}

/// What the ledger has to show of an order, worked out by the model of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sold {
    /// The vendor's id of it that the ledger takes as order id.
    pub order: String,
    pub customer: String,
    /// Bought in all.
    pub bought: Credits,
    /// Given back, or in dispute, or lost in one: not the customer's at the end.
    pub gone: Credits,
    /// What was paid for `bought`, in the currency's smallest unit.
    pub price: i64,
}

/// Some orders of a shop, from the first delivery to the last. Orders that the ledger has nothing to show for are not in
/// `sold`.
#[derive(Clone, Debug)]
pub struct History {
    /// In the order in which they happened.
    pub told: Vec<Told>,
    pub sold: Vec<Sold>,
}

/// Numbers from a seed (splitmix64): the same for ever, so a seed repeats a history.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound`, without it.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

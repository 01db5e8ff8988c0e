//! The money side: what each posting moves between the accounts of a currency.

use std::collections::BTreeMap;

use crate::credits::Amount;

pub const RECEIVABLE: &str = "storefront_receivable:web";
pub const DEFERRED: &str = "deferred_revenue";
pub const EARNED: &str = "earned_revenue";
pub const BREAKAGE: &str = "breakage";

/// The price of a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    pub currency: &'static str,
    pub minor: Amount,
}

/// Credits less debits, by currency and account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(pub BTreeMap<(String, String), Amount>);

impl Moves {
    /// Moves money of a lot with this price; nothing for a lot without one.
    pub fn shift(&mut self, price: Option<Price>, debit: &str, credit: &str, minor: Amount) {
        if let Some(Price { currency, .. }) = price {
            self.add(currency, debit, -minor);
            self.add(currency, credit, minor);
        }
    }

    pub fn add(&mut self, currency: &str, account: &str, minor: Amount) {
        let key = (currency.to_owned(), account.to_owned());
        *self.0.entry(key.clone()).or_default() += minor;
        if self.0[&key] == 0 {
            self.0.remove(&key);
        }
    }

    pub fn join(&mut self, other: &Self) {
        for ((currency, account), minor) in &other.0 {
            self.add(currency, account, *minor);
        }
    }
}

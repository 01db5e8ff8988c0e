//! What a check counted, and what it found wrong.

use std::fmt;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub counts: Counts,
    /// Empty where all is well. Each fault names its row.
    pub faults: Vec<String>,
    /// Faults that are counted but not listed.
    pub more_faults: u64,
}

/// Rows read, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ledgers: u64,
    pub postings: u64,
    pub transfers: u64,
    pub customers: u64,
    pub holds: u64,
    pub work: u64,
    pub lots: u64,
    pub orders: u64,
    pub storefront_orders: u64,
    pub system_accounts: u64,
    pub card_changes: u64,
}

impl Report {
    /// Faults that are listed; further ones are only counted.
    pub const FAULTS_MAX: usize = 20;

    pub const fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn fault(&mut self, fault: String) {
        if self.faults.len() < Self::FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.more_faults = self.more_faults.saturating_add(1);
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ledgers, {} postings, {} transfers, {} customers, {} holds, {} lots, {} orders, {} system accounts",
            self.ledgers,
            self.postings,
            self.transfers,
            self.customers,
            self.holds,
            self.lots,
            self.orders,
            self.system_accounts
        )?;
        if self.work > 0 {
            write!(f, ", {} entries of work", self.work)?;
        }
        if self.storefront_orders > 0 {
            write!(f, ", {} kept orders of storefronts", self.storefront_orders)?;
        }
        match self.card_changes {
            0 => Ok(()),
            changes => write!(f, ", {changes} changes of rate cards"),
        }
    }
}

//! Accounts, transfers, and the one table that says which accounts a posting's amounts move between.

use std::fmt;

use super::credits::Credits;
use super::ids::Storefront;

/// A place in the book that transfers debit or credit. Its balance is its credits less its debits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    side: Side,
    /// Completes `sales`; no other side has one.
    storefront: Option<Storefront>,
}

impl Account {
    /// True for the three accounts that each customer has of its own.
    pub const fn is_customer(&self) -> bool {
        self.side.is_customer()
    }
}

impl From<Side> for Account {
    /// Of every side but `sales`.
    fn from(side: Side) -> Self {
        Self { side, storefront: None }
    }
}

impl fmt::Display for Account {
    /// The name in the API and in SQL: `available`, `sales:web`, ...
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.storefront {
            None => f.pad(self.side.name()),
            Some(storefront) => f.pad(&format!("{}:{storefront}", self.side.name())),
        }
    }
}

/// One row of the journal: moves `credits` (> 0) from `debit` to `credit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub debit: Account,
    pub credit: Account,
    /// Always more than zero.
    pub credits: Credits,
}

impl Transfer {
    pub(super) const fn sides(&self) -> (Side, Side) {
        (self.debit.side, self.credit.side)
    }
}

/// The amounts of a posting, in the fixed columns in which it is stored. What a slot means depends on the kind of
/// posting: [`slots`](super::kind::slots).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts(pub [Credits; Slot::COUNT]);

/// A column of amounts. The first four depend on the kind; the last three mean the same in every posting. They record
/// the end of a posting: due lots expire, then debts are paid, then parked holds are activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `credits_1`
    First,
    /// `credits_2`
    Second,
    /// `credits_3`
    Third,
    /// `credits_4`
    Fourth,
    /// `expired`: available -> expired
    Expired,
    /// `repaid`: available -> receivable
    Repaid,
    /// `activated`: available -> held
    Activated,
}

impl Slot {
    pub const COUNT: usize = 7;
    /// In the order in which a posting's transfers are listed.
    pub const ALL: [Self; Self::COUNT] =
        [Self::First, Self::Second, Self::Third, Self::Fourth, Self::Expired, Self::Repaid, Self::Activated];

    /// Its place in [`Amounts`].
    pub const fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
            Self::Third => 2,
            Self::Fourth => 3,
            Self::Expired => 4,
            Self::Repaid => 5,
            Self::Activated => 6,
        }
    }
}

impl Amounts {
    pub fn get(&self, slot: Slot) -> Credits {
        self.0.get(slot.index()).copied().unwrap_or_default()
    }

    pub fn set(&mut self, slot: Slot, credits: Credits) {
        if let Some(place) = self.0.get_mut(slot.index()) {
            *place = credits;
        }
    }
}

/// A side of a transfer before the storefront's name is filled in. The SQL table `transfer_slot` names the same sides
/// (`sales` is completed with the posting's storefront); a test compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// A customer's credits that nothing reserves; never below zero.
    Available,
    /// A customer's credits set aside by active holds; never below zero.
    Held,
    /// What a customer owes, as a negative balance; never above zero.
    Receivable,
    /// Credits sold through one storefront (a negative balance, as of all sources).
    Sales,
    /// Credits given away.
    Promotions,
    /// Credits earned by work.
    Revenue,
    /// Work that the vendor bears.
    WriteOffs,
    /// Corrections by an operator.
    Adjustments,
    /// Credits that fell due unused.
    Expired,
}

impl Side {
    /// True for the accounts that each customer has of its own.
    const fn is_customer(self) -> bool {
        matches!(self, Self::Available | Self::Held | Self::Receivable)
    }

    /// As the SQL table `transfer_slot` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Held => "held",
            Self::Receivable => "receivable",
            Self::Sales => "sales",
            Self::Promotions => "promotions",
            Self::Revenue => "revenue",
            Self::WriteOffs => "write_offs",
            Self::Adjustments => "adjustments",
            Self::Expired => "expired",
        }
    }

    /// The account, or `None` for sales without a storefront (which no posting of the core has).
    pub(super) fn account(self, storefront: Option<&Storefront>) -> Option<Account> {
        if self != Self::Sales {
            return Some(self.into());
        }
        Some(Account { side: self, storefront: Some(storefront?.clone()) })
    }
}

/// What a transfer charges to the customer; negative for what it gives back.
pub(super) const fn charged(debit: Side, credit: Side, credits: Credits) -> Credits {
    match (debit, credit) {
        (Side::Available | Side::Held, Side::Revenue) => credits,
        (Side::Revenue, Side::Available) => credits.negated(),
        _ => Credits::ZERO,
    }
}

/// True where a transfer brings credits in from outside the customer's own accounts. Only those pay debts: what a hold
/// gives back was the customer's before.
pub(super) const fn brings_in(debit: Side, credit: Side) -> bool {
    !debit.is_customer() && matches!(credit, Side::Available)
}

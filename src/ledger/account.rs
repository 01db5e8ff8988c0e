//! Accounts, transfers, and the one table that says which accounts a posting's amounts move between.

use std::fmt;

use super::credits::Credits;
use super::ids::Storefront;
use super::posting::{Kind, Posting};

/// A place in the book that transfers debit or credit. Its balance is its credits less its debits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// A customer's credits that nothing reserves; never below zero.
    Available,
    /// A customer's credits set aside by active holds; never below zero.
    Held,
    /// What a customer owes, as a negative balance; never above zero.
    Receivable,
    /// Credits sold through one storefront (a negative balance, as of all sources).
    Sales(Storefront),
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

impl Account {
    /// True for the three accounts that each customer has of its own.
    #[must_use]
    pub const fn is_customer(&self) -> bool {
        matches!(self, Self::Available | Self::Held | Self::Receivable)
    }
}

impl fmt::Display for Account {
    /// The name in the API and in SQL: `available`, `sales:web`, ...
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available => f.pad("available"),
            Self::Held => f.pad("held"),
            Self::Receivable => f.pad("receivable"),
            Self::Sales(storefront) => f.pad(&format!("sales:{storefront}")),
            Self::Promotions => f.pad("promotions"),
            Self::Revenue => f.pad("revenue"),
            Self::WriteOffs => f.pad("write_offs"),
            Self::Adjustments => f.pad("adjustments"),
            Self::Expired => f.pad("expired"),
        }
    }
}

/// One row of the journal: moves `credits` (> 0) from `debit` to `credit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Where the credits leave.
    pub debit: Account,
    /// Where they arrive.
    pub credit: Account,
    /// How many; always more than zero.
    pub credits: Credits,
}

/// The amounts of a posting, in the fixed columns in which it is stored. What a slot means depends on the kind of
/// posting: [`slots`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts(pub [Credits; Slot::COUNT]);

/// A column of amounts. The first four depend on the kind; the last three mean the same in every posting and are
/// what follows when `available` has risen: due lots expire, then debts are paid, then parked holds are activated.
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
    /// How many there are.
    pub const COUNT: usize = 7;
    /// All of them, in the order in which a posting's transfers are listed.
    pub const ALL: [Self; Self::COUNT] =
        [Self::First, Self::Second, Self::Third, Self::Fourth, Self::Expired, Self::Repaid, Self::Activated];

    /// Its place in [`Amounts`].
    #[must_use]
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
    /// The amount in `slot`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Credits {
        self.0.get(slot.index()).copied().unwrap_or_default()
    }

    /// Puts an amount into `slot`.
    pub fn set(&mut self, slot: Slot, credits: Credits) {
        if let Some(place) = self.0.get_mut(slot.index()) {
            *place = credits;
        }
    }
}

/// A side of a transfer before the storefront's name is filled in. The SQL table `transfer_slot` holds the same
/// pairs under the same names (`sales` is completed with the posting's storefront); a test compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `available`
    Available,
    /// `held`
    Held,
    /// `receivable`
    Receivable,
    /// `sales:` and the posting's storefront
    Sales,
    /// `promotions`
    Promotions,
    /// `revenue`
    Revenue,
    /// `write_offs`
    WriteOffs,
    /// `adjustments`
    Adjustments,
    /// `expired`
    Expired,
}

impl Side {
    /// As the SQL table `transfer_slot` names it.
    #[must_use]
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
    fn account(self, storefront: Option<&Storefront>) -> Option<Account> {
        Some(match self {
            Self::Available => Account::Available,
            Self::Held => Account::Held,
            Self::Receivable => Account::Receivable,
            Self::Sales => Account::Sales(storefront?.clone()),
            Self::Promotions => Account::Promotions,
            Self::Revenue => Account::Revenue,
            Self::WriteOffs => Account::WriteOffs,
            Self::Adjustments => Account::Adjustments,
            Self::Expired => Account::Expired,
        })
    }
}

/// The accounts (debit, credit) between which `slot` moves credits in a posting of `kind`; `None` where it is unused.
///
/// This is the command table of the product: change it and the SQL table `transfer_slot` together.
#[must_use]
pub const fn slots(kind: Kind, slot: Slot) -> Option<(Side, Side)> {
    use Side::{Adjustments, Available, Expired, Held, Promotions, Receivable, Revenue, Sales, WriteOffs};
    match slot {
        Slot::Expired => return Some((Available, Expired)),
        Slot::Repaid => return Some((Available, Receivable)),
        Slot::Activated => return Some((Available, Held)),
        Slot::First | Slot::Second | Slot::Third | Slot::Fourth => {}
    }
    match (kind, slot) {
        (Kind::PurchaseCredits, Slot::First) => Some((Sales, Available)),
        (Kind::PurchaseCredits, Slot::Second) => Some((Sales, Receivable)),
        (Kind::GrantCredits, Slot::First) => Some((Promotions, Available)),
        (Kind::AdjustBalance, Slot::First) => Some((Adjustments, Available)),
        (Kind::AdjustBalance, Slot::Second) => Some((Available, Adjustments)),
        (Kind::RefundPurchase | Kind::RecordChargeback, Slot::First) => Some((Available, Sales)),
        (Kind::RefundPurchase | Kind::RecordChargeback, Slot::Second) => Some((Receivable, Sales)),
        (Kind::RefundPurchase, Slot::Third) => Some((WriteOffs, Sales)),
        (Kind::ReverseRefund | Kind::ResolveChargeback, Slot::First) => Some((Sales, Available)),
        (Kind::ReverseRefund | Kind::ResolveChargeback, Slot::Second) => Some((Sales, Receivable)),
        (Kind::ReverseRefund, Slot::Third) => Some((Sales, WriteOffs)),
        (Kind::PlaceHold | Kind::ConfirmEstimate | Kind::ExtendHold, Slot::First) => Some((Available, Held)),
        (
            Kind::ConfirmEstimate
            | Kind::ReleaseHold
            | Kind::ExpireHold
            | Kind::SettleHold
            | Kind::CloseIncident,
            Slot::Second,
        ) => Some((Held, Available)),
        (Kind::SettleHold | Kind::CloseIncident, Slot::First) => Some((Held, Revenue)),
        (
            Kind::SettleHold | Kind::CloseIncident | Kind::ChargeIncident | Kind::SetCustomerTerms,
            Slot::Third,
        ) => Some((Available, Revenue)),
        (Kind::SettleHold | Kind::CloseIncident, Slot::Fourth) => Some((WriteOffs, Revenue)),
        (Kind::ReverseSettlement, Slot::First) => Some((Revenue, Available)),
        (Kind::ReverseSettlement, Slot::Second) => Some((Revenue, WriteOffs)),
        _ => None,
    }
}

/// The transfers of a posting: a pure function of its row, the same as the SQL view `transfer`.
pub fn transfers(posting: &Posting) -> impl Iterator<Item = Transfer> + '_ {
    Slot::ALL.into_iter().filter_map(|slot| {
        let credits = posting.amounts.get(slot);
        if credits.is_zero() {
            return None;
        }
        let (debit, credit) = slots(posting.kind, slot)?;
        let storefront = posting.storefront.as_ref();
        Some(Transfer { debit: debit.account(storefront)?, credit: credit.account(storefront)?, credits })
    })
}

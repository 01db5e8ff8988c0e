//! Thresholds: the balances at which a customer is warned that credits run low, and when one is crossed.
//!
//! Nothing is remembered about a threshold. A posting crosses it where the balance was above it before and is not
//! afterwards. So it fires once, and again only after the balance was above it again. One that is set while the balance
//! is at or below it counts as crossed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::{record, tagged};
use super::credits::Credits;
use super::ids::{LedgerNo, Text};

/// A balance at or below which a customer is warned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Threshold {
    /// An amount of available credits; more than 0.
    Credits(Credits),
    /// Percent of what the last purchase brought, 1 to 100. Without a purchase it is never crossed.
    Percent(u32),
}
tagged!(Threshold { 0 => Credits(credits), 1 => Percent(percent) });

/// What a threshold is compared with: the two things that a posting can change about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub available: Credits,
    /// The credits of the last purchase; zero before the first.
    pub last_purchase: Credits,
}

impl Threshold {
    /// The available credits at or below which it is crossed, cut to four decimals; `None` for a percentage before the
    /// first purchase.
    pub fn credits(self, last_purchase: Credits) -> Option<Credits> {
        match self {
            Self::Credits(credits) => Some(credits),
            Self::Percent(_) if last_purchase.is_zero() => None,
            Self::Percent(percent) => {
                let units = last_purchase.units().checked_mul(i64::from(percent))?;
                Some(Credits::from_units(units.div_euclid(100)))
            }
        }
    }

    /// True where the balance is above it, so that it can be crossed. Cutting the level to four decimals changes
    /// nothing, as available credits have no more.
    pub fn is_armed(self, at: Level) -> bool {
        self.credits(at.last_purchase).is_some_and(|level| at.available > level)
    }
}

/// The thresholds of a customer, or those that a ledger gives to customers without their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Sorted, without repeats, at most [`Alerts::MAX`].
    thresholds: Vec<Threshold>,
}
record!(Alerts { 1 => thresholds });

impl Alerts {
    /// Thresholds in one set.
    pub const MAX: usize = 8;

    /// A set of thresholds, whatever their order; `None` where there are too many.
    pub fn new(mut thresholds: Vec<Threshold>) -> Option<Self> {
        thresholds.sort_unstable();
        thresholds.dedup();
        (thresholds.len() <= Self::MAX).then_some(Self { thresholds })
    }

    /// In their order: amounts, then percentages, each rising.
    pub fn iter(&self) -> impl Iterator<Item = Threshold> + '_ {
        self.thresholds.iter().copied()
    }

    /// Those that were crossed downward between two moments.
    pub fn crossed(&self, before: Level, after: Level) -> Vec<Crossed> {
        let fires = |threshold: &Threshold| threshold.is_armed(before) && !threshold.is_armed(after);
        let level = |threshold: Threshold| {
            Some(Crossed { threshold, level: threshold.credits(after.last_purchase)? })
        };
        self.iter().filter(fires).filter_map(level).collect()
    }

    /// True where the balance is above all of them. A percentage before the first purchase does not count.
    pub fn all_are_above(&self, at: Level) -> bool {
        self.iter()
            .all(|threshold| threshold.credits(at.last_purchase).is_none_or(|level| at.available > level))
    }
}

/// The thresholds of ledgers that have some for customers without their own.
pub type LedgerAlerts = BTreeMap<LedgerNo, Arc<Alerts>>;

/// A threshold that a posting crossed, with the available credits that it stood for then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossed {
    pub threshold: Threshold,
    pub level: Credits,
}
record!(Crossed { 1 => threshold, 2 => level });

/// The thresholds of a ledger's customers without their own, as an operator set them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultAlerts {
    pub alerts: Alerts,
    pub by: Text,
}
record!(DefaultAlerts { 1 => alerts, 2 => by });

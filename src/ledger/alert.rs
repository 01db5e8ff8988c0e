//! Thresholds: the balances at which a customer is warned that credits run low, and when one is crossed.
//!
//! # What it is
//! A posting crosses a threshold where the balance was above it before and is not afterwards. Then the threshold fires:
//! the customer is told. The customer's state keeps which ones have fired
//! ([`CustomerState::fired`](super::customer::CustomerState::fired)).
//!
//! # Invariants
//! - A threshold that fired is armed again only once the balance is above it by the [`Margin`]: a hold that comes and goes
//!   is told of once.
//! - One that has not fired needs no margin, so no first warning is lost.
//! - One that is set while the balance is at or below it counts as crossed and is not told, until the balance is above it.
//! - Where thresholds are set anew, those that stay keep whether they have fired; the others are forgotten.
//! - A threshold is known by itself and its level. A purchase that moves the level of a percentage makes another one of
//!   it, which has not fired.
//! - The balance has recovered once it is above all thresholds and those that fired are armed again.
//! - By rules before [`Rules::Third`](super::rules::Rules::Third) nothing was kept of what fired. So a customer who was told
//!   by such rules may be told once more.

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
    pub fn is_below(self, at: Level) -> bool {
        self.credits(at.last_purchase).is_some_and(|level| at.available > level)
    }
}

/// How far above its level the balance must be for a threshold that fired to be armed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margin {
    /// Percent of the level, at most [`Margin::PERCENT_MAX`].
    pub percent: u32,
    /// But at least so many credits; 0 or more.
    pub at_least: Credits,
}
record!(Margin or default { 1 => percent, 2 => at_least });

impl Default for Margin {
    /// 20 %, at least 1 credit.
    fn default() -> Self {
        Self { percent: 20, at_least: Credits::whole(1) }
    }
}

impl Margin {
    /// Twice the level.
    pub const PERCENT_MAX: u32 = 100;

    /// The available credits above which a threshold of this level is armed again.
    pub fn above(self, level: Credits) -> Credits {
        let share = level.units().saturating_mul(i64::from(self.percent)).div_euclid(100);
        let margin = Credits::from_units(share).max(self.at_least);
        level.checked_add(margin).unwrap_or(Credits::MAX_BALANCE)
    }
}

/// The thresholds of a customer, or those that a ledger gives to customers without their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Sorted, without repeats, at most [`Alerts::MAX`].
    thresholds: Vec<Threshold>,
    margin: Margin,
}
record!(Alerts { 1 => thresholds, 2 => margin });

impl Alerts {
    /// Thresholds in one set.
    pub const MAX: usize = 8;

    /// A set of thresholds with the default margin, whatever their order; `None` where there are too many.
    pub fn new(mut thresholds: Vec<Threshold>) -> Option<Self> {
        thresholds.sort_unstable();
        thresholds.dedup();
        (thresholds.len() <= Self::MAX).then_some(Self { thresholds, margin: Margin::default() })
    }

    /// The same thresholds with another margin.
    #[must_use]
    pub fn with_margin(self, margin: Margin) -> Self {
        Self { margin, ..self }
    }

    pub fn margin(&self) -> Margin {
        self.margin
    }

    /// In their order: amounts, then percentages, each rising.
    pub fn iter(&self) -> impl Iterator<Item = Threshold> + '_ {
        self.thresholds.iter().copied()
    }

    /// Those that fire between two moments: crossed downward, and not among those that `fired` and were not armed again.
    pub fn crossed(&self, before: Level, after: Level, fired: &[Crossed]) -> Vec<Crossed> {
        let fires = |threshold: Threshold| {
            let crossed = Crossed { threshold, level: threshold.credits(after.last_purchase)? };
            let is_crossed = threshold.is_below(before) && !threshold.is_below(after);
            let was_told = fired.contains(&crossed) && self.still_fired(&crossed, before);
            (is_crossed && !was_told).then_some(crossed)
        };
        self.iter().filter_map(fires).collect()
    }

    /// Those that `fired` and are armed again after a posting, or were before it. The latter comes where an operator has
    /// changed the thresholds of the ledger, which is no posting.
    pub fn rearmed(&self, before: Level, after: Level, fired: &[Crossed]) -> Vec<Threshold> {
        let stays = |of: &&Crossed| self.still_fired(of, before) && self.still_fired(of, after);
        fired.iter().filter(|of| !stays(of)).map(|of| of.threshold).collect()
    }

    /// Whether one that fired is not armed again: it is among these with the same level, and the balance is not above it
    /// by the margin.
    fn still_fired(&self, fired: &Crossed, at: Level) -> bool {
        let Crossed { threshold, level } = *fired;
        self.thresholds.contains(&threshold)
            && threshold.credits(at.last_purchase) == Some(level)
            && at.available <= self.margin.above(level)
    }

    /// Whether crossing one of them now is told.
    pub fn is_armed(&self, threshold: Threshold, at: Level, fired: &[Crossed]) -> bool {
        let is_it = |of: &&Crossed| of.threshold == threshold;
        threshold.is_below(at) && !fired.iter().filter(is_it).any(|of| self.still_fired(of, at))
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

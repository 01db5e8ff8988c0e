//! What left a lot unused: credits that expired, and credits that an operator took away, with their money.

use super::codec::record;
use super::credits::Credits;
use super::money::share;

/// Credits that left a lot without work, and their breakage in the smallest unit of the price's currency. Postings list
/// them by [`Rules::Second`](super::rules::Rules::Second); older ones mix them with credits that were spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    pub expired: Credits,
    pub expired_minor: i64,
    /// Taken away by a downward adjustment.
    pub adjusted: Credits,
    pub adjusted_minor: i64,
}
record!(Unused or none { 1 => expired, 2 => expired_minor, 3 => adjusted, 4 => adjusted_minor });

impl Unused {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Both together; `None` where a number leaves 64 bits.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            expired: self.expired.checked_add(other.expired)?,
            expired_minor: self.expired_minor.checked_add(other.expired_minor)?,
            adjusted: self.adjusted.checked_add(other.adjusted)?,
            adjusted_minor: self.adjusted_minor.checked_add(other.adjusted_minor)?,
        })
    }

    /// Without a part of it.
    #[must_use]
    pub fn less(&self, part: &Self) -> Self {
        let less = |one: i64, other: i64| one.saturating_sub(other).max(0);
        Self {
            expired: self.expired.less_at_least_zero(part.expired),
            expired_minor: less(self.expired_minor, part.expired_minor),
            adjusted: self.adjusted.less_at_least_zero(part.adjusted),
            adjusted_minor: less(self.adjusted_minor, part.adjusted_minor),
        }
    }

    /// A part of at most `credits`: what expired comes first. Each takes its share of the money.
    #[must_use]
    pub fn part(&self, credits: Credits) -> Self {
        let expired = self.expired.min(credits);
        let adjusted = self.adjusted.min(credits.less_at_least_zero(expired));
        Self {
            expired,
            expired_minor: share(self.expired_minor, expired, self.expired),
            adjusted,
            adjusted_minor: share(self.adjusted_minor, adjusted, self.adjusted),
        }
    }

    /// With at most `minor` of its money: what expired comes first.
    #[must_use]
    pub fn worth_at_most(&self, minor: i64) -> Self {
        let expired_minor = self.expired_minor.min(minor);
        let adjusted_minor = self.adjusted_minor.min(minor.saturating_sub(expired_minor));
        Self { expired_minor, adjusted_minor, ..*self }
    }

    /// All its credits.
    #[must_use]
    pub fn credits(&self) -> Credits {
        self.expired.checked_add(self.adjusted).unwrap_or(self.expired)
    }

    /// All its money.
    #[must_use]
    pub const fn minor_units(&self) -> i64 {
        self.expired_minor.saturating_add(self.adjusted_minor)
    }
}

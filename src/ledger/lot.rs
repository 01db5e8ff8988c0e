//! Lots: what purchases, grants and upward adjustments brought in, and the order in which they burn.

use std::cmp::Ordering;

use super::codec::{coded_enum, record};
use super::credits::Credits;
use super::ids::{LotId, OrderId, Storefront};
use super::time::Timestamp;

coded_enum!(
    /// Where a lot came from.
    LotSource {
        /// Bought in a storefront, with a price paid.
        Purchase = 1 / "PURCHASE",
        /// Given away; burns before what was paid for.
        Grant = 2 / "GRANT",
        /// An operator's upward adjustment; has no price.
        Adjustment = 3 / "ADJUSTMENT",
    }
);

/// A price paid: a currency of ISO 4217 and an amount in its smallest unit (cents for USD, yen for JPY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// The alphabetic code, three upper-case letters.
    pub currency: Currency,
    /// In the currency's smallest unit; at least 0.
    pub minor_units: i64,
}
record!(Money { 1 => currency, 2 => minor_units });

/// The alphabetic code of a currency; the boundary checks that ISO 4217 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Three upper-case letters.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let letters: [u8; 3] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl super::codec::Codec for Currency {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn take(input: &mut &[u8]) -> Result<Self, super::codec::DecodeError> {
        let (letters, rest) = input.split_first_chunk::<3>().ok_or(super::codec::DecodeError::Truncated)?;
        *input = rest;
        std::str::from_utf8(letters).ok().and_then(Self::parse).ok_or(super::codec::DecodeError::Text)
    }
}

/// The unchanging facts of a lot. What is left of it stands with its customer ([`OpenLot`]); a lot that is not there
/// is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Named by the posting that brought it in; a purchase's `purchase_id` is its lot's id.
    pub id: LotId,
    /// Where it came from.
    pub source: LotSource,
    /// What it brought in, more than zero. The share that repaid a debt is counted but was never in the lot.
    pub credits: Credits,
    /// What of `credits` repaid a debt at once.
    pub repaid: Credits,
    /// The price paid, for purchases.
    pub price: Option<Money>,
    /// Where it was bought.
    pub storefront: Option<Storefront>,
    /// The storefront's order.
    pub order: Option<OrderId>,
    /// When what is left falls due; by default credits never expire.
    pub expires_at: Option<Timestamp>,
    /// When it came in.
    pub created_at: Timestamp,
}
record!(Lot {
    1 => id, 2 => source, 3 => credits, 4 => repaid, 5 => price, 6 => storefront, 7 => order, 8 => expires_at,
    9 => created_at,
});

/// What is left of a lot, with the facts that its place in the burn order depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLot {
    /// Which lot.
    pub id: LotId,
    /// Where it came from.
    pub source: LotSource,
    /// When what is left falls due.
    pub expires_at: Option<Timestamp>,
    /// What is left, more than zero.
    pub left: Credits,
}
record!(OpenLot { 1 => id, 2 => source, 3 => expires_at, 4 => left });

impl OpenLot {
    /// True from the moment it falls due.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|due| due <= now)
    }

    /// The order in which lots burn: expired (still covered by a hold), soonest expiry, promotional before paid,
    /// oldest. (A lot in dispute burns before all others; disputes come with chargebacks.)
    ///
    /// Expired lots sort before all others by their expiry alone, so the order does not depend on the time.
    #[must_use]
    pub fn burn_order(&self, other: &Self) -> Ordering {
        let key = |lot: &Self| {
            (
                lot.expires_at.unwrap_or(Timestamp::from_micros(i64::MAX)),
                lot.source != LotSource::Grant,
                lot.id,
            )
        };
        key(self).cmp(&key(other))
    }
}

/// A customer's lots with something left, kept in burn order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lots(Vec<OpenLot>);

impl<'a> IntoIterator for &'a Lots {
    type Item = &'a OpenLot;
    type IntoIter = std::slice::Iter<'a, OpenLot>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Lots {
    /// In burn order.
    pub fn iter(&self) -> std::slice::Iter<'_, OpenLot> {
        self.0.iter()
    }

    /// What is left of `id`; zero for a spent lot.
    #[must_use]
    pub fn left(&self, id: LotId) -> Credits {
        self.0.iter().find(|lot| lot.id == id).map_or(Credits::ZERO, |lot| lot.left)
    }

    /// What `credits` would burn, in burn order, each with the part taken. Where the lots hold less, which the
    /// invariants rule out, it is all there is, and the posting that says so is refused when it is applied.
    #[must_use]
    pub fn burn(&self, credits: Credits) -> Vec<OpenLot> {
        let mut rest = credits;
        let mut burned = Vec::new();
        for lot in &self.0 {
            if rest.is_zero() {
                break;
            }
            let part = lot.left.min(rest);
            rest = rest.less_at_least_zero(part);
            burned.push(OpenLot { left: part, ..*lot });
        }
        burned
    }

    /// What of the lots that are due at `now` no hold covers: `held` credits cover lots in burn order.
    #[must_use]
    pub fn uncovered(&self, held: Credits, now: Timestamp) -> Vec<OpenLot> {
        let mut cover = held;
        let mut uncovered = Vec::new();
        for lot in self.0.iter().take_while(|lot| lot.is_expired(now)) {
            let covered = lot.left.min(cover);
            cover = cover.less_at_least_zero(covered);
            let left = lot.left.less_at_least_zero(covered);
            if left.is_positive() {
                uncovered.push(OpenLot { left, ..*lot });
            }
        }
        uncovered
    }

    /// The soonest expiry after `now`.
    #[must_use]
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|lot| lot.expires_at).find(|due| *due > now)
    }

    /// Adds `moved.left` (which may be negative) to its lot; a lot that reaches zero is dropped, an unknown one with
    /// credits to add is taken in. `None` where a lot would fall below zero.
    #[must_use]
    pub fn shift(&mut self, moved: &OpenLot) -> Option<()> {
        match self.0.iter().position(|lot| lot.id == moved.id) {
            Some(place) => {
                let lot = self.0.get_mut(place)?;
                lot.left = lot.left.checked_add(moved.left)?;
                if lot.left < Credits::ZERO {
                    return None;
                }
                if lot.left.is_zero() {
                    self.0.remove(place);
                }
            }
            None if moved.left.is_positive() => {
                let place = self.0.partition_point(|lot| lot.burn_order(moved) == Ordering::Less);
                self.0.insert(place, *moved);
            }
            None => return None,
        }
        Some(())
    }

    /// What is left in all of them.
    #[must_use]
    pub fn total(&self) -> Option<Credits> {
        self.0.iter().try_fold(Credits::ZERO, |sum, lot| sum.checked_add(lot.left))
    }
}

impl super::codec::Codec for Lots {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(input: &mut &[u8]) -> Result<Self, super::codec::DecodeError> {
        Vec::take(input).map(Self)
    }

    fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    fn left_out() -> Option<Self> {
        Some(Self::default())
    }
}

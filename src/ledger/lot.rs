//! Lots: what purchases, grants and upward adjustments brought in, and the order in which they burn.

use std::cmp::Ordering;
use std::collections::{VecDeque, vec_deque};

use super::codec::{Codec, DecodeError, Decoder, Encoder, coded_enum, put_all, record};
use super::credits::Credits;
use super::ids::{LotId, OrderId, PostingId, Storefront};
use super::money::Money;
use super::time::Timestamp;
use super::unused::Unused;

coded_enum!(
    LotSource {
        /// Bought in a storefront, with a price paid.
        Purchase = 1 / "PURCHASE",
        /// Given away; burns before what was paid for.
        Grant = 2 / "GRANT",
        /// An operator's upward adjustment; has no price.
        Adjustment = 3 / "ADJUSTMENT",
    }
);

/// A lot: what never changes, and the refunds of a purchase. What is left of it is kept with its customer
/// ([`OpenLot`]); a lot that is not there is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Named by the posting that brought it in; a purchase's `purchase_id` is its lot's id.
    pub id: LotId,
    pub source: LotSource,
    /// What it brought in, more than zero. The share that repaid a debt is counted but was never in the lot.
    pub credits: Credits,
    /// The part of `credits` that repaid a debt at once.
    pub repaid: Credits,
    /// The price paid, for purchases.
    pub price: Option<Money>,
    pub storefront: Option<Storefront>,
    pub order: Option<OrderId>,
    /// When what is left falls due; by default credits never expire.
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// What was given back of it, oldest first; at most [`Lot::REFUNDS_MAX`].
    pub refunds: Vec<Refund>,
}
record!(Lot {
    1 => id, 2 => source, 3 => credits, 4 => repaid, 5 => price, 6 => storefront, 7 => order, 8 => expires_at,
    9 => created_at, 10 => refunds,
});

coded_enum!(
    /// Where a refund or a chargeback stands.
    RefundState {
        /// The money went back.
        Refunded = 1 / "REFUNDED",
        /// The refund was undone.
        Reversed = 2 / "REVERSED",
        /// A chargeback that the bank has not decided.
        Disputed = 3 / "DISPUTED",
        /// A chargeback that was decided for the vendor: the money came back.
        Won = 4 / "WON",
        /// A chargeback that was decided for the customer.
        Lost = 5 / "LOST",
    }
);

/// One refund or chargeback of a purchase, with what it takes to undo it exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The posting that recorded it.
    pub id: PostingId,
    pub at: Timestamp,
    pub state: RefundState,
    /// How many credits: `taken + unused + owed + written_off`.
    pub credits: Credits,
    /// The part that was left in the lot and free to take.
    pub taken: Credits,
    /// The part that the customer has owed since.
    pub owed: Credits,
    /// The part that the vendor bore.
    pub written_off: Credits,
    /// The money that went back, where the purchase has a price.
    pub price: Option<Money>,
    /// The deferred revenue that went with `taken`, in the currency's smallest unit.
    pub deferred_minor: i64,
    /// When it was undone or decided.
    pub ended_at: Option<Timestamp>,
    /// The part of `owed` or `written_off` that reversals of the work have undone since, without moving money.
    pub undone: Credits,
    /// What that work had earned for `undone`, in the currency's smallest unit.
    pub undone_minor: i64,
    /// The part that had left the lot unused, with what of its money came out of breakage.
    pub unused: Unused,
}
record!(Refund {
    1 => id, 2 => at, 3 => state, 4 => credits, 5 => taken, 6 => owed, 7 => written_off, 8 => price,
    9 => deferred_minor, 10 => ended_at, 11 => undone, 12 => undone_minor, 13 => unused,
});

impl Refund {
    /// True where the credits and the money are still given back.
    pub const fn stands(&self) -> bool {
        match self.state {
            RefundState::Refunded | RefundState::Disputed | RefundState::Lost => true,
            RefundState::Reversed | RefundState::Won => false,
        }
    }

    /// The part of the customer's debt for it that no reversal has undone.
    pub fn owed_still(&self) -> Credits {
        self.owed.less_at_least_zero(self.undone)
    }

    /// The part of the vendor's share that no reversal has undone. A refund has a debt or a vendor's share, never both.
    pub fn written_off_still(&self) -> Credits {
        self.written_off.less_at_least_zero(self.undone)
    }
}

impl Lot {
    /// Refunds and chargebacks of one purchase: its row is rewritten with each.
    pub const REFUNDS_MAX: usize = 100;

    /// The credits that stand as given back.
    pub fn refunded(&self) -> Credits {
        let standing = self.refunds.iter().filter(|refund| refund.stands());
        standing.fold(Credits::ZERO, |sum, refund| sum.checked_add(refund.credits).unwrap_or(sum))
    }

    /// The credits that can still be given back.
    pub fn refundable(&self) -> Credits {
        self.credits.less_at_least_zero(self.refunded())
    }

    /// The money that stands as given back, where there was a price.
    pub fn refunded_price(&self) -> Option<Money> {
        let standing = self.refunds.iter().filter(|refund| refund.stands());
        let units = standing.filter_map(|refund| Some(refund.price?.minor_units));
        Some(self.price?.with(units.fold(0, i64::saturating_add)))
    }

    /// What of `counted`, all that left it unused, no standing refund has given back. Its money is the breakage that
    /// later refunds may take.
    pub fn unused_left(&self, counted: &Unused) -> Unused {
        let standing = self.refunds.iter().filter(|refund| refund.stands());
        standing.fold(*counted, |left, refund| left.less(&refund.unused))
    }

    /// The chargeback that is not decided yet: there is at most one.
    pub fn dispute(&self) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.state == RefundState::Disputed)
    }
}

/// What is left of a lot, with the facts that its place in the burn order depends on; also a part of it that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLot {
    pub id: LotId,
    pub source: LotSource,
    /// When what is left falls due.
    pub expires_at: Option<Timestamp>,
    /// What is left, more than zero.
    pub left: Credits,
    /// The price of what is left: deferred revenue. `None` for a lot without a price.
    pub money: Option<Money>,
    /// True while a chargeback of it is not decided.
    pub disputed: bool,
}
record!(OpenLot { 1 => id, 2 => source, 3 => expires_at, 4 => left, 5 => money, 6 => disputed });

impl OpenLot {
    /// True from the moment it falls due.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|due| due <= now)
    }

    /// A part of `credits`, with their share of its money.
    #[must_use]
    pub fn part(&self, credits: Credits) -> Self {
        Self { left: credits, money: self.money.map(|money| money.share(credits, self.left)), ..*self }
    }

    /// What is left without a part of it.
    #[must_use]
    pub fn less(&self, part: &Self) -> Self {
        let money = self.money.zip(part.money).map(|(money, gone)| money.less(gone));
        Self { left: self.left.less_at_least_zero(part.left), money, ..*self }
    }

    #[must_use]
    pub fn negated(&self) -> Self {
        Self { left: self.left.negated(), money: self.money.map(Money::negated), ..*self }
    }

    /// The order in which lots burn: in dispute, expired (still covered by a hold), soonest expiry, promotional before
    /// paid, oldest.
    ///
    /// Expired lots sort before all others by their expiry alone, so the order does not depend on the time.
    pub fn burn_order(&self, other: &Self) -> Ordering {
        let key = |lot: &Self| {
            (
                !lot.disputed,
                lot.expires_at.unwrap_or(Timestamp::from_micros(i64::MAX)),
                lot.source != LotSource::Grant,
                lot.id,
            )
        };
        key(self).cmp(&key(other))
    }
}

/// A customer's lots with something left, kept in burn order. They leave at the front, so it is a deque: taking ten
/// thousand out of a vector moves all the others ten thousand times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lots(VecDeque<OpenLot>);

impl<'a> IntoIterator for &'a Lots {
    type Item = &'a OpenLot;
    type IntoIter = vec_deque::Iter<'a, OpenLot>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Lots {
    /// In burn order.
    pub fn iter(&self) -> vec_deque::Iter<'_, OpenLot> {
        self.0.iter()
    }

    /// What is left of `id`; zero for a spent lot.
    pub fn left(&self, id: LotId) -> Credits {
        self.get(id).map_or(Credits::ZERO, |lot| lot.left)
    }

    /// The lot `id`, where something is left of it.
    pub fn get(&self, id: LotId) -> Option<&OpenLot> {
        self.0.iter().find(|lot| lot.id == id)
    }

    /// What `credits` would burn, in burn order, each with the part taken. The invariants rule out that the lots hold
    /// less. If they did, all of them would burn, and the posting would be refused when it is applied.
    pub fn burn(&self, credits: Credits) -> Vec<OpenLot> {
        let mut rest = credits;
        let mut burned = Vec::new();
        for lot in &self.0 {
            if rest.is_zero() {
                break;
            }
            let part = lot.left.min(rest);
            rest = rest.less_at_least_zero(part);
            burned.push(lot.part(part));
        }
        burned
    }

    /// The parts of lots that are due at `now` and covered by no hold: `held` credits cover lots in burn order.
    pub fn uncovered(&self, held: Credits, now: Timestamp) -> Vec<OpenLot> {
        let mut cover = held;
        let mut uncovered = Vec::new();
        // Lots in dispute come before all others, expired or not; behind them the expired ones stand together.
        for lot in self.0.iter().take_while(|lot| lot.disputed || lot.is_expired(now)) {
            let covered = lot.left.min(cover);
            cover = cover.less_at_least_zero(covered);
            let left = lot.left.less_at_least_zero(covered);
            if left.is_positive() && lot.is_expired(now) {
                uncovered.push(lot.part(left));
            }
        }
        uncovered
    }

    /// The soonest expiry after `now`.
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|lot| lot.expires_at).filter(|due| *due > now).min()
    }

    /// Adds `moved` (which may be negative) to its lot; a lot that reaches zero is dropped, an unknown one with
    /// credits to add is taken in. `None` where a lot would fall below zero, or where the money that leaves is not the
    /// credits' share of the lot's money.
    #[must_use]
    pub fn shift(&mut self, moved: &OpenLot) -> Option<()> {
        match self.0.iter().position(|lot| lot.id == moved.id) {
            Some(place) => {
                let lot = self.0.get_mut(place)?;
                if moved.left < Credits::ZERO && moved.money != lot.part(moved.left.negated()).negated().money
                {
                    return None;
                }
                lot.left = lot.left.checked_add(moved.left)?;
                lot.money = match (lot.money, moved.money) {
                    (Some(money), Some(more)) if money.currency == more.currency => {
                        Some(money.with(money.minor_units.checked_add(more.minor_units)?))
                    }
                    (None, None) => None,
                    (Some(_), _) | (None, Some(_)) => return None,
                };
                if lot.left < Credits::ZERO {
                    return None;
                }
                if lot.left.is_zero() {
                    self.0.remove(place);
                }
            }
            None if moved.left.is_positive() => self.insert(*moved),
            None => return None,
        }
        Some(())
    }

    /// Notes whether a chargeback of a lot is open, which decides its place in burn order. A spent lot has no place.
    pub fn mark(&mut self, id: LotId, disputed: bool) {
        let place = self.0.iter().position(|lot| lot.id == id);
        if let Some(lot) = place.and_then(|place| self.0.remove(place)) {
            self.insert(OpenLot { disputed, ..lot });
        }
    }

    fn insert(&mut self, lot: OpenLot) {
        let place = self.0.partition_point(|other| other.burn_order(&lot) == Ordering::Less);
        self.0.insert(place, lot);
    }

    /// What is left in all of them.
    pub fn total(&self) -> Option<Credits> {
        self.0.iter().try_fold(Credits::ZERO, |sum, lot| sum.checked_add(lot.left))
    }
}

impl Codec for Lots {
    fn put(&self, out: &mut Encoder) {
        put_all(self.0.iter(), out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Vec::take(input).map(|lots| Self(lots.into()))
    }

    fn left_out() -> Option<Self> {
        Some(Self::default())
    }
}

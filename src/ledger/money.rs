//! Money: prices in the smallest unit of their currency, and how they are divided among credits. The money side
//! of a posting is double-entry for each currency.

use std::fmt;

use super::codec::{Codec, DecodeError, Decoder, Encoder, coded_enum, record};
use super::credits::Credits;
use super::ids::Storefront;
use super::rounding::half_up;

/// An amount in the smallest unit of a currency of ISO 4217 (cents for USD, yen for JPY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// The alphabetic code, three upper-case letters.
    pub currency: Currency,
    /// In the currency's smallest unit. A price is at least 0; what moves in a lot has a sign.
    pub minor_units: i64,
}
record!(Money { 1 => currency, 2 => minor_units });

impl Money {
    /// Another amount of the same currency.
    #[must_use]
    pub const fn with(self, minor_units: i64) -> Self {
        Self { minor_units, ..self }
    }

    /// The difference to another amount of the same currency.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        self.with(self.minor_units.saturating_sub(other.minor_units))
    }

    /// The lesser of two amounts of the same currency.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        self.with(self.minor_units.min(most.minor_units))
    }

    #[must_use]
    pub const fn negated(self) -> Self {
        self.with(self.minor_units.saturating_neg())
    }

    /// The share of `part` out of `whole` credits, to the nearest unit. Where the part is the whole, it is all of it:
    /// the last credit takes exactly what is left.
    #[must_use]
    pub fn share(self, part: Credits, whole: Credits) -> Self {
        self.with(share(self.minor_units, part, whole))
    }
}

/// `amount * part / whole` to the nearest unit, halves away from zero; nothing of no credits.
pub(super) fn share(amount: i64, part: Credits, whole: Credits) -> i64 {
    let (part, whole) = (i128::from(part.units()), i128::from(whole.units()));
    let product = i128::from(amount).saturating_mul(part);
    let magnitude = half_up(product.abs(), whole).unwrap_or(0);
    if product < 0 { magnitude.saturating_neg() } else { magnitude }
}

/// The alphabetic code of a currency; the boundary checks that ISO 4217 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Three upper-case letters.
    pub fn parse(code: &str) -> Option<Self> {
        let letters: [u8; 3] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Codec for Currency {
    fn put(&self, out: &mut Encoder) {
        out.extend_from_slice(&self.0);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let letters = input.chunk::<3>()?;
        std::str::from_utf8(&letters).ok().and_then(Self::parse).ok_or(DecodeError::Text)
    }
}

coded_enum!(
    /// A kind of account of the money journal; there is one of each for every currency.
    MoneyAccount {
        /// What a storefront has taken in for the vendor and owes it: one for each storefront. A debit balance, so
        /// below zero.
        StorefrontReceivable = 1 / "storefront_receivable",
        /// Paid for, not yet worked for: the price of what is left in lots.
        DeferredRevenue = 2 / "deferred_revenue",
        /// Worked for.
        EarnedRevenue = 3 / "earned_revenue",
        /// Paid for, and gone unused.
        Breakage = 4 / "breakage",
    }
);

/// What a posting moves in money, as its detail keeps it. It balances by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneyMove {
    pub debit: MoneyAccount,
    pub credit: MoneyAccount,
    /// How much; more than zero.
    pub money: Money,
}
record!(MoneyMove { 1 => debit, 2 => credit, 3 => money });

/// One account of the money journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoneyPlace {
    pub currency: Currency,
    pub account: MoneyAccount,
    /// Of which storefront, for its receivable.
    pub storefront: Option<Storefront>,
}

impl MoneyPlace {
    /// What the names of all of them begin with; those of accounts in credits never do.
    pub const PREFIX: &'static str = "money:";

    /// Its name within its currency: `deferred_revenue`, `storefront_receivable:web`.
    pub fn short_name(&self) -> String {
        match &self.storefront {
            Some(storefront) => format!("{}:{storefront}", self.account),
            None => self.account.to_string(),
        }
    }

    /// Reads a name as [`MoneyPlace`]'s `Display` writes it.
    pub fn parse(name: &str) -> Option<Self> {
        let (currency, rest) = name.strip_prefix(Self::PREFIX)?.split_once(':')?;
        let (account, storefront) = match rest.split_once(':') {
            Some((account, storefront)) => (account, Some(Storefront::parse(storefront).ok()?)),
            None => (rest, None),
        };
        let account = MoneyAccount::ALL.iter().copied().find(|known| known.name() == account)?;
        Some(Self { currency: Currency::parse(currency)?, account, storefront })
    }
}

impl fmt::Display for MoneyPlace {
    /// The name under which its balance is stored: `money:EUR:deferred_revenue`,
    /// `money:EUR:storefront_receivable:web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}", Self::PREFIX, self.currency, self.short_name())
    }
}

/// One row of the money journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneyTransfer {
    pub debit: MoneyPlace,
    pub credit: MoneyPlace,
    /// How much, in the currency's smallest unit; more than zero.
    pub minor_units: i64,
}

/// Adds a move to those of a posting, one for each pair of accounts and currency. A negative amount moves the other
/// way; a sum of zero is left out. `None` where a sum leaves 64 bits.
pub fn add_move(
    moves: &mut Vec<MoneyMove>,
    debit: MoneyAccount,
    credit: MoneyAccount,
    money: Money,
) -> Option<()> {
    let (debit, credit, money) =
        if money.minor_units < 0 { (credit, debit, money.negated()) } else { (debit, credit, money) };
    if money.minor_units == 0 {
        return Some(());
    }
    let same = moves
        .iter_mut()
        .find(|moved| (moved.debit, moved.credit, moved.money.currency) == (debit, credit, money.currency));
    match same {
        Some(same) => same.money.minor_units = same.money.minor_units.checked_add(money.minor_units)?,
        None => moves.push(MoneyMove { debit, credit, money }),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euro(minor_units: i64) -> Money {
        Money { currency: Currency::parse("EUR").unwrap(), minor_units }
    }

    #[test]
    fn a_price_is_divided_to_the_last_unit() {
        // 10.00 over 3 credits, one after the other: 3.33, 3.34, 3.33.
        let mut left = euro(1_000);
        let mut parts = Vec::new();
        for credits in [3, 2, 1] {
            let part = left.share(Credits::whole(1), Credits::whole(credits));
            left = left.with(left.minor_units - part.minor_units);
            parts.push(part.minor_units);
        }
        assert_eq!(parts, [333, 334, 333]);
        assert_eq!(left, euro(0));
    }

    #[test]
    fn shares_round_half_up_whatever_the_sign() {
        let half = |minor| euro(minor).share(Credits::whole(1), Credits::whole(2)).minor_units;
        assert_eq!([half(5), half(-5), half(4), half(0)], [3, -3, 2, 0]);
        assert_eq!(euro(5).share(Credits::ZERO, Credits::ZERO), euro(0));
        let most = Credits::MAX_BALANCE;
        assert_eq!(euro(i64::MAX).share(most, most), euro(i64::MAX));
    }

    #[test]
    fn names_are_read_back() {
        for name in ["money:EUR:deferred_revenue", "money:JPY:storefront_receivable:web:eu-1"] {
            assert_eq!(MoneyPlace::parse(name).unwrap().to_string(), name);
        }
        for bad in ["sales:web", "money:EUR", "money:eur:breakage", "money:EUR:cash"] {
            assert_eq!(MoneyPlace::parse(bad), None, "{bad}");
        }
    }
}

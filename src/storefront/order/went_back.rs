//! What went back of an order's money, and of its credits.

use super::facts::{Order, Refund, RefundLine, RefundState, Told};
use super::mapping::Mapping;
use super::priced::{Amount, CreditLine, Whole};
use crate::ledger::rounding::half_up;
use crate::ledger::{Credits, Currency, Money, OpenText};
use crate::storefront::amounts;

/// What went back in money.
pub struct Back<'a> {
    /// All of it, in the currency's smallest unit.
    pub all: i64,
    /// Of refunds that are done.
    done: Vec<&'a Refund>,
    /// Why a person has to look at it.
    pub problem: Option<String>,
    /// True where refunds name lines that the order was never told with: all that is left of them is for its credits.
    is_of_credits: bool,
}

impl<'a> Back<'a> {
    /// What went back of an order in its currency. Money of another currency is not counted, and is a problem.
    pub fn of(order: &'a Order, currency: Currency) -> Self {
        let is_own = |told: &&Told<Refund>| told.fact.currency.is_none_or(|told| told == currency);
        let is_done = |told: &&Told<Refund>| told.fact.state == RefundState::Done;
        let done = || order.refunds.values().filter(is_done).filter(is_own);
        let other = |currency, minor_units| {
            let shown = amounts::shown(Money { currency, minor_units });
            format!("{shown} went back, which is not the currency of the order")
        };
        let sum_in = order.refunded_in.as_ref().map(|told| told.fact).filter(|told| *told != currency);
        let sum_told = order.refunded_sum().filter(|_| sum_in.is_none());
        let sum = |refunds: &mut dyn Iterator<Item = &Told<Refund>>| {
            refunds.fold(0_i64, |sum, told| sum.saturating_add(told.fact.amount))
        };
        let all = match sum_told {
            None => sum(&mut done()),
            Some(Told { version, fact }) => {
                let later = sum(&mut done().filter(|told| told.fact.made_at > version.at));
                // It is in the sum, but has not gone back, or not after all. A sum that is newer than the failure of a
                // refund is without it.
                let undone = sum(&mut order.refunds.values().filter(is_own).filter(|told| {
                    let is_in_it = match told.fact.state {
                        RefundState::Done => false,
                        RefundState::Pending => true,
                        RefundState::Undone => told.version.at >= version.at,
                    };
                    is_in_it && told.fact.made_at <= version.at
                }));
                fact.saturating_sub(undone).max(0).saturating_add(later)
            }
        };
        let told =
            |told: &Told<Refund>| (!told.fact.problem.is_empty()).then(|| told.fact.problem.to_string());
        let of_sum = || {
            let told = sum_in.zip(order.refunded_total.as_ref()).filter(|(_, told)| told.fact > 0);
            told.map(|(currency, told)| other(currency, told.fact))
        };
        let others = || order.refunds.values().filter(is_done).filter(|told| !is_own(told));
        let of_other = || others().find_map(|told| Some(other(told.fact.currency?, told.fact.amount)));
        let problem = done().find_map(told).or_else(of_other).or_else(of_sum);
        Self { all, done: done().map(|told| &told.fact).collect(), problem, is_of_credits: false }
    }

    /// Leaves out what refunds say is for other goods: an earlier version kept of an order its credits alone.
    pub fn leave_others(&mut self, mapping: Mapping<'_>) {
        let is_other = |part: &&RefundLine| {
            !part.products.is_empty() && part.products.iter().all(|product| mapping.mapped(product).is_none())
        };
        for refund in &self.done {
            let others = refund.lines.iter().filter(is_other);
            let others = others.fold(refund.elsewhere, |sum, part| sum.saturating_add(part.amount));
            self.all = self.all.saturating_sub(others).max(0);
        }
        self.is_of_credits = true;
    }

    /// What went back of the credits, and the money that does not say what it is for.
    pub fn of_lines(&self, whole: &Whole, lines: &[CreditLine<'_>]) -> (Amount, i64) {
        if whole.total > 0 && self.all >= whole.total {
            return (whole.bought, 0);
        }
        let mut gone = Amount::default();
        let mut named_of_credits = 0_i64;
        for credit in lines {
            let named = self.named(|part| *part.0 == credit.line.id);
            let money = named.0.min(credit.gross);
            named_of_credits = named_of_credits.saturating_add(money);
            // Nothing was paid for a line that was free: its units tell how much of it goes back.
            let (part, of) = if credit.gross > 0 {
                (money, credit.gross)
            } else {
                let of = credit.line.quantity.and_then(|quantity| i64::try_from(quantity).ok()).unwrap_or(0);
                (named.1.min(of), of)
            };
            let share = |amount: i64| {
                half_up(i128::from(amount).saturating_mul(i128::from(part)), i128::from(of)).unwrap_or(0)
            };
            let credits = Credits::from_units(share(credit.amount.credits.units()));
            gone.credits = gone.credits.checked_add(credits).unwrap_or(whole.bought.credits);
            gone.money = gone.money.saturating_add(share(credit.amount.money));
        }
        let told = self.done.iter().fold(0_i64, |sum, refund| sum.saturating_add(refund.elsewhere));
        let told = if self.is_of_credits { 0 } else { told.saturating_add(self.named(|_| true).0) };
        let unnamed = self.all.saturating_sub(told).saturating_sub(whole.overpaid).max(0);
        if unnamed == 0 {
            return (gone, 0);
        }
        if whole.is_alone {
            return (whole.share(named_of_credits.saturating_add(unnamed), whole.gross), 0);
        }
        (gone, unnamed)
    }

    /// Money and units of the lines that refunds name.
    fn named(&self, is_meant: impl Fn((&OpenText, u64)) -> bool) -> (i64, i64) {
        let parts = self.done.iter().flat_map(|refund| &refund.lines);
        let meant = parts.filter(|part| is_meant((&part.line, part.quantity)));
        meant.fold((0, 0), |(money, units), part| {
            let quantity = i64::try_from(part.quantity).unwrap_or(i64::MAX);
            (money.saturating_add(part.amount), units.saturating_add(quantity))
        })
    }
}

//! What an order's lines of credits come to, and what was paid for them.

use super::facts::{Content, Dispute, Line};
use super::mapping::Mapping;
use crate::ledger::rounding::half_up;
use crate::ledger::{Credits, Money};
use crate::storefront::amounts;
use crate::storefront::shop::Mapped;

/// What only a person can tell, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear(pub String);

pub fn unclear<T>(why: impl Into<String>) -> Result<T, Unclear> {
    Err(Unclear(why.into()))
}

/// Credits with their money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub credits: Credits,
    /// In the smallest unit of the order's currency.
    pub money: i64,
}

/// A line of credits with what it comes to.
pub struct CreditLine<'a> {
    pub line: &'a Line,
    pub amount: Amount,
    /// What was paid for it, with tax.
    pub gross: i64,
}

/// An amount with its currency, for people.
pub fn shown(content: &Content, minor_units: i64) -> String {
    amounts::shown(Money { currency: content.currency, minor_units })
}

/// The lines of credits, each with what it comes to.
pub fn credit_lines<'a>(content: &'a Content, mapping: Mapping<'_>) -> Result<Vec<CreditLine<'a>>, Unclear> {
    if !content.problem.is_empty() {
        return unclear(content.problem.as_str());
    }
    let mut lines = Vec::new();
    let mut all = 0_i64;
    for line in &content.lines {
        let gross = line.net.saturating_add(line.tax);
        all = all.saturating_add(gross);
        let mapped = mapping.of(line);
        if line.credits.is_none() && mapped.is_none() {
            continue;
        }
        if !line.problem.is_empty() {
            return unclear(line.problem.as_str());
        }
        if line.net < 0 || line.tax < 0 || line.discount < 0 {
            return unclear("a line of credits has an amount below zero");
        }
        let credits = match (line.credits, mapped) {
            (Some(credits), _) => credits,
            (None, Some(mapped)) => credits_of(content, line, mapped)?,
            (None, None) => continue,
        };
        let money = if mapping.is_gross() { gross } else { line.net };
        lines.push(CreditLine { line, amount: Amount { credits, money }, gross });
    }
    // Each line may be rounded by a unit of the currency.
    let tolerance = i64::try_from(content.lines.len()).unwrap_or(i64::MAX);
    if all > content.total.saturating_add(tolerance) {
        return unclear(format!(
            "its lines come to {}, but {} was paid",
            shown(content, all),
            shown(content, content.total)
        ));
    }
    Ok(lines)
}

/// What a line comes to, by its quantity, or by its money where only that tells how many there are.
fn credits_of(content: &Content, line: &Line, mapped: Mapped) -> Result<Credits, Unclear> {
    let name = line.products.first().map(|product| product.0.as_str()).unwrap_or_default();
    let list = line.net.saturating_add(line.discount);
    let quantity = match (line.quantity, mapped.price) {
        (Some(quantity), None) => quantity,
        (None, None) => {
            return unclear(format!(
                "nothing tells how many of {name} were bought: neither a quantity nor a unit price in the settings"
            ));
        }
        (_, Some(price)) if price.currency != content.currency => {
            return unclear(format!(
                "{name} was paid in {}, and its unit price is named in {}",
                content.currency, price.currency
            ));
        }
        (told, Some(price)) => {
            let quantity = told.or_else(|| pieces(line, list, price.minor_units));
            let is_price = |quantity| costs(line, list, quantity, price.minor_units);
            let Some(quantity) = quantity.filter(|quantity| is_price(*quantity)) else {
                let each = told.and_then(|told| list.checked_div(i64::try_from(told).ok()?)).unwrap_or(list);
                return unclear(format!(
                    "{} was paid for {name}, whose unit price is {}",
                    shown(content, each),
                    amounts::shown(price)
                ));
            };
            quantity
        }
    };
    let units =
        i64::try_from(quantity).ok().and_then(|quantity| mapped.credits.units().checked_mul(quantity));
    let credits = units.map(Credits::from_units).filter(|credits| *credits <= Credits::MAX_PER_COMMAND);
    credits
        .ok_or_else(|| Unclear(format!("{quantity} of {name} are more credits than one purchase may have")))
}

/// How many pieces an amount pays for at a unit price.
fn pieces(line: &Line, list: i64, price: i64) -> Option<u64> {
    let whole = |amount: i64| half_up(i128::from(amount), i128::from(price)).filter(|count| *count > 0);
    [list, with_tax(line, list)].into_iter().filter_map(whole).find_map(|count| {
        let count = u64::try_from(count).ok()?;
        costs(line, list, count, price).then_some(count)
    })
}

/// Whether an amount is what so many pieces cost at list, with tax or without, to a unit of the currency each.
fn costs(line: &Line, list: i64, quantity: u64, price: i64) -> bool {
    let Ok(quantity) = i64::try_from(quantity) else { return false };
    let expected = price.saturating_mul(quantity);
    let is_near = |amount: i64| amount.abs_diff(expected) <= quantity.unsigned_abs();
    is_near(list) || is_near(with_tax(line, list))
}

/// An amount at list with the tax that the line was taxed by.
fn with_tax(line: &Line, list: i64) -> i64 {
    let gross = i128::from(line.net.saturating_add(line.tax));
    half_up(i128::from(list).saturating_mul(gross), i128::from(line.net)).unwrap_or(list)
}

/// An order's credits as a whole.
pub struct Whole {
    pub bought: Amount,
    /// What was paid for them, with tax.
    pub gross: i64,
    /// What was paid for the whole order.
    pub total: i64,
    /// True where the order has nothing but credits.
    pub is_alone: bool,
    /// What was paid at first beyond what is still in the order: an edit took it out.
    pub overpaid: i64,
}

impl Whole {
    pub fn of(content: &Content, lines: &[CreditLine<'_>], mapping: Mapping<'_>) -> Self {
        let add = |sum: Amount, line: &CreditLine<'_>| Amount {
            credits: sum.credits.checked_add(line.amount.credits).unwrap_or(sum.credits),
            money: sum.money.saturating_add(line.amount.money),
        };
        let gross = lines.iter().fold(0, |sum: i64, line| sum.saturating_add(line.gross));
        let all = content
            .lines
            .iter()
            .fold(content.elsewhere, |sum, line| sum.saturating_add(line.net).saturating_add(line.tax));
        // Other goods that were free take no part of any money.
        let others =
            content.lines.iter().any(|line| !mapping.is_mapped(line) && (line.net, line.tax) != (0, 0));
        let tolerance = i64::try_from(content.lines.len()).unwrap_or(i64::MAX);
        let beyond = content.total.saturating_sub(all);
        Self {
            bought: lines.iter().fold(Amount::default(), add),
            gross,
            total: content.total,
            is_alone: !others && content.elsewhere == 0,
            overpaid: if beyond > tolerance { beyond } else { 0 },
        }
    }

    /// The share of everything that an amount of its money is.
    pub fn share(&self, money: i64, of: i64) -> Amount {
        if money >= of {
            return self.bought;
        }
        let share = |amount: i64| {
            half_up(i128::from(amount).saturating_mul(i128::from(money.max(0))), i128::from(of))
                .unwrap_or(amount)
        };
        Amount {
            credits: Credits::from_units(share(self.bought.credits.units())),
            money: share(self.bought.money),
        }
    }

    /// What a dispute is about. `left` is what was paid and did not go back.
    pub fn of_dispute(&self, dispute: &Dispute, left: i64) -> Result<Amount, Unclear> {
        if dispute.amount >= left {
            // The bank may take fees, or another currency's worth: it cannot take more credits than there are.
            return Ok(self.bought);
        }
        if self.is_alone {
            return Ok(self.share(dispute.amount, self.total));
        }
        unclear("a part of the order is in dispute, and the order has other goods")
    }
}

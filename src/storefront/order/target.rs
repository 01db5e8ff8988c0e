//! What the ledger should show of an order: a pure function of its facts and of what its products come to.
//!
//! Credits and their price come from the mapped lines alone. What cannot be told for sure is [`Unclear`], with the reason,
//! and waits for a person: nothing is credited that was not paid, and nothing taken back that was not given back.

use super::facts::{Content, Dispute, DisputeState, Line, Order, PaymentState, Refund, Source, Told};
use super::mapping::Mapping;
use super::priced::{Amount, Unclear, Whole, credit_lines, shown, unclear};
use super::went_back::Back;
use crate::ledger::codec::{encode, record};
use crate::ledger::hash::stable_hash;
use crate::ledger::{Credits, Currency, Money, OpenText};

/// What was bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bought {
    /// Nothing was paid in earnest.
    NotOurs,
    /// No product is mapped.
    Unmapped,
    /// Nothing was told of the order itself yet.
    Unknown,
    /// It is not paid.
    Open,
    /// It was cancelled, or its payment failed.
    Void,
    Known(Amount),
    Unclear(Unclear),
}

/// An amount that a dispute is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disputed {
    pub id: OpenText,
    pub state: DisputeState,
    pub amount: Result<Amount, Unclear>,
    /// A hash of its state and amount: another one where something new is told of it.
    pub told: u64,
}

/// What the ledger should show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub bought: Bought,
    /// What went back by refunds, as far as they are clear.
    pub gone: Amount,
    /// Money that went back and does not say what for; 0 where all of it does.
    pub unnamed: i64,
    /// Why a person has to look at the refunds.
    pub gone_unclear: Option<Unclear>,
    /// Oldest fact first, without those that moved no money.
    pub disputed: Vec<Disputed>,
    /// True where the lines of credits are known: otherwise nothing tells what refunds come to.
    pub is_priced: bool,
}

/// The document that tells what was sold: the last one with a product that is mapped, otherwise the last.
pub fn content<'a>(order: &'a Order, mapping: Mapping<'_>) -> Option<&'a Content> {
    let told = || order.contents.values().rev().map(|told| &told.fact);
    told().find(|content| content.lines.iter().any(|line| mapping.is_mapped(line))).or_else(|| told().next())
}

/// Whether any product of an order is mapped; `None` where that was not told.
pub fn is_ours(order: &Order, mapping: Mapping<'_>) -> Option<bool> {
    let Some(content) = content(order, mapping) else {
        return are_others(order, mapping).then_some(false);
    };
    let is_tested = order.test && !mapping.shop.accept_test_payments;
    Some(!is_tested && content.lines.iter().any(|line| mapping.is_mapped(line)))
}

/// True for an order of which nothing is told but refunds, all of other goods.
fn are_others(order: &Order, mapping: Mapping<'_>) -> bool {
    let is_other = |refund: &Refund| {
        let named = refund.lines.iter().fold(refund.elsewhere, |sum, part| sum.saturating_add(part.amount));
        let is_known = |product: &OpenText| mapping.mapped(product).is_some();
        let others =
            refund.lines.iter().all(|part| !part.products.is_empty() && !part.products.iter().any(is_known));
        others && !refund.lines.is_empty() && named >= refund.amount
    };
    let is_told = order.refunded_sum().is_some() || !order.disputes.is_empty();
    !is_told && !order.refunds.is_empty() && order.refunds.values().all(|told| is_other(&told.fact))
}

/// What the ledger should show of an order. `decided` is what a person said about money that does not say what it is for.
pub fn target(order: &Order, mapping: Mapping<'_>, decided: Option<&Unnamed>) -> Target {
    let mut target = Target {
        bought: Bought::Unknown,
        gone: Amount::default(),
        unnamed: 0,
        gone_unclear: None,
        disputed: Vec::new(),
        is_priced: false,
    };
    let Some(content) = content(order, mapping) else {
        return target;
    };
    let currency = content.currency;
    let mut back = Back::of(order, currency);
    if order.contents.get(&Source::Before).is_some_and(|before| before.fact == *content) {
        back.leave_others(mapping);
    }
    if order.test && !mapping.shop.accept_test_payments {
        target.bought = Bought::NotOurs;
        return target;
    }
    if is_ours(order, mapping) != Some(true) {
        const WHY: &str = "none of its products is mapped";
        target.bought = Bought::Unmapped;
        target.disputed = disputes(order, currency, |_| unclear(WHY));
        if back.all > 0 {
            target.gone_unclear = Some(Unclear(format!("{} went back, and {WHY}", shown(content, back.all))));
        }
        return target;
    }
    let lines = match credit_lines(content, mapping) {
        Ok(lines) => lines,
        Err(why) => {
            target.disputed = disputes(order, currency, |_| Err(why.clone()));
            if back.all > 0 {
                let Unclear(why) = &why;
                target.gone_unclear =
                    Some(Unclear(format!("{} went back, and {why}", shown(content, back.all))));
            }
            target.bought = match content.payment {
                PaymentState::Paid => Bought::Unclear(why),
                PaymentState::Open => Bought::Open,
                PaymentState::Void => Bought::Void,
            };
            return target;
        }
    };
    let whole = Whole::of(content, &lines, mapping);
    target.is_priced = true;
    target.bought = match content.payment {
        PaymentState::Paid => Bought::Known(whole.bought),
        PaymentState::Open => Bought::Open,
        PaymentState::Void => Bought::Void,
    };
    if let Some(problem) = back.problem.take() {
        target.gone_unclear = Some(Unclear(problem));
    }
    (target.gone, target.unnamed) = back.of_lines(&whole, &lines);
    if target.unnamed > 0 {
        if let Some(decided) = decided.filter(|decided| decided.money == target.unnamed) {
            let credits = target.gone.credits.checked_add(decided.credits);
            target.gone.credits = credits.unwrap_or(whole.bought.credits).min(whole.bought.credits);
        } else {
            let most = whole.bought.credits.less_at_least_zero(target.gone.credits);
            target.gone_unclear.get_or_insert_with(|| {
                Unclear(format!(
                    "{} went back without saying what for, and the order has other goods: it may be for up to {most} \
                     credits, or for none",
                    shown(content, target.unnamed),
                ))
            });
        }
    }
    let left = content.total.saturating_sub(back.all);
    target.disputed = disputes(order, currency, |dispute| whole.of_dispute(dispute, left));
    target
}

/// What an order is worth for a person to say whose it is, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    pub credits: Option<Credits>,
    /// What was paid for its products of credits; for the whole order where none is mapped.
    pub price: Option<Money>,
}

/// What an order is worth.
pub fn worth(order: &Order, mapping: Mapping<'_>) -> Worth {
    let Some(content) = content(order, mapping) else { return Worth::default() };
    let with = |minor_units| Some(Money { currency: content.currency, minor_units });
    if let Ok(lines) = credit_lines(content, mapping)
        && !lines.is_empty()
    {
        let bought = Whole::of(content, &lines, mapping).bought;
        return Worth { credits: Some(bought.credits), price: with(bought.money) };
    }
    let mapped = || content.lines.iter().filter(|line| mapping.is_mapped(line));
    let paid = |line: &Line| if mapping.is_gross() { line.net.saturating_add(line.tax) } else { line.net };
    let paid = mapped().fold(0_i64, |sum, line| sum.saturating_add(paid(line)));
    Worth { credits: None, price: with(if mapped().next().is_some() { paid } else { content.total }) }
}

/// What a person said about money that does not say what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// The money, in the currency's smallest unit. The word counts for just this much.
    pub money: i64,
    /// The credits that it is for.
    pub credits: Credits,
}
record!(Unnamed { 1 => money, 2 => credits });

fn disputes(
    order: &Order,
    currency: Currency,
    amount: impl Fn(&Dispute) -> Result<Amount, Unclear>,
) -> Vec<Disputed> {
    let mut told: Vec<(&OpenText, &Told<Dispute>)> = order.disputes.iter().collect();
    told.sort_by_key(|(id, told)| (told.version, (*id).clone()));
    let read = |(id, told): (&OpenText, &Told<Dispute>)| {
        let problem = told.fact.problem.as_str();
        let amount = match told.fact.currency.filter(|told| *told != currency) {
            _ if !problem.is_empty() => unclear(problem),
            Some(other) => unclear(format!("the dispute is in {other}, and the order in {currency}")),
            None => amount(&told.fact),
        };
        let told_of_it = stable_hash(&[&encode(&told.fact)]);
        Disputed { id: id.clone(), state: told.fact.state, amount, told: told_of_it }
    };
    told.into_iter().filter(|(_, told)| told.fact.state != DisputeState::Inquiry).map(read).collect()
}

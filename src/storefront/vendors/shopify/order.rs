//! Reads an order: what was sold, whether it is paid, and the refunds that its payload repeats.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

use super::money::{named, shop_money, sum};
use super::refund::{self, Context};
use crate::ledger::OpenText;
use crate::storefront::json::{self, cut, text, text_at};
use crate::storefront::order::{Content, Line, Order, PaymentState, RefundState, Source, Told, Version};
use crate::storefront::shop::Shop;
use crate::storefront::vendors::reading::{
    Problem, Scale, count, decimal, entries, id, is_silent, list, products, share, time,
};
use crate::storefront::vendors::{REFUND_PARTS_MAX, Unreadable};

const LINES_MAX: usize = 500;
const REFUNDS_MAX: usize = 100;

pub(super) fn read(shop: &Shop, body: &Value) -> Result<Order, Unreadable> {
    let mut order = named(body.get("id"), "the order's id")?;
    let at = time(body.get("updated_at"));
    let at = at.ok_or_else(|| Unreadable("updated_at is no time".to_owned()))?;
    let code = text(body.get("currency"));
    let scale = Scale::of(&code).ok_or_else(|| Unreadable(format!("the currency {code:?} is unknown")))?;
    let has_tax_inside = body.get("taxes_included") == Some(&Value::Bool(true));
    let context = Context {
        scale: &scale,
        presentment: text(body.get("presentment_currency")),
        taxes_included: Some(has_tax_inside),
        rate: rate(body),
    };
    let mut parts = 0_usize;
    let mut back = Back { is_unclear: is_silent(body.get("refunds")), ..Back::default() };
    if !back.is_unclear {
        for value in list(body, "refunds", REFUNDS_MAX)? {
            back.is_unclear |= is_silent(value.get("transactions"));
            let Some(read) = refund::read(value, &context)? else { continue };
            parts = parts.saturating_add(read.refund.lines.len());
            if parts > REFUND_PARTS_MAX {
                return Err(Unreadable(format!("refunds name more than {REFUND_PARTS_MAX} lines in all")));
            }
            for line in &read.refund.lines {
                let units = back.units.entry(line.line.clone()).or_default();
                *units = units.saturating_add(line.quantity);
            }
            if read.refund.state != RefundState::Undone {
                back.money = back.money.saturating_add(read.refund.amount);
            }
            order.refunds.insert(read.id, Told::at(at, read.rank, read.refund));
        }
    }
    let (content, rank) = content(body, &scale, has_tax_inside, &back)?;
    // What was paid before stays where an edit makes an order one that is paid in part.
    let version =
        if content.payment == PaymentState::Open { Version::default() } else { Version { at, rank } };
    order.contents = [(Source::Order, Told { version, fact: content })].into();
    let customer = text_at(body, &shop.customer);
    order.customer = (!customer.is_empty()).then(|| Told::at(at, 0, cut(&customer)));
    order.test = body.get("test") == Some(&Value::Bool(true));
    Ok(order)
}

/// What went back of an order, or will.
#[derive(Default)]
struct Back {
    money: i64,
    /// By line, those of refunds with money.
    units: BTreeMap<OpenText, u64>,
    /// The refunds, or the money of one, are left out.
    is_unclear: bool,
}

/// A total of the order in the shop's currency and in the customer's.
fn rate(body: &Value) -> (Decimal, Decimal) {
    let side =
        |side: &str| decimal(json::at(body, &format!("total_price_set.{side}.amount"))).unwrap_or_default();
    (side("shop_money"), side("presentment_money"))
}

fn content(
    body: &Value,
    scale: &Scale,
    has_tax_inside: bool,
    back: &Back,
) -> Result<(Content, u32), Unreadable> {
    let problem = Problem::default();
    let (payment, rank) = payment(body, &problem);
    let is_cancelled = !is_silent(body.get("cancelled_at"));
    let mut lines = Vec::new();
    let (mut all, mut left) = (0_i64, 0_i64);
    for value in list(body, "line_items", LINES_MAX)? {
        let whole = read_line(value, scale, has_tax_inside)?;
        let back = back.units.get(&whole.id).copied().unwrap_or(0);
        all = all.saturating_add(gross(&whole));
        // Cancelling takes all units out; whether money went back is for the refunds to say.
        let line = if is_cancelled { whole } else { less_edited(whole, value, back) };
        left = left.saturating_add(gross(&line));
        lines.push(line);
    }
    let others = problem.or_say(others(body, scale, has_tax_inside), || {
        "shipping, tips, duties or fees cannot be read".to_owned()
    });
    let told =
        problem.or_say(scale.amount(body.get("total_price")), || "total_price cannot be read".to_owned());
    let slack = i64::try_from(lines.len()).unwrap_or(i64::MAX).saturating_add(2);
    let sums = Sums { all, left, others, slack };
    let (total, elsewhere) = if lines.iter().all(|line| line.problem.is_empty()) {
        sums.total(told, received(body, scale, back), scale, &problem)
    } else {
        // A line that cannot be read waits by itself, should it be one of credits.
        (told, others)
    };
    if back.is_unclear && left != all {
        problem.say("units were taken out, and whether their money went back is not told");
    }
    if payment == PaymentState::Paid && total > 0 {
        if is_cancelled && back.money == 0 {
            problem.say("it was cancelled after it was paid, and no money went back");
        }
        let is_refunded = text(body.get("financial_status")) == "refunded";
        if is_refunded && back.money.saturating_add(sums.slack) < total {
            problem.say(format!("it is refunded, but its refunds come to {}", scale.shown(back.money)));
        }
    }
    let (note, currency) = (scale.note(), scale.currency);
    let content = Content { payment, currency, total, elsewhere, lines, problem: problem.text(), note };
    Ok((content, rank))
}

/// Whether it is paid, and how far that state has moved.
fn payment(body: &Value, problem: &Problem) -> (PaymentState, u32) {
    let is_cancelled = !is_silent(body.get("cancelled_at"));
    match text(body.get("financial_status")).as_str() {
        "pending" | "authorized" if !is_cancelled => (PaymentState::Open, 0),
        "partially_paid" => (PaymentState::Open, 0),
        "paid" => (PaymentState::Paid, 1),
        "partially_refunded" => (PaymentState::Paid, 2),
        "refunded" => (PaymentState::Paid, 3),
        "pending" | "authorized" | "voided" | "expired" => (PaymentState::Void, 4),
        other => {
            problem.say(format!("financial_status {other:?} is unknown"));
            (PaymentState::Paid, 1)
        }
    }
}

fn gross(line: &Line) -> i64 {
    line.net.saturating_add(line.tax)
}

/// A line with all units that were ever sold.
fn read_line(value: &Value, scale: &Scale, has_tax_inside: bool) -> Result<Line, Unreadable> {
    let id = id(value.get("id"), "the id of a line")?;
    let problem = Problem::default();
    let quantity = count(value.get("quantity")).filter(|quantity| *quantity > 0);
    let quantity = problem.or_say(quantity, || "the quantity is no whole number from 1 on".to_owned());
    let price = shop_money(scale, value, "price").filter(|_| {
        !is_silent(value.get("price")) || value.get("price_set").is_some_and(|set| !set.is_null())
    });
    let listed = price.and_then(|price| price.checked_mul(Decimal::from(quantity)));
    let listed = listed.and_then(|listed| scale.units(listed)).filter(|listed| *listed >= 0);
    let listed = problem.or_say(listed, || "the price cannot be read".to_owned());
    let off = if entries(value, "discount_allocations").next().is_some() {
        sum(scale, value, "discount_allocations", "amount")
    } else {
        shop_money(scale, value, "total_discount")
    };
    let off = off.and_then(|off| scale.units(off)).filter(|off| (0..=listed).contains(off));
    let off = problem.or_say(off, || "the discounts cannot be read, or are above the price".to_owned());
    let paid = listed.saturating_sub(off);
    let tax = sum(scale, value, "tax_lines", "price").and_then(|tax| scale.units(tax));
    let tax = tax.filter(|tax| *tax >= 0 && (!has_tax_inside || *tax <= paid));
    let tax = problem.or_say(tax, || "the taxes cannot be read, or are above the price".to_owned());
    let net = if has_tax_inside { paid.saturating_sub(tax) } else { paid };
    let discount = if has_tax_inside { without_tax(off, net, paid, value) } else { off };
    if current(value).is_none() {
        problem.say("current_quantity is no whole number");
    }
    Ok(Line {
        id,
        products: products(value, ["variant_id", "product_id", "sku"]),
        quantity: Some(quantity),
        net,
        tax,
        discount,
        credits: None,
        problem: problem.text(),
    })
}

/// The part of a discount that is no tax: as much as of what was paid, or where nothing was, by the rates of the tax.
fn without_tax(off: i64, net: i64, paid: i64, value: &Value) -> i64 {
    if paid > 0 {
        return share(off, net, paid);
    }
    let rates = entries(value, "tax_lines").filter_map(|tax| decimal(tax.get("rate")));
    let rate = rates.fold(Decimal::ONE, |sum, rate| sum.saturating_add(rate.max(Decimal::ZERO)));
    let money = Decimal::from(off).checked_div(rate).map(|money| money.round());
    money.and_then(|money| i64::try_from(money).ok()).unwrap_or(off)
}

/// Units that are still in the order, less those that a refund took out.
fn current(value: &Value) -> Option<u64> {
    let current = value.get("current_quantity");
    // Versions of the API before edits do not tell it.
    if is_silent(current) { count(value.get("quantity")).or(Some(0)) } else { count(current) }
}

/// The line without the units that edits took out; `back` of those that left it went with a refund.
fn less_edited(line: Line, value: &Value, back: u64) -> Line {
    let all = line.quantity.unwrap_or(0);
    let gone = all.saturating_sub(current(value).unwrap_or(all));
    let kept = all.saturating_sub(gone.saturating_sub(back));
    if kept == all {
        return line;
    }
    let part = |amount: i64| {
        share(amount, i64::try_from(kept).unwrap_or(i64::MAX), i64::try_from(all).unwrap_or(i64::MAX))
    };
    Line {
        quantity: Some(kept),
        net: part(line.net),
        tax: part(line.tax),
        discount: part(line.discount),
        ..line
    }
}

/// What is for no line.
fn others(body: &Value, scale: &Scale, has_tax_inside: bool) -> Option<i64> {
    let mut sums = ["original_total_duties", "original_total_additional_fees"]
        .iter()
        .try_fold(Decimal::ZERO, |sum, field| sum.checked_add(shop_money(scale, body, field)?))?;
    sums = sums.checked_add(shop_money(scale, body, "total_tip_received")?)?;
    for shipping in entries(body, "shipping_lines") {
        sums = sums.checked_add(shop_money(scale, shipping, "price")?)?;
        sums = sums.checked_sub(sum(scale, shipping, "discount_allocations", "amount")?)?;
        if !has_tax_inside {
            sums = sums.checked_add(sum(scale, shipping, "tax_lines", "price")?)?;
        }
    }
    scale.units(sums).filter(|sums| *sums >= 0)
}

/// What was ever received for an order, where it is told: what it costs now, less what is still owed for it, and what
/// went back.
fn received(body: &Value, scale: &Scale, back: &Back) -> Option<i64> {
    let owed = scale.amount(body.get("total_outstanding"))?;
    let now = scale.amount(body.get("current_total_price"))?;
    now.checked_sub(owed)?.checked_add(back.money)
}

/// What an order comes to.
struct Sums {
    /// All lines with all units ever sold.
    all: i64,
    /// The lines with the units that edits left.
    left: i64,
    /// For no line.
    others: i64,
    /// What rounding may make of it.
    slack: i64,
}

impl Sums {
    /// What was paid at first, and the part of it that is for no line.
    fn total(&self, told: i64, received: Option<i64>, scale: &Scale, problem: &Problem) -> (i64, i64) {
        let sum = self.all.saturating_add(self.others);
        let edited = self.all.saturating_sub(self.left);
        let is_near = |sum: i64| told.abs_diff(sum) <= self.slack.unsigned_abs();
        // Rounding is no reason to doubt the lines.
        if is_near(sum) || is_near(sum.saturating_sub(edited)) {
            let least = sum.saturating_sub(edited);
            let total = if edited > 0 { received.unwrap_or(sum).clamp(least, sum) } else { sum };
            return (total, self.others);
        }
        if edited > 0 || told < self.all {
            let (told, sum) = (scale.shown(told), scale.shown(sum));
            problem.say(format!("the total is {told}, but lines and shipping come to {sum}"));
        }
        (told, told.saturating_sub(self.all).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_what_was_paid_at_first() {
        let scale = Scale::of("EUR").unwrap();
        let total = |all, left, others, told, received| {
            let problem = Problem::default();
            let (total, elsewhere) =
                Sums { all, left, others, slack: 3 }.total(told, received, &scale, &problem);
            (total, elsewhere, !problem.text().is_empty())
        };
        // As sold; rounded; with something that no field tells; less than its lines.
        assert_eq!(total(2_000, 2_000, 500, 2_500, None), (2_500, 500, false));
        assert_eq!(total(2_000, 2_000, 500, 2_501, None), (2_500, 500, false));
        assert_eq!(total(2_000, 2_000, 0, 2_300, None), (2_300, 300, false));
        assert_eq!(total(2_000, 2_000, 0, 1_000, None), (1_000, 0, true));
        // Edited down after the payment, whether the total still has what was taken out or not; before the payment.
        assert_eq!(total(6_000, 2_000, 0, 6_000, None), (6_000, 0, false));
        assert_eq!(total(6_000, 2_000, 500, 2_500, Some(6_500)), (6_500, 500, false));
        assert_eq!(total(6_000, 2_000, 0, 6_000, Some(2_000)), (2_000, 0, false));
        assert!(total(6_000, 2_000, 0, 9_000, None).2);
    }
}

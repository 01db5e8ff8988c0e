//! Reads a refund: how much money goes back in the shop's currency, and for which lines.

use rust_decimal::Decimal;
use serde_json::Value;

use super::money::{named, presentment_money, shop_money, sum};
use crate::ledger::{OpenText, Timestamp};
use crate::storefront::json::{at, cut, text};
use crate::storefront::order::{Order, Refund, RefundLine, RefundState, Told};
use crate::storefront::vendors::Unreadable;
use crate::storefront::vendors::reading::{
    Problem, Scale, count, decimal, entries, id, list, products, shares, time,
};

/// The most lines of a refund that are read.
const LINES_MAX: usize = 500;

/// What the order of a refund tells about money.
pub(super) struct Context<'a> {
    /// The shop's currency.
    pub scale: &'a Scale,
    /// The currency that the customer paid in; empty where it is not told.
    pub presentment: String,
    pub taxes_included: Option<bool>,
    /// The same amount in the shop's currency and in the customer's.
    pub rate: (Decimal, Decimal),
}

/// A refund with money.
pub(super) struct Read {
    pub id: OpenText,
    pub refund: Refund,
    /// How far its state has moved.
    pub rank: u32,
}

/// Reads a delivery about a refund alone; none where it has no money.
pub(super) fn read_alone(body: &Value) -> Result<Option<Order>, Unreadable> {
    let mut order = named(body.get("order_id"), "order_id")?;
    let scale = Scale::of(&shop_code(body));
    let read = match &scale {
        Some(scale) => {
            let presentment = code_in(body, "presentment_money");
            let rate = (Decimal::ZERO, Decimal::ZERO);
            read(body, &Context { scale, presentment, taxes_included: None, rate })?
        }
        None => unclear(body)?,
    };
    let Some(Read { id, refund, rank }) = read else { return Ok(None) };
    order.test = money_back(body).any(|transaction| transaction.get("test") == Some(&Value::Bool(true)));
    // Its order dates it: without the order it has only its state.
    order.refunds = [(id, Told::undated(rank, refund))].into();
    Ok(Some(order))
}

/// Reads a refund; none where it has no money, which moves nothing.
pub(super) fn read(body: &Value, context: &Context<'_>) -> Result<Option<Read>, Unreadable> {
    let name = id(body.get("id"), "the refund's id")?;
    if money_back(body).next().is_none() {
        return Ok(None);
    }
    list(body, "refund_line_items", LINES_MAX)?;
    let problem = Problem::default();
    let parts = problem.or_say(Parts::read(body, context.scale), || {
        "the amounts of its lines or adjustments cannot be read".to_owned()
    });
    let (state, amount, done) = transacted(body, context, &parts, &problem);
    if amount == 0 && state == RefundState::Done && problem.is_none() {
        return Ok(None);
    }
    let has_tax_inside = context.taxes_included.unwrap_or_else(|| {
        let units = |amount: Decimal| context.scale.units(amount);
        units(parts.shop.inclusive()) == Some(amount) && units(parts.shop.exclusive()) != Some(amount)
    });
    let elsewhere = context.scale.units(parts.shop.elsewhere(has_tax_inside)).unwrap_or(0).clamp(0, amount);
    let lines = lines(body, context.scale, has_tax_inside, amount.saturating_sub(elsewhere), &problem)?;
    let refund = Refund {
        state,
        made_at: made_at(body),
        amount,
        lines,
        elsewhere,
        problem: problem.text(),
        currency: Some(context.scale.currency),
    };
    // More transactions that are done are newer than fewer.
    let rank = match state {
        RefundState::Pending => 1,
        RefundState::Done => done.saturating_add(1),
        RefundState::Undone => 1_000_000,
    };
    Ok(Some(Read { id: name, refund, rank }))
}

/// A refund of which nothing tells the shop's money.
fn unclear(body: &Value) -> Result<Option<Read>, Unreadable> {
    let name = id(body.get("id"), "the refund's id")?;
    if money_back(body).next().is_none() {
        return Ok(None);
    }
    let refund = Refund {
        state: RefundState::Pending,
        made_at: made_at(body),
        amount: 0,
        lines: Vec::new(),
        elsewhere: 0,
        problem: cut("nothing tells how much it is in the shop's currency"),
        currency: None,
    };
    Ok(Some(Read { id: name, refund, rank: 0 }))
}

fn made_at(body: &Value) -> Timestamp {
    time(body.get("processed_at")).or_else(|| time(body.get("created_at"))).unwrap_or_default()
}

/// The transactions that move money back.
fn money_back(body: &Value) -> impl Iterator<Item = &Value> {
    entries(body, "transactions").filter(|transaction| text(transaction.get("kind")) == "refund")
}

/// The amount that was transacted, its state, and how many transactions are done.
fn transacted(
    body: &Value,
    context: &Context<'_>,
    parts: &Parts,
    problem: &Problem,
) -> (RefundState, i64, u32) {
    let (mut done, mut pending, mut undone, mut successes) = (0_i64, 0_i64, 0_i64, 0_u32);
    for transaction in money_back(body) {
        let amount =
            in_shop_money(transaction, context, parts).and_then(|amount| context.scale.units(amount));
        let amount = problem.or_say(amount.filter(|amount| *amount >= 0), || {
            "nothing tells how much it is in the shop's currency".to_owned()
        });
        let sum = match text(transaction.get("status")).as_str() {
            "success" => {
                successes = successes.saturating_add(1);
                &mut done
            }
            "failure" | "error" => &mut undone,
            "pending" => &mut pending,
            other => {
                problem.say(format!("the status {other:?} of a transaction is unknown"));
                &mut pending
            }
        };
        *sum = sum.saturating_add(amount);
    }
    // What is still pending beside money that went back is counted once it is done.
    if successes > 0 {
        (RefundState::Done, done, successes)
    } else if pending > 0 || undone == 0 {
        (RefundState::Pending, pending, 0)
    } else {
        (RefundState::Undone, undone, 0)
    }
}

/// A transaction's amount in the shop's currency. Its own currency is the customer's, or is not told.
fn in_shop_money(transaction: &Value, context: &Context<'_>, parts: &Parts) -> Option<Decimal> {
    if let Some(money) = at(transaction, "amount_set.shop_money") {
        return context.scale.is(&text(money.get("currency_code"))).then(|| decimal(money.get("amount")))?;
    }
    let amount = decimal(transaction.get("amount"))?;
    let code = text(transaction.get("currency"));
    let (shop, presentment) = (&parts.shop, &parts.presentment);
    let is_shop_money = if code.is_empty() {
        context.scale.is(&context.presentment)
            || (!parts.is_told() && context.presentment.is_empty())
            || amount == shop.exclusive()
            || amount == shop.inclusive()
    } else {
        context.scale.is(&code)
    };
    if is_shop_money {
        return Some(amount);
    }
    if amount == presentment.exclusive() {
        return Some(shop.exclusive());
    }
    if amount == presentment.inclusive() {
        return Some(shop.inclusive());
    }
    // Of an amount in no known currency only the equality above can tell.
    if code.is_empty() || !code.eq_ignore_ascii_case(&context.presentment) {
        return None;
    }
    let (shop, presentment) =
        if presentment.size() > Decimal::ZERO { (shop.size(), presentment.size()) } else { context.rate };
    amount.checked_mul(shop)?.checked_div(presentment)
}

/// What a refund is made of, by its lines and adjustments.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Of lines, with their tax beside or inside them.
    lines: Decimal,
    lines_tax: Decimal,
    shipping: Decimal,
    shipping_tax: Decimal,
    /// Shipping that an adjustment tells, with tax.
    adjusted_shipping: Decimal,
    duties: Decimal,
    /// What went back less than this, or more where it is below 0.
    discrepancy: Decimal,
}

impl Sums {
    /// What goes back where tax comes on top.
    fn exclusive(&self) -> Decimal {
        self.inclusive() + self.lines_tax + self.shipping_tax
    }

    /// What goes back where amounts have the tax in them.
    fn inclusive(&self) -> Decimal {
        self.lines + self.shipping + self.adjusted_shipping + self.duties - self.discrepancy
    }

    fn elsewhere(&self, has_tax_inside: bool) -> Decimal {
        let tax = if has_tax_inside { Decimal::ZERO } else { self.shipping_tax };
        self.shipping + tax + self.adjusted_shipping + self.duties
    }

    /// How large its amounts are, for a rate.
    fn size(&self) -> Decimal {
        self.exclusive() + self.discrepancy + self.discrepancy.abs()
    }
}

#[derive(Clone, Copy, Default)]
struct Parts {
    shop: Sums,
    presentment: Sums,
}

impl Parts {
    fn read(body: &Value, scale: &Scale) -> Option<Self> {
        let mut parts = Self {
            shop: Sums {
                lines: sum(scale, body, "refund_line_items", "subtotal")?,
                lines_tax: sum(scale, body, "refund_line_items", "total_tax")?,
                shipping: sum(scale, body, "refund_shipping_lines", "subtotal_amount")?,
                shipping_tax: sum(scale, body, "refund_shipping_lines", "tax_amount")?,
                duties: shop_money(scale, body, "total_duties")?,
                ..Sums::default()
            },
            presentment: Sums {
                lines: presented(body, "refund_line_items", "subtotal"),
                lines_tax: presented(body, "refund_line_items", "total_tax"),
                shipping: presented(body, "refund_shipping_lines", "subtotal_amount"),
                shipping_tax: presented(body, "refund_shipping_lines", "tax_amount"),
                duties: presentment_money(body, "total_duties"),
                ..Sums::default()
            },
        };
        let has_shipping_lines = entries(body, "refund_shipping_lines").next().is_some();
        for adjustment in entries(body, "order_adjustments") {
            let shop =
                shop_money(scale, adjustment, "amount")? + shop_money(scale, adjustment, "tax_amount")?;
            let presentment =
                presentment_money(adjustment, "amount") + presentment_money(adjustment, "tax_amount");
            let is_shipping = text(adjustment.get("kind")) == "shipping_refund"
                || text(adjustment.get("reason")) == "Shipping refund";
            // Newer versions of the API tell shipping in lines of its own.
            if is_shipping && !has_shipping_lines {
                parts.shop.adjusted_shipping -= shop;
                parts.presentment.adjusted_shipping -= presentment;
            } else if !is_shipping {
                parts.shop.discrepancy += shop;
                parts.presentment.discrepancy += presentment;
            }
        }
        Some(parts)
    }

    /// True where a line or an adjustment has an amount.
    fn is_told(&self) -> bool {
        self.shop.size() > Decimal::ZERO
    }
}

fn presented(body: &Value, list: &str, field: &str) -> Decimal {
    entries(body, list).map(|entry| presentment_money(entry, field)).sum()
}

/// The lines that a refund names, with their shares of `money`.
fn lines(
    body: &Value,
    scale: &Scale,
    has_tax_inside: bool,
    money: i64,
    problem: &Problem,
) -> Result<Vec<RefundLine>, Unreadable> {
    let mut lines = Vec::new();
    let mut weights = Vec::new();
    for entry in entries(body, "refund_line_items") {
        let gross = shop_money(scale, entry, "subtotal").and_then(|subtotal| {
            let tax = if has_tax_inside { Decimal::ZERO } else { shop_money(scale, entry, "total_tax")? };
            scale.units(subtotal.checked_add(tax)?)
        });
        weights.push(gross.unwrap_or(0).max(0));
        let quantity = problem.or_say(count(entry.get("quantity")), || {
            "the quantity of one of its lines cannot be read".to_owned()
        });
        let item = entry.get("line_item").unwrap_or(&Value::Null);
        let line = id(entry.get("line_item_id").or_else(|| item.get("id")), "line_item_id")?;
        let products = products(item, ["variant_id", "product_id", "sku"]);
        lines.push(RefundLine { line, products, quantity, amount: 0 });
    }
    for (line, amount) in lines.iter_mut().zip(shares(money, &weights)) {
        line.amount = amount;
    }
    Ok(lines)
}

/// The shop's currency, as far as the refund tells it: by any of its sets, or where the sum of its lines, which is in
/// the shop's money, is what was transacted.
fn shop_code(body: &Value) -> String {
    let code = code_in(body, "shop_money");
    if !code.is_empty() {
        return code;
    }
    let Some(transaction) = money_back(body).next() else { return String::new() };
    let code = text(transaction.get("currency"));
    let amount: Option<Decimal> =
        money_back(body).map(|transaction| decimal(transaction.get("amount"))).sum();
    let parts = Scale::of(&code).and_then(|scale| Parts::read(body, &scale));
    let is_shop_money = amount.zip(parts).is_some_and(|(amount, parts)| {
        parts.is_told() && (amount == parts.shop.exclusive() || amount == parts.shop.inclusive())
    });
    if is_shop_money { code } else { String::new() }
}

/// The code of a side of the first set in the refund.
fn code_in(body: &Value, side: &str) -> String {
    let own = ["total_duties_set"].into_iter().filter_map(|set| body.get(set));
    let inner = [
        ("refund_line_items", "subtotal_set"),
        ("order_adjustments", "amount_set"),
        ("refund_shipping_lines", "subtotal_amount_set"),
        ("transactions", "amount_set"),
    ]
    .into_iter()
    .flat_map(|(list, set)| entries(body, list).filter_map(move |entry| entry.get(set)));
    let mut codes = own.chain(inner).map(|set| text(at(set, &format!("{side}.currency_code"))));
    codes.find(|code| !code.is_empty()).unwrap_or_default()
}

//! WooCommerce's webhooks, read into facts (<https://developer.woocommerce.com/docs/best-practices/urls-and-routing/webhooks/>). The
//! payloads are those of the REST resource Order, version 3 (<https://developer.woocommerce.com/docs/apis/rest-api/v3/orders/>).
//!
//! | topic | |
//! |---|---|
//! | `order.created`, `order.updated`, `order.restored` | read: each is the whole order as it is now |
//! | `order.deleted` | ignored: it has the id alone; taking an order off the list moves no money |
//! | the ping, a form `webhook_id=7` | ignored ([`is_ping`]); it is not signed |
//! | `product.*`, `customer.*`, `coupon.*`, `action.*` | ignored: no money |
//!
//! | field of an order | |
//! |---|---|
//! | `id` | the only name. `number` is what a plugin makes of it, and may be the id of another order |
//! | `date_modified_gmt` | the version of the whole payload; at the same second the status decides |
//! | `date_paid_gmt`, `date_paid` | paid where it is set, whatever the status: it stays when an order is cancelled |
//! | `status` | `cancelled`, `failed`, `trash`: void if not paid; if paid and nothing went back, the order waits. `refunded`: all went back. `pending`, `on-hold`, `checkout-draft`, `processing`, `completed` and those of plugins: `date_paid` decides |
//! | `currency`, `total` | what was paid; stays as it is when money goes back |
//! | `prices_include_tax` | ignored: it tells how prices were typed in. `total` and `subtotal` of lines are without tax either way (`WC_Order_Item_Product`, `WC_Abstract_Order::calculate_totals`: the order's total is the sum of line totals, fees, shipping and taxes) |
//! | `line_items[]` | `quantity`, `subtotal` before coupons, `total` after them, `total_tax`; `taxes` is the same tax by rate |
//! | `coupon_lines`, `discount_total`, `discount_tax` | ignored: the line totals have them |
//! | `fee_lines[]` | for no line; one below 0 is a discount of all lines, by their shares |
//! | `shipping_lines[]` | for no line |
//! | `refunds[]` | `total`, below 0. They tell no lines |
//! | `meta_data._wcpay_mode` | `test`: a payment of WooPayments' test mode. No other field tells one |
//! | `needs_payment`, `payment_method`, `transaction_id`, `cart_tax`, `tax_lines` | ignored: the same is told above |
//!
//! A refund that was deleted is not in the list any more, and a join of facts cannot see what is absent. So the sum of
//! the list is the truth at its version (`refunded_total`): it goes down when a refund is deleted. The refunds beside it
//! have no date, so the sum has them all; they are there for people, and to be recognised.
//!
//! WooCommerce tells of no disputes: gateways set a status of their own, which moves nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Unreadable;
use super::reading::{Problem, Scale, count, entries, id, is_silent, list, products, shares, time};
use crate::ledger::{OpenText, Text, Timestamp};
use crate::storefront::json::{cut, text, text_at};
use crate::storefront::order::{
    Content, Line, Order, PaymentState, Refund, RefundState, Source, Told, Version,
};
use crate::storefront::shop::Shop;

const LINES_MAX: usize = 500;
const REFUNDS_MAX: usize = 100;

/// True for the first delivery of a new webhook, which is not signed: `webhook_id=7`, as a form.
pub fn is_ping(content_type: &str, body: &[u8]) -> bool {
    let number = body.strip_prefix(b"webhook_id=");
    content_type.starts_with("application/x-www-form-urlencoded")
        && number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// Reads a delivery of this topic; no orders where it does not touch money.
pub fn read(shop: &Shop, topic: &str, body: &Value) -> Result<Vec<Order>, Unreadable> {
    match topic {
        "order.created" | "order.updated" | "order.restored" => Ok(vec![order(shop, body)?]),
        _ => Ok(Vec::new()),
    }
}

fn order(shop: &Shop, body: &Value) -> Result<Order, Unreadable> {
    let name = id(body.get("id"), "the order's id")?;
    let at = time(body.get("date_modified_gmt")).or_else(|| time(body.get("date_created_gmt")));
    let at = at.ok_or_else(|| Unreadable("date_modified_gmt is no time".to_owned()))?;
    let code = text(body.get("currency"));
    let scale = Scale::of(&code).ok_or_else(|| Unreadable(format!("the currency {code:?} is unknown")))?;
    let status = text(body.get("status"));
    if status.is_empty() {
        return Err(Unreadable("status is missing".to_owned()));
    }
    let problem = Problem::default();
    let (refunds, listed) = refunds(body, &scale, &problem)?;
    let mut content = content(body, &scale, &status, &problem)?;
    let is_paid = content.payment == PaymentState::Paid;
    let back = if status == "refunded" && is_paid { listed.max(content.total) } else { listed };
    if is_paid
        && matches!(status.as_str(), "cancelled" | "failed" | "trash")
        && back == 0
        && content.total > 0
    {
        problem.say(format!("its status is {status} after it was paid, and no money went back"));
    }
    content.problem = problem.text();
    let rank = u32::try_from(refunds.len()).unwrap_or(u32::MAX);
    let rank = if status == "refunded" { rank.saturating_add(1_000) } else { rank };
    let version = Version { at, rank: rank_of(&status) };
    let customer = text_at(body, &shop.customer);
    Ok(Order {
        names: [(name, 1)].into(),
        contents: [(Source::Order, Told { version, fact: content })].into(),
        refunds,
        refunded_total: Some(Told::at(at, rank, back)),
        refunded_in: Some(Told::at(at, rank, scale.currency)),
        // A guest is customer 0.
        customer: (!customer.is_empty() && customer != "0").then(|| Told { version, fact: cut(&customer) }),
        test: entries(body, "meta_data")
            .any(|meta| text(meta.get("key")) == "_wcpay_mode" && text(meta.get("value")) == "test"),
        ..Order::default()
    })
}

/// Which of two statuses of one second is the newer.
fn rank_of(status: &str) -> u32 {
    match status {
        "checkout-draft" => 1,
        "pending" => 2,
        "failed" => 3,
        "on-hold" => 4,
        "processing" => 6,
        "completed" => 7,
        "cancelled" => 8,
        "refunded" => 9,
        "trash" => 10,
        _ => 5,
    }
}

/// The listed refunds, and what they come to.
fn refunds(
    body: &Value,
    scale: &Scale,
    problem: &Problem,
) -> Result<(BTreeMap<OpenText, Told<Refund>>, i64), Unreadable> {
    let mut refunds = BTreeMap::new();
    let mut sum = 0_i64;
    for value in list(body, "refunds", REFUNDS_MAX)? {
        let name = id(value.get("id"), "the id of a refund")?;
        let amount = scale.amount(value.get("total")).filter(|amount| *amount <= 0);
        let amount = problem.or_say(amount, || format!("the total of refund {name} cannot be read"));
        let amount = amount.saturating_neg();
        sum = sum.saturating_add(amount);
        let refund = Refund {
            state: RefundState::Done,
            made_at: Timestamp::default(),
            amount,
            lines: Vec::new(),
            elsewhere: 0,
            problem: Text::EMPTY,
            currency: Some(scale.currency),
        };
        refunds.insert(name, Told::undated(1, refund));
    }
    Ok((refunds, sum))
}

fn content(body: &Value, scale: &Scale, status: &str, problem: &Problem) -> Result<Content, Unreadable> {
    let is_paid = !is_silent(body.get("date_paid_gmt")) || !is_silent(body.get("date_paid"));
    let payment = match status {
        _ if is_paid => PaymentState::Paid,
        "cancelled" | "failed" | "trash" | "refunded" => PaymentState::Void,
        _ => PaymentState::Open,
    };
    let values = list(body, "line_items", LINES_MAX)?;
    let mut lines = values.iter().map(|value| read_line(value, scale)).collect::<Result<Vec<_>, _>>()?;
    let elsewhere = others(body, scale, &mut lines);
    let elsewhere = problem.or_say(elsewhere, || "shipping or fees cannot be read".to_owned());
    let told = scale.amount(body.get("total")).filter(|total| *total >= 0);
    let told = problem.or_say(told, || "the total cannot be read".to_owned());
    let sum = lines.iter().fold(elsewhere, |sum, line| sum.saturating_add(line.net).saturating_add(line.tax));
    // Each line, fee and tax may have been rounded; the lines decide.
    let slack = u64::try_from(lines.len()).unwrap_or(u64::MAX).saturating_add(3);
    let is_near = told.abs_diff(sum) <= slack;
    // A line that cannot be read waits by itself, should it be one of credits.
    if !is_near && lines.iter().all(|line| line.problem.is_empty()) {
        let (told, sum) = (scale.shown(told), scale.shown(sum));
        problem.say(format!("the total is {told}, but lines, fees and shipping come to {sum}"));
    }
    Ok(Content {
        payment,
        currency: scale.currency,
        total: if is_near { sum } else { told },
        elsewhere,
        lines,
        problem: Text::EMPTY,
        note: scale.note(),
    })
}

fn read_line(value: &Value, scale: &Scale) -> Result<Line, Unreadable> {
    let id = id(value.get("id"), "the id of a line")?;
    let problem = Problem::default();
    let quantity = count(value.get("quantity")).filter(|quantity| *quantity > 0);
    let quantity = problem.or_say(quantity, || "the quantity is no whole number from 1 on".to_owned());
    let amount = |field: &str| {
        let amount = scale.amount(value.get(field)).filter(|amount| *amount >= 0);
        problem.or_say(amount, || format!("{field} cannot be read"))
    };
    let (net, tax) = (amount("total"), amount("total_tax"));
    let listed = if is_silent(value.get("subtotal")) { net } else { amount("subtotal") };
    Ok(Line {
        id,
        products: products(value, ["variation_id", "product_id", "sku"]),
        quantity: Some(quantity),
        net,
        tax,
        discount: listed.saturating_sub(net).max(0),
        credits: None,
        problem: problem.text(),
    })
}

/// What is for no line, while fees below 0 are taken off the lines by their shares; `None` where an amount cannot be
/// read, or the fees take off more than there is.
fn others(body: &Value, scale: &Scale, lines: &mut [Line]) -> Option<i64> {
    let (mut sum, mut net_off, mut tax_off) = (0_i64, 0_i64, 0_i64);
    for entry in entries(body, "shipping_lines").chain(entries(body, "fee_lines")) {
        let net = scale.amount(entry.get("total"))?;
        let tax = scale.amount_or_zero(entry.get("total_tax"))?;
        if net < 0 {
            net_off = net_off.saturating_sub(net);
            tax_off = tax_off.saturating_sub(tax);
        } else {
            sum = sum.saturating_add(net).saturating_add(tax);
        }
    }
    let nets: Vec<i64> = lines.iter().map(|line| line.net).collect();
    let taxes: Vec<i64> = lines.iter().map(|line| line.tax).collect();
    let whole = |parts: &[i64]| parts.iter().fold(0_i64, |sum, part| sum.saturating_add(*part));
    if net_off > whole(&nets) || tax_off > whole(&taxes) || tax_off < 0 {
        return None;
    }
    for ((line, net), tax) in lines.iter_mut().zip(shares(net_off, &nets)).zip(shares(tax_off, &taxes)) {
        line.net = line.net.saturating_sub(net);
        line.tax = line.tax.saturating_sub(tax);
        line.discount = line.discount.saturating_add(net);
    }
    Some(sum)
}

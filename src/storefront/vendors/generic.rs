//! Our own JSON of an order, for any shop that somebody writes. One delivery is the whole order as it is now.
//!
//! Send it with `POST`, content type `application/json`, to the storefront's webhook whenever anything of an order
//! changes, and again until the answer is 2xx. Order and repeats do not matter: the newest version counts. Sign it as
//! <https://www.standardwebhooks.com> says, for which there are libraries in most languages. `README.md` of storefronts has
//! a whole delivery, with a program that signs it.
//!
//! ```json
//! {
//!   "order": "1001",
//!   "names": ["cart-77"],
//!   "updated_at": "2026-11-28T12:00:00Z",
//!   "version": 3,
//!   "currency": "EUR",
//!   "payment": "paid",
//!   "test": false,
//!   "customer": "acme",
//!   "total": "88.30",
//!   "elsewhere": "5.00",
//!   "lines": [
//!     {"id": "1", "product": "CREDITS_10", "quantity": 2, "net": "40.00", "tax": "7.60", "discount": "0.00"},
//!     {"id": "2", "products": ["shirt-blue-m", "shirt"], "quantity": 1, "net": "30.00", "tax": "5.70"}
//!   ],
//!   "refunds": [
//!     {"id": "r1", "state": "done", "amount": "23.80", "lines": [{"line": "1", "amount": "23.80"}]}
//!   ],
//!   "disputes": [
//!     {"id": "d1", "state": "inquiry", "amount": "64.50"}
//!   ],
//!   "metadata": {"note": "anything of yours"}
//! }
//! ```
//!
//! # Fields
//! - `order`: the shop's id of the order. `names`: other ids of it, none shared with another order.
//! - `updated_at` (RFC 3339), `version` (a whole number that rises), or both: which of two deliveries is the newer. A shop
//!   always sends the same of them; where it sends both, `version` decides between changes of one moment.
//! - `currency`: the ISO 4217 code of all amounts. Amounts are text such as `"20.00"`, never numbers and never negative.
//! - `payment`: `open`, `paid`, or `void` (cancelled before it was paid). `test`: `true` where nothing was paid in earnest;
//!   `false` where it is left out.
//! - `customer`: the customer's id in the ledger, unless the settings name another path, such as `metadata.customer_id`.
//! - `total`: what was paid at first for the whole order, with tax. `elsewhere`: the part of it that is for no line, such as
//!   shipping, fees and tips. `net`, `tax` and `elsewhere` of an order add up to `total`; where they come to less, an edit
//!   took the rest out, and money that goes back is first of that.
//! - `lines`: `product` (or `products`, the most exact first), `quantity` (units sold, refunded ones included),
//!   `net` (paid for all of them after discounts, without tax), `tax` and `discount` (without tax) where there are any,
//!   and `id` where a refund names the line. An order that is edited is sent with the lines that it has now.
//! - `refunds`: `state` is `pending`, `done`, or `undone` (failed, cancelled or deleted). `amount` with tax; of it `lines`
//!   (with `quantity` where a free line is taken back) and `elsewhere`, as far as the shop knows. A refund stays in the
//!   list for ever: one that is left out stays as it was last told.
//! - `disputes`: `state` is `inquiry`, `open`, `won` or `lost`. They stay in the list too.
//! - `metadata`: any object; it is not read but for paths of the settings.
//!
//! # What is refused
//! A field that is not listed here makes the order unreadable, so that a mistyped name never loses money. So does a value of
//! another type, and `null` counts as left out. A quantity that is no whole number of at least 1, and sums that come
//! to more than they may, are kept and wait for a person. More digits than the currency has are rounded half up.

mod fields;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::fields::{Money, Object};
use super::{REFUND_PARTS_MAX, Unreadable};
use crate::ledger::{OpenText, Timestamp};
use crate::storefront::json::{cut, text_at};
use crate::storefront::order::{
    Content, Dispute, DisputeState, Line, Order, PaymentState, Refund, RefundLine, RefundState, Source, Told,
};
use crate::storefront::shop::Shop;

const LINES_MAX: usize = 500;
const REFUNDS_MAX: usize = 100;
const NAMES_MAX: usize = 20;

/// The order's own id is its id in the ledger, before its other names.
pub(in crate::storefront) const ORDER: u32 = 2;
const OTHER: u32 = 1;

const ORDER_FIELDS: &[&str] = &[
    "order",
    "names",
    "updated_at",
    "version",
    "currency",
    "payment",
    "test",
    "customer",
    "total",
    "elsewhere",
    "lines",
    "refunds",
    "disputes",
    "metadata",
];
const LINE_FIELDS: &[&str] = &["id", "product", "products", "quantity", "net", "tax", "discount"];
const REFUND_FIELDS: &[&str] = &["id", "state", "amount", "lines", "elsewhere"];
const REFUND_LINE_FIELDS: &[&str] = &["line", "quantity", "amount"];
const DISPUTE_FIELDS: &[&str] = &["id", "state", "amount"];

/// How new the delivery is.
#[derive(Clone, Copy)]
struct Edition {
    at: Timestamp,
    version: Option<u32>,
}

impl Edition {
    /// Without a version of the shop, states of one moment only move forward.
    fn told<T>(self, state: u8, fact: T) -> Told<T> {
        Told::at(self.at, self.version.unwrap_or_else(|| state.into()), fact)
    }
}

/// The order that a delivery tells.
///
/// # Errors
/// It is not of the form above.
pub fn read(shop: &Shop, _topic: &str, body: &Value) -> Result<Vec<Order>, Unreadable> {
    let object = Object::new("", body, ORDER_FIELDS)?;
    if object.get("metadata").is_some_and(|metadata| !metadata.is_object()) {
        return Err(object.wrong("metadata", "must be an object"));
    }
    let edition = edition(&object)?;
    let mut order = Order { test: object.flag("test")?, ..Order::default() };
    for name in object.ids("names", NAMES_MAX)? {
        order.names.insert(name, OTHER);
    }
    order.names.insert(object.id("order")?, ORDER);
    let path = if shop.customer.is_empty() { "customer" } else { &shop.customer };
    let customer = cut(&text_at(body, path));
    order.customer = (!customer.is_empty()).then(|| edition.told(0, customer));

    let mut money = Money::of(&object)?;
    let content = content(&object, &mut money)?;
    let mut parts = 0_usize;
    for refund in object.objects("refunds", REFUNDS_MAX, REFUND_FIELDS)? {
        let (id, fact) = self::refund(&refund, &content.lines, &mut money)?;
        parts = parts.saturating_add(fact.lines.len());
        if parts > REFUND_PARTS_MAX {
            return Err(object.wrong("refunds", &format!("name more than {REFUND_PARTS_MAX} lines in all")));
        }
        let told = edition.told(fact.state.code(), fact);
        if order.refunds.insert(id, told).is_some() {
            return Err(refund.wrong("id", "is that of another refund"));
        }
    }
    for dispute in object.objects("disputes", REFUNDS_MAX, DISPUTE_FIELDS)? {
        let state = dispute.state("state", DisputeState::ALL, DisputeState::name)?;
        let amount = dispute.amount("amount", &mut money)?;
        let fact = Dispute { state, amount, problem: cut(""), currency: Some(money.currency) };
        let told = edition.told(state.code(), fact);
        if order.disputes.insert(dispute.id("id")?, told).is_some() {
            return Err(dispute.wrong("id", "is that of another dispute"));
        }
    }
    let rank = match content.payment {
        PaymentState::Open => 1,
        PaymentState::Void => 2,
        PaymentState::Paid => 3,
    };
    order.contents.insert(Source::Order, edition.told(rank, content));
    Ok(vec![order])
}

fn edition(object: &Object<'_>) -> Result<Edition, Unreadable> {
    let at = object.time("updated_at")?;
    let version = object.get("version").map(|version| {
        let version = version.as_u64().and_then(|version| u32::try_from(version).ok());
        version.ok_or_else(|| object.wrong("version", "must be a whole number below 2^32"))
    });
    let version = version.transpose()?;
    if at.is_none() && version.is_none() {
        return Err(object.wrong("updated_at", "or version must be there"));
    }
    Ok(Edition { at: at.unwrap_or_default(), version })
}

fn content(object: &Object<'_>, money: &mut Money) -> Result<Content, Unreadable> {
    let payment = object.state("payment", PaymentState::ALL, PaymentState::name)?;
    let total = object.amount("total", money)?;
    let elsewhere = object.amount_or_nothing("elsewhere", money)?;
    object.get("lines").ok_or_else(|| object.wrong("lines", "must be there"))?;
    let mut lines = Vec::new();
    let mut ids = BTreeSet::new();
    for told in object.objects("lines", LINES_MAX, LINE_FIELDS)? {
        let line = line(&told, money)?;
        if !line.id.0.is_empty() && !ids.insert(line.id.clone()) {
            return Err(told.wrong("id", "is that of another line"));
        }
        lines.push(line);
    }
    let gross = |line: &Line| line.net.saturating_add(line.tax);
    let sum = lines.iter().fold(elsewhere, |sum, line| sum.saturating_add(gross(line)));
    // Less than the total is what an edit took out.
    let problem = if sum <= total {
        String::new()
    } else {
        format!("net, tax and elsewhere add up to {sum}, more than the total of {total}, in smallest units")
    };
    let note = if money.is_rounded { "amounts were rounded to the currency's smallest unit" } else { "" };
    let (problem, note) = (cut(&problem), cut(note));
    Ok(Content { payment, currency: money.currency, total, elsewhere, lines, problem, note })
}

fn line(told: &Object<'_>, money: &mut Money) -> Result<Line, Unreadable> {
    let mut products = told.ids("products", NAMES_MAX)?;
    if let Some(product) = told.optional_id("product")? {
        products.insert(0, product);
    }
    if products.is_empty() {
        return Err(told.wrong("product", "or products must be there"));
    }
    let quantity = told.get("quantity").ok_or_else(|| told.wrong("quantity", "must be there"))?;
    let (quantity, problem) = match fields::quantity(quantity) {
        Some(quantity) => (Some(quantity), String::new()),
        None => (None, format!("the quantity {quantity} is no number of units")),
    };
    Ok(Line {
        id: told.optional_id("id")?.unwrap_or_default(),
        products,
        quantity,
        net: told.amount("net", money)?,
        tax: told.amount_or_nothing("tax", money)?,
        discount: told.amount_or_nothing("discount", money)?,
        credits: None,
        problem: cut(&problem),
    })
}

fn refund(told: &Object<'_>, sold: &[Line], money: &mut Money) -> Result<(OpenText, Refund), Unreadable> {
    let state = told.state("state", RefundState::ALL, RefundState::name)?;
    let amount = told.amount("amount", money)?;
    let elsewhere = told.amount_or_nothing("elsewhere", money)?;
    let sold: BTreeMap<&OpenText, &Line> = sold.iter().map(|line| (&line.id, line)).collect();
    let mut problem = String::new();
    let mut lines = Vec::new();
    let mut sum = elsewhere;
    for part in told.objects("lines", LINES_MAX, REFUND_LINE_FIELDS)? {
        let line = part.id("line")?;
        let known = sold.get(&line);
        if known.is_none() {
            problem = format!("the refund names the line {line}, which the order does not have");
        }
        let products = known.map(|known| known.products.clone()).unwrap_or_default();
        let quantity = match part.get("quantity") {
            Some(told) => fields::quantity(told).unwrap_or_else(|| {
                problem = format!("the quantity {told} is no number of units");
                0
            }),
            None => 0,
        };
        let amount = part.amount("amount", money)?;
        sum = sum.saturating_add(amount);
        lines.push(RefundLine { line, products, quantity, amount });
    }
    if sum > amount {
        problem = format!(
            "lines and elsewhere add up to {sum}, more than the refund of {amount}, in smallest units"
        );
    }
    let made_at = Timestamp::default();
    let currency = Some(money.currency);
    let fact = Refund { state, made_at, amount, lines, elsewhere, problem: cut(&problem), currency };
    Ok((told.id("id")?, fact))
}

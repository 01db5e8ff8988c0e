//! Stripe's events, read into facts of orders (<https://docs.stripe.com/api/events/types>).
//!
//! An order is what one payment pays for: a checkout session, an invoice, or both. Its names are the payment intent, the
//! invoice, the session and the charge. A fact's version is the event's `created`.
//!
//! # What is read
//! - `checkout.session.completed`, `.async_payment_succeeded`, `.async_payment_failed`, `.expired`
//!   (<https://docs.stripe.com/api/checkout/sessions/object>). `payment_status` `paid` and `no_payment_required` are paid,
//!   the latter for nothing; `unpaid` is open. A session that expired or whose payment failed is void. The mode `setup`
//!   is ignored: it sells nothing. Webhooks have no `line_items`, so metadata names product and quantity; sessions
//!   that a shop sends with their lines are read by them. Shipping is `shipping_cost`, or `total_details.amount_shipping`.
//! - `invoice.*` with the status `paid`, `open`, `uncollectible` or `void`
//!   (<https://docs.stripe.com/api/invoices/object>), so `invoice.paid`, `.payment_succeeded`, `.payment_failed`,
//!   `.payment_action_required`, `.finalized`, `.updated`, `.voided`, `.marked_uncollectible`, `.overpaid` and
//!   `.sent`: each paid invoice is an order. A draft is ignored, as are `invoice.upcoming` and `invoice.deleted`: nothing
//!   is owed yet. Prorations, negative lines and lines that are free without a discount wait, should they be credits.
//! - `invoice_payment.paid` (<https://docs.stripe.com/api/invoice-payment/object>): newer invoices do not say by which
//!   intent they were paid.
//! - `charge.refunded` (<https://docs.stripe.com/api/charges/object>): `amount_refunded` is a sum, pending refunds
//!   included. Refunds that are embedded, as in older versions of the API, are read too.
//! - `refund.created`, `.updated`, `.failed`, `charge.refund.updated` (<https://docs.stripe.com/api/refunds/object>):
//!   `pending` and `requires_action` are pending, `succeeded` done, `failed` and `canceled` undone. A refund of no payment,
//!   such as of a cash balance, is ignored: nothing was sold for it.
//! - `credit_note.*` (<https://docs.stripe.com/api/credit_notes/object>) where money went to the customer's balance or
//!   back outside of Stripe: it waits. Other credit notes are ignored: their refunds are told as refunds, and those of an
//!   open invoice are in the invoice.
//! - `charge.dispute.created`, `.updated`, `.closed`, `.funds_withdrawn`, `.funds_reinstated`
//!   (<https://docs.stripe.com/api/disputes/object>): `warning_needs_response` and `warning_under_review` are inquiries,
//!   `needs_response` and `under_review` open, `lost` lost, `won`, `warning_closed` and the former `charge_refunded`
//!   won. `prevented` is lost where money was withdrawn, and otherwise won: then a refund gave it back.
//!
//! # What is ignored
//! - `payment_intent.*`, `charge.succeeded`, `.failed`, `.pending`, `.captured`, `.expired`, `.updated`: they come for
//!   every payment of the account and do not say what was sold; sessions and invoices do.
//! - `customer.subscription.*`, `subscription_schedule.*`, `invoiceitem.*`, `quote.*`, `plan.*`, `price.*`,
//!   `product.*`, `coupon.*`: they promise money; an invoice asks for it.
//! - `payout.*`, `transfer.*`, `topup.*`, `balance.*`, `application_fee.*`, `issuing_*`, `treasury.*`: money between the
//!   shop and others than its customers.
//! - `customer_cash_balance_transaction.created`, `source.*`, `setup_intent.*`, `review.*`, `radar.*`: no sale yet.
//!
//! # Currencies
//! Amounts are in the currency that the payment was made in for the shop. `presentment_details` are ignored: they say what
//! the customer was shown. Sessions with `currency_conversion` (made before 2025-03-31) have amounts in the customer's
//! currency: what the shop is paid is read, and a person decides, for their refunds are told in the other currency.

mod fields;
mod sold;

use serde_json::Value;

use self::fields::{Amounts, Event, list, own_id, time};
pub(in crate::storefront) use self::sold::INTENT;
use self::sold::{CHARGE, INVOICE, name};
use super::Unreadable;
use crate::ledger::{Currency, OpenText, Timestamp};
use crate::storefront::json::{cut, text};
use crate::storefront::order::{Dispute, DisputeState, Order, Refund, RefundState, Told};
use crate::storefront::shop::Shop;

/// More embedded refunds than this are not read. Stripe embeds ten.
const REFUNDS_MAX: usize = 100;

/// The facts that an event tells; none where it touches no money.
///
/// # Errors
/// It is not an event of Stripe, or not one that can be read.
pub fn read(shop: &Shop, _topic: &str, body: &Value) -> Result<Vec<Order>, Unreadable> {
    let unreadable = |reason: &str| Err(Unreadable(reason.to_owned()));
    let Some(kind) = body.get("type").and_then(Value::as_str) else {
        return unreadable("it is no event: it has no type");
    };
    if !is_read(kind) {
        return Ok(Vec::new());
    }
    let object = body.get("data").and_then(|data| data.get("object")).filter(|object| object.is_object());
    let Some(object) = object else { return unreadable("the event has no data.object") };
    let Some(at) = time(body, "created") else { return unreadable("the event has no time in created") };
    let Some(livemode) = body.get("livemode").and_then(Value::as_bool) else {
        return unreadable("the event does not say in livemode whether it is in earnest");
    };
    let test = !livemode || object.get("livemode") == Some(&Value::Bool(false));
    let event = Event { kind, at, test, object };
    match kind.split('.').next() {
        Some("checkout") => sold::session(shop, &event),
        Some("invoice") => sold::invoice(shop, &event),
        Some("invoice_payment") => sold::invoice_payment(&event),
        Some("credit_note") => credit_note(&event),
        _ if kind == "charge.refunded" => charge(&event),
        _ if kind.starts_with("charge.dispute.") => dispute(&event),
        _ => refund(&event),
    }
}

fn is_read(kind: &str) -> bool {
    match kind.split_once('.') {
        Some(("checkout", event)) => event.starts_with("session."),
        // `upcoming` has no id yet, and `deleted` was a draft.
        Some(("invoice", event)) => !matches!(event, "upcoming" | "deleted"),
        Some(("invoice_payment", event)) => event == "paid",
        Some(("credit_note" | "refund", _)) => true,
        Some(("charge", event)) => {
            event == "refunded" || event.starts_with("refund.") || event.starts_with("dispute.")
        }
        _ => false,
    }
}

/// A charge after a refund: the sum of all that went back, and in older versions of the API each refund.
fn charge(event: &Event<'_>) -> Result<Vec<Order>, Unreadable> {
    let object = event.object;
    let mut order = Order { test: event.test, ..Order::default() };
    order.names.insert(own_id(object)?, CHARGE);
    name(&mut order, object, "payment_intent", INTENT)?;
    name(&mut order, object, "invoice", INVOICE)?;
    let mut amounts = Amounts::new(&text(object.get("currency")))
        .ok_or_else(|| Unreadable("the charge's currency is unknown".to_owned()))?;
    let sum = amounts.required(object, "amount_refunded");
    if let Some(problem) = amounts.take_problem() {
        return Err(Unreadable(problem));
    }
    // Of two sums in one second the greater is the newer.
    let rank = u32::try_from(sum).unwrap_or(u32::MAX);
    order.refunded_total = Some(Told::at(event.at, rank, sum));
    order.refunded_in = Some(Told::at(event.at, rank, amounts.currency));
    let refunds = list(object, "refunds");
    if refunds.len() > REFUNDS_MAX {
        return Err(Unreadable(format!("there are more than {REFUNDS_MAX} refunds")));
    }
    for refund in refunds {
        // The sum has no refund that failed before it: so that is told as older than the sum.
        let is_undone = matches!(text(refund.get("status")).as_str(), "failed" | "canceled");
        let before = event.at.micros().saturating_sub(1).max(0);
        let at = if is_undone { Timestamp::from_micros(before) } else { event.at };
        tell_refund(&mut order, refund, at)?;
    }
    Ok(vec![order])
}

fn refund(event: &Event<'_>) -> Result<Vec<Order>, Unreadable> {
    let mut order = Order { test: event.test, ..Order::default() };
    name(&mut order, event.object, "payment_intent", INTENT)?;
    name(&mut order, event.object, "charge", CHARGE)?;
    if order.names.is_empty() {
        return Ok(Vec::new());
    }
    tell_refund(&mut order, event.object, event.at)?;
    Ok(vec![order])
}

fn tell_refund(order: &mut Order, object: &Value, at: Timestamp) -> Result<(), Unreadable> {
    let status = text(object.get("status"));
    let (state, unknown) = match status.as_str() {
        "pending" | "requires_action" => (RefundState::Pending, None),
        "succeeded" => (RefundState::Done, None),
        "failed" | "canceled" => (RefundState::Undone, None),
        _ => (RefundState::Pending, Some(format!("the refund's status '{status}' is unknown"))),
    };
    let (amount, currency, mut problem) = amount_of(object, "amount");
    problem = problem.or(unknown);
    let made_at = time(object, "created");
    if made_at.is_none() {
        problem.get_or_insert_with(|| "the refund does not say when it was made".to_owned());
    }
    let fact = Refund {
        state,
        made_at: made_at.unwrap_or_default(),
        amount,
        lines: Vec::new(),
        elsewhere: 0,
        problem: cut(&problem.unwrap_or_default()),
        currency,
    };
    order.refunds.insert(own_id(object)?, Told::at(at, state.code().into(), fact));
    Ok(())
}

/// The amount of a field with its currency; nothing, and why, where it cannot be read.
fn amount_of(object: &Value, field: &str) -> (i64, Option<Currency>, Option<String>) {
    let code = text(object.get("currency"));
    match Amounts::new(&code) {
        Some(mut amounts) => {
            (amounts.required(object, field), Some(amounts.currency), amounts.take_problem())
        }
        None => (0, None, Some(format!("the currency '{code}' is unknown"))),
    }
}

/// Money that a credit note gave back in another way than by a refund of Stripe.
fn credit_note(event: &Event<'_>) -> Result<Vec<Order>, Unreadable> {
    let object = event.object;
    let is_told =
        |field: &str| object.get(field).is_some_and(|value| !value.is_null() && value.as_i64() != Some(0));
    if !is_told("customer_balance_transaction") && !is_told("out_of_band_amount") {
        return Ok(Vec::new());
    }
    let state = match text(object.get("status")).as_str() {
        "issued" => RefundState::Done,
        "void" => RefundState::Undone,
        other => return Err(Unreadable(format!("the credit note's status '{}' is unknown", cut(other)))),
    };
    let (total, currency, unreadable) = amount_of(object, "total");
    let refunded = list(object, "refunds").iter();
    let refunded = refunded.filter_map(|refund| refund.get("amount_refunded")?.as_i64());
    let refunded = refunded.fold(0_i64, i64::saturating_add);
    let problem = unreadable.unwrap_or_else(|| {
        "a credit note gave money back to the customer's balance, or outside of Stripe".to_owned()
    });
    let fact = Refund {
        state,
        made_at: time(object, "created").unwrap_or_default(),
        amount: total.saturating_sub(refunded).clamp(0, total),
        lines: Vec::new(),
        elsewhere: 0,
        problem: cut(&problem),
        currency,
    };
    let mut order = Order { test: event.test, ..Order::default() };
    name(&mut order, object, "invoice", INVOICE)?;
    if order.names.is_empty() {
        return Err(Unreadable("the credit note names no invoice".to_owned()));
    }
    let id: OpenText = own_id(object)?;
    order.refunds.insert(id, Told::at(event.at, state.code().into(), fact));
    Ok(vec![order])
}

fn dispute(event: &Event<'_>) -> Result<Vec<Order>, Unreadable> {
    let object = event.object;
    let mut order = Order { test: event.test, ..Order::default() };
    name(&mut order, object, "payment_intent", INTENT)?;
    name(&mut order, object, "charge", CHARGE)?;
    if order.names.is_empty() {
        return Err(Unreadable("the dispute names no payment".to_owned()));
    }
    let moves = list(object, "balance_transactions").iter();
    let moved = moves.filter_map(|moved| moved.get("amount")?.as_i64()).fold(0_i64, i64::saturating_add);
    let status = text(object.get("status"));
    let (state, unknown) = match status.as_str() {
        "warning_needs_response" | "warning_under_review" => (DisputeState::Inquiry, None),
        "needs_response" | "under_review" => (DisputeState::Open, None),
        "prevented" if moved < 0 => (DisputeState::Lost, None),
        "won" | "warning_closed" | "charge_refunded" | "prevented" => (DisputeState::Won, None),
        "lost" => (DisputeState::Lost, None),
        _ => (DisputeState::Open, Some(format!("the dispute's status '{status}' is unknown"))),
    };
    let (amount, currency, problem) = amount_of(object, "amount");
    let problem = cut(&problem.or(unknown).unwrap_or_default());
    let fact = Dispute { state, amount, problem, currency };
    order.disputes.insert(own_id(object)?, Told::at(event.at, state.code().into(), fact));
    Ok(vec![order])
}

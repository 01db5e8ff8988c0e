//! What earlier versions recorded or kept of an order, as facts. They had no kept orders: each delivery was a command, or
//! a payment in the suspense account.

use crate::ledger::commands::ClosePayment;
use crate::ledger::fingerprint::Said;
use crate::ledger::lot::{Refund, RefundState as Recorded};
use crate::ledger::payment::{Payment, PaymentEvent, suspense};
use crate::ledger::{
    Command, Currency, LedgerNo, Lot, Money, OpenText, OrderId, PostingId, Rejection, Request, RequestKey,
    Storefront, Text, Timestamp,
};
use crate::query::{ReadError, Reader};
use crate::writer::Writer;

use super::apply_error::ApplyError;
use super::json::cut;
use super::kept::{Place, Row};
use super::ledger_book::{LedgerBook, order_ids};
use super::order::{
    Content, Dispute, DisputeState, Line, Order, PaymentState, Refund as Told1, RefundState, Source, Told,
};

/// Facts, and the payments of the suspense account that they were read from.
#[derive(Debug, Default)]
pub struct Seeds {
    pub order: Order,
    pub payments: Vec<PostingId>,
}

/// Reads what earlier versions know of an order.
///
/// # Errors
/// [`ReadError`].
pub async fn of(reader: &Reader, row: &Row, book: &mut LedgerBook<'_>) -> Result<Seeds, ReadError> {
    let Place { ledger, storefront, .. } = &row.place;
    let mut seeds = Seeds::default();
    let mut decided = Vec::new();
    for (posting, payment) in reader.kept_payments_of(*ledger, storefront, &order_ids(&row.kept)).await? {
        seeds.order.join(&of_payment(&payment));
        seeds.payments.push(posting);
        decided.push(payment);
    }
    for owned in book.own(row).await? {
        for refund in &owned.lot.refunds {
            let request = book.request_of(*ledger, &owned.customer, refund.id).await?;
            if let (Some(request), Some(order)) = (&request, &owned.lot.order) {
                seeds.order.join(&of_refund(storefront, order, request, refund));
            }
        }
    }
    for payment in decided {
        decide(&mut seeds.order, &payment);
    }
    Ok(seeds)
}

/// Lets the suspense account go of payments whose facts are stored.
///
/// # Errors
/// [`ApplyError`].
pub async fn close(writer: &Writer, ledger: LedgerNo, payments: &[PostingId]) -> Result<(), ApplyError> {
    for payment in payments {
        let close = Request {
            ledger,
            customer: suspense(),
            request: Some(RequestKey::Uuid(payment.uuid())),
            said: Said { reason: cut("kept with its order"), ..Said::default() },
            command: Command::ClosePayment(ClosePayment { payment: *payment, is_order: false }),
        };
        match writer.submit(close, None).await? {
            // Somebody else closed it at the same moment.
            Ok(_) | Err(Rejection::PaymentNotFound | Rejection::RequestIdReused { .. }) => {}
            Err(rejection) => return Err(rejection.into()),
        }
    }
    Ok(())
}

/// What purchases tell of an order that was never told of itself: their credits are what was sold.
pub fn of_purchases<'a>(lots: impl Iterator<Item = &'a Lot>) -> Order {
    // The code of ISO 4217 for no currency: purchases by hand may have no price.
    let mut currency = Currency::parse("XXX");
    let mut total = 0_i64;
    let lines = lots.map(|lot| {
        currency = lot.price.map(|price| price.currency).or(currency);
        let net = lot.price.map_or(0, |price| price.minor_units);
        total = total.saturating_add(net);
        Line { credits: Some(lot.credits), ..line(Vec::new(), Some(1), net) }
    });
    let lines = lines.collect();
    let mut order = Order::default();
    if let Some(currency) = currency {
        order.contents.insert(Source::Before, Told::undated(0, paid(currency, total, lines, "")));
    }
    order
}

fn line(products: Vec<OpenText>, quantity: Option<u64>, net: i64) -> Line {
    Line {
        id: OpenText::default(),
        products,
        quantity,
        net,
        tax: 0,
        discount: 0,
        credits: None,
        problem: Text::EMPTY,
    }
}

fn paid(currency: Currency, total: i64, lines: Vec<Line>, problem: &str) -> Content {
    Content {
        payment: PaymentState::Paid,
        currency,
        total,
        elsewhere: 0,
        lines,
        problem: cut(problem),
        note: Text::EMPTY,
    }
}

/// A refund or chargeback, by the request id that earlier versions gave it: `storefront <shop> <order> REFUNDED <key>`.
fn of_refund(storefront: &Storefront, order: &OrderId, request: &RequestKey, refund: &Refund) -> Order {
    let text = request.to_string();
    let rest = text.strip_prefix(&format!("storefront {storefront} {order} ")).unwrap_or_default();
    let Some((event, key)) = rest.split_once(' ') else { return Order::default() };
    let amount = refund.price.map_or(0, |price| price.minor_units);
    match event {
        "REFUNDED" => went_back(key, amount, refund.at),
        "DISPUTED" => {
            let state = match refund.state {
                Recorded::Won | Recorded::Reversed => DisputeState::Won,
                Recorded::Lost => DisputeState::Lost,
                Recorded::Disputed | Recorded::Refunded => DisputeState::Open,
            };
            disputed(key, state, amount)
        }
        _ => Order::default(),
    }
}

/// `refund <id>`, or `refunded <sum>` where the vendor told a sum.
fn went_back(key: &str, amount: i64, at: Timestamp) -> Order {
    let mut order = Order::default();
    if let Some(sum) = key.strip_prefix("refunded ").and_then(|sum| sum.parse().ok()) {
        order.refunded_before = Some(Told::at(at, 0, sum));
    } else if let Some(id) = key.strip_prefix("refund ") {
        let refund = Told1 {
            state: RefundState::Done,
            made_at: Timestamp::default(),
            amount,
            lines: Vec::new(),
            elsewhere: 0,
            problem: Text::EMPTY,
            currency: None,
        };
        order.refunds.insert(OpenText(cut(id)), Told::undated(0, refund));
    }
    order
}

/// `disputed <id>` or `decided <id>`.
fn disputed(key: &str, state: DisputeState, amount: i64) -> Order {
    let mut order = Order::default();
    if let Some((_, id)) = key.split_once(' ') {
        let dispute = Dispute { state, amount, problem: Text::EMPTY, currency: None };
        order.disputes.insert(OpenText(cut(id)), Told::undated(state.code().into(), dispute));
    }
    order
}

/// Adds how a dispute was decided, which was kept without its amount.
fn decide(order: &mut Order, payment: &Payment) {
    let state = match payment.event {
        PaymentEvent::DisputeWon => DisputeState::Won,
        PaymentEvent::DisputeLost => DisputeState::Lost,
        _ => return,
    };
    let mut decided = disputed(payment.key.0.as_str(), state, 0);
    for (id, told) in &mut decided.disputes {
        if let Some(known) = order.disputes.get(id) {
            told.fact.amount = known.fact.amount;
        } else {
            told.fact.problem = cut("an earlier version kept that it was decided, and not its amount");
        }
    }
    order.join(&decided);
}

/// What a payment that waits in the suspense account tells by itself.
pub fn of_payment(payment: &Payment) -> Order {
    let amount = payment.price.map_or(0, |price| price.minor_units);
    let key = payment.key.0.as_str();
    let mut order = match payment.event {
        PaymentEvent::Paid => of_paid(payment),
        // An earlier version kept a sum as `refunded <sum>` too.
        PaymentEvent::Refunded => went_back(key, amount, Timestamp::default()),
        PaymentEvent::Disputed => disputed(key, DisputeState::Open, amount),
        // Its amount is that of the dispute, which is another payment: `decide` has both.
        PaymentEvent::DisputeWon | PaymentEvent::DisputeLost | PaymentEvent::Unreadable => Order::default(),
    };
    order.names.insert(OpenText(cut(payment.order.as_str())), 1);
    order
}

fn of_paid(payment: &Payment) -> Order {
    let Some(Money { currency, minor_units }) = payment.price else { return Order::default() };
    // `2 x name`, as many as there were kinds of products.
    let products = payment.products.iter().filter_map(|text| text.0.as_str().split_once(" x "));
    let mut lines: Vec<Line> = products
        .map(|(quantity, name)| {
            let quantity = quantity.parse().ok().filter(|quantity| *quantity > 0);
            line(vec![OpenText(cut(name))], quantity, 0)
        })
        .collect();
    let mut problem = "";
    match (&mut lines[..], payment.credits) {
        ([only], _) => only.net = minor_units,
        // What each line cost was not kept, but all of them together were worth these credits.
        (_, Some(credits)) => {
            lines = vec![Line { credits: Some(credits), ..line(Vec::new(), Some(1), minor_units) }];
        }
        (_, None) => problem = "an earlier version did not keep what each of its products cost",
    }
    let mut order = Order::default();
    let content = paid(currency, minor_units, lines, problem);
    order.contents.insert(Source::Before, Told::undated(0, content));
    if !payment.customer.is_empty() {
        order.customer = Some(Told::undated(0, payment.customer.clone()));
    }
    order
}

//! Rows for messages about customers, holds and purchases.

use serde_json::{Map, Value};

use super::row::{OutputRow, row};
use crate::grpc::wire;

/// The row of a message; empty if there is none.
pub(super) fn of<T>(message: Option<&T>, row: fn(&T) -> OutputRow) -> OutputRow {
    message.map(row).unwrap_or_default()
}

/// A time as RFC 3339; null if there is none.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> Value {
    time.map_or(Value::Null, |time| time.to_string().into())
}

/// The name of an enum's value without the prefix that the wire needs.
pub(super) fn bare(name: &str, prefix: &str) -> Value {
    name.strip_prefix(prefix).unwrap_or(name).into()
}

/// A day as YYYY-MM-DD; empty if there is none.
pub(super) fn day(date: Option<wire::Date>) -> String {
    let Some(wire::Date { year, month, day }) = date else { return String::new() };
    format!("{year:04}-{month:02}-{day:02}")
}

pub(super) fn balance(balance: &wire::Balance) -> OutputRow {
    let wire::Balance { available_credits, held_credits, owed_credits, sequence } = balance;
    OutputRow::default()
        .with("available", available_credits.as_str())
        .with("held", held_credits.as_str())
        .with("owed", owed_credits.as_str())
        .with("sequence", *sequence)
}

pub(super) fn customer(customer: &wire::Customer) -> OutputRow {
    let contact = customer.contact.clone().unwrap_or_default();
    let terms = customer.terms.clone().unwrap_or_default();
    let metadata = customer.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    let row = row!(customer:
        customer_id,
        name,
        contact_name = contact.name,
        email = contact.email,
        locale = contact.locale,
        rate_card_id = terms.rate_card_id,
        package = terms.package,
        product_purchase_date = day(terms.product_purchase_date),
        metadata = metadata.collect::<Map<_, _>>(),
        closed,
        open_holds,
        top_up = terms.top_up.as_ref().map(top_up),
        open_top_up = customer.open_top_up.as_ref().map(open_top_up),
        top_ups_suspended,
        top_ups_paused,
        created_at = time(customer.created_at.as_ref()),
    );
    row.and(of(customer.balance.as_ref(), balance))
}

/// A customer in a list: the fields that fit a line.
pub(super) fn customer_line(customer: &wire::Customer) -> OutputRow {
    row!(customer: customer_id, name, closed, open_holds).and(of(customer.balance.as_ref(), balance))
}

fn top_up(settings: &wire::TopUpSettings) -> Value {
    let ends = row!(settings: below_credits, target_credits);
    let cap = settings.monthly_cap_credits.as_ref();
    let ends = if cap.is_some() { ends.and(row!(settings: monthly_cap_credits)) } else { ends };
    ends.and(row!(settings: cool_down_seconds, lapse_seconds)).json()
}

/// The top-up that is requested.
fn open_top_up(open: &wire::TopUpRequest) -> Value {
    let (lapses_at, charge_until) = (time(open.lapses_at.as_ref()), time(open.charge_until.as_ref()));
    row!(open: top_up_id, credits, lapses_at = lapses_at, charge_until = charge_until).json()
}

/// A hold with its settlement.
pub(super) fn hold(hold: &wire::Hold) -> OutputRow {
    let settlement = hold.settlement.as_ref();
    let pending = hold.pending.as_ref();
    let row = row!(hold:
        hold_id,
        customer_id,
        incident_id,
        incident_class,
        state = bare(hold.state().as_str_name(), "HOLD_STATE_"),
        estimated_credits,
        held_credits,
        pending_total_credits = pending.map(|pending| pending.total_credits.as_str()),
        work_seconds = work_seconds(hold),
        work_entries = hold.work.as_ref().map(|work| work.entries),
    );
    row.and(row!(settlement?: charged_credits, written_off_credits, reversed_credits)).and(row!(hold:
        opened_at = time(hold.opened_at.as_ref()),
        valid_until = time(hold.valid_until.as_ref()),
        expires_at = time(hold.expires_at.as_ref()),
        ended_at = time(hold.ended_at.as_ref()),
        note,
    ))
}

/// A hold in a list: the fields that fit a line.
pub(super) fn hold_line(hold: &wire::Hold) -> OutputRow {
    let settlement = hold.settlement.as_ref();
    let row = row!(hold:
        customer_id,
        incident_id,
        class = hold.incident_class.as_str(),
        state = bare(hold.state().as_str_name(), "HOLD_STATE_"),
        estimated = hold.estimated_credits.as_str(),
        held = hold.held_credits.as_str(),
        work_seconds = work_seconds(hold),
        charged = settlement.map(|settlement| settlement.charged_credits.as_str()),
        created_at = time(hold.created_at.as_ref()),
    );
    row.with_more("hold_id", hold.hold_id.as_str())
}

fn work_seconds(hold: &wire::Hold) -> i64 {
    hold.work.as_ref().map_or(0, |work| work.work_seconds)
}

pub(super) fn work(entry: &wire::WorkEntry) -> Value {
    let mut row = row!(entry: work_id, work_seconds);
    for (name, text) in [("by", &entry.by), ("line", &entry.line), ("note", &entry.note)] {
        if !text.is_empty() {
            row = row.with(name, text.as_str());
        }
    }
    match &entry.voided {
        Some(voided) => row.with("voided", voided.reason.as_str()).json(),
        None => row.json(),
    }
}

/// The entry of work that was just made or voided, with the id that voids it.
pub(super) fn entry(entry: Option<&wire::WorkEntry>) -> OutputRow {
    OutputRow::default().with("work", entry.map(work).into_iter().collect::<Vec<_>>())
}

/// An amount of money; null if there is none.
pub(super) fn price(price: Option<&wire::Money>) -> Value {
    price.map_or(Value::Null, |price| format!("{} {}", price.amount, price.currency_code).into())
}

/// An order of a storefront that waits for a person.
pub(super) fn unmatched_payment(payment: &wire::UnmatchedPayment) -> OutputRow {
    let row = row!(payment:
        payment_id,
        event = bare(payment.event().as_str_name(), "PAYMENT_EVENT_"),
        storefront,
        order_id,
        customer,
        products,
        credits,
        price = price(payment.price.as_ref()),
        reason,
    );
    row.with_more("received_at", time(payment.received_at.as_ref()))
}

pub(super) fn purchase(purchase: &wire::Purchase) -> OutputRow {
    let refunded = Some(purchase.refunded_credits.as_str()).filter(|credits| *credits != "0");
    row!(purchase:
        purchase_id,
        customer_id,
        storefront,
        order_id,
        credits,
        credited_credits,
        repaid_credits,
        price = price(purchase.price.as_ref()),
        expires_at = time(purchase.expires_at.as_ref()),
        refunded_credits = refunded,
    )
}

/// The newest refund or chargeback of a purchase.
pub(super) fn last_refund(purchase: &wire::Purchase) -> OutputRow {
    of(purchase.refunds.last(), |refund| {
        row!(refund:
            refund_id,
            state = bare(refund.state().as_str_name(), "REFUND_STATE_"),
            taken_credits,
            owed_credits,
            written_off_credits,
        )
    })
}

pub(super) fn forecast(forecast: &wire::Forecast) -> OutputRow {
    row!(forecast:
        weekly_credits_over_4_weeks,
        weekly_credits_over_12_weeks,
        open_holds,
        run_out_date = day(forecast.run_out_date),
    )
}

/// A transfer in a list.
pub(super) fn transfer(line: &wire::JournalTransfer) -> OutputRow {
    let transfer = line.transfer.clone().unwrap_or_default();
    let row = row!(line:
        sequence,
        kind = bare(line.kind().as_str_name(), "POSTING_KIND_"),
        debit_account = transfer.debit_account,
        credit_account = transfer.credit_account,
        credits = transfer.credits,
        incident_id,
        recorded_at = time(line.recorded_at.as_ref()),
    );
    row.with_more("position", line.position).with_more("posting_id", line.posting_id.as_str())
}

/// Holds that were activated by a change, and credits that expired with it.
pub(super) fn consequences(activated: &[wire::Hold], expired_credits: &str) -> OutputRow {
    let activated: Vec<_> = activated.iter().map(|hold| Value::from(hold.incident_id.as_str())).collect();
    let expired = (expired_credits != "0" && !expired_credits.is_empty()).then_some(expired_credits);
    OutputRow::default().with("activated_incidents", activated).with("expired_credits", expired)
}

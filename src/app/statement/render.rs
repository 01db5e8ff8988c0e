//! A statement as text, CSV and JSON.

use comfy_table::Table;
use serde_json::{Value, json};

use super::{Document, kind_name, shown_time, state_name, subject};
use crate::app::csv;
use crate::grpc::wire;

/// Tables, one below the other.
pub(super) fn text(document: &Document) -> String {
    let mut lines = table(&[
        "sequence",
        "recorded_at",
        "kind",
        "from",
        "to",
        "credits",
        "about",
        "available",
        "held",
        "owed",
    ]);
    let empty = String::new;
    let balance_row = |what: &str, time: String, balance: &wire::Balance| {
        let wire::Balance { available_credits, held_credits, owed_credits, sequence: _ } = balance.clone();
        vec![
            empty(),
            time,
            what.to_owned(),
            empty(),
            empty(),
            empty(),
            empty(),
            available_credits,
            held_credits,
            owed_credits,
        ]
    };
    lines.add_row(balance_row("opening balance", document.from.to_string(), &document.opening));
    for line in &document.lines {
        let transfer = line.transfer.clone().unwrap_or_default();
        let after = line.balance_after.clone().unwrap_or_default();
        lines.add_row([
            line.sequence.to_string(),
            shown_time(line.recorded_at.as_ref()),
            kind_name(line.kind()).to_owned(),
            transfer.debit_account,
            transfer.credit_account,
            transfer.credits,
            subject(line).to_owned(),
            after.available_credits,
            after.held_credits,
            after.owed_credits,
        ]);
    }
    lines.add_row(balance_row("closing balance", document.until.to_string(), &document.closing));
    let mut parts = vec![format!("Statement of {}{}", document.customer, mark(document)), lines.to_string()];
    if !document.subtotals.is_empty() {
        let mut subtotals = table(&["kind", "lines", "credited", "debited"]);
        for subtotal in &document.subtotals {
            let kind = kind_name(subtotal.kind()).to_owned();
            subtotals.add_row([
                kind,
                subtotal.lines.to_string(),
                subtotal.credited_credits.clone(),
                subtotal.debited_credits.clone(),
            ]);
        }
        parts.push(subtotals.to_string());
    }
    if !document.open_holds.is_empty() {
        let mut holds = table(&["open hold", "state", "estimated", "held", "created_at"]);
        for hold in &document.open_holds {
            holds.add_row([
                hold.incident_id.as_str(),
                state_name(hold),
                &hold.estimated_credits,
                &hold.held_credits,
                &shown_time(hold.created_at.as_ref()),
            ]);
        }
        parts.push(holds.to_string());
    }
    parts.join("\n")
}

/// What a reader must know of a statement that may still change.
pub(super) fn mark(document: &Document) -> &'static str {
    if document.provisional { " (provisional: the period is not over)" } else { "" }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(header.iter().copied());
    table
}

/// One line a transfer, between those of the opening and the closing balance.
pub(super) fn csv(document: &Document) -> String {
    let mut rows = vec![csv::row(&[
        "sequence",
        "recorded_at",
        "kind",
        "debit_account",
        "credit_account",
        "credits",
        "incident_id",
        "order_id",
        "reason",
        "available",
        "held",
        "owed",
    ])];
    let balance_row = |what: &str, time: &str, balance: &wire::Balance| {
        let wire::Balance { available_credits: available, held_credits: held, owed_credits: owed, sequence } =
            balance;
        csv::row(&[&sequence.to_string(), time, what, "", "", "", "", "", "", available, held, owed])
    };
    rows.push(balance_row("OPENING_BALANCE", &document.from.to_string(), &document.opening));
    for line in &document.lines {
        let transfer = line.transfer.clone().unwrap_or_default();
        let after = line.balance_after.clone().unwrap_or_default();
        rows.push(csv::row(&[
            &line.sequence.to_string(),
            &shown_time(line.recorded_at.as_ref()),
            kind_name(line.kind()),
            &transfer.debit_account,
            &transfer.credit_account,
            &transfer.credits,
            &line.incident_id,
            &line.order_id,
            &line.reason,
            &after.available_credits,
            &after.held_credits,
            &after.owed_credits,
        ]));
    }
    let closing = if document.provisional { "PROVISIONAL_CLOSING_BALANCE" } else { "CLOSING_BALANCE" };
    rows.push(balance_row(closing, &document.until.to_string(), &document.closing));
    rows.join("\n")
}

/// One object.
pub(super) fn json(document: &Document) -> String {
    let balance = |balance: &wire::Balance| {
        let wire::Balance { available_credits: available, held_credits: held, owed_credits: owed, sequence } =
            balance;
        json!({ "available": available, "held": held, "owed": owed, "sequence": sequence })
    };
    let lines: Value = document
        .lines
        .iter()
        .map(|line| {
            let transfer = line.transfer.clone().unwrap_or_default();
            json!({
                "sequence": line.sequence,
                "posting_id": line.posting_id,
                "kind": kind_name(line.kind()),
                "recorded_at": shown_time(line.recorded_at.as_ref()),
                "debit_account": transfer.debit_account,
                "credit_account": transfer.credit_account,
                "credits": transfer.credits,
                "incident_id": line.incident_id,
                "order_id": line.order_id,
                "reason": line.reason,
                "balance_after": balance(&line.balance_after.clone().unwrap_or_default()),
            })
        })
        .collect();
    let subtotals = document.subtotals.iter().map(|subtotal| {
        json!({
            "kind": kind_name(subtotal.kind()),
            "lines": subtotal.lines,
            "credited_credits": subtotal.credited_credits,
            "debited_credits": subtotal.debited_credits,
        })
    });
    let open_holds = document.open_holds.iter().map(|hold| {
        json!({
            "hold_id": hold.hold_id,
            "incident_id": hold.incident_id,
            "state": state_name(hold),
            "estimated_credits": hold.estimated_credits,
            "held_credits": hold.held_credits,
            "created_at": shown_time(hold.created_at.as_ref()),
        })
    });
    let whole = json!({
        "customer_id": document.customer,
        "period_from": document.from.to_string(),
        "period_until": document.until.to_string(),
        "provisional": document.provisional,
        "opening_balance": balance(&document.opening),
        "lines": lines,
        "subtotals": subtotals.collect::<Value>(),
        "closing_balance": balance(&document.closing),
        "open_holds": open_holds.collect::<Value>(),
    });
    format!("{whole:#}")
}

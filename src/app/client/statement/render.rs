//! A statement as text, CSV and JSON.

use serde_json::{Value, json};

use super::document::{Document, kind_name, shown_time, state_name};
use crate::app::client::row::{row, table};
use crate::app::csv;
use crate::grpc::wire;

/// Tables, one below the other.
pub(super) fn text(document: &Document) -> String {
    let mut lines = table();
    lines.set_header([
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
    lines.add_rows(document.lines("opening balance", "closing balance").iter().map(|line| {
        let wire::Balance { available_credits, held_credits, owed_credits, sequence: _ } = &line.balance;
        [
            if line.is_balance { "" } else { &line.sequence },
            &line.recorded_at,
            &line.kind,
            &line.debit_account,
            &line.credit_account,
            &line.credits,
            line.subject(),
            available_credits,
            held_credits,
            owed_credits,
        ]
        .map(str::to_owned)
    }));
    let title = format!("Statement of {}{}", document.customer, document.mark());
    let mut parts = vec![title, lines.to_string()];
    if !document.subtotals.is_empty() {
        let mut subtotals = table();
        subtotals.set_header(["kind", "lines", "credited", "debited"]);
        subtotals.add_rows(document.subtotals());
        parts.push(subtotals.to_string());
    }
    if !document.open_holds.is_empty() {
        let mut holds = table();
        holds.set_header(["open hold", "state", "estimated", "held", "created_at"]);
        holds.add_rows(document.open_holds.iter().map(|hold| {
            let wire::Hold { incident_id, estimated_credits, held_credits, created_at, .. } = hold.clone();
            let created_at = shown_time(created_at.as_ref());
            [incident_id, state_name(hold).to_owned(), estimated_credits, held_credits, created_at]
        }));
        parts.push(holds.to_string());
    }
    parts.join("\n")
}

/// One line for each transfer, between those of the opening and the closing balance.
pub(super) fn csv(document: &Document) -> String {
    let head = csv::row(&[
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
    ]);
    let closing = if document.provisional { "PROVISIONAL_CLOSING_BALANCE" } else { "CLOSING_BALANCE" };
    let lines = document.lines("OPENING_BALANCE", closing).into_iter().map(|line| {
        let wire::Balance { available_credits, held_credits, owed_credits, sequence: _ } = &line.balance;
        csv::row(&[
            &line.sequence,
            &line.recorded_at,
            &line.kind,
            &line.debit_account,
            &line.credit_account,
            &line.credits,
            &line.incident_id,
            &line.order_id,
            &line.reason,
            available_credits,
            held_credits,
            owed_credits,
        ])
    });
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

pub(super) fn json(document: &Document) -> String {
    let balance = |balance: &wire::Balance| {
        let wire::Balance { available_credits: available, held_credits: held, owed_credits: owed, sequence } =
            balance;
        json!({ "available": available, "held": held, "owed": owed, "sequence": sequence })
    };
    let line = |line: &wire::StatementLine| {
        let transfer = line.transfer.clone().unwrap_or_default();
        let row = row!(line:
            sequence,
            posting_id,
            kind = kind_name(line.kind()),
            recorded_at = shown_time(line.recorded_at.as_ref()),
            incident_id,
            order_id,
            reason,
            balance_after = balance(&line.balance_after.clone().unwrap_or_default()),
        );
        row.and(row!(transfer: debit_account, credit_account, credits)).json()
    };
    let subtotals = document.subtotals.iter().map(|subtotal| {
        row!(subtotal: kind = kind_name(subtotal.kind()), lines, credited_credits, debited_credits).json()
    });
    let open_holds = document.open_holds.iter().map(|hold| {
        let row = row!(hold: hold_id, incident_id, state = state_name(hold), estimated_credits, held_credits);
        row.with("created_at", shown_time(hold.created_at.as_ref())).json()
    });
    let whole = json!({
        "customer_id": document.customer,
        "period_from": document.from.to_string(),
        "period_until": document.until.to_string(),
        "provisional": document.provisional,
        "opening_balance": balance(&document.opening),
        "lines": document.lines.iter().map(line).collect::<Value>(),
        "subtotals": subtotals.collect::<Value>(),
        "closing_balance": balance(&document.closing),
        "open_holds": open_holds.collect::<Value>(),
    });
    format!("{whole:#}")
}

//! The content of a statement, in the lines and texts that all its formats share.

use prost_types::Timestamp;

use crate::grpc::wire;

/// A whole statement.
pub(super) struct Document {
    pub customer: String,
    pub from: Timestamp,
    pub until: Timestamp,
    pub opening: wire::Balance,
    pub lines: Vec<wire::StatementLine>,
    pub closing: wire::Balance,
    pub subtotals: Vec<wire::StatementSubtotal>,
    pub open_holds: Vec<wire::Hold>,
    pub provisional: bool,
}

/// A line: a transfer, or the opening or closing balance.
#[derive(Default)]
pub(super) struct Line {
    /// False for a transfer.
    pub is_balance: bool,
    pub sequence: String,
    pub recorded_at: String,
    pub kind: String,
    pub debit_account: String,
    pub credit_account: String,
    pub credits: String,
    pub incident_id: String,
    pub order_id: String,
    pub reason: String,
    pub balance: wire::Balance,
}

impl Document {
    /// All lines in order. `opening` and `closing` name the first and the last one.
    pub fn lines(&self, opening: &str, closing: &str) -> Vec<Line> {
        let balance = |kind: &str, at: Timestamp, balance: &wire::Balance| Line {
            is_balance: true,
            sequence: balance.sequence.to_string(),
            recorded_at: at.to_string(),
            kind: kind.to_owned(),
            balance: balance.clone(),
            ..Line::default()
        };
        let opening = balance(opening, self.from, &self.opening);
        let closing = balance(closing, self.until, &self.closing);
        std::iter::once(opening).chain(self.lines.iter().map(transfer)).chain([closing]).collect()
    }

    /// For each kind of posting: its name, its number of lines, and the sums credited and debited.
    pub fn subtotals(&self) -> impl Iterator<Item = [String; 4]> {
        self.subtotals.iter().map(|subtotal| {
            let wire::StatementSubtotal { credited_credits, debited_credits, lines, .. } = subtotal.clone();
            let kind = kind_name(subtotal.kind()).to_owned();
            [kind, lines.to_string(), credited_credits, debited_credits]
        })
    }

    /// The note that a statement may still change.
    pub fn mark(&self) -> &'static str {
        if self.provisional { " (provisional: the period is not over)" } else { "" }
    }
}

impl Line {
    /// The incident or the order of a line.
    pub fn subject(&self) -> &str {
        if self.incident_id.is_empty() { &self.order_id } else { &self.incident_id }
    }
}

fn transfer(line: &wire::StatementLine) -> Line {
    let wire::Transfer { debit_account, credit_account, credits } = line.transfer.clone().unwrap_or_default();
    Line {
        is_balance: false,
        sequence: line.sequence.to_string(),
        recorded_at: shown_time(line.recorded_at.as_ref()),
        kind: kind_name(line.kind()).to_owned(),
        debit_account,
        credit_account,
        credits,
        incident_id: line.incident_id.clone(),
        order_id: line.order_id.clone(),
        reason: line.reason.clone(),
        balance: line.balance_after.clone().unwrap_or_default(),
    }
}

/// The name of a kind of posting.
pub(super) fn kind_name(kind: wire::PostingKind) -> &'static str {
    let name = kind.as_str_name();
    name.strip_prefix("POSTING_KIND_").unwrap_or(name)
}

/// The state of a hold.
pub(super) fn state_name(hold: &wire::Hold) -> &'static str {
    let name = hold.state().as_str_name();
    name.strip_prefix("HOLD_STATE_").unwrap_or(name)
}

/// A time as RFC 3339; empty where there is none.
pub(super) fn shown_time(time: Option<&Timestamp>) -> String {
    time.map(ToString::to_string).unwrap_or_default()
}

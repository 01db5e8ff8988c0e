//! `creditledger statement`: a customer's statement for a period, as text, CSV, JSON or a page to print.

mod html;
mod render;

use prost_types::Timestamp;

use super::Failure;
use super::call::CallError;
use super::client::{Target, moment};
use super::output::print;
use crate::clock;
use crate::grpc::convert_time;
use crate::grpc::wire;
use wire::ledger_service_client::LedgerServiceClient;

/// Show a customer's statement for a period
///
/// Opening and closing balance, what moved between them, subtotals and open holds. The closing of one period is the
/// opening of the next.
#[derive(Clone, Debug, clap::Args)]
pub struct Statement {
    /// The customer's id
    customer: String,
    /// The first moment of the period: a day such as 2026-01-01, or a time (RFC 3339)
    #[arg(long, value_parser = moment, default_value = "1970-01-01", value_name = "TIME")]
    from: Timestamp,
    /// The first moment after it [default: now]
    #[arg(long, value_parser = moment, value_name = "TIME")]
    to: Option<Timestamp>,
    /// How it looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Tables
    Text,
    /// One line a transfer, between an opening and a closing one
    Csv,
    /// One object
    Json,
    /// A page to print
    Html,
}

/// A whole statement.
struct Document {
    customer: String,
    from: Timestamp,
    until: Timestamp,
    opening: wire::Balance,
    lines: Vec<wire::StatementLine>,
    closing: wire::Balance,
    subtotals: Vec<wire::StatementSubtotal>,
    open_holds: Vec<wire::Hold>,
    provisional: bool,
}

impl Statement {
    /// Asks the server and prints the statement.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let until = self.to.unwrap_or_else(|| convert_time(clock::now()));
        let mut client = LedgerServiceClient::new(self.target.connect().await?);
        let mut request = wire::GetStatementRequest {
            ledger_id: self.target.ledger().to_owned(),
            customer_id: self.customer.clone(),
            period_from: Some(self.from),
            period_until: Some(until),
            page_size: 1_000,
            page_token: String::new(),
        };
        let mut lines = Vec::new();
        loop {
            let page = client.get_statement(request.clone()).await.map_err(CallError::from)?.into_inner();
            lines.extend(page.lines);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                let document = Document {
                    customer: self.customer,
                    from: self.from,
                    until,
                    opening: page.opening_balance.unwrap_or_default(),
                    lines,
                    closing: page.closing_balance.unwrap_or_default(),
                    subtotals: page.subtotals,
                    open_holds: page.open_holds,
                    provisional: page.provisional,
                };
                let format = if self.target.json() { Format::Json } else { self.format };
                return print(&match format {
                    Format::Text => render::text(&document),
                    Format::Csv => render::csv(&document),
                    Format::Json => render::json(&document),
                    Format::Html => html::page(&document),
                });
            }
        }
    }
}

/// The name of a kind of posting.
fn kind_name(kind: wire::PostingKind) -> &'static str {
    let name = kind.as_str_name();
    name.strip_prefix("POSTING_KIND_").unwrap_or(name)
}

/// The state of a hold.
fn state_name(hold: &wire::Hold) -> &'static str {
    let name = hold.state().as_str_name();
    name.strip_prefix("HOLD_STATE_").unwrap_or(name)
}

/// What a line is about: its incident, or its order.
fn subject(line: &wire::StatementLine) -> &str {
    if line.incident_id.is_empty() { &line.order_id } else { &line.incident_id }
}

fn shown_time(time: Option<&Timestamp>) -> String {
    time.map(ToString::to_string).unwrap_or_default()
}

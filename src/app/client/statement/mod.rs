//! `creditledger statement`: a customer's statement for a period, as text, CSV, JSON or a page to print.

mod document;
mod html;
mod render;

use self::document::Document;
use super::reports::Period;
use super::target::Target;
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::app::output::print;
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
    #[command(flatten)]
    period: Period,
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

impl Statement {
    /// Asks the server and prints the statement.
    pub async fn run(self) -> Result<(), Failure> {
        let Self { customer, period, format, target } = self;
        let until = period.until();
        let mut request = wire::GetStatementRequest {
            ledger_id: target.ledger(),
            customer_id: customer.clone(),
            period_from: Some(period.from),
            period_until: Some(until),
            page_size: 1_000,
            page_token: String::new(),
        };
        let mut client = LedgerServiceClient::new(target.connect().await?);
        let mut lines = Vec::new();
        let last = loop {
            let mut page = client.get_statement(request.clone()).await.map_err(CallError::from)?.into_inner();
            lines.append(&mut page.lines);
            request.page_token.clone_from(&page.next_page_token);
            if request.page_token.is_empty() {
                break page;
            }
        };
        let document = Document {
            customer,
            from: period.from,
            until,
            opening: last.opening_balance.unwrap_or_default(),
            lines,
            closing: last.closing_balance.unwrap_or_default(),
            subtotals: last.subtotals,
            open_holds: last.open_holds,
            provisional: last.provisional,
        };
        print(&match if target.json { Format::Json } else { format } {
            Format::Text => render::text(&document),
            Format::Csv => render::csv(&document),
            Format::Json => render::json(&document),
            Format::Html => html::page(&document),
        })
    }
}

//! `creditledger reconcile`: compares a list of orders with the purchases of a ledger.

use std::path::{Path, PathBuf};

use prost_types::Timestamp;
use serde_json::Value;

use super::arguments::moment;
use super::row::row;
use super::target::Target;
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::grpc::wire;
use wire::ledger_service_client::LedgerServiceClient;

/// Compare a storefront's own list of orders with the ledger's purchases
///
/// The file has a line for each order: order_id,customer_id,credits,amount,currency_code. Its first line has these
/// names. Empty values are not compared.
#[derive(Clone, Debug, clap::Args)]
pub struct Reconcile {
    /// The storefront
    storefront: String,
    /// Its orders, as CSV
    file: PathBuf,
    /// Purchases recorded before this time are not missed in the file: a day such as 2026-01-01, or a time (RFC 3339)
    #[arg(long, value_parser = moment, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Purchases recorded from this time on are not missed in the file
    #[arg(long, value_parser = moment, value_name = "TIME")]
    to: Option<Timestamp>,
    #[command(flatten)]
    target: Target,
}

/// Orders in one message.
const PART: usize = 1_000;
const COLUMNS: &str = "order_id,customer_id,credits,amount,currency_code";

impl Reconcile {
    /// Sends the file and prints the differences.
    pub async fn run(self) -> Result<(), Failure> {
        let orders = read(&self.file)?;
        let mut parts: Vec<_> = orders
            .chunks(PART)
            .map(|orders| wire::ReconcilePurchasesRequest { orders: orders.to_vec(), ..Default::default() })
            .collect();
        if parts.is_empty() {
            parts.push(wire::ReconcilePurchasesRequest::default());
        }
        if let Some(first) = parts.first_mut() {
            first.ledger_id = self.target.ledger();
            first.storefront = self.storefront;
            first.created_from = self.from;
            first.created_until = self.to;
        }
        let method = method!(LedgerServiceClient.reconcile_purchases);
        let answer = self.target.ask(method, tokio_stream::iter(parts)).await?;
        let listed = |orders: &[wire::StorefrontPurchase]| -> Vec<Value> {
            orders.iter().map(|order| order.order_id.as_str().into()).collect()
        };
        let different: Vec<_> =
            answer.different.iter().filter_map(|different| different.in_storefront.clone()).collect();
        let unlisted = answer.missing_in_storefront.iter().map(|purchase| purchase.order_id.as_str().into());
        self.target.print(&row!(answer:
            matched,
            repeated_orders,
            missing_in_ledger_count,
            missing_in_ledger = listed(&answer.missing_in_ledger),
            missing_in_storefront_count,
            missing_in_storefront = unlisted.collect::<Vec<Value>>(),
            different_count,
            different = listed(&different),
        ))
    }
}

fn read(file: &Path) -> Result<Vec<wire::StorefrontPurchase>, Failure> {
    let complaint = |what: String| Failure::Other(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| complaint(error.to_string()))?;
    let mut lines = text.lines();
    if lines.next() != Some(COLUMNS) {
        return Err(complaint(format!("the first line must be {COLUMNS}")));
    }
    let order = |(number, line): (usize, &str)| {
        // Ids and amounts have no commas in them, so nothing is quoted.
        let [order_id, customer_id, credits, amount, currency_code] = line.split(',').collect::<Vec<_>>()[..]
        else {
            return Err(complaint(format!("line {}: must have 5 fields", number.saturating_add(2))));
        };
        let has_price = !amount.is_empty() || !currency_code.is_empty();
        Ok(wire::StorefrontPurchase {
            order_id: order_id.to_owned(),
            customer_id: customer_id.to_owned(),
            credits: (!credits.is_empty()).then(|| credits.to_owned()),
            price: has_price
                .then(|| wire::Money { currency_code: currency_code.to_owned(), amount: amount.to_owned() }),
        })
    };
    lines.enumerate().map(order).collect()
}

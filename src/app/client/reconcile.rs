//! `creditledger reconcile`: compares a list of orders with the purchases of a ledger.

mod orders;

use std::path::PathBuf;

use prost_types::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::orders::Orders;
use super::arguments::moment;
use super::row::row;
use super::target::Target;
use crate::app::failure::Failure;
use crate::app::output::note;
use crate::app::paging::method;
use crate::grpc::wire;
use wire::ledger_service_client::LedgerServiceClient;

/// Compare a storefront's own list of orders with the ledger's purchases
///
/// The file is CSV. Its first line names the columns, in any order: order_id, customer_id, credits, amount and
/// currency_code. All but order_id may be left out, and others are ignored. Empty values are not compared.
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

impl Reconcile {
    /// Sends the file and prints the differences.
    pub async fn run(self) -> Result<(), Failure> {
        let orders = Orders::open(&self.file)?;
        let ignored = orders.ignored();
        let answer = self.compare(orders).await?;
        if !ignored.is_empty() {
            note(&format!("columns that are not read: {}", ignored.join(", ")));
        }
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

    /// Compares the whole file, which is read as the server takes it.
    async fn compare(&self, mut orders: Orders) -> Result<wire::ReconcilePurchasesResponse, Failure> {
        let mut next = wire::ReconcilePurchasesRequest {
            ledger_id: self.target.ledger(),
            storefront: self.storefront.clone(),
            created_from: self.from,
            created_until: self.to,
            orders: Vec::new(),
        };
        let (sender, receiver) = mpsc::channel(2);
        let read = tokio::task::spawn_blocking(move || {
            loop {
                next.orders = orders.part(PART, false)?;
                let is_last = next.orders.len() < PART;
                // Without a receiver the call has ended, and its answer says why.
                if sender.blocking_send(std::mem::take(&mut next)).is_err() || is_last {
                    return Ok(orders.digest());
                }
            }
        });
        let method = method!(LedgerServiceClient.reconcile_purchases);
        let answer = self.target.ask(method, ReceiverStream::new(receiver)).await;
        let read: Result<u64, Failure> =
            read.await.map_err(|error| Failure::Other(format!("the file cannot be read: {error}")))?;
        // Of a file that cannot be read to its end, the server has seen only a part.
        read?;
        answer
    }
}

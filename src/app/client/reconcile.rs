//! `creditledger reconcile`: compares a list of orders with the purchases of a ledger, and records what is missing.

mod apply;
mod orders;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use prost_types::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::apply::{Left, Plan, Recorded, Recorder};
use self::orders::Orders;
use super::arguments::moment;
use super::row::{OutputRow, row};
use super::show::price;
use super::target::Target;
use crate::app::failure::Failure;
use crate::app::output::{note, print};
use crate::app::paging::method;
use crate::grpc::wire;
use wire::ledger_service_client::LedgerServiceClient;

/// Compare a storefront's own list of orders with the ledger's purchases, and record what is missing
///
/// The file is CSV. Its first line names the columns, in any order: order_id, customer_id, credits, amount and
/// currency_code. All but order_id may be left out, and others are ignored. Empty values are not compared.
///
/// Exits with 0 where list and ledger agree in the end, and with 3 where something is left that differs, is missing on
/// either side, or was not recorded. Exits with 1 where it could not be found out.
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
    /// Record the purchases that the ledger has not, after showing them. What differs is shown and never changed
    #[arg(long)]
    apply: bool,
    /// Do not ask before recording. Without a terminal nobody is asked
    #[arg(long, requires = "apply")]
    yes: bool,
    #[command(flatten)]
    target: Target,
}

/// Orders in one message.
const PART: usize = 1_000;

/// The exit status where something is left to do.
const LEFT: u8 = 3;

type Answer = wire::ReconcilePurchasesResponse;

impl Reconcile {
    /// Compares, prints the differences, and records what is missing where that was asked for.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let orders = Orders::open(&self.file)?;
        let ignored = orders.ignored();
        let (answer, digest) = self.compare(orders).await?;
        if !ignored.is_empty() {
            note(&format!("columns that are not read: {}", ignored.join(", ")));
        }
        let found = summary(&answer);
        let mut is_left = answer.missing_in_storefront_count != 0 || answer.different_count != 0;
        if !self.apply {
            self.target.print(&found)?;
            is_left |= answer.missing_in_ledger_count != 0;
        } else if self.target.json {
            let (done, is_whole) = self.record(&answer, digest).await?;
            self.target.print(&found.and(done))?;
            is_left |= !is_whole;
        } else {
            self.target.print(&found)?;
            let (done, is_whole) = self.record(&answer, digest).await?;
            self.target.print(&done)?;
            is_left |= !is_whole;
        }
        Ok(if is_left { ExitCode::from(LEFT) } else { ExitCode::SUCCESS })
    }

    /// Shows what is missing, and records it. The sums, and whether all of it is recorded.
    async fn record(&self, answer: &Answer, digest: u64) -> Result<(OutputRow, bool), Failure> {
        let Plan { orders, left } = Plan::of(self.missing(answer, digest).await?);
        let (storefront, ledger, count) = (&self.storefront, self.target.ledger(), orders.len());
        let head = format!("orders to record (storefront {storefront}, ledger {ledger}): {count}");
        self.show(&head, orders.iter().map(|order| planned(order, None)).collect())?;
        self.show(
            "orders that cannot be recorded:",
            left.iter().map(|(order, why)| planned(order, Some(why))).collect(),
        )?;
        let recorded = if orders.is_empty() || self.yes || is_agreed()? {
            let recorder = Recorder {
                channel: self.target.connect().await?,
                ledger: self.target.ledger(),
                storefront: self.storefront.clone(),
            };
            recorder.record(orders).await?
        } else {
            note("nothing was recorded");
            let refused = orders.into_iter().map(|order| (order, "it was not agreed to".to_owned()));
            Recorded { refused: refused.collect(), ..Recorded::default() }
        };
        let Recorded { count, credits, already, refused } = recorded;
        let not_recorded: Vec<Left> = left.into_iter().chain(refused).collect();
        let reasons = not_recorded.iter().map(|(order, why)| format!("{}: {why}", order.order_id).into());
        let sums = OutputRow::default()
            .with("recorded", count)
            .with("recorded_credits", credits.to_string())
            .with("recorded_before", already)
            .with("not_recorded_count", not_recorded.len())
            .with("not_recorded", reasons.collect::<Vec<Value>>());
        Ok((sums, not_recorded.is_empty()))
    }

    /// Shows orders to the reader: beside an object of JSON, on standard error.
    fn show(&self, head: &str, rows: Vec<OutputRow>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.target.json {
            note(head);
            for row in rows {
                note(&row.json().to_string());
            }
            return Ok(());
        }
        print(head)?;
        self.target.print_rows(&rows)
    }

    /// All orders that the ledger has not. An answer lists a thousand. Where there are more, the file is compared again in
    /// parts of a thousand orders, each of which can be listed whole.
    async fn missing(&self, answer: &Answer, digest: u64) -> Result<Vec<wire::StorefrontPurchase>, Failure> {
        let all = usize::try_from(answer.missing_in_ledger_count).unwrap_or(usize::MAX);
        if all == answer.missing_in_ledger.len() {
            return Ok(answer.missing_in_ledger.clone());
        }
        // No purchase was recorded between a time and the same time, so that none is missed in a part.
        let never = Some(Timestamp::default());
        let mut missing = Vec::new();
        let mut orders = Orders::open(&self.file)?;
        loop {
            let part = orders.part(PART, true)?;
            let is_last = part.len() < PART;
            let request = wire::ReconcilePurchasesRequest {
                ledger_id: self.target.ledger(),
                storefront: self.storefront.clone(),
                created_from: never,
                created_until: never,
                orders: part,
            };
            let method = method!(LedgerServiceClient.reconcile_purchases);
            let answer = self.target.ask(method, tokio_stream::iter([request])).await?;
            missing.extend(answer.missing_in_ledger);
            if is_last {
                break;
            }
        }
        if orders.digest() != digest {
            let problem = "has changed meanwhile, or can be read only once; nothing was recorded";
            return Err(Failure::Other(format!("{} {problem}", self.file.display())));
        }
        Ok(missing)
    }

    /// Compares the whole file, which is read as the server takes it. Also its digest.
    async fn compare(&self, mut orders: Orders) -> Result<(Answer, u64), Failure> {
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
        let digest = read?;
        Ok((answer?, digest))
    }
}

fn summary(answer: &Answer) -> OutputRow {
    let listed = |orders: &[wire::StorefrontPurchase]| -> Vec<Value> {
        orders.iter().map(|order| order.order_id.as_str().into()).collect()
    };
    let different: Vec<_> =
        answer.different.iter().filter_map(|different| different.in_storefront.clone()).collect();
    let unlisted = answer.missing_in_storefront.iter().map(|purchase| purchase.order_id.as_str().into());
    row!(answer:
        matched,
        repeated_orders,
        missing_in_ledger_count,
        missing_in_ledger = listed(&answer.missing_in_ledger),
        missing_in_storefront_count,
        missing_in_storefront = unlisted.collect::<Vec<Value>>(),
        different_count,
        different = listed(&different),
    )
}

fn planned(order: &wire::StorefrontPurchase, why: Option<&str>) -> OutputRow {
    let row = row!(order: order_id, customer_id, credits, price = price(order.price.as_ref()));
    match why {
        Some(why) => row.with("reason", why),
        None => row,
    }
}

/// Asks, on a terminal, whether what was shown is to be recorded.
fn is_agreed() -> Result<bool, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(true);
    }
    note("record them? [y/N]");
    let mut answer = String::new();
    input
        .read_line(&mut answer)
        .map_err(|error| Failure::Other(format!("no answer can be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

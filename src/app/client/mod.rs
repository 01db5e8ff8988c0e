//! Commands for people, who talk to a running server and read tables, or JSON with `--json`.

mod alerts;
mod credits;
mod customer;
mod events;
mod hold;
mod notices;
mod payment;
mod rate_card;
mod receipt;
mod reconcile;
mod refunds;
mod revenue;
mod settle;
mod show;
mod webhook;

use tonic::Status;
use tonic::transport::Channel;

use super::Failure;
use super::call::{self, CallError, connect};
use super::output::note;
use crate::clock;
use crate::grpc::wire;
use crate::ledger::PostingId;
use crate::ledger::credits::parse_units;

pub use alerts::Alerts;
pub use credits::{Balance, Purchase, Transfers};
pub use customer::CustomerCommand;
pub use events::Events;
pub use hold::HoldCommand;
pub use payment::PaymentCommand;
pub use rate_card::RateCardCommand;
pub use receipt::Receipt;
pub use reconcile::Reconcile;
pub use refunds::{ChargebackCommand, RefundCommand};
pub use revenue::Revenue;
pub use settle::{Charge, Release, Settle};
use show::{Row, Shown};
pub use webhook::WebhookCommand;

/// Which server and ledger, and how the answer looks.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// The server
    #[arg(long, env = "CREDITLEDGER_SERVER", default_value = call::SERVER, value_name = "URL")]
    server: String,
    /// The ledger
    #[arg(long, default_value = "main", value_name = "ID")]
    ledger: String,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Target {
    /// The ledger that is meant.
    pub(super) fn ledger(&self) -> &str {
        &self.ledger
    }

    /// Whether JSON is asked for.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// A channel to the server.
    pub(super) async fn connect(&self) -> Result<Channel, Failure> {
        Ok(connect(&self.server).await?)
    }

    /// The context of a change; `customer` is empty where it is about none.
    fn context(
        &self,
        request: &RequestId,
        customer: impl Into<String>,
    ) -> Result<wire::CommandContext, Failure> {
        Ok(wire::context(request.get()?, customer).ledger(&self.ledger))
    }

    fn print(&self, shown: &Shown) -> Result<(), Failure> {
        shown.print(self.json)
    }

    fn print_list(&self, (rows, more): (Vec<Row>, bool)) -> Result<(), Failure> {
        self.print(&Shown::Many(rows))?;
        if more {
            note("... more; use --limit");
        }
        Ok(())
    }
}

/// The id that makes a change repeatable.
#[derive(Clone, Debug, clap::Args)]
pub struct RequestId {
    /// Idempotency key: a command repeated with the same id has no second effect [default: a new id]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestId {
    /// True where none was given.
    const fn is_new(&self) -> bool {
        self.request_id.is_none()
    }

    /// What was given, or a new time-ordered id.
    fn get(&self) -> Result<String, Failure> {
        if let Some(id) = &self.request_id {
            return Ok(id.clone());
        }
        let random = clock::random().map_err(Failure::Randomness)?;
        Ok(PostingId::new(clock::now(), 0, random).to_string())
    }
}

/// How many items a list shows.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limit {
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Reads a day, which stands for its beginning in UTC, or a time.
pub(super) fn moment(text: &str) -> Result<prost_types::Timestamp, String> {
    let time = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    time.parse()
        .map_err(|_| "a day such as 2026-01-01 or a time such as 2026-01-01T12:00:00Z is needed".to_owned())
}

/// Reads minutes, whole or decimal, as seconds.
pub(super) fn seconds(minutes: &str) -> Result<i32, String> {
    const DIGITS: u32 = 4;
    const PER_MINUTE: i64 = 10_i64.pow(DIGITS);
    // 366 days, the most that the server takes.
    const MINUTES_MAX: i64 = 527_040;
    let seconds = parse_units(minutes, DIGITS, MINUTES_MAX.saturating_mul(PER_MINUTE))
        .ok()
        .map(|units| units.saturating_mul(60))
        .filter(|units| units.rem_euclid(PER_MINUTE) == 0)
        .and_then(|units| i32::try_from(units.div_euclid(PER_MINUTE)).ok());
    seconds.ok_or_else(|| {
        format!("minutes such as 45 or 1.5 are needed, from 0 to {MINUTES_MAX}, that come to whole seconds")
    })
}

/// Why a change was not answered with what it asked for.
fn unanswered(status: Status, request_id: String) -> Failure {
    let error = CallError::from(status);
    if error.leaves_outcome_unknown() {
        Failure::OutcomeUnknown { error: Box::new(error), request_id }
    } else {
        Failure::Call(error)
    }
}

/// Sends a change, and gives its request id and its answer.
macro_rules! send {
    ($client:ident.$method:ident($request:expr)) => {{
        let request = $request;
        let request_id =
            request.context.as_ref().map(|context| context.request_id.clone()).unwrap_or_default();
        match $client.$method(request).await {
            Ok(answer) => (request_id, answer.into_inner()),
            Err(status) => return Err($crate::app::client::unanswered(status, request_id)),
        }
    }};
}
use send;

/// Fetches pages until `limit` items are there or the list ends, and says whether it goes on.
macro_rules! pages {
    ($limit:expr, $client:ident.$method:ident($request:expr) => $items:ident) => {{
        let mut request = $request;
        let mut items = Vec::new();
        let limit = usize::try_from($limit.limit).unwrap_or(usize::MAX);
        loop {
            // One more than is shown: a page token alone does not say that there is anything behind it.
            let missing = limit.saturating_add(1).saturating_sub(items.len());
            if missing == 0 {
                break;
            }
            request.page_size = i32::try_from(missing.min(1_000)).unwrap_or(1_000);
            let page = $client
                .$method(request.clone())
                .await
                .map_err($crate::app::call::CallError::from)?
                .into_inner();
            items.extend(page.$items);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        let more = items.len() > limit;
        items.truncate(limit);
        (items, more)
    }};
}
use pages;

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn minutes_come_to_whole_seconds() {
        for (minutes, expected) in [("45", 2_700), ("1.5", 90), ("0.05", 3), ("0", 0), ("527040", 31_622_400)]
        {
            assert_eq!(seconds(minutes), Ok(expected), "{minutes}");
        }
        for bad in ["", "-1", "1e3", "0.01", "1.00001", "527040.1", "an hour"] {
            assert!(seconds(bad).unwrap_err().contains("whole seconds"), "{bad}");
        }
    }
}

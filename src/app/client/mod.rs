//! Commands for people, who talk to a running server and read tables, or JSON with `--json`.

mod credits;
mod customer;
mod hold;
mod show;

use tonic::transport::Channel;

use super::Failure;
use super::call::{self, connect};
use crate::clock;
use crate::ledger::PostingId;

pub use credits::{Balance, Purchase, Transfers};
pub use customer::CustomerCommand;
pub use hold::{HoldCommand, Release, Settle};
use show::Shown;

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
    async fn connect(&self) -> Result<Channel, Failure> {
        Ok(connect(&self.server).await?)
    }

    fn print(&self, shown: &Shown) -> Result<(), Failure> {
        shown.print(self.json)
    }
}

/// The id that makes a change repeatable.
#[derive(Clone, Debug, clap::Args)]
pub struct RequestId {
    /// Say it again with the same id, and it is done once [default: a new id]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestId {
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
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    limit: usize,
}

/// Fetches pages until `limit` items are there or the list ends.
macro_rules! pages {
    ($limit:expr, $client:ident.$method:ident($request:expr) => $items:ident) => {{
        let mut request = $request;
        let mut items = Vec::new();
        loop {
            let missing = $limit.limit.saturating_sub(items.len());
            request.page_size = i32::try_from(missing.min(1_000)).unwrap_or(1_000);
            if missing == 0 {
                break;
            }
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
        items.truncate($limit.limit);
        items
    }};
}
use pages;

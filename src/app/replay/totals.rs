//! The server's totals at the end: the credits bought for the file's incidents, and what is left of them.
//!
//! The server is asked, because counting during the replay would miss the purchases of an earlier run. A second run, or
//! one after a crash, must come to the same totals.

use std::collections::{BTreeSet, HashSet};

use super::client::{STOREFRONT, TOP_UPS_MAX};
use super::incidents::Incident;
use super::plan::{Moment, Step, request_id};
use crate::app::call::{CallError, amount};
use crate::app::connect::Channel;
use crate::grpc::wire;
use crate::ledger::Credits;
use wire::ledger_service_client::LedgerServiceClient;
use wire::purchase_service_client::PurchaseServiceClient;

/// The most items of one page or one request.
const PAGE: usize = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Purchases for the file's incidents.
    pub purchases: usize,
    /// The credits of these purchases.
    pub purchased: Credits,
    /// The credits that the file's customers have left.
    pub available: Credits,
}

/// Reads the totals from the server.
pub async fn totals(channel: Channel, ledger: &str, incidents: &[Incident]) -> Result<Totals, CallError> {
    let (purchases, purchased) = purchases(channel.clone(), ledger, incidents).await?;
    let available = available(channel, ledger, incidents).await?;
    Ok(Totals { purchases, purchased, available })
}

fn sum(one: Credits, other: Credits) -> Result<Credits, CallError> {
    one.checked_add(other).ok_or_else(|| CallError::unexpected("sum"))
}

/// Of all purchases at the replay's storefront, those for these incidents.
async fn purchases(
    channel: Channel,
    ledger: &str,
    incidents: &[Incident],
) -> Result<(usize, Credits), CallError> {
    let moments = [Moment::Opening, Moment::Closing];
    let mut orders: HashSet<String> = HashSet::new();
    for incident in incidents {
        let ids = moments.iter().flat_map(|moment| {
            (1..=TOP_UPS_MAX).map(|count| request_id(incident, Step::TopUp(*moment, count)).to_string())
        });
        orders.extend(ids);
    }
    let mut client = PurchaseServiceClient::new(channel);
    let mut request = wire::ListPurchasesRequest {
        ledger_id: ledger.to_owned(),
        storefront: STOREFRONT.to_owned(),
        page_size: i32::try_from(PAGE).unwrap_or_default(),
        ..Default::default()
    };
    let (mut count, mut credits) = (0_usize, Credits::ZERO);
    loop {
        let page = client.list_purchases(request.clone()).await?.into_inner();
        for purchase in page.purchases.iter().filter(|purchase| orders.contains(&purchase.order_id)) {
            count = count.saturating_add(1);
            credits = sum(credits, amount(&purchase.credits)?)?;
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok((count, credits));
        }
    }
}

async fn available(channel: Channel, ledger: &str, incidents: &[Incident]) -> Result<Credits, CallError> {
    let customers: BTreeSet<&str> = incidents.iter().map(|incident| incident.customer.as_str()).collect();
    let customers: Vec<&str> = customers.into_iter().collect();
    let mut client = LedgerServiceClient::new(channel);
    let mut credits = Credits::ZERO;
    for page in customers.chunks(PAGE) {
        let request = wire::BatchGetBalancesRequest {
            ledger_id: ledger.to_owned(),
            customer_ids: page.iter().map(|id| (*id).to_owned()).collect(),
        };
        let answer = client.batch_get_balances(request).await?.into_inner();
        for balance in answer.balances.iter().filter_map(|customer| customer.balance.as_ref()) {
            credits = sum(credits, amount(&balance.available_credits)?)?;
        }
    }
    Ok(credits)
}

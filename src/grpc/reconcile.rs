//! ReconcilePurchases: a list of orders that streams in, bounded in each message and as a whole.

use std::sync::Arc;

use tonic::Streaming;

use crate::ledger::{LedgerId, OrderId, Storefront, Timestamp};
use crate::query::{Findings, ListedOrder, OwnedLot, Reconciliation};

use super::api::{Call, Reply};
use super::convert;
use super::parse::{Amount, Fields, complete};
use super::status::Problem;
use super::wire::{
    Purchase, PurchaseDifference, ReconcilePurchasesRequest, ReconcilePurchasesResponse, StorefrontPurchase,
};

/// The most orders in one message.
const ORDERS_MAX: usize = 10_000;

/// What a list is compared with; the first message of the stream names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compared {
    ledger: LedgerId,
    storefront: Storefront,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Call {
    /// Reads the list to its end and compares orders as they arrive, so that a slow comparison holds the caller back.
    pub(super) async fn reconcile_purchases(
        &self,
        mut list: Streaming<ReconcilePurchasesRequest>,
    ) -> Reply<ReconcilePurchasesResponse> {
        let mut open: Option<(Compared, Reconciliation)> = None;
        loop {
            let message = tokio::select! {
                biased;
                problem = self.called.ended() => return Err(problem.into()),
                message = list.message() => message?,
            };
            let Some(message) = message else { break };
            let scope = open.as_ref().map(|(scope, _)| scope);
            let (scope, orders) = self.parse(message, |message, fields| read(fields, message, scope))?;
            let (scope, mut reconciliation) = if let Some(open) = open.take() {
                open
            } else {
                let ledger = self.ledger(scope.ledger.clone()).await?.no;
                let storefront = scope.storefront.clone();
                (scope, Reconciliation::new(Arc::clone(&self.reader), ledger, storefront))
            };
            let turn = self.long_read().await?;
            let contradiction = reconciliation.take(orders).await?;
            drop(turn);
            if let Some(place) = contradiction {
                let problem = "was listed before with other content";
                return Err(Problem::field(format!("orders[{place}].order_id"), problem).into());
            }
            if reconciliation.listed() > Reconciliation::ORDERS_MAX {
                let problem = format!("must be at most {} in one call", Reconciliation::ORDERS_MAX);
                return Err(Problem::field("orders", problem).into());
            }
            open = Some((scope, reconciliation));
        }
        let Some((scope, reconciliation)) = open else {
            return Err(Problem::field("storefront", "must not be empty").into());
        };
        let _turn = self.long_read().await?;
        let findings = reconciliation.finish(scope.from, scope.until).await?;
        Ok(show(findings, &scope.ledger))
    }
}

fn read(
    fields: &mut Fields,
    message: ReconcilePurchasesRequest,
    scope: Option<&Compared>,
) -> Option<(Compared, Vec<ListedOrder>)> {
    let ReconcilePurchasesRequest { ledger_id, storefront, created_from, created_until, orders } = message;
    let ledger = fields.ledger(&ledger_id);
    let storefront = match scope {
        None => fields.take("storefront", Storefront::parse(&storefront)).map(Some),
        Some(_) => fields.optional("storefront", &storefront, Storefront::parse),
    };
    let from = fields.time("created_from", created_from);
    let until = fields.time("created_until", created_until);
    let orders = if orders.len() > ORDERS_MAX {
        fields.refuse("orders", format!("must be at most {ORDERS_MAX} in one message"))
    } else {
        fields.each("orders", orders, read_order)
    };
    let (ledger, storefront, from, until) = (ledger?, storefront?, from?, until?);
    let scope = match (scope, storefront) {
        (None, None) => return None,
        (None, Some(storefront)) => {
            Compared { ledger: ledger.unwrap_or_else(LedgerId::main), storefront, from, until }
        }
        (Some(scope), storefront) => {
            let differs = ledger.is_some_and(|ledger| ledger != scope.ledger)
                || storefront.is_some_and(|storefront| storefront != scope.storefront)
                || from.is_some_and(|from| Some(from) != scope.from)
                || until.is_some_and(|until| Some(until) != scope.until);
            if differs {
                return fields.refuse(
                    "storefront",
                    "must, like the ledger and the period, be that of the first message",
                );
            }
            scope.clone()
        }
    };
    Some((scope, orders?))
}

fn read_order(fields: &mut Fields, order: StorefrontPurchase) -> Option<ListedOrder> {
    let StorefrontPurchase { order_id, customer_id, credits, price } = order;
    complete!(ListedOrder {
        order: fields.take("order_id", OrderId::parse(&order_id)),
        customer: fields.optional_customer(&customer_id),
        credits: fields.optional_credits("credits", credits, Amount::Positive),
        price: fields.money("price", price),
    })
}

fn show_order(order: &ListedOrder) -> StorefrontPurchase {
    let ListedOrder { order, customer, credits, price } = order;
    StorefrontPurchase {
        order_id: order.to_string(),
        customer_id: convert::or_empty(customer.as_ref()),
        credits: credits.map(|credits| credits.to_string()),
        price: price.as_ref().map(convert::money),
    }
}

/// A purchase without its refunds, because two thousand purchases must fit a message.
fn show_purchase(purchase: &OwnedLot, ledger: &LedgerId) -> Purchase {
    Purchase {
        refunds: Vec::new(),
        ..convert::purchase(&purchase.lot, ledger, &purchase.customer, Some(&purchase.unused))
    }
}

fn show(findings: Findings, ledger: &LedgerId) -> ReconcilePurchasesResponse {
    let Findings { matched, repeated, missing_in_ledger, missing_in_storefront, different } = findings;
    let show_purchase = |purchase: &OwnedLot| show_purchase(purchase, ledger);
    let show_difference = |(listed, purchase): &(ListedOrder, OwnedLot)| PurchaseDifference {
        in_storefront: Some(show_order(listed)),
        in_ledger: Some(show_purchase(purchase)),
    };
    ReconcilePurchasesResponse {
        matched: convert::signed(matched),
        repeated_orders: convert::signed(repeated),
        missing_in_ledger_count: convert::signed(missing_in_ledger.0),
        missing_in_ledger: missing_in_ledger.1.iter().map(show_order).collect(),
        missing_in_storefront_count: convert::signed(missing_in_storefront.0),
        missing_in_storefront: missing_in_storefront.1.iter().map(show_purchase).collect(),
        different_count: convert::signed(different.0),
        different: different.1.iter().map(show_difference).collect(),
    }
}

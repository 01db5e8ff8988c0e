//! Reads what the ledger has of an order, for one run of its follower.
//!
//! # Cost
//! The purchases of an order, with that of its first edit, are one read. Which request made a posting never changes: it is
//! read once a run, and not at all where the run itself sent the request.

use std::collections::HashMap;
use std::sync::Arc;

use super::kept::{Kept, Place, Row};
use super::order::{Booked, BookedPurchase, Entry, Origin, Requests, id_of_part};
use crate::ledger::lot::RefundState;
use crate::ledger::{CustomerId, Kind, LedgerNo, Lot, OrderId, Posting, PostingId, RequestKey};
use crate::query::{PostingTarget, ReadError, Reader};
use crate::store::OwnedLot;

/// What a run knows of the ledger.
pub struct LedgerBook<'a> {
    reader: &'a Reader,
    /// The purchases, where they were read and nothing was sent since.
    purchases: Option<Vec<OwnedLot>>,
    /// By what postings were asked for.
    requests: HashMap<PostingId, Option<RequestKey>>,
    has_order: bool,
}

impl<'a> LedgerBook<'a> {
    pub fn new(reader: &'a Reader) -> Self {
        Self { reader, purchases: None, requests: HashMap::new(), has_order: false }
    }

    /// Whether the ledger has the order, as it was read last.
    pub fn has_order(&self) -> bool {
        self.has_order
    }

    /// Has the purchases read again: somebody may have changed them.
    pub fn forget(&mut self) {
        self.purchases = None;
    }

    /// Notes what this run recorded.
    pub fn recorded(&mut self, posting: &Posting) {
        self.requests.insert(posting.id, posting.request.clone());
    }

    /// The purchases under an order's ids, oldest first, and behind them those under the ids of its first edit.
    async fn purchases(&mut self, row: &Row) -> Result<Vec<OwnedLot>, ReadError> {
        if let Some(purchases) = &self.purchases {
            return Ok(purchases.clone());
        }
        let ids = order_ids(&row.kept);
        let parts: Vec<OrderId> = ids.iter().filter_map(|id| id_of_part(id, 1)).collect();
        let all: Vec<&OrderId> = ids.iter().chain(parts.iter().filter(|id| !ids.contains(id))).collect();
        let Place { ledger, storefront, .. } = &row.place;
        let mut purchases = self.reader.purchases_of(*ledger, storefront, &all).await?;
        purchases.sort_by_key(|owned| (!is_under(owned, &ids), owned.lot.id));
        self.purchases = Some(purchases.clone());
        Ok(purchases)
    }

    /// The purchases under an order's ids.
    pub async fn own(&mut self, row: &Row) -> Result<Vec<OwnedLot>, ReadError> {
        let ids = order_ids(&row.kept);
        let mut purchases = self.purchases(row).await?;
        purchases.retain(|owned| is_under(owned, &ids));
        Ok(purchases)
    }

    /// What the ledger has of an order.
    pub async fn booked(&mut self, row: &Row, id: &OrderId) -> Result<Option<Booked>, ReadError> {
        let Place { ledger, storefront, .. } = &row.place;
        let purchases = self.purchases(row).await?;
        let mut found = self.own(row).await?;
        self.has_order = !found.is_empty();
        let Some(first) = found.first() else { return Ok(None) };
        let customer = first.customer.clone();
        let base = first.lot.order.clone().unwrap_or_else(|| id.clone());
        while let Some(part) = id_of_part(&base, found.len()) {
            let more = if found.len() == 1 {
                purchases.iter().find(|owned| owned.lot.order.as_ref() == Some(&part)).cloned()
            } else {
                self.reader.purchases_of(*ledger, storefront, &[&part]).await?.into_iter().next()
            };
            let Some(more) = more else { break };
            // Another order may have this id.
            let request = Requests { storefront, order: &base }.part(found.len());
            if self.request_of(*ledger, &more.customer, more.lot.id.into()).await? != Some(request) {
                break;
            }
            found.push(more);
        }
        let mut booked = Vec::with_capacity(found.len());
        for owned in found {
            booked.push(self.purchase(row, &owned.customer, &base, owned.lot).await?);
        }
        Ok(Some(Booked { customer, purchases: booked }))
    }

    /// The request that a posting was made by.
    pub async fn request_of(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        posting: PostingId,
    ) -> Result<Option<RequestKey>, ReadError> {
        if let Some(request) = self.requests.get(&posting) {
            return Ok(request.clone());
        }
        let target = PostingTarget::Id(customer.clone(), posting);
        let request = self.reader.posting(ledger, &target).await?.posting.request.clone();
        self.requests.insert(posting, request.clone());
        Ok(request)
    }

    async fn purchase(
        &mut self,
        row: &Row,
        customer: &CustomerId,
        base: &OrderId,
        lot: Arc<Lot>,
    ) -> Result<BookedPurchase, ReadError> {
        let ledger = row.place.ledger;
        let requests =
            Requests { storefront: &row.place.storefront, order: lot.order.as_ref().unwrap_or(base) };
        let request = self.request_of(ledger, customer, lot.id.into()).await?;
        let is_part = lot.order.as_ref().is_some_and(|order| order != base);
        let is_ours = is_part || requests.is_purchase(request.as_ref());
        let mut entries = Vec::with_capacity(lot.refunds.len());
        for (place, refund) in lot.refunds.iter().enumerate() {
            let request = self.request_of(ledger, customer, refund.id).await?;
            let known = row.kept.order.disputes.keys();
            let origin = requests.origin(request.as_ref(), place, known);
            let kind = match refund.state {
                RefundState::Refunded | RefundState::Disputed => None,
                RefundState::Reversed => Some(Kind::ReverseRefund),
                RefundState::Won | RefundState::Lost => Some(Kind::ResolveChargeback),
            };
            let ended_by_hand = match kind.filter(|_| origin != Origin::Hand) {
                None => false,
                Some(kind) => {
                    let ends = requests.ends(refund, &origin);
                    let ends =
                        ends.into_iter().map(|end| PostingTarget::Request(customer.clone(), kind, end));
                    !self.has_any(ledger, ends).await?
                }
            };
            entries.push(Entry { refund: refund.clone(), origin, ended_by_hand });
        }
        Ok(BookedPurchase { lot, is_ours, entries })
    }

    async fn has_any(
        &self,
        ledger: LedgerNo,
        postings: impl Iterator<Item = PostingTarget>,
    ) -> Result<bool, ReadError> {
        for posting in postings {
            match self.reader.posting(ledger, &posting).await {
                Ok(_) => return Ok(true),
                Err(ReadError::PostingNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

fn is_under(owned: &OwnedLot, ids: &[OrderId]) -> bool {
    owned.lot.order.as_ref().is_some_and(|order| ids.contains(order))
}

/// The ids under which the ledger may have an order.
pub fn order_ids(kept: &Kept) -> Vec<OrderId> {
    let names = kept.order.names.keys().filter_map(|name| OrderId::parse(name.0.as_str()).ok());
    let mut ids: Vec<OrderId> = names.collect();
    if let Some(id) = kept.id.clone().filter(|id| !ids.contains(id)) {
        ids.push(id);
    }
    ids
}

//! Reconciliation: compares a storefront's own list of orders with the ledger's purchases.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ledger::hash::stable_hash;
use crate::ledger::lot::LotSource;
use crate::ledger::{Credits, CustomerId, LedgerNo, LotId, Money, OrderId, Storefront, Timestamp};
use crate::store::{LotFilter, OwnedLot};

use super::error::ReadError;
use super::reader::Reader;

const READ: usize = 1_000;

/// An order as the storefront has it. Fields that are `None` are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    pub order: OrderId,
    pub customer: Option<CustomerId>,
    pub credits: Option<Credits>,
    pub price: Option<Money>,
}

impl ListedOrder {
    /// The hash of the content: a repeat has the same one, a conflict another one.
    fn fingerprint(&self) -> u64 {
        let text = |value: Option<String>| value.unwrap_or_default();
        stable_hash(&[
            text(self.customer.as_ref().map(ToString::to_string)).as_bytes(),
            text(self.credits.map(|credits| credits.to_string())).as_bytes(),
            text(self.price.map(|price| format!("{} {}", price.minor_units, price.currency))).as_bytes(),
        ])
    }

    /// Whether the ledger agrees with everything that the storefront names.
    fn fits(&self, found: &OwnedLot) -> bool {
        self.customer.as_ref().is_none_or(|customer| *customer == found.customer)
            && self.credits.is_none_or(|credits| credits == found.lot.credits)
            && self.price.is_none_or(|price| Some(price) == found.lot.price)
    }
}

/// The result. Each list has at most [`Findings::LISTED_MAX`] entries; the numbers count all.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Orders that are the same on both sides.
    pub matched: u64,
    /// Orders that the list repeats with the same content.
    pub repeated: u64,
    /// Orders that the ledger does not have.
    pub missing_in_ledger: (u64, Vec<ListedOrder>),
    /// Purchases of the period that the list does not have.
    pub missing_in_storefront: (u64, Vec<OwnedLot>),
    /// Orders that both have, with different content.
    pub different: (u64, Vec<(ListedOrder, OwnedLot)>),
}

impl Findings {
    /// The most entries of each list.
    pub const LISTED_MAX: usize = 1_000;
}

fn note<T>((count, listed): &mut (u64, Vec<T>), item: T) {
    *count = count.saturating_add(1);
    if listed.len() < Findings::LISTED_MAX {
        listed.push(item);
    }
}

/// A reconciliation under way. It keeps 16 bytes for each listed order.
pub struct Reconciliation {
    reader: Arc<Reader>,
    ledger: LedgerNo,
    storefront: Storefront,
    seen: Seen,
    findings: Findings,
}

impl Reconciliation {
    pub const ORDERS_MAX: usize = 5_000_000;

    #[must_use]
    pub fn new(reader: Arc<Reader>, ledger: LedgerNo, storefront: Storefront) -> Self {
        Self { reader, ledger, storefront, seen: Seen::default(), findings: Findings::default() }
    }

    /// The number of orders listed so far.
    pub fn listed(&self) -> usize {
        self.seen.len()
    }

    /// Takes a part of the list. Returns the index of the first order that was listed before with other content: such
    /// a list contradicts itself.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn take(&mut self, orders: Vec<ListedOrder>) -> Result<Option<usize>, ReadError> {
        let mut fresh = Vec::with_capacity(orders.len());
        for (place, order) in orders.into_iter().enumerate() {
            let fingerprint = order.fingerprint();
            match self.seen.insert(key_of(&order.order), fingerprint) {
                None => fresh.push(order),
                Some(earlier) if earlier == fingerprint => {
                    self.findings.repeated = self.findings.repeated.saturating_add(1);
                }
                Some(_) => return Ok(Some(place)),
            }
        }
        for part in fresh.chunks(READ) {
            let ids: Vec<&OrderId> = part.iter().map(|order| &order.order).collect();
            let found = self.reader.store.orders(self.ledger, &self.storefront, &ids).await?;
            let found: HashMap<&OrderId, &OwnedLot> =
                found.iter().map(|found| Ok((order_of(found)?, found))).collect::<Result<_, ReadError>>()?;
            for order in part {
                match found.get(&order.order) {
                    None => note(&mut self.findings.missing_in_ledger, order.clone()),
                    Some(purchase) if order.fits(purchase) => {
                        self.findings.matched = self.findings.matched.saturating_add(1);
                    }
                    Some(purchase) => {
                        note(&mut self.findings.different, (order.clone(), (*purchase).clone()));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Finds the purchases of the period that were not listed, and returns the result.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn finish(
        mut self,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Findings, ReadError> {
        let filter = LotFilter {
            customer: None,
            source: Some(LotSource::Purchase),
            storefront: Some(self.storefront.clone()),
            from,
            until,
        };
        let mut before: Option<LotId> = None;
        loop {
            let page = self.reader.store.lots(self.ledger, &filter, before, READ).await?;
            for purchase in page.items {
                if self.seen.get(key_of(order_of(&purchase)?)).is_none() {
                    note(&mut self.findings.missing_in_storefront, purchase);
                }
            }
            match page.next {
                Some(next) => before = Some(next),
                None => return Ok(self.findings),
            }
        }
    }
}

fn order_of(purchase: &OwnedLot) -> Result<&OrderId, ReadError> {
    let order = purchase.lot.order.as_ref();
    order.ok_or_else(|| ReadError::damaged(format!("purchase {} has no order", purchase.lot.id)))
}

/// The hash of an order. In a million orders, the chance that two share a hash is about 1 in 37 million.
fn key_of(order: &OrderId) -> u64 {
    stable_hash(&[order.as_str().as_bytes()])
}

/// Listed orders with their fingerprints, in sorted runs, which need no memory beyond their entries.
#[derive(Debug, Default)]
struct Seen {
    runs: Vec<Vec<(u64, u64)>>,
    open: HashMap<u64, u64>,
}

impl Seen {
    const RUN: usize = 1 << 17;

    fn get(&self, key: u64) -> Option<u64> {
        let in_run = |run: &Vec<(u64, u64)>| {
            let place = run.binary_search_by_key(&key, |(key, _)| *key).ok()?;
            run.get(place).map(|(_, fingerprint)| *fingerprint)
        };
        self.open.get(&key).copied().or_else(|| self.runs.iter().find_map(in_run))
    }

    /// Adds a new key, or returns the fingerprint of a known one.
    fn insert(&mut self, key: u64, fingerprint: u64) -> Option<u64> {
        let earlier = self.get(key);
        if earlier.is_none() {
            self.open.insert(key, fingerprint);
            if self.open.len() >= Self::RUN {
                let mut run: Vec<(u64, u64)> = self.open.drain().collect();
                run.sort_unstable();
                self.runs.push(run);
            }
        }
        earlier
    }

    fn len(&self) -> usize {
        self.runs.iter().map(Vec::len).fold(self.open.len(), usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn what_was_seen_is_found_in_every_run() {
        let mut seen = Seen::default();
        let count = u64::try_from(Seen::RUN * 2 + 10).unwrap();
        // Odd numbers, in an unsorted order.
        let key = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        for n in 0..count {
            seen.insert(key(n), n);
        }
        assert_eq!(seen.runs.len(), 2);
        for n in [0, 1, count / 2, count - 1] {
            assert_eq!(seen.get(key(n)), seen.insert(key(n), 7), "{n}");
            assert!(seen.get(key(n)).is_some());
            assert_eq!(seen.get(key(n) ^ 1), None);
        }
    }
}

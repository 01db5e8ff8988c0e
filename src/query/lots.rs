//! Lots and purchases, one and many.

use std::collections::HashMap;

use crate::ledger::lot::LotSource;
use crate::ledger::{Credits, CustomerId, CustomerKey, LedgerNo, LotId, OrderId, Storefront};
use crate::store::{LotFilter, OwnedLot};

use super::{Keyed, Listed, PageRequest, ReadError, Reader};

/// Which purchase is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurchaseTarget {
    /// By its lot.
    Id(LotId),
    /// By the storefront's order.
    Order(Storefront, OrderId),
}

/// A lot with what is left of it now.
#[derive(Clone, Debug)]
pub struct LotRecord {
    /// The lot.
    pub lot: OwnedLot,
    /// What is left.
    pub left: Credits,
}

impl Keyed for LotRecord {
    type Key = LotId;

    fn key(&self) -> LotId {
        self.lot.lot.id
    }
}

impl Keyed for OwnedLot {
    type Key = LotId;

    fn key(&self) -> LotId {
        self.lot.id
    }
}

impl Reader {
    /// One purchase.
    ///
    /// # Errors
    /// [`ReadError::PurchaseNotFound`], [`ReadError::Storage`].
    pub async fn purchase(&self, ledger: LedgerNo, target: &PurchaseTarget) -> Result<OwnedLot, ReadError> {
        let found = match target {
            PurchaseTarget::Id(id) => self.store.lot(ledger, *id).await?,
            PurchaseTarget::Order(storefront, order) => self.store.order(ledger, storefront, order).await?,
        };
        found.filter(|found| found.lot.source == LotSource::Purchase).ok_or(ReadError::PurchaseNotFound)
    }

    /// One lot, with what is left of it now.
    ///
    /// # Errors
    /// [`ReadError::LotNotFound`], [`ReadError::Storage`].
    pub async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<LotRecord, ReadError> {
        let lot = self.store.lot(ledger, id).await?.ok_or(ReadError::LotNotFound)?;
        let left = self.customer(ledger, &lot.customer).await?.state.lots.left(id);
        Ok(LotRecord { lot, left })
    }

    /// Lots, newest first; `filter.customer` is set from `customer`, which must exist.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn owned_lots(
        &self,
        ledger: LedgerNo,
        customer: Option<&CustomerId>,
        filter: LotFilter,
        page: &PageRequest,
    ) -> Result<Listed<OwnedLot>, ReadError> {
        let filter = LotFilter { customer: self.filter_key(ledger, customer).await?, ..filter };
        let (before, bound) = page.open(&("lots", ledger, &filter))?;
        let found = self.store.lots(ledger, &filter, before, page.limit).await?;
        Ok(Listed::new(found.items, found.next, bound))
    }

    /// As [`Reader::owned_lots`], with what is left of each now.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn lots(
        &self,
        ledger: LedgerNo,
        customer: Option<&CustomerId>,
        filter: LotFilter,
        page: &PageRequest,
    ) -> Result<Listed<LotRecord>, ReadError> {
        let listed = self.owned_lots(ledger, customer, filter, page).await?;
        let mut keys: Vec<_> =
            listed.items.iter().map(|lot| CustomerKey::of(ledger, &lot.customer)).collect();
        keys.sort_unstable();
        keys.dedup();
        let owners = self.store.customers_by_key(&keys).await?;
        let owners: HashMap<_, _> = owners.iter().map(|owner| (&owner.id, owner)).collect();
        let record = |lot: OwnedLot| {
            let left =
                owners.get(&lot.customer).map_or(Credits::ZERO, |owner| owner.state.lots.left(lot.lot.id));
            LotRecord { lot, left }
        };
        Ok(listed.map(record))
    }
}

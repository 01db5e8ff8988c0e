//! Lots and purchases, one and many.

use crate::ledger::lot::LotSource;
use crate::ledger::{Credits, CustomerId, CustomerKey, LedgerNo, LotId, OrderId, Storefront};
use crate::store::{LotFilter, OwnedLot};

use super::due::WasDue;
use super::error::ReadError;
use super::page::{Listed, PageRequest, keyed};
use super::reader::Reader;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurchaseTarget {
    /// By its lot.
    Id(LotId),
    /// By the storefront's order.
    Order(Storefront, OrderId),
}

/// A lot with the credits left of it now.
#[derive(Clone, Debug)]
pub struct LotRecord {
    pub lot: OwnedLot,
    pub left: Credits,
}

keyed!(LotRecord => LotId: |it| it.lot.lot.id);

keyed!(OwnedLot => LotId: |it| it.lot.id);

impl Reader {
    /// # Errors
    /// [`ReadError::PurchaseNotFound`], [`ReadError::Storage`].
    pub async fn purchase(&self, ledger: LedgerNo, target: &PurchaseTarget) -> Result<OwnedLot, ReadError> {
        let read = async || match target {
            PurchaseTarget::Id(id) => self.store.lot(ledger, *id).await,
            PurchaseTarget::Order(storefront, order) => self.store.order(ledger, storefront, order).await,
        };
        let found = read().await?.filter(|found| found.lot.source == LotSource::Purchase);
        let found = found.ok_or(ReadError::PurchaseNotFound)?;
        let (_, was_due) = self.current(ledger, &found.customer).await?;
        // What had expired is counted in its row.
        let again = if was_due == WasDue::Applied { read().await? } else { None };
        Ok(again.unwrap_or(found))
    }

    /// The purchases that some orders of a storefront made, oldest first, as they are stored: nothing that is due is
    /// applied. The caller bounds the number of orders.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn purchases_of(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, ReadError> {
        let mut found = self.store.orders(ledger, storefront, orders).await?;
        found.retain(|found| found.lot.source == LotSource::Purchase);
        found.sort_by_key(|found| found.lot.id);
        Ok(found)
    }

    /// # Errors
    /// [`ReadError::LotNotFound`], [`ReadError::Storage`].
    pub async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<LotRecord, ReadError> {
        let read = async || self.store.lot(ledger, id).await?.ok_or(ReadError::LotNotFound);
        let lot = read().await?;
        let (customer, was_due) = self.current(ledger, &lot.customer).await?;
        let lot = if was_due == WasDue::Applied { read().await? } else { lot };
        let left = customer.state.lots.left(id);
        Ok(LotRecord { lot, left })
    }

    /// Lots, newest first. Sets `filter.customer` from `customer`, which must exist.
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

    /// Like [`Reader::owned_lots`], with the credits left of each lot now.
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
        let key = |lot: &OwnedLot| CustomerKey::of(ledger, &lot.customer);
        let owners = self.customers_by_key(listed.items.iter().map(key)).await?;
        listed.try_map(|lot| {
            let owner = owners.get(&key(&lot));
            let owner = owner.ok_or_else(|| ReadError::damaged(format!("lot {} is nobody's", lot.lot.id)))?;
            Ok(LotRecord { left: owner.state.lots.left(lot.lot.id), lot })
        })
    }
}

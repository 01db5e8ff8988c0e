//! Holds and settlements, one and many.

use std::sync::Arc;

use crate::ledger::{CustomerId, CustomerKey, Hold, HoldId, IncidentId, LedgerNo};
use crate::store::HoldFilter;

use super::{Keyed, Listed, PageRequest, ReadError, Reader};

/// Which hold is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldTarget {
    /// By id; where a customer is named, the hold must be its own.
    Id(HoldId, Option<CustomerId>),
    /// By customer and incident.
    Incident(CustomerId, IncidentId),
}

impl Keyed for Arc<Hold> {
    type Key = HoldId;

    fn key(&self) -> HoldId {
        self.id
    }
}

impl Reader {
    /// One hold; of an incident's holds the open one, else the newest. Charges without a hold count only where they
    /// are named by id.
    ///
    /// # Errors
    /// [`ReadError::HoldNotFound`], [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn hold(&self, ledger: LedgerNo, target: &HoldTarget) -> Result<Arc<Hold>, ReadError> {
        let found = match target {
            HoldTarget::Id(id, customer) => self.hold_by_id(ledger, *id, customer.as_ref()).await?,
            HoldTarget::Incident(customer, incident) => {
                let mut holds = self.incident(ledger, customer, incident).await?;
                holds.retain(|hold| !hold.direct);
                let open = holds.iter().rfind(|hold| hold.state.is_open()).cloned();
                open.or_else(|| holds.pop())
            }
        };
        found.ok_or(ReadError::HoldNotFound)
    }

    /// The hold whose settlement is asked for; of an incident's the one that was settled last, charges without a
    /// hold included.
    ///
    /// # Errors
    /// [`ReadError::HoldNotFound`], [`ReadError::SettlementNotFound`], [`ReadError::CustomerNotFound`],
    /// [`ReadError::Storage`].
    pub async fn settled_hold(&self, ledger: LedgerNo, target: &HoldTarget) -> Result<Arc<Hold>, ReadError> {
        let found = match target {
            HoldTarget::Id(id, customer) => {
                let hold = self.hold_by_id(ledger, *id, customer.as_ref()).await?;
                Some(hold.ok_or(ReadError::HoldNotFound)?)
            }
            HoldTarget::Incident(customer, incident) => {
                let settled_at =
                    |hold: &Arc<Hold>| hold.settlement.as_ref().map(|settled| (settled.settled_at, hold.id));
                self.incident(ledger, customer, incident).await?.into_iter().max_by_key(settled_at)
            }
        };
        found.filter(|hold| hold.settlement.is_some()).ok_or(ReadError::SettlementNotFound)
    }

    async fn hold_by_id(
        &self,
        ledger: LedgerNo,
        id: HoldId,
        customer: Option<&CustomerId>,
    ) -> Result<Option<Arc<Hold>>, ReadError> {
        let hold = self.store.hold(ledger, id).await?;
        Ok(hold.filter(|hold| customer.is_none_or(|customer| hold.customer == *customer)))
    }

    pub(super) async fn incident(
        &self,
        ledger: LedgerNo,
        customer: &CustomerId,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, ReadError> {
        self.customer(ledger, customer).await?;
        Ok(self.store.holds_of_incident(CustomerKey::of(ledger, customer), incident).await?)
    }

    /// Holds, newest first; `filter.customer` is set from `customer`, which must exist.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn holds(
        &self,
        ledger: LedgerNo,
        customer: Option<&CustomerId>,
        filter: HoldFilter,
        page: &PageRequest,
    ) -> Result<Listed<Arc<Hold>>, ReadError> {
        let filter = HoldFilter { customer: self.filter_key(ledger, customer).await?, ..filter };
        let (before, bound) = page.open(&("holds", ledger, &filter))?;
        let found = self.store.holds(ledger, &filter, before, page.limit).await?;
        Ok(Listed::new(found.items, found.next, bound))
    }
}

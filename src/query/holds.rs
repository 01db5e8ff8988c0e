//! Holds and settlements, one and many.

use std::sync::Arc;

use crate::ledger::ids::{LabelId, WorkId};
use crate::ledger::work::Work;
use crate::ledger::{CustomerId, CustomerKey, Hold, HoldId, IncidentId, LedgerNo, Timestamp};
use crate::store::HoldFilter;

use super::due::WasDue;
use super::error::ReadError;
use super::page::{Listed, PageRequest, ROWS_AT_ONCE, ROWS_PER_PAGE_MAX, keyed};
use super::reader::Reader;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldTarget {
    /// By id. Where a customer is named, the hold must be its own.
    Id(HoldId, Option<CustomerId>),
    /// By customer and incident.
    Incident(CustomerId, IncidentId),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldQuery {
    /// The conditions that a store checks by its columns.
    pub filter: HoldFilter,
    /// A label of the incident. This and the times of opening are checked hold by hold.
    pub label: Option<LabelId>,
    /// The incident was opened at or after this time.
    pub opened_from: Option<Timestamp>,
    /// The incident was opened before this time.
    pub opened_until: Option<Timestamp>,
}

impl From<HoldFilter> for HoldQuery {
    fn from(filter: HoldFilter) -> Self {
        Self { filter, ..Self::default() }
    }
}

impl HoldQuery {
    /// Whether a hold that matches `filter` is on the list.
    pub fn takes(&self, hold: &Hold) -> bool {
        let Self { filter: _, label, opened_from, opened_until } = self;
        label.as_ref().is_none_or(|label| hold.circumstances.labels.contains(label))
            && opened_from.is_none_or(|from| from <= hold.opened_at)
            && opened_until.is_none_or(|until| hold.opened_at < until)
    }

    /// True where the store's columns decide alone.
    fn takes_all(&self) -> bool {
        self.label.is_none() && self.opened_from.is_none() && self.opened_until.is_none()
    }
}

keyed!(Arc<Hold> => HoldId: |it| it.id);

keyed!(Arc<Work> => WorkId: |it| it.id);

impl Reader {
    /// The entries of work of a hold in the order of recording, voided ones included. The hold is that of
    /// [`Reader::hold`], or a charge without a hold if named by id. A page has at most `page.limit` entries;
    /// [`Listed::show`] bounds its bytes.
    ///
    /// # Errors
    /// [`ReadError::HoldNotFound`], [`ReadError::CustomerNotFound`], [`ReadError::PageToken`],
    /// [`ReadError::Storage`].
    pub async fn work(
        &self,
        ledger: LedgerNo,
        target: &HoldTarget,
        page: &PageRequest,
    ) -> Result<Listed<Arc<Work>>, ReadError> {
        let hold = self.hold(ledger, target).await?;
        let (after, bound) = page.open(&("work", ledger, hold.id))?;
        let found = self.store.work(hold.id, after, page.limit).await?;
        Ok(Listed::new(found.items, found.next, bound))
    }

    /// One hold. Of an incident's holds it is the open one, or else the newest. Charges without a hold are found only
    /// by id.
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

    /// The hold whose settlement is asked for. Of an incident's holds it is the one that was settled last, charges
    /// without a hold included.
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
        let own = hold.filter(|hold| customer.is_none_or(|customer| hold.customer == *customer));
        let Some(hold) = own else { return Ok(None) };
        // What falls due changes no hold that has ended.
        if hold.state.is_open() && self.current(ledger, &hold.customer).await?.1 == WasDue::Applied {
            return Ok(self.store.hold(ledger, id).await?);
        }
        Ok(Some(hold))
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

    /// Holds, newest first. Sets `query.filter.customer` from `customer`, which must exist. A page reads about 10,000
    /// holds at most, so it may be short, even empty, while the list goes on.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn holds(
        &self,
        ledger: LedgerNo,
        customer: Option<&CustomerId>,
        mut query: HoldQuery,
        page: &PageRequest,
    ) -> Result<Listed<Arc<Hold>>, ReadError> {
        query.filter.customer = self.filter_key(ledger, customer).await?;
        let (mut before, bound) = page.open(&("holds", ledger, &query))?;
        if query.takes_all() {
            let found = self.store.holds(ledger, &query.filter, before, page.limit).await?;
            return Ok(Listed::new(found.items, found.next, bound));
        }
        let (mut items, mut looked_at) = (Vec::new(), 0_usize);
        loop {
            let found = self.store.holds(ledger, &query.filter, before, ROWS_AT_ONCE).await?;
            looked_at = looked_at.saturating_add(found.items.len());
            // A short answer means that the store has reached its bound for one page.
            let is_short = found.items.len() < ROWS_AT_ONCE;
            for hold in found.items {
                if items.len() >= page.limit {
                    return Ok(Listed::new(items, before, bound));
                }
                before = Some(hold.id);
                if query.takes(&hold) {
                    items.push(hold);
                }
            }
            if found.next.is_none() {
                return Ok(Listed::new(items, None, bound));
            }
            before = found.next;
            if is_short || looked_at >= ROWS_PER_PAGE_MAX || items.len() >= page.limit {
                return Ok(Listed::new(items, before, bound));
            }
        }
    }
}

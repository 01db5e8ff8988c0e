//! Customers, one and many.

use crate::ledger::{Customer, CustomerId, CustomerKey, LedgerNo, Profile};

use super::{Keyed, Listed, PageRequest, ReadError, Reader};

/// A customer with its profile.
#[derive(Clone, Debug)]
pub struct CustomerRecord {
    /// Balances, terms and state.
    pub customer: Customer,
    /// Name, contact, metadata.
    pub profile: Profile,
}

impl Keyed for CustomerRecord {
    type Key = CustomerId;

    fn key(&self) -> CustomerId {
        self.customer.id.clone()
    }
}

impl Reader {
    /// A customer by id.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn customer(&self, ledger: LedgerNo, id: &CustomerId) -> Result<Customer, ReadError> {
        let found = self.store.customer(CustomerKey::of(ledger, id)).await?;
        // Keys are hashes: what is found under the key may be another customer.
        found.filter(|found| found.ledger == ledger && found.id == *id).ok_or(ReadError::CustomerNotFound)
    }

    /// The key of the customer that a filter names, which must exist.
    pub(super) async fn filter_key(
        &self,
        ledger: LedgerNo,
        id: Option<&CustomerId>,
    ) -> Result<Option<CustomerKey>, ReadError> {
        match id {
            Some(id) => Ok(Some(self.customer(ledger, id).await?.key())),
            None => Ok(None),
        }
    }

    /// A customer with its profile.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn customer_record(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
    ) -> Result<CustomerRecord, ReadError> {
        let customer = self.customer(ledger, id).await?;
        let profile = self.store.profile(customer.key()).await?.unwrap_or_default();
        Ok(CustomerRecord { customer, profile })
    }

    /// A ledger's customers by id.
    ///
    /// # Errors
    /// [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn customers(
        &self,
        ledger: LedgerNo,
        page: &PageRequest,
    ) -> Result<Listed<CustomerRecord>, ReadError> {
        let (after, filter) = page.open::<CustomerId>(&("customers", ledger))?;
        let rows = self.store.customers(ledger, after.as_ref(), page.limit).await?;
        let full = rows.len() >= page.limit;
        let items: Vec<_> =
            rows.into_iter().map(|(customer, profile)| CustomerRecord { customer, profile }).collect();
        let next = items.last().filter(|_| full).map(Keyed::key);
        Ok(Listed::new(items, next, filter))
    }
}

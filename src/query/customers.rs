//! Customers, one and many.

use crate::ledger::{Alerts, Customer, CustomerId, CustomerKey, LedgerNo, Profile, Text};

use super::error::ReadError;
use super::page::{Listed, PageRequest, ROWS_AT_ONCE, ROWS_PER_PAGE_MAX, keyed};
use super::reader::Reader;

#[derive(Clone, Debug)]
pub struct CustomerRecord {
    pub customer: Customer,
    pub profile: Profile,
}

/// Which customers to list. Texts are compared byte for byte, so case counts.
///
/// Customers are indexed only by id. A filter therefore reads all of them, at most 10,000 for one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerFilter {
    /// Matches every name where empty.
    pub name_prefix: Text,
    /// The e-mail address of the contact.
    pub email: Option<Text>,
    /// A pair that the metadata must contain.
    pub metadata: Option<(Text, Text)>,
    pub closed: Option<bool>,
    /// True: at or below one of the thresholds that apply, the customer's own or else the ledger's. False: above all
    /// of them. Without thresholds a customer is never low.
    pub low: Option<bool>,
    pub owing: Option<bool>,
}

impl CustomerFilter {
    /// Whether a customer is on the list; `defaults` are the ledger's default thresholds.
    pub fn takes(&self, customer: &Customer, profile: &Profile, defaults: &Alerts) -> bool {
        let Self { name_prefix, email, metadata, closed, low, owing } = self;
        let state = &customer.state;
        let is_low = || {
            let alerts = state.alerts.as_deref().unwrap_or(defaults);
            !alerts.all_are_above(customer.level())
        };
        profile.name.as_str().starts_with(name_prefix.as_str())
            && email.as_ref().is_none_or(|wanted| profile.contact.email == *wanted)
            && metadata.as_ref().is_none_or(|(key, value)| profile.metadata.get(key) == Some(value))
            && closed.is_none_or(|wanted| state.closed == wanted)
            && low.is_none_or(|wanted| is_low() == wanted)
            && owing.is_none_or(|wanted| customer.balances.owed.is_positive() == wanted)
    }
}

keyed!(CustomerRecord => CustomerId: |it| it.customer.id.clone());

impl Reader {
    /// A customer, with everything due applied.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::NotCurrent`], [`ReadError::Storage`].
    pub async fn customer(&self, ledger: LedgerNo, id: &CustomerId) -> Result<Customer, ReadError> {
        self.current(ledger, id).await.map(|(customer, _)| customer)
    }

    /// A customer as it is stored: what is due may not be applied yet.
    pub(super) async fn stored_customer(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
    ) -> Result<Customer, ReadError> {
        let found = self.store.customer(CustomerKey::of(ledger, id)).await?;
        // Keys are hashes, so the row under a key may be another customer's.
        found.filter(|found| found.ledger == ledger && found.id == *id).ok_or(ReadError::CustomerNotFound)
    }

    /// The key of the customer that a filter names; it must exist.
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

    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn customer_record(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
    ) -> Result<CustomerRecord, ReadError> {
        let customer = self.customer(ledger, id).await?;
        let profile = self.store.profile(customer.key()).await?;
        let profile = profile.ok_or_else(|| ReadError::damaged(format!("customer {id} has no profile")))?;
        Ok(CustomerRecord { customer, profile })
    }

    /// A ledger's customers by id. A page reads at most 10,000 of them, so it may be short, even empty, while the
    /// list goes on.
    ///
    /// # Errors
    /// [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn customers(
        &self,
        ledger: LedgerNo,
        filter: &CustomerFilter,
        page: &PageRequest,
    ) -> Result<Listed<CustomerRecord>, ReadError> {
        let (mut after, bound) = page.open::<CustomerId>(&("customers", ledger, filter))?;
        let defaults = match filter.low {
            Some(_) => self.default_alerts(ledger).await?,
            None => Alerts::default(),
        };
        let takes_all = *filter == CustomerFilter::default();
        let (mut items, mut looked_at) = (Vec::new(), 0_usize);
        while looked_at < ROWS_PER_PAGE_MAX {
            let at_once = if takes_all { page.limit } else { ROWS_AT_ONCE };
            let rows = self.store.customers(ledger, after.as_ref(), at_once).await?;
            let is_last = rows.len() < at_once;
            for (customer, profile) in rows {
                if items.len() >= page.limit {
                    return Ok(Listed::new(items, after, bound));
                }
                looked_at = looked_at.saturating_add(1);
                after = Some(customer.id.clone());
                if filter.takes(&customer, &profile, &defaults) {
                    items.push(CustomerRecord { customer, profile });
                }
            }
            if is_last {
                return Ok(Listed::new(items, None, bound));
            }
            if items.len() >= page.limit {
                break;
            }
        }
        Ok(Listed::new(items, after, bound))
    }
}

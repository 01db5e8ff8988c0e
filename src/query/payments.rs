//! Payments that earlier versions kept in the suspense account, until they are kept as orders.

use std::sync::Arc;

use crate::ledger::payment::{Payment, suspense};
use crate::ledger::{CustomerKey, LedgerNo, OrderId, Posting, PostingId, Storefront};
use crate::store::{At, StoreError};

use super::error::ReadError;
use super::page::{Keyed, Listed, PageRequest, keyed};
use super::reader::Reader;

/// A waiting payment, with the posting that keeps it.
#[derive(Clone, Debug)]
pub struct KeptPayment {
    pub posting: Arc<Posting>,
    /// The payment as its storefront reported it.
    pub payment: Arc<Payment>,
}

keyed!(KeptPayment => PostingId: |it| it.posting.id);

impl Reader {
    /// Waiting payments, oldest first.
    ///
    /// # Errors
    /// [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn kept_payments(
        &self,
        ledger: LedgerNo,
        page: &PageRequest,
    ) -> Result<Listed<KeptPayment>, ReadError> {
        let (after, bound) = page.open::<PostingId>(&("payments", ledger))?;
        let waiting = self.waiting(ledger).await?;
        let mut rest = waiting.into_iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
        let mut items = Vec::new();
        for (id, _) in rest.by_ref().take(page.limit) {
            items.push(self.kept(ledger, id).await?);
        }
        let next = items.last().filter(|_| rest.next().is_some()).map(Keyed::key);
        Ok(Listed::new(items, next, bound))
    }

    /// A payment that waits or waited; `None` where none was kept under this id.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn kept_payment(
        &self,
        ledger: LedgerNo,
        id: PostingId,
    ) -> Result<Option<Arc<Payment>>, ReadError> {
        let key = CustomerKey::of(ledger, &suspense());
        let found = self.store.posting_at(key, At::Posting(id)).await?;
        Ok(found.and_then(|found| found.posting.detail.payment.clone()))
    }

    /// Payments that wait for any of some orders, oldest first.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn kept_payments_of(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[OrderId],
    ) -> Result<Vec<(PostingId, Arc<Payment>)>, ReadError> {
        let keys: Vec<u64> = orders.iter().map(|order| Payment::order_key(storefront, order)).collect();
        let mut found = Vec::new();
        for (id, _) in self.waiting(ledger).await?.into_iter().filter(|(_, key)| keys.contains(key)) {
            let payment = self.kept(ledger, id).await?.payment;
            // Another order may have the same key.
            if payment.storefront == *storefront && orders.contains(&payment.order) {
                found.push((id, payment));
            }
        }
        Ok(found)
    }

    async fn waiting(&self, ledger: LedgerNo) -> Result<Vec<(PostingId, u64)>, ReadError> {
        let customer = self.store.customer(CustomerKey::of(ledger, &suspense())).await?;
        Ok(customer.map(|customer| customer.state.payments).unwrap_or_default())
    }

    async fn kept(&self, ledger: LedgerNo, id: PostingId) -> Result<KeptPayment, ReadError> {
        let key = CustomerKey::of(ledger, &suspense());
        let found = self.store.posting_at(key, At::Posting(id)).await?;
        let kept = found.and_then(|found| {
            let payment = Arc::clone(found.posting.detail.payment.as_ref()?);
            Some(KeptPayment { posting: found.posting, payment })
        });
        kept.ok_or_else(|| StoreError::Damaged(format!("the payment {id} is not in the journal")).into())
    }
}

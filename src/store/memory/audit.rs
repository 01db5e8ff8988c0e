//! Every row of the reference engine, as another engine would store it.

use async_trait::async_trait;
use uuid::Uuid;

use super::Memory;
use crate::ledger::book::OrderScope;
use crate::ledger::card::CardChange;
use crate::ledger::codec::encode;
use crate::ledger::ids::WorkId;
use crate::ledger::{Credits, CustomerKey, HoldId, LedgerNo, LotId, RequestKey};
use crate::store::error::Unreadable;
use crate::store::orders::{OrdersMark, StorefrontRoom, WithPayload};
use crate::store::read_store::Page;
use crate::store::{
    AuditRecord, AuditStore, Ledger, Position, ReadStore, RecordRoom, RecordStore as _, Recorded, StoreError,
    StoredCustomer, StoredHold, StoredLedger, StoredLot, StoredOrder, StoredToken, StoredWork,
    TokenStore as _,
};

#[async_trait]
impl AuditStore for Memory {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn stored_ledgers(&self) -> Result<Vec<StoredLedger>, StoreError> {
        let state = self.read();
        let stored = |(ledger, request): &(Ledger, Option<RequestKey>)| StoredLedger {
            ledger: ledger.clone(),
            request: request.clone(),
            default_alerts: state.default_alerts.get(&ledger.no).cloned().unwrap_or_default(),
        };
        Ok(state.ledgers.values().map(stored).collect())
    }

    async fn stored_card_changes(&self) -> Result<Vec<CardChange>, StoreError> {
        Ok(self.read().card_changes.clone())
    }

    async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError> {
        self.feed(ledger, after, limit).await
    }

    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.last_position(ledger).await
    }

    async fn stored_customers(
        &self,
        after: Option<CustomerKey>,
        limit: usize,
    ) -> Result<Vec<StoredCustomer>, StoreError> {
        let state = self.read();
        let rows = state.customers.iter().filter(|(key, _)| after.is_none_or(|after| **key > after));
        let stored = rows.take(limit).map(|(key, customer)| StoredCustomer {
            key: *key,
            ledger: customer.ledger,
            id: customer.id.clone(),
            sequence: customer.sequence,
            balances: customer.balances,
            next_due: customer.state.next_due,
            state: encode(&customer.state),
            profile: state.profiles.get(key).map(encode),
        });
        Ok(stored.collect())
    }

    async fn stored_holds(&self, after: Option<HoldId>, limit: usize) -> Result<Vec<StoredHold>, StoreError> {
        let state = self.read();
        let rows = state.holds.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let stored = rows.take(limit).map(|(id, hold)| StoredHold {
            id: *id,
            customer: hold.customer_key(),
            body: encode(hold.as_ref()),
        });
        Ok(stored.collect())
    }

    async fn stored_work(
        &self,
        after: Option<(HoldId, WorkId)>,
        limit: usize,
    ) -> Result<Vec<StoredWork>, StoreError> {
        let state = self.read();
        let rows = state.work.iter().filter(|(key, _)| after.is_none_or(|after| **key > after));
        let stored = rows.take(limit).map(|((hold, id), work)| StoredWork {
            hold: *hold,
            id: *id,
            body: encode(work.as_ref()),
        });
        Ok(stored.collect())
    }

    async fn stored_lots(&self, after: Option<LotId>, limit: usize) -> Result<Vec<StoredLot>, StoreError> {
        let state = self.read();
        let rows = state.lots.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let stored = rows.take(limit).map(|(id, (customer, lot))| StoredLot {
            id: *id,
            customer: *customer,
            body: encode(lot.as_ref()),
            unused: state.unused(*id),
        });
        Ok(stored.collect())
    }

    async fn stored_orders(
        &self,
        after: Option<&OrderScope>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let state = self.read();
        let rows = state.orders.iter().filter(|(scope, _)| after.is_none_or(|after| *scope > after));
        let stored = rows.take(limit).map(|(scope, recorded)| StoredOrder {
            scope: scope.clone(),
            posting: Some(recorded.posting.id),
        });
        Ok(stored.collect())
    }

    async fn storefront_orders(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<WithPayload>, StoreError> {
        Ok(self.orders.page(after, limit).await)
    }

    async fn storefront_rooms(&self) -> Result<Vec<StorefrontRoom>, StoreError> {
        Ok(self.orders.rooms().await)
    }

    async fn storefront_mark(&self) -> Result<OrdersMark, StoreError> {
        Ok(self.orders.mark().await)
    }

    async fn stored_tokens(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<StoredToken>, StoreError> {
        let tokens = self.tokens.tokens(after, limit).await?;
        Ok(tokens.into_iter().collect::<Result<_, Unreadable>>()?)
    }

    async fn token_revision(&self) -> Result<u64, StoreError> {
        self.tokens.revision().await
    }

    async fn stored_records(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        Ok(self.records.stored(after, limit).await)
    }

    async fn record_mark(&self) -> Result<(RecordRoom, Option<Uuid>), StoreError> {
        let last = self.records.stored(None, usize::MAX).await.last().map(|record| record.id);
        Ok((self.records.room().await?, last))
    }

    async fn stored_accounts(&self) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError> {
        let state = self.read();
        let accounts = state.accounts.iter();
        Ok(accounts.map(|((ledger, account), balance)| (*ledger, account.clone(), *balance)).collect())
    }
}

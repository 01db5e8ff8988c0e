//! Reads every row as it is stored, for `verify` and copies.

use async_trait::async_trait;
use uuid::Uuid;

use super::database::{AuditDatabase, Dialect, Sql};
use super::lots::{lot_columns, unused};
use super::row::{Row, sql_count};
use super::rows::balances_of;
use super::{cards, ledgers, work};
use crate::ledger::book::OrderScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::{
    Credits, CustomerKey, HoldId, LedgerNo, LotId, OrderId, PostingId, Storefront, Timestamp,
};
use crate::store::audit::{
    AuditStore, StoredCustomer, StoredHold, StoredLedger, StoredLot, StoredOrder, StoredWork,
};
use crate::store::error::{StoreError, damaged};
use crate::store::orders::{OrdersMark, StorefrontRoom, WithPayload};
use crate::store::read_store::Page;
use crate::store::recorded::{Position, Recorded};
use crate::store::records::{AuditRecord, RecordRoom};
use crate::store::stored::{count_of, customer_id_of, ledger_no_of};
use crate::store::tokens::StoredToken;

#[derive(Debug)]
pub struct SqlAudit<D>(pub D);

#[async_trait]
impl<D: AuditDatabase> AuditStore for SqlAudit<D> {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.0.integrity().await
    }

    async fn stored_ledgers(&self) -> Result<Vec<StoredLedger>, StoreError> {
        self.0.run(|sql| Box::pin(ledgers::stored(sql))).await
    }

    async fn stored_card_changes(&self) -> Result<Vec<CardChange>, StoreError> {
        self.0.run(|sql| Box::pin(cards::changes(sql, 0))).await
    }

    async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError> {
        self.0.journal(ledger, after, limit).await
    }

    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.0.journal_end(ledger).await
    }

    async fn stored_customers(
        &self,
        after: Option<CustomerKey>,
        limit: usize,
    ) -> Result<Vec<StoredCustomer>, StoreError> {
        self.0.run(move |sql| Box::pin(customers(sql, after, limit))).await
    }

    async fn stored_holds(&self, after: Option<HoldId>, limit: usize) -> Result<Vec<StoredHold>, StoreError> {
        self.0.run(move |sql| Box::pin(holds(sql, after, limit))).await
    }

    async fn stored_work(
        &self,
        after: Option<(HoldId, WorkId)>,
        limit: usize,
    ) -> Result<Vec<StoredWork>, StoreError> {
        self.0.run(move |sql| Box::pin(work::stored(sql, after, limit))).await
    }

    async fn stored_lots(&self, after: Option<LotId>, limit: usize) -> Result<Vec<StoredLot>, StoreError> {
        self.0.run(move |sql| Box::pin(lots(sql, after, limit))).await
    }

    async fn stored_orders(
        &self,
        after: Option<&OrderScope>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let after = after.cloned();
        self.0.run(move |sql| Box::pin(orders(sql, after, limit))).await
    }

    async fn storefront_orders(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<WithPayload>, StoreError> {
        self.0.run(move |sql| Box::pin(super::orders::all(sql, after, limit))).await
    }

    async fn storefront_rooms(&self) -> Result<Vec<StorefrontRoom>, StoreError> {
        self.0.run(|sql| Box::pin(super::orders::rooms(sql))).await
    }

    async fn storefront_mark(&self) -> Result<OrdersMark, StoreError> {
        self.0.run(|sql| Box::pin(super::orders::mark(sql))).await
    }

    async fn stored_tokens(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<StoredToken>, StoreError> {
        self.0.run(move |sql| Box::pin(super::tokens::whole_tokens(sql, after, limit))).await
    }

    async fn token_revision(&self) -> Result<u64, StoreError> {
        self.0.run(|sql| Box::pin(super::tokens::revision(sql))).await
    }

    async fn stored_records(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        self.0.run(move |sql| Box::pin(super::records::stored(sql, after, limit))).await
    }

    async fn record_mark(&self) -> Result<(RecordRoom, Option<Uuid>), StoreError> {
        let mark = self.0.run(|sql| {
            Box::pin(async { Ok((super::records::room(sql).await?, super::records::last(sql).await?)) })
        });
        mark.await
    }

    async fn stored_accounts(&self) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError> {
        self.0.run(|sql| Box::pin(accounts(sql))).await
    }
}

async fn customers(
    sql: &mut impl Sql,
    after: Option<CustomerKey>,
    limit: usize,
) -> Result<Vec<StoredCustomer>, StoreError> {
    let after = after.map(CustomerKey::raw);
    sql.all(
        "SELECT c.customer, c.ledger_no, c.customer_id, c.sequence, c.available, c.held, c.owed, c.next_due,
                c.state, p.profile
         FROM customer c
         LEFT JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
         WHERE c.customer >= $1
           AND c.customer IS DISTINCT FROM $2
         ORDER BY c.customer
         LIMIT $3",
        // A key is a hash, so it can be any 64-bit number. The first page must include the lowest one.
        &[after.unwrap_or(i64::MIN).into(), after.into(), sql_count(limit).into()],
        |row| {
            let id: String = row.get(2)?;
            Ok(StoredCustomer {
                key: CustomerKey::from_raw(row.get(0)?),
                ledger: ledger_no_of(row.get(1)?)?,
                sequence: count_of(row.get(3)?, &format!("customer {id:?}"))?,
                id: customer_id_of(&id)?,
                balances: balances_of(row.array(4)?),
                next_due: row.get::<Option<i64>>(7)?.map(Timestamp::from_micros),
                state: row.get(8)?,
                profile: row.get(9)?,
            })
        },
    )
    .await
}

/// Id, customer and body of the rows after an id. No id is nil, so the first page begins there.
async fn bodies<T: Send>(
    sql: &mut impl Sql,
    text: &'static str,
    after: Option<Uuid>,
    limit: usize,
    stored: fn(Uuid, CustomerKey, Vec<u8>) -> T,
) -> Result<Vec<T>, StoreError> {
    let read = |row: &dyn Row| Ok(stored(row.get(0)?, CustomerKey::from_raw(row.get(1)?), row.get(2)?));
    sql.all(text, &[after.unwrap_or(Uuid::nil()).into(), sql_count(limit).into()], read).await
}

async fn holds(
    sql: &mut impl Sql,
    after: Option<HoldId>,
    limit: usize,
) -> Result<Vec<StoredHold>, StoreError> {
    let text = "SELECT hold_id, customer, body FROM hold WHERE hold_id > $1 ORDER BY hold_id LIMIT $2";
    let stored = |id, customer, body| StoredHold { id: HoldId::from_uuid(id), customer, body };
    bodies(sql, text, after.map(|after| after.uuid()), limit, stored).await
}

async fn lots(sql: &mut impl Sql, after: Option<LotId>, limit: usize) -> Result<Vec<StoredLot>, StoreError> {
    sql.all(
        concat!(
            "SELECT l.lot_id, l.customer, ",
            lot_columns!(),
            " FROM lot l WHERE l.lot_id > $1 ORDER BY l.lot_id LIMIT $2"
        ),
        &[after.map_or(Uuid::nil(), |after| after.uuid()).into(), sql_count(limit).into()],
        |row| {
            Ok(StoredLot {
                id: LotId::from_uuid(row.get(0)?),
                customer: CustomerKey::from_raw(row.get(1)?),
                body: row.get(2)?,
                unused: unused(row, 3)?,
            })
        },
    )
    .await
}

async fn orders<S: Sql>(
    sql: &mut S,
    after: Option<OrderScope>,
    limit: usize,
) -> Result<Vec<StoredOrder>, StoreError> {
    let (ledger, storefront, order) = match &after {
        Some((ledger, storefront, order)) => (*ledger, storefront.as_str(), order.as_str()),
        None => (LedgerNo::MAIN, "", ""),
    };
    let params = [ledger.into(), storefront.into(), order.into(), sql_count(limit).into()];
    sql.all(S::Dialect::STORED_ORDERS, &params, |row| {
        let (storefront, order): (String, String) = (row.get(1)?, row.get(2)?);
        let ids = Storefront::parse(&storefront).and_then(|shop| Ok((shop, OrderId::parse(&order)?)));
        let (storefront, order) = ids.map_err(|error| damaged(format!("order {order:?}: {error}")))?;
        let posting = row.get::<Option<Uuid>>(3)?.map(PostingId::from_uuid);
        Ok(StoredOrder { scope: (ledger_no_of(row.get(0)?)?, storefront, order), posting })
    })
    .await
}

async fn accounts<S: Sql>(sql: &mut S) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError> {
    sql.all(S::Dialect::STORED_ACCOUNTS, &[], |row| {
        Ok((ledger_no_of(row.get(0)?)?, row.get(1)?, Credits::from_units(row.get(2)?)))
    })
    .await
}

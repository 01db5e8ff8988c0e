//! Reading every row as it is stored, for `verify` and copies: all of one snapshot, whatever servers write meanwhile.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use uuid::Uuid;

use super::connect::Address;
use super::errors::{damaged, failed};
use super::rows::{
    count_of, customer_id_of, ledger_no_of, posting_columns, recorded, sql_count, sql_ledger, with_words,
};
use super::{alerts, cards, check, read_customers, read_postings, work};
use crate::ledger::book::OrderScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::{
    Balances, Credits, CustomerKey, HoldId, LedgerNo, LotId, OrderId, PostingId, RequestKey, Storefront,
    Timestamp,
};
use crate::store::{
    AuditStore, Ledger, Position, Recorded, StoreError, StoredCustomer, StoredDefaultAlerts, StoredHold,
    StoredLedger, StoredLot, StoredOrder, StoredWork,
};

/// A snapshot is held for as long as its reader takes, so the time-outs of other connections are not for this one.
const BEGIN: &str = "
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;";

type CommitColumns = (i32, Uuid, Vec<i64>, Vec<i64>, i64);
type CustomerColumns = (i64, i32, String, i64, i64, i64, i64, Option<i64>, Vec<u8>, Option<Vec<u8>>);

/// What reads the whole database of a PostgreSQL engine.
#[derive(Debug)]
pub struct PgAudit {
    address: Address,
    snapshot: Mutex<Option<Snapshot>>,
}

/// A moment of the database, for as long as its transaction is open.
#[derive(Debug)]
pub(super) struct Snapshot {
    connection: PgConnection,
    /// In the order of their ledgers and places.
    pub unplaced: Vec<Unplaced>,
    /// False from before a statement until it has succeeded: what failed or was given up is not gone on with.
    sound: bool,
}

/// A commit that the sequencer had not placed at that moment, with the place that it will have if nothing comes before
/// it.
#[derive(Debug)]
pub(super) struct Unplaced {
    pub ledger_no: i32,
    pub batch: Uuid,
    pub first_position: i64,
    /// Customer and sequence of each posting.
    pub postings: Vec<(i64, i64)>,
}

impl Snapshot {
    async fn begin(mut connection: PgConnection) -> Result<Self, StoreError> {
        // In one go: the snapshot is taken by the first statement after these.
        sqlx::raw_sql(BEGIN).execute(&mut connection).await.map_err(failed)?;
        let rows: Vec<CommitColumns> = sqlx::query_as(
            "SELECT q.ledger_no, q.batch, q.customers, q.sequences, COALESCE(e.position, 0)
             FROM pending q
             LEFT JOIN feed_end e ON e.ledger_no = q.ledger_no
             ORDER BY q.ledger_no, q.stamp, q.batch",
        )
        .fetch_all(&mut connection)
        .await
        .map_err(failed)?;
        let mut unplaced: Vec<Unplaced> = Vec::with_capacity(rows.len());
        for (ledger_no, batch, customers, sequences, end) in rows {
            let before = unplaced.last().filter(|before| before.ledger_no == ledger_no);
            let first_position = before.map_or(end.saturating_add(1), Unplaced::end);
            let postings = customers.into_iter().zip(sequences).collect();
            unplaced.push(Unplaced { ledger_no, batch, first_position, postings });
        }
        Ok(Self { connection, unplaced, sound: true })
    }

    /// The connection, for statements; when they have succeeded, [`Snapshot::goes_on`] says so.
    pub fn connection(&mut self) -> &mut PgConnection {
        self.sound = false;
        &mut self.connection
    }

    pub fn goes_on(&mut self) {
        self.sound = true;
    }

    /// The postings of a ledger after a position that have no place in the feed.
    async fn unplaced_after(
        &mut self,
        ledger: LedgerNo,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let (mut customers, mut sequences, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let commits = self.unplaced.iter().filter(|commit| commit.ledger_no == sql_ledger(ledger));
        let places = commits.flat_map(|commit| (commit.first_position..).zip(&commit.postings));
        for (position, (customer, sequence)) in places.filter(|(position, _)| *position > after).take(limit) {
            customers.push(*customer);
            sequences.push(*sequence);
            positions.push(position);
        }
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(concat!(
            "SELECT ",
            posting_columns!("u.position"),
            " FROM UNNEST($1, $2, $3) u(customer, sequence, position)
              JOIN posting p ON p.customer = u.customer AND p.sequence = u.sequence",
            with_words!(),
            "ORDER BY u.position"
        ))
        .bind(customers)
        .bind(sequences)
        .bind(positions)
        .fetch_all(self.connection())
        .await
        .map_err(failed)?;
        self.goes_on();
        recorded(&rows)
    }
}

impl Unplaced {
    /// The position after its last one.
    fn end(&self) -> i64 {
        self.first_position.saturating_add(sql_count(self.postings.len()))
    }
}

impl PgAudit {
    /// Connects for the first time when it is asked for something.
    #[must_use]
    pub fn open(address: &Address) -> Self {
        Self { address: address.clone(), snapshot: Mutex::new(None) }
    }

    /// The snapshot that is read, or a new one where there is none that can be gone on with.
    async fn snapshot(&self) -> Result<MappedMutexGuard<'_, Snapshot>, StoreError> {
        let mut held = self.snapshot.lock().await;
        let current = match held.take() {
            Some(snapshot) if snapshot.sound => snapshot,
            _ => Snapshot::begin(self.address.connect().await?).await?,
        };
        Ok(MutexGuard::map(held, |held| held.insert(current)))
    }

    /// A snapshot of now; an older one ends.
    async fn new_snapshot(&self) -> Result<MappedMutexGuard<'_, Snapshot>, StoreError> {
        if let Some(Snapshot { mut connection, sound: true, .. }) = self.snapshot.lock().await.take() {
            // Where that fails there is nothing left to end.
            let _ = connection.execute("ROLLBACK").await;
            let _ = connection.close().await;
        }
        self.snapshot().await
    }
}

#[async_trait]
impl AuditStore for PgAudit {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        let mut snapshot = self.new_snapshot().await?;
        check::check(&mut snapshot).await
    }

    async fn stored_ledgers(&self) -> Result<Vec<StoredLedger>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let ledgers = read_customers::ledger_rows(snapshot.connection()).await?;
        let mut alerts: BTreeMap<LedgerNo, Vec<StoredDefaultAlerts>> = BTreeMap::new();
        for (ledger, stored) in alerts::stored(snapshot.connection()).await? {
            alerts.entry(ledger).or_default().push(stored);
        }
        snapshot.goes_on();
        let stored = |(ledger, request): (Ledger, Option<RequestKey>)| {
            let default_alerts = alerts.remove(&ledger.no).unwrap_or_default();
            StoredLedger { ledger, request, default_alerts }
        };
        Ok(ledgers.into_iter().map(stored).collect())
    }

    async fn stored_card_changes(&self) -> Result<Vec<CardChange>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let changes = cards::changes(snapshot.connection(), 0).await?;
        snapshot.goes_on();
        Ok(changes)
    }

    async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let mut page = read_postings::feed_after(snapshot.connection(), ledger, after, limit).await?;
        snapshot.goes_on();
        let left = limit.saturating_sub(page.len());
        if left > 0 {
            page.extend(snapshot.unplaced_after(ledger, sql_count(after.0), left).await?);
        }
        Ok(page)
    }

    async fn journal_end(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let placed: Option<i64> = sqlx::query_scalar("SELECT position FROM feed_end WHERE ledger_no = $1")
            .bind(sql_ledger(ledger))
            .fetch_optional(snapshot.connection())
            .await
            .map_err(failed)?;
        snapshot.goes_on();
        let unplaced = snapshot.unplaced.iter().rfind(|commit| commit.ledger_no == sql_ledger(ledger));
        let end = unplaced.map_or(placed.unwrap_or_default(), |last| last.end().saturating_sub(1));
        Ok(Position(count_of(end, "the end of a feed")?))
    }

    async fn stored_customers(
        &self,
        after: Option<CustomerKey>,
        limit: usize,
    ) -> Result<Vec<StoredCustomer>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        // A key is a hash, so any 64-bit number: the first page must not begin after the lowest one.
        let rows: Vec<CustomerColumns> = sqlx::query_as(
            "SELECT c.customer, c.ledger_no, c.customer_id, c.sequence, c.available, c.held, c.owed, c.next_due,
                    c.state, p.profile
             FROM customer c
             LEFT JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
             WHERE c.customer >= $1
               AND c.customer IS DISTINCT FROM $2
             ORDER BY c.customer
             LIMIT $3",
        )
        .bind(after.map_or(i64::MIN, CustomerKey::raw))
        .bind(after.map(CustomerKey::raw))
        .bind(sql_count(limit))
        .fetch_all(snapshot.connection())
        .await
        .map_err(failed)?;
        snapshot.goes_on();
        rows.into_iter().map(stored_customer).collect()
    }

    async fn stored_holds(&self, after: Option<HoldId>, limit: usize) -> Result<Vec<StoredHold>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        // No id is nil.
        let rows: Vec<(Uuid, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT hold_id, customer, body
             FROM hold
             WHERE hold_id > $1
             ORDER BY hold_id
             LIMIT $2",
        )
        .bind(after.map_or(Uuid::nil(), |after| after.uuid()))
        .bind(sql_count(limit))
        .fetch_all(snapshot.connection())
        .await
        .map_err(failed)?;
        snapshot.goes_on();
        let stored = |(id, customer, body)| StoredHold {
            id: HoldId::from_uuid(id),
            customer: CustomerKey::from_raw(customer),
            body,
        };
        Ok(rows.into_iter().map(stored).collect())
    }

    async fn stored_work(
        &self,
        after: Option<(HoldId, WorkId)>,
        limit: usize,
    ) -> Result<Vec<StoredWork>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let rows = work::rows(snapshot.connection(), after, limit).await?;
        snapshot.goes_on();
        Ok(rows)
    }

    async fn stored_lots(&self, after: Option<LotId>, limit: usize) -> Result<Vec<StoredLot>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let rows: Vec<(Uuid, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT lot_id, customer, body
             FROM lot
             WHERE lot_id > $1
             ORDER BY lot_id
             LIMIT $2",
        )
        .bind(after.map_or(Uuid::nil(), |after| after.uuid()))
        .bind(sql_count(limit))
        .fetch_all(snapshot.connection())
        .await
        .map_err(failed)?;
        snapshot.goes_on();
        let stored = |(id, customer, body)| StoredLot {
            id: LotId::from_uuid(id),
            customer: CustomerKey::from_raw(customer),
            body,
        };
        Ok(rows.into_iter().map(stored).collect())
    }

    async fn stored_orders(
        &self,
        after: Option<&OrderScope>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let (ledger, storefront, order) = match after {
            Some((ledger, storefront, order)) => (sql_ledger(*ledger), storefront.as_str(), order.as_str()),
            None => (0, "", ""),
        };
        let rows: Vec<(i32, String, String, Option<Uuid>)> = sqlx::query_as(
            "SELECT o.ledger_no, o.storefront, o.order_id, p.posting_id
             FROM purchase_order o
             LEFT JOIN posting p ON p.customer = o.customer AND p.sequence = o.sequence
             WHERE (o.ledger_no, o.storefront, o.order_id) > ($1, $2, $3)
             ORDER BY o.ledger_no, o.storefront, o.order_id
             LIMIT $4",
        )
        .bind(ledger)
        .bind(storefront)
        .bind(order)
        .bind(sql_count(limit))
        .fetch_all(snapshot.connection())
        .await
        .map_err(failed)?;
        snapshot.goes_on();
        rows.into_iter()
            .map(|(ledger, storefront, order, posting)| {
                let ids = Storefront::parse(&storefront).and_then(|shop| Ok((shop, OrderId::parse(&order)?)));
                let (storefront, order) =
                    ids.map_err(|error| damaged(format!("order {order:?}: {error}")))?;
                let scope = (ledger_no_of(ledger)?, storefront, order);
                Ok(StoredOrder { scope, posting: posting.map(PostingId::from_uuid) })
            })
            .collect()
    }

    async fn stored_accounts(&self) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let rows: Vec<(i32, String, i64)> = sqlx::query_as(
            "SELECT ledger_no, account, CAST(SUM(balance) AS BIGINT)
             FROM (
                 SELECT ledger_no, account, balance FROM system_account UNION ALL
                 SELECT p.ledger_no, u.account, u.amount
                 FROM pending p
                 CROSS JOIN LATERAL UNNEST(p.accounts, p.amounts) u(account, amount)
             ) parts
             GROUP BY ledger_no, account
             ORDER BY ledger_no, account COLLATE \"C\"",
        )
        .fetch_all(snapshot.connection())
        .await
        .map_err(failed)?;
        snapshot.goes_on();
        let account =
            |(ledger, account, balance)| Ok((ledger_no_of(ledger)?, account, Credits::from_units(balance)));
        rows.into_iter().map(account).collect()
    }
}

fn stored_customer(row: CustomerColumns) -> Result<StoredCustomer, StoreError> {
    let (key, ledger, id, sequence, available, held, owed, next_due, state, profile) = row;
    let what = format!("customer {id:?}");
    let [available, held, owed] = [available, held, owed].map(Credits::from_units);
    Ok(StoredCustomer {
        key: CustomerKey::from_raw(key),
        ledger: ledger_no_of(ledger)?,
        id: customer_id_of(&id)?,
        sequence: count_of(sequence, &what)?,
        balances: Balances { available, held, owed },
        next_due: next_due.map(Timestamp::from_micros),
        state,
        profile,
    })
}

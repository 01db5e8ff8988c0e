//! Takes in the journal of another database. Positions come with the postings, so no sequencer is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;
use uuid::Uuid;

use super::append::{Placement, add_to_accounts, append_rows, set_ends};
use super::connect::Address;
use super::load::{holds_by_id, lock_customers};
use super::orders::put;
use super::rows::sql_ledger;
use super::work;
use super::write::PgWriter;
use crate::ledger::card::{CardChange, Cards};
use crate::ledger::{Book, Timestamp};
use crate::store::audit::StoredLedger;
use crate::store::copy::CopyStore;
use crate::store::error::StoreError;
use crate::store::nets::nets;
use crate::store::orders::{KeptOrder, StorefrontRoom, WithPayload};
use crate::store::recorded::{Position, Recorded};
use crate::store::records::AuditRecord;
use crate::store::sql::row::sql_count;
use crate::store::sql::{cards, copy, orders, records, tokens};
use crate::store::stored::voids_in;
use crate::store::tokens::StoredToken;
use crate::store::write_store::WriteStore as _;

/// How often the sessions of a server that has just ended are looked for: 2 s in all.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct PgCopier {
    writer: PgWriter,
    /// The position of the first posting that the open transaction takes in.
    first: Position,
}

impl PgCopier {
    pub(super) const fn new(writer: PgWriter) -> Self {
        Self { writer, first: Position(0) }
    }

    /// Runs `work` in its own transaction.
    async fn alone<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.writer.begin().await?;
        let (connection, done) = self.writer.step("copying", connection, work).await?;
        self.writer.commit(connection).await?;
        Ok(done)
    }
}

#[async_trait]
impl CopyStore for PgCopier {
    async fn begin_copy(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let is_new = self.alone(async |connection| copy::mark(connection, now).await).await?;
        // A server may have connected since the target was opened; from here on the mark keeps servers out.
        let address = self.writer.address();
        let refused = self.alone(async |connection| refuse_servers(&address, connection).await).await;
        if refused.is_err() && is_new {
            self.end_copy().await?;
        }
        refused
    }

    async fn copy_ledger(&mut self, ledger: &StoredLedger) -> Result<(), StoreError> {
        self.alone(async |connection| copy::write_ledger(connection, ledger).await).await
    }

    async fn copy_cards(&mut self, changes: &[CardChange]) -> Result<(), StoreError> {
        self.alone(async |connection| {
            for change in changes {
                cards::insert(connection, change).await?;
            }
            Ok(())
        })
        .await
    }

    async fn load_journal(&mut self, postings: &[Recorded]) -> Result<Book, StoreError> {
        let connection = self.writer.begin().await?;
        let (connection, (book, loaded)) = self
            .writer
            .step("copying", connection, async |connection| {
                let keys: BTreeSet<_> = postings.iter().map(|recorded| recorded.posting.customer).collect();
                let customers = lock_customers(connection, &keys).await?;
                let latest = postings.iter().map(|recorded| recorded.posting.recorded_at).max();
                // Nothing is decided here, so randomness and cards do not matter.
                let mut book = Book::new(latest.unwrap_or_default(), 0, Arc::new(Cards::none()));
                let holds = postings.iter().flat_map(|recorded| recorded.posting.holds());
                let ids = holds.map(|hold| hold.id.uuid()).collect::<BTreeSet<Uuid>>();
                for hold in holds_by_id(connection, ids.into_iter().collect()).await? {
                    book.put_hold(hold);
                }
                let voids = voids_in(&book, postings);
                work::load(connection, &mut book, &voids).await?;
                let loaded = customers.iter().map(|(key, customer)| (*key, customer.sequence)).collect();
                for customer in customers.into_values() {
                    book.put_customer(Arc::new(customer));
                }
                Ok((book, loaded))
            })
            .await?;
        self.first = postings.first().map_or(Position(0), |first| first.position);
        self.writer.keep_open(connection, loaded);
        Ok(book)
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        let (connection, loaded) = self.writer.open_transaction()?;
        let first = self.first;
        let (connection, ()) = self
            .writer
            .step("copying", connection, async |connection| {
                let placements = placements(book);
                append_rows(connection, book, &loaded, &placements).await?;
                place(connection, book, &placements, first).await
            })
            .await?;
        self.writer.commit(connection).await
    }

    async fn copy_storefront_orders(
        &mut self,
        after: Option<Uuid>,
        page: &[WithPayload],
    ) -> Result<(), StoreError> {
        let new: Vec<KeptOrder> = page.iter().map(|(order, _)| order.clone()).collect();
        self.alone(async |connection| {
            orders::clear(connection, after, page).await?;
            put(connection, &new).await?;
            orders::put_payloads(connection, page).await
        })
        .await
    }

    async fn copy_storefront_rooms(&mut self, rooms: &[StorefrontRoom]) -> Result<(), StoreError> {
        self.alone(async |connection| orders::replace_rooms(connection, rooms).await).await
    }

    async fn copy_tokens(&mut self, after: Option<Uuid>, page: &[StoredToken]) -> Result<(), StoreError> {
        self.alone(async |connection| tokens::replace(connection, after, page).await).await
    }

    async fn copy_records(&mut self, after: Option<Uuid>, page: &[AuditRecord]) -> Result<(), StoreError> {
        self.alone(async |connection| records::replace(connection, after, page).await).await
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.writer.abandon().await
    }

    async fn end_copy(&mut self) -> Result<(), StoreError> {
        self.alone(async |connection| copy::unmark(connection).await).await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        self.writer.close().await
    }
}

/// Refuses a target that a server has open: its postings would take positions of the copy. The mark keeps out servers
/// that start or connect later.
///
/// # Errors
/// [`StoreError::Unusable`].
pub(super) async fn refuse_servers(
    address: &Address,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    for _ in 0..LOOKS {
        let served: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name = $1)",
        )
        .bind(address.server_name())
        .fetch_one(&mut *connection)
        .await?;
        if !served {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(StoreError::Unusable(format!("another creditledger has {} open", address.shown())))
}

/// Postings of one time become one commit, so that a read as of a time counts all of them or none.
fn placements(book: &Book) -> Vec<Placement> {
    let mut placements: Vec<Placement> = Vec::with_capacity(book.journal().len());
    let mut before = None;
    for posting in book.journal() {
        let same = before.replace(posting.recorded_at) == Some(posting.recorded_at);
        let next =
            placements.last().filter(|_| same).map(|last| Placement { place: last.place + 1, ..*last });
        placements.push(next.unwrap_or(Placement { batch: posting.id.uuid(), place: 0 }));
    }
    placements
}

/// Gives the postings their original positions, as a turn of the sequencer would.
async fn place(
    connection: &mut PgConnection,
    book: &Book,
    placements: &[Placement],
    first: Position,
) -> Result<(), StoreError> {
    let journal = book.journal();
    let (Some(one), Some(last)) = (journal.first(), journal.last()) else { return Ok(()) };
    let ledger = sql_ledger(one.ledger);
    let first = sql_count(first.0);
    let end = first.saturating_add(sql_count(journal.len())).saturating_sub(1);
    sqlx::query(
        "INSERT INTO feed (ledger_no, first_position, batch, counts_from, customers, sequences)
         SELECT $1, $2 - 1 + MIN(u.n), u.batch, u.counts_from,
                array_agg(u.customer ORDER BY u.n), array_agg(u.sequence ORDER BY u.n)
         FROM UNNEST($3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[])
              WITH ORDINALITY u(batch, counts_from, customer, sequence, n)
         GROUP BY u.batch, u.counts_from",
    )
    .bind(ledger)
    .bind(first)
    .bind(placements.iter().map(|placement| placement.batch).collect::<Vec<_>>())
    .bind(journal.iter().map(|posting| posting.recorded_at.micros()).collect::<Vec<_>>())
    .bind(journal.iter().map(|posting| posting.customer.raw()).collect::<Vec<_>>())
    .bind(journal.iter().map(|posting| sql_count(posting.sequence)).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    set_ends(connection, &BTreeMap::from([(ledger, end)])).await?;
    let nets = nets(book)?;
    let nets = nets
        .iter()
        .map(|((ledger, account), net)| ((sql_ledger(*ledger), account.to_string()), i128::from(*net)));
    add_to_accounts(connection, &nets.collect()).await?;
    // The watermark moves up to the copied postings: reads as of their times never change.
    let latest = book.now.max(last.recorded_at);
    sqlx::query("UPDATE sequencer SET turn = turn + 1, watermark = GREATEST(watermark, $1) WHERE only_row")
        .bind(latest.micros())
        .execute(connection)
        .await?;
    Ok(())
}

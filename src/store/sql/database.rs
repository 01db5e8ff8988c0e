//! What the shared statements need from a connection, from an engine's dialect, and from a database.

use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

use super::row::{Param, Row};
use crate::ledger::{CustomerKey, Hold, HoldId, LedgerNo, LotId, Storefront, Text, Timestamp};
use crate::store::error::{StoreError, damaged};
use crate::store::orders::KeptOrder;
#[cfg(doc)]
use crate::store::read_store::READ_BYTES_MAX;
use crate::store::read_store::{At, HoldFilter, LotFilter, OwnedLot, Page};
use crate::store::recorded::{Position, Recorded};

/// Statements on one connection. Where the driver blocks, the futures are ready at once.
pub trait Sql {
    type Dialect: Dialect;

    /// Reads all rows.
    ///
    /// # Errors
    /// [`StoreError`] of the driver, or of `read`.
    fn all<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send;

    /// Reads rows until they come to [`READ_BYTES_MAX`]; `read` gives the bytes of each. A driver that cannot stop in
    /// between leaves that to the statement.
    ///
    /// # Errors
    /// As [`Sql::all`].
    fn within<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<(T, usize), StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<(T, usize)>, StoreError>> + Send {
        self.all(sql, params, read)
    }

    /// Reads all rows of a statement that needs a whole table, so that a sequential scan is the right plan.
    fn scan<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send {
        self.all(sql, params, read)
    }

    /// Runs a statement that writes; returns the number of rows.
    ///
    /// # Errors
    /// [`StoreError`] of the driver.
    fn run(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Reads the first row.
    fn first<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Option<T>, StoreError>> + Send {
        let all = self.all(sql, params, read);
        async { Ok(all.await?.into_iter().next()) }
    }

    /// Reads the only row of a statement that always gives one.
    ///
    /// # Errors
    /// As [`Sql::all`]; [`StoreError::Damaged`] where there is no row.
    fn one<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        let first = self.first(sql, params, read);
        async { first.await?.ok_or_else(|| damaged("a row that must exist is missing")) }
    }
}

/// The SQL that differs between engines. Statements name their parameters.
pub trait Dialect {
    const ENGINE: &'static str;
    /// Customers ([`super::rows::customer_columns`]) by a list of keys: $1.
    const CUSTOMERS_BY_KEY: &'static str;
    /// Key, id and profile by a list of keys: $1.
    const PROFILES_BY_KEY: &'static str;
    /// Owner and body of the lot of an order: $1 ledger, $2 storefront, $3 order.
    const LOT_OF_ORDER: &'static str;
    /// The same for a list of orders: $3.
    const LOTS_OF_ORDERS: &'static str;
    /// The posting of a request: $1 customer, $2 kind, $3 request.
    const POSTING_OF_REQUEST: &'static str;
    /// Postings of a feed: $1 ledger, from behind $2 up to $3; $4 is the position after $2. A statement whose driver
    /// cannot stop in between ends with the posting that reaches $5 bytes.
    const FEED: &'static str;
    /// What is known of the time ([`super::clock::known`]): heartbeat, whether the clock is doubted, confirmation, the last
    /// stamp at that, the last stamp now, and the engine's clock, NULL where it has none.
    const CLOCK: &'static str;
    /// The last position of a ledger: $1.
    const LAST_POSITION: &'static str;
    /// Orders with their postings' ids, after ($1, $2, $3): at most $4.
    const STORED_ORDERS: &'static str;
    /// Ledger, account and balance of all accounts that are no customer's, in order.
    const STORED_ACCOUNTS: &'static str;
    /// Account and balance of a ledger, customers' accounts summed: $1. One statement reads one snapshot, so that the
    /// balances sum to zero.
    const BALANCES: &'static str;
    /// An endpoint's body by its id: $1. The row is locked until the end of the transaction.
    const ENDPOINT_TO_CHANGE: &'static str;
    /// The counts of a storefront: $1 ledger, $2 storefront. The row is locked until the end of the transaction.
    const ROOM_TO_CHANGE: &'static str;
    const BYTES: &'static str;
    /// How durable a commit is, as one text.
    const DURABILITY: &'static str;
    /// Each finds rows that contradict others: one line a row, at most $1.
    const STRANGERS: &'static [&'static str];

    /// The last posting of a customer that a point of its history reaches.
    fn posting_at<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        customer: CustomerKey,
        at: At,
    ) -> impl Future<Output = Result<Option<Recorded>, StoreError>> + Send;

    /// A customer's postings with sequences `first..=last`, until they come to [`READ_BYTES_MAX`].
    fn postings_of<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> impl Future<Output = Result<Vec<(Recorded, usize)>, StoreError>> + Send;

    /// The time from which each posting of a feed counts. With one writer that is the time of recording.
    fn counted<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        feed: Vec<Recorded>,
    ) -> impl Future<Output = Result<Vec<(Recorded, Timestamp)>, StoreError>> + Send;

    /// One page of a list of holds.
    fn hold_page<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        filter: HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> impl Future<Output = Result<Page<Arc<Hold>, HoldId>, StoreError>> + Send;

    /// One page of a list of lots.
    fn lot_page<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        filter: LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> impl Future<Output = Result<Page<OwnedLot, LotId>, StoreError>> + Send;

    /// Orders of a storefront that have any of these names, by id.
    fn orders_named<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        storefront: &Storefront,
        names: &[Text],
    ) -> impl Future<Output = Result<Vec<KeptOrder>, StoreError>> + Send;

    /// Those of some orders of storefronts that there are.
    fn orders_by_id<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<KeptOrder>, StoreError>> + Send;

    /// Creates or replaces orders, and changes their names.
    ///
    /// # Errors
    /// As [`OrderTx::put`](crate::store::orders::OrderTx::put).
    fn put_orders<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        orders: &[KeptOrder],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Work on a connection, as a future that borrows it.
pub type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// Lends its connections to work; each to one piece of work at a time.
pub trait Database: Send + Sync + 'static {
    type Connection: Sql + Send;

    /// Runs `work`. A dropped future loses no connection of a pool.
    ///
    /// # Errors
    /// [`StoreError`] of the work, or because there is no connection.
    fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Self::Connection) -> Work<'c, T> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

/// A database that readers share.
pub trait ReadDatabase: Database {
    /// The latest time, at most `wanted`, up to which nothing more will count.
    fn watermark(
        &self,
        wanted: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<Timestamp, StoreError>> + Send;

    /// Prepares a read as of `time`: afterwards it sees everything that counts by then.
    fn reach(&self, time: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits until everything that is committed has its place in the feed.
    fn place_all(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A database that is read as a whole, by `verify` and copies.
pub trait AuditDatabase: Database {
    fn integrity(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// A ledger's postings after a position, as [`ReadStore::feed`](crate::store::ReadStore::feed).
    fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> impl Future<Output = Result<Page<Recorded, Position>, StoreError>> + Send;

    /// The position of the last posting that [`AuditDatabase::journal`] returns.
    fn journal_end(&self, ledger: LedgerNo) -> impl Future<Output = Result<Position, StoreError>> + Send;
}

//! Connections beside those of the writer, for webhook endpoints, orders, and who may call. A dropped transaction takes its
//! connection with it.

use std::sync::{Arc, PoisonError};

use sqlx::PgConnection;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::connect::{Address, Connected};
use super::errors::not_answered;
use super::hosts::HostNo;
use crate::clock::watch::Watch;
use crate::ledger::Timestamp;
use crate::store::engine::Time;
use crate::store::error::StoreError;
use crate::store::sql::database::{Database, Sql as _, Work};
use crate::store::sql::side::{SideConnections, Transaction};

/// READ COMMITTED is enough: rows are locked before they are changed.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// A storefront stays locked for all statements of a transaction, and several may wait for it: that takes longer than a
/// row that the writer updates. It is less than the 3 s after which an idle transaction is ended.
const BEGIN_ORDERS: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '2s'";
const READ: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
/// Transactions about orders that one server has open at a time, so that storefronts do not wait for each other.
const ORDERS_AT_A_TIME: usize = 4;

/// Connections that are not in use.
type Idle = Arc<std::sync::Mutex<Vec<Connected>>>;
/// A database, whose clock counts, and what judges the database's.
type Clocked = (Arc<Address>, Time, Arc<Watch>);

#[derive(Debug)]
pub struct PgSide {
    address: Arc<Address>,
    time: Time,
    watch: Arc<Watch>,
    begin: &'static str,
    idle: Idle,
    free: Arc<Semaphore>,
    /// Those that only read; where it is another one, they wait for none that writes.
    free_to_read: Arc<Semaphore>,
}

impl PgSide {
    /// For webhook endpoints, whose transactions run one at a time, and beside them one that reads.
    pub(super) fn for_webhooks(clocked: Clocked) -> Self {
        Self { free_to_read: Arc::new(Semaphore::new(1)), ..Self::new(clocked, BEGIN, 1) }
    }

    /// For tokens, and for the audit log, each of which has its own: no change of a token waits for records.
    pub(super) fn for_access(clocked: Clocked) -> Self {
        Self::new(clocked, BEGIN, 1)
    }

    pub(super) fn for_orders(clocked: Clocked) -> Self {
        Self::new(clocked, BEGIN_ORDERS, ORDERS_AT_A_TIME)
    }

    /// Connects when a transaction finds no idle connection.
    fn new((address, time, watch): Clocked, begin: &'static str, connections: usize) -> Self {
        let free = Arc::new(Semaphore::new(connections));
        let free_to_read = Arc::clone(&free);
        Self { address, time, watch, begin, idle: Idle::default(), free_to_read, free }
    }

    async fn open(&self, free: &Arc<Semaphore>, begin: &'static str) -> Result<OpenTransaction, StoreError> {
        let permit = Arc::clone(free).acquire_owned().await.map_err(StoreError::failed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // A connection to a host that takes no writes any more is not used again.
        let Connected { mut connection, host } = match idle.filter(|idle| idle.host == self.address.host()) {
            Some(idle) => idle,
            None => self.address.connect_to_write().await?,
        };
        sqlx::raw_sql(begin).execute(&mut connection).await?;
        let (connection, home) = (Mutex::new(connection), Arc::clone(&self.idle));
        Ok(OpenTransaction { connection, host, home, _permit: permit })
    }
}

/// A transaction with its connection.
pub struct OpenTransaction {
    connection: Mutex<PgConnection>,
    host: HostNo,
    home: Idle,
    // Declared last, so dropped last: the connection is closed before the next transaction may make one.
    _permit: OwnedSemaphorePermit,
}

impl SideConnections for PgSide {
    type Open = OpenTransaction;

    async fn begin(&self) -> Result<OpenTransaction, StoreError> {
        self.open(&self.free, self.begin).await
    }

    async fn read(&self) -> Result<OpenTransaction, StoreError> {
        self.open(&self.free_to_read, READ).await
    }

    async fn time(&self, open: &OpenTransaction, now: Timestamp) -> Result<Timestamp, StoreError> {
        match self.time {
            Time::Caller => Ok(now),
            Time::Database => {
                let clock = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
                let micros = open.connection.lock().await.one(clock, &[], |row| row.get(0)).await?;
                Ok(self.watch.read(Timestamp::from_micros(micros)).now)
            }
        }
    }
}

impl Database for OpenTransaction {
    type Connection = PgConnection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        work(&mut *self.connection.lock().await).await
    }
}

impl Transaction for OpenTransaction {
    async fn commit(self) -> Result<(), StoreError> {
        let mut connection = self.connection.into_inner();
        sqlx::raw_sql("COMMIT").execute(&mut connection).await.map_err(not_answered)?;
        self.home
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Connected { connection, host: self.host });
        Ok(())
    }
}

/// A connection that works for one caller at a time.
#[derive(Debug)]
pub struct OneConnection(Mutex<PgConnection>);

impl OneConnection {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self(Mutex::new(connection))
    }
}

impl Database for OneConnection {
    type Connection = PgConnection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        work(&mut *self.0.lock().await).await
    }
}

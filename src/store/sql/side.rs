//! Transactions beside those of the writer: what the stores of webhook endpoints, orders and tokens run on.

use super::database::{Database, Work};
use crate::ledger::Timestamp;
use crate::store::error::StoreError;

/// A transaction on a connection that nobody else uses. When it is dropped, its connection is closed and nothing is
/// stored.
pub trait Transaction: Database {
    /// Commits, and returns the connection to where it came from.
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Opens transactions.
pub trait SideConnections: Send + Sync + 'static {
    type Open: Transaction;

    /// Opens a transaction that may write.
    fn begin(&self) -> impl Future<Output = Result<Self::Open, StoreError>> + Send;

    /// Opens a transaction that only reads.
    fn read(&self) -> impl Future<Output = Result<Self::Open, StoreError>> + Send;

    /// The time of a transaction. An engine with a clock of its own ignores `now`, the caller's clock.
    fn time(
        &self,
        open: &Self::Open,
        now: Timestamp,
    ) -> impl Future<Output = Result<Timestamp, StoreError>> + Send;
}

/// The rows of an engine, through its side connections.
#[derive(Debug)]
pub struct SideStore<C>(pub C);

/// An open transaction with its time.
pub struct SideTx<T> {
    pub now: Timestamp,
    pub transaction: T,
}

impl<C: SideConnections> SideStore<C> {
    pub(super) async fn open(&self, now: Timestamp) -> Result<Box<SideTx<C::Open>>, StoreError> {
        let transaction = self.0.begin().await?;
        let now = self.0.time(&transaction, now).await?;
        Ok(Box::new(SideTx { now, transaction }))
    }

    /// Opens a transaction that only reads: its time is the caller's.
    pub(super) async fn open_to_read(&self, now: Timestamp) -> Result<Box<SideTx<C::Open>>, StoreError> {
        let transaction = self.0.read().await?;
        Ok(Box::new(SideTx { now, transaction }))
    }
}

impl<D: Transaction> SideTx<D> {
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut D::Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.transaction.run(work).await
    }
}

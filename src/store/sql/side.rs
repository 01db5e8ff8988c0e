//! Transactions beside those of the writer: what the stores of webhook endpoints, orders and tokens run on.

use super::database::Database;
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

    /// Returns the time of the transaction too. An engine with a clock of its own ignores `now`, the caller's clock.
    fn begin(
        &self,
        now: Timestamp,
    ) -> impl Future<Output = Result<(Timestamp, Self::Open), StoreError>> + Send;
}

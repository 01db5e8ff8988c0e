//! The size of a database and the durability of its commits, for measurements.

use async_trait::async_trait;

use super::error::StoreError;

/// The figures of one database, read beside the server that writes to it.
#[async_trait]
pub trait Figures: Send {
    /// Bytes of its tables and indexes, including what is only in the log so far.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    async fn bytes(&mut self) -> Result<u64, StoreError>;

    /// Rows of the view `transfer`, all ledgers together. Reads the whole journal.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    async fn transfers(&mut self) -> Result<u64, StoreError>;

    /// How durable a commit is before it is acknowledged, in the engine's own terms.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    async fn durability(&mut self) -> Result<String, StoreError>;
}

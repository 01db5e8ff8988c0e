//! What a measurement asks of a database besides its service: how large it is, and what a commit there promises.

use async_trait::async_trait;

use super::error::StoreError;

/// The figures of one database, read beside the server that has it.
#[async_trait]
pub trait Figures: Send {
    /// Bytes of its tables and indexes, what is only in the log so far included.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    async fn bytes(&mut self) -> Result<u64, StoreError>;

    /// Rows of the view `transfer`, all ledgers together. It reads the whole journal.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    async fn transfers(&mut self) -> Result<u64, StoreError>;

    /// What has happened to a commit before it is acknowledged, in the engine's own words.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    async fn durability(&mut self) -> Result<String, StoreError>;
}

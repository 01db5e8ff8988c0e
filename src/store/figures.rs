//! What a measurement asks of a database besides its service: how large it is, and what a commit there promises.

use async_trait::async_trait;

use super::open::{is_memory, sqlite_path};
use super::postgres::{self, Address};
use super::{StoreError, sqlite};

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

/// Opens the figures of a database that exists.
///
/// # Errors
/// [`StoreError`] where it cannot be opened; also for the engine in memory, which is made to be right, not fast.
pub async fn open_figures(url: &str) -> Result<Box<dyn Figures>, StoreError> {
    if is_memory(url) {
        return Err(StoreError::Unusable("memory: is not made to be measured".to_owned()));
    }
    if let Some(address) = Address::of(url) {
        return Ok(Box::new(postgres::open_figures(address?).await?));
    }
    Ok(Box::new(sqlite::open_figures(&sqlite_path(url)?).await?))
}

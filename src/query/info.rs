//! What a server says about itself.

use super::error::ReadError;
use super::reader::Reader;

/// A server and its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The program's version.
    pub version: &'static str,
    /// The storage engine: `sqlite`, `postgres` or `memory`.
    pub engine: &'static str,
    /// The number of the newest migration that was applied; 0 for `memory`, which has none.
    pub schema_version: u64,
    /// How many ledgers there are.
    pub ledgers: u64,
}

impl Reader {
    /// The program and its database.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn server_info(&self) -> Result<ServerInfo, ReadError> {
        let store = self.store.info().await?;
        Ok(ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            engine: store.engine,
            schema_version: store.schema_version,
            ledgers: store.ledgers,
        })
    }
}

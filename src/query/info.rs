//! The program's version and facts about its database.

use super::error::ReadError;
use super::reader::Reader;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    pub version: &'static str,
    /// `sqlite`, `postgres` or `memory`.
    pub engine: &'static str,
    /// The newest migration that was applied; 0 for `memory`, which has none.
    pub schema_version: u64,
    pub ledgers: u64,
}

impl Reader {
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

//! How large the file is, and what a commit to it promises: read beside the server, on a connection that only reads.

use std::path::Path;

use async_trait::async_trait;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::{BUSY_TIMEOUT, SYNCHRONOUS, failed};
use crate::store::StoreError;
use crate::store::figures::Figures;

/// The figures of one file.
#[derive(Debug)]
pub struct SqliteFigures(SqliteConnection);

/// Opens the figures of a file.
///
/// # Errors
/// [`StoreError`] where it cannot be opened.
pub async fn open_figures(path: &Path) -> Result<SqliteFigures, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .disable_statement_logging();
    Ok(SqliteFigures(options.connect().await.map_err(failed)?))
}

impl SqliteFigures {
    async fn count(&mut self, statement: &'static str) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(statement).fetch_one(&mut self.0).await.map_err(failed)?;
        u64::try_from(count).map_err(failed)
    }
}

#[async_trait]
impl Figures for SqliteFigures {
    async fn bytes(&mut self) -> Result<u64, StoreError> {
        // Pages as of the last commit: the log, whose length says when it was last reset, is not counted besides.
        self.count("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").await
    }

    async fn transfers(&mut self) -> Result<u64, StoreError> {
        self.count("SELECT COUNT(*) FROM transfer").await
    }

    async fn durability(&mut self) -> Result<String, StoreError> {
        let journal: String = sqlx::query_scalar("SELECT journal_mode FROM pragma_journal_mode")
            .fetch_one(&mut self.0)
            .await
            .map_err(failed)?;
        // Of the connection that writes; that of this one says nothing.
        Ok(format!("SQLite: journal_mode={journal}, synchronous={SYNCHRONOUS}"))
    }
}

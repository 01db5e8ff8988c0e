//! How large the database is, and what a commit to it promises, in its own words.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::connect::Address;
use super::errors::failed;
use crate::store::StoreError;
use crate::store::figures::Figures;

/// The figures of one database.
#[derive(Debug)]
pub struct PgFigures(PgConnection);

/// Opens the figures of a database.
///
/// # Errors
/// [`StoreError`] where it cannot be reached.
pub async fn open_figures(address: Address) -> Result<PgFigures, StoreError> {
    Ok(PgFigures(address.connect().await?))
}

impl PgFigures {
    async fn count(&mut self, statement: &'static str) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(statement).fetch_one(&mut self.0).await.map_err(failed)?;
        u64::try_from(count).map_err(|error| StoreError::Failed(Box::new(error)))
    }
}

#[async_trait]
impl Figures for PgFigures {
    async fn bytes(&mut self) -> Result<u64, StoreError> {
        self.count("SELECT pg_database_size(current_database())").await
    }

    async fn transfers(&mut self) -> Result<u64, StoreError> {
        // A journal of many millions takes longer than what a server may wait for.
        sqlx::query("SET statement_timeout = 0").execute(&mut self.0).await.map_err(failed)?;
        self.count("SELECT COUNT(*) FROM transfer").await
    }

    async fn durability(&mut self) -> Result<String, StoreError> {
        let settings: (String, String, String) = sqlx::query_as(
            "SELECT
                 current_setting('synchronous_commit'),
                 current_setting('fsync'),
                 current_setting('full_page_writes')",
        )
        .fetch_one(&mut self.0)
        .await
        .map_err(failed)?;
        let (commit, fsync, pages) = settings;
        Ok(format!("PostgreSQL: synchronous_commit={commit}, fsync={fsync}, full_page_writes={pages}"))
    }
}

//! The size of a database and the durability of its commits, read on a connection of their own.

use async_trait::async_trait;

use super::database::{Database, Dialect, Sql};
use crate::store::error::StoreError;
use crate::store::figures::Figures;
use crate::store::stored::count_of;

#[derive(Debug)]
pub struct SqlFigures<D>(pub D);

impl<D: Database> SqlFigures<D> {
    async fn count(&self, text: &'static str) -> Result<u64, StoreError> {
        let count = self.0.run(move |sql| Box::pin(count(sql, text))).await?;
        count_of(count, "a figure")
    }
}

type DialectOf<D> = <<D as Database>::Connection as Sql>::Dialect;

#[async_trait]
impl<D: Database> Figures for SqlFigures<D> {
    async fn bytes(&mut self) -> Result<u64, StoreError> {
        self.count(DialectOf::<D>::BYTES).await
    }

    async fn transfers(&mut self) -> Result<u64, StoreError> {
        self.count("SELECT COUNT(*) FROM transfer").await
    }

    async fn durability(&mut self) -> Result<String, StoreError> {
        self.0.run(|sql| Box::pin(durability(sql))).await
    }
}

async fn count(sql: &mut impl Sql, text: &'static str) -> Result<i64, StoreError> {
    sql.one(text, &[], |row| row.get(0)).await
}

async fn durability<S: Sql>(sql: &mut S) -> Result<String, StoreError> {
    sql.one(S::Dialect::DURABILITY, &[], |row| row.get(0)).await
}

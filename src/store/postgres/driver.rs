//! Adapts the driver, sqlx, to the store's rows and parameters.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Row as _, TypeInfo as _, ValueRef as _};

use super::columns::PostgreSql;
use super::errors::failed;
use crate::store::error::StoreError;
use crate::store::sql::database::Sql;
use crate::store::sql::row::{Param, RequestColumn, Row, Value};

impl Row for PgRow {
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        let value = self.try_get_raw(column)?;
        if value.is_null() {
            return Ok(Value::Null);
        }
        let kind = value.type_info();
        Ok(match kind.name() {
            "INT8" => Value::Int(self.try_get(column)?),
            "INT4" => Value::Int(self.try_get::<i32, _>(column)?.into()),
            "INT2" => Value::Int(self.try_get::<i16, _>(column)?.into()),
            "BOOL" => Value::Bool(self.try_get(column)?),
            "TEXT" | "VARCHAR" | "NAME" => Value::Text(self.try_get(column)?),
            "BYTEA" => Value::Bytes(self.try_get(column)?),
            "UUID" => Value::Uuid(self.try_get(column)?),
            _ => Value::Other,
        })
    }

    /// The class and then the bytes, so that a text never equals a UUID.
    fn request(&self, column: usize) -> Result<Option<RequestColumn>, StoreError> {
        let stored: Option<&[u8]> = self.try_get(column)?;
        Ok(stored.map(|stored| match stored.split_first() {
            Some((class, bytes)) => RequestColumn { class: *class, bytes: bytes.to_vec() },
            None => RequestColumn { class: b'?', bytes: Vec::new() },
        }))
    }
}

fn bound<'q>(sql: &'static str, params: &[Param<'_>]) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query(sql);
    for param in params {
        query = match *param {
            Param::Int(value) => query.bind(value),
            Param::Bool(value) => query.bind(value),
            Param::Text(value) => query.bind(value),
            Param::Bytes(value) => query.bind(value),
            Param::Uuid(value) => query.bind(value),
            Param::Request(value) => query.bind(value.map(|request| RequestColumn::of(request).concat())),
            Param::Ints(values) => query.bind(values),
            Param::Ids(values) => query.bind(values),
            Param::Uuids(values) => query.bind(values),
            Param::Blobs(values) => query.bind(values),
        };
    }
    query
}

impl Sql for PgConnection {
    type Dialect = PostgreSql;

    fn all<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send {
        let query = bound(sql, params);
        async move {
            let rows = query.fetch_all(self).await?;
            rows.iter().map(|row| read(row)).collect()
        }
    }

    fn scan<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send {
        let query = bound(sql, params);
        async move {
            let mut transaction = self.begin().await?;
            transaction.execute("SET LOCAL enable_seqscan = on").await?;
            let rows = query.fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            rows.iter().map(|row| read(row)).collect()
        }
    }

    fn run(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let query = bound(sql, params);
        async move { Ok(query.execute(self).await?.rows_affected()) }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        failed(error)
    }
}

//! Adapts the driver, rusqlite, to the store's rows, parameters and errors.

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement, ToSql};

use super::columns::Sqlite;
use crate::ledger::RequestKey;
use crate::store::error::{StoreError, damaged};
use crate::store::read_store::READ_BYTES_MAX;
use crate::store::sql::database::Sql;
use crate::store::sql::row::{Param, RequestColumn, Row, Value};

/// The names of parameters in the text of a statement.
const NAMES: [&str; 12] = ["$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12"];

impl Row for rusqlite::Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        Ok(match self.get_ref(column)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int(value),
            ValueRef::Real(_) => Value::Other,
            ValueRef::Text(text) => std::str::from_utf8(text).map_or(Value::Other, Value::Text),
            ValueRef::Blob(bytes) => Value::Bytes(bytes),
        })
    }

    /// A UUID is a BLOB, any other request id is TEXT. Values of two storage classes are never equal.
    fn request(&self, column: usize) -> Result<Option<RequestColumn>, StoreError> {
        Ok(match self.get_ref(column)? {
            ValueRef::Null => None,
            ValueRef::Blob(bytes) => Some(RequestColumn { class: b'u', bytes: bytes.to_vec() }),
            ValueRef::Text(bytes) => Some(RequestColumn { class: b't', bytes: bytes.to_vec() }),
            ValueRef::Integer(_) | ValueRef::Real(_) => {
                Some(RequestColumn { class: b'?', bytes: Vec::new() })
            }
        })
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let borrowed = match self {
            Self::Int(value) => value.map_or(ValueRef::Null, ValueRef::Integer),
            Self::Bool(value) => ValueRef::Integer((*value).into()),
            Self::Text(value) => value.map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())),
            Self::Bytes(value) => value.map_or(ValueRef::Null, ValueRef::Blob),
            Self::Uuid(None) => ValueRef::Null,
            Self::Uuid(Some(id)) => ValueRef::Blob(id.as_bytes()),
            Self::Request(request) => request.map_or(ValueRef::Null, request_ref),
            Self::Ints(values) => return Ok(json(values.iter().map(ToString::to_string))),
            Self::Ids(values) => return Ok(json(values.iter().map(|id| format!("\"{id}\"")))),
            Self::Uuids(_) | Self::Blobs(_) => {
                return Err(rusqlite::Error::ToSqlConversionFailure("SQLite takes no such list".into()));
            }
        };
        Ok(ToSqlOutput::Borrowed(borrowed))
    }
}

fn json(values: impl Iterator<Item = String>) -> ToSqlOutput<'static> {
    let values: Vec<String> = values.collect();
    ToSqlOutput::Owned(SqliteValue::Text(format!("[{}]", values.join(","))))
}

/// A request id as its column holds it.
pub(super) fn request_ref(request: &RequestKey) -> ValueRef<'_> {
    match request {
        RequestKey::Uuid(uuid) => ValueRef::Blob(uuid.as_bytes()),
        RequestKey::Text(text) => ValueRef::Text(text.as_bytes()),
    }
}

fn bind(statement: &mut Statement<'_>, params: &[Param<'_>]) -> Result<(), StoreError> {
    for (name, param) in NAMES.iter().zip(params) {
        // A shared statement may have no use for a parameter in this engine's SQL.
        if let Some(index) = statement.parameter_index(name)? {
            statement.raw_bind_parameter(index, param)?;
        }
    }
    if params.len() > NAMES.len() { Err(damaged("a statement has too many parameters")) } else { Ok(()) }
}

/// Reads all rows of a statement with parameters `$1`, `$2`, ...
pub(super) fn fetch<T>(
    statement: &mut Statement<'_>,
    params: &[Param<'_>],
    mut read: impl FnMut(&dyn Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    fetch_while(statement, params, |row| read(row).map(Some))
}

/// Reads rows until `read` gives `None`.
fn fetch_while<T>(
    statement: &mut Statement<'_>,
    params: &[Param<'_>],
    mut read: impl FnMut(&dyn Row) -> Result<Option<T>, StoreError>,
) -> Result<Vec<T>, StoreError> {
    bind(statement, params)?;
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row)? {
            Some(item) => all.push(item),
            None => break,
        }
    }
    Ok(all)
}

/// Runs a statement that writes; returns the number of rows.
pub(super) fn execute(statement: &mut Statement<'_>, params: &[Param<'_>]) -> Result<usize, StoreError> {
    bind(statement, params)?;
    statement.raw_execute().map_err(not_written)
}

/// A connection outside the writer; statements are prepared once and kept.
impl Sql for Connection {
    type Dialect = Sqlite;

    fn all<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send {
        let statement = self.prepare_cached(sql).map_err(failed);
        std::future::ready(statement.and_then(|mut statement| fetch(&mut statement, params, read)))
    }

    fn within<T: Send>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<(T, usize), StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<(T, usize)>, StoreError>> + Send {
        let mut left = READ_BYTES_MAX;
        let read = |row: &dyn Row| {
            if left == 0 {
                return Ok(None);
            }
            let (item, bytes) = read(row)?;
            left = left.saturating_sub(bytes);
            Ok(Some((item, bytes)))
        };
        let statement = self.prepare_cached(sql).map_err(failed);
        std::future::ready(statement.and_then(|mut statement| fetch_while(&mut statement, params, read)))
    }

    fn run(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let statement = self.prepare_cached(sql).map_err(failed);
        let changed = statement.and_then(|mut statement| execute(&mut statement, params));
        std::future::ready(changed.map(|changed| changed as u64))
    }
}

/// Takes the result of a future whose statements block the thread, so that it never waits.
///
/// # Errors
/// [`StoreError`] of the future.
pub(super) fn ready<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => Err(StoreError::Failed("a statement of SQLite waited".into())),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        failed(error)
    }
}

/// A page that cannot be read is damage; any other error is a failure of the database.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => StoreError::failed(error),
    }
}

/// A row that violates a constraint is one command's fault.
pub(super) fn not_written(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::Refused(Box::new(error)),
        _ => failed(error),
    }
}

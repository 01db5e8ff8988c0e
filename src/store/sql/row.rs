//! Columns of a row and parameters of a statement, independent of the driver.

use uuid::Uuid;

use crate::ledger::{CustomerKey, HoldId, LedgerNo, LotId, RequestKey, Timestamp};
use crate::store::error::{Readable, StoreError, Unreadable, damaged};

/// The value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'r> {
    Null,
    Int(i64),
    Bool(bool),
    Text(&'r str),
    Bytes(&'r [u8]),
    Uuid(Uuid),
    /// A type that this program stores nowhere.
    Other,
}

impl Value<'_> {
    /// What it is, without what it says: a stored text or body has no place in a message, and no bound.
    const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "a UUID",
            Self::Other => "a value of an unknown type",
        }
    }
}

/// A row of either driver.
pub trait Row {
    /// A column by its place, from 0.
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError>;

    /// A column with a request id; each engine stores it in its own way.
    fn request(&self, column: usize) -> Result<Option<RequestColumn>, StoreError>;
}

impl dyn Row + '_ {
    /// A column as the type that it must have.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where it has another type.
    pub fn get<T: Column>(&self, column: usize) -> Result<T, StoreError> {
        let value = self.value(column)?;
        T::of(value).ok_or_else(|| damaged(format!("column {column} of a row holds {}", value.type_name())))
    }

    /// Consecutive columns of one kind.
    pub fn array<const N: usize>(&self, first: usize) -> Result<[i64; N], StoreError> {
        let mut values = [0; N];
        for (value, column) in values.iter_mut().zip(first..) {
            *value = self.get(column)?;
        }
        Ok(values)
    }
}

/// Reads a row whose damage leaves the others of its page as they are. Its id is in column 0.
///
/// # Errors
/// [`StoreError`] other than damage of the row; [`StoreError::Damaged`] where the id itself cannot be read.
pub fn alone<T>(
    row: &dyn Row,
    read: impl FnOnce(&dyn Row) -> Result<T, StoreError>,
) -> Result<Readable<T>, StoreError> {
    match read(row) {
        Err(StoreError::Damaged(problem)) => Ok(Err(Unreadable { id: row.get(0)?, problem })),
        read => read.map(Ok),
    }
}

/// A type that a column can be read as.
pub trait Column: Sized {
    /// `None` for a value of another kind.
    fn of(value: Value<'_>) -> Option<Self>;
}

impl Column for i64 {
    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Int(value) = value { Some(value) } else { None }
    }
}

impl Column for bool {
    fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(value),
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            _ => None,
        }
    }
}

impl Column for String {
    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Text(value) = value { Some(value.to_owned()) } else { None }
    }
}

impl Column for Vec<u8> {
    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Bytes(value) = value { Some(value.to_owned()) } else { None }
    }
}

impl Column for Uuid {
    fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Uuid(value) => Some(value),
            Value::Bytes(value) => Self::from_slice(value).ok(),
            _ => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn of(value: Value<'_>) -> Option<Self> {
        if value == Value::Null { Some(None) } else { T::of(value).map(Some) }
    }
}

/// A request id as its column holds it. It is parsed only where a key is needed, so that `verify` can compare the
/// checksum of a row whose request id is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestColumn {
    /// `u` for the bytes of a UUID, `t` for a text; anything else is damage.
    pub class: u8,
    pub bytes: Vec<u8>,
}

impl RequestColumn {
    #[must_use]
    pub fn of(request: &RequestKey) -> Self {
        match request {
            RequestKey::Uuid(uuid) => Self { class: b'u', bytes: uuid.as_bytes().to_vec() },
            RequestKey::Text(text) => Self { class: b't', bytes: text.as_bytes().to_vec() },
        }
    }

    /// # Errors
    /// [`StoreError::Damaged`], naming `what`.
    pub fn key(&self, what: &str) -> Result<RequestKey, StoreError> {
        let key = match self.class {
            b'u' => Uuid::from_slice(&self.bytes).ok().map(RequestKey::Uuid),
            b't' => std::str::from_utf8(&self.bytes).ok().map(|text| RequestKey::Text(text.into())),
            _ => None,
        };
        key.ok_or_else(|| damaged(format!("{what}: the request id cannot be read")))
    }

    /// Class and bytes, as PostgreSQL stores them.
    pub fn concat(&self) -> Vec<u8> {
        [&[self.class], self.bytes.as_slice()].concat()
    }
}

/// A value to bind.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    Int(Option<i64>),
    Bool(bool),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
    Uuid(Option<Uuid>),
    Request(Option<&'a RequestKey>),
    /// A list: an array on PostgreSQL, JSON on SQLite.
    Ints(&'a [i64]),
    /// A list of ids, as [`Param::Ints`]. SQLite takes only ids here: their characters need no escape in JSON.
    Ids(&'a [&'a str]),
    /// A list that only PostgreSQL takes.
    Uuids(&'a [Uuid]),
    /// A list that only PostgreSQL takes.
    Blobs(&'a [&'a [u8]]),
}

macro_rules! param_from {
    ($($from:ty: $value:ident => $param:expr,)*) => {
        $(impl<'a> From<$from> for Param<'a> {
            fn from($value: $from) -> Self {
                $param
            }
        })*
    };
}
param_from! {
    i64: value => Self::Int(Some(value)),
    Option<i64>: value => Self::Int(value),
    bool: value => Self::Bool(value),
    &'a str: value => Self::Text(Some(value)),
    Option<&'a str>: value => Self::Text(value),
    &'a [u8]: value => Self::Bytes(Some(value)),
    Option<&'a [u8]>: value => Self::Bytes(value),
    &'a Vec<u8>: value => Self::Bytes(Some(value)),
    Uuid: value => Self::Uuid(Some(value)),
    &'a RequestKey: value => Self::Request(Some(value)),
    Option<&'a RequestKey>: value => Self::Request(value),
    LedgerNo: value => Self::Int(Some(value.get().into())),
    CustomerKey: value => Self::Int(Some(value.raw())),
    HoldId: value => Self::Uuid(Some(value.uuid())),
    LotId: value => Self::Uuid(Some(value.uuid())),
    Timestamp: value => Self::Int(Some(value.micros())),
}

/// A count, a limit or a position as SQL takes it. A value that does not fit becomes the maximum.
pub fn sql_count(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

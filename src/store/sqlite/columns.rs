//! SQL fragments that this engine's statements share, and the name of its dialect. A posting's key contains its
//! ledger and position.

use crate::store::sql::rows::posting_columns;

/// The columns of a posting `p` with its texts `w`. Position and ledger are parts of its key.
macro_rules! keyed_posting_columns {
    () => {
        posting_columns!("p.key & 1099511627775", "p.key >> 40")
    };
}

/// Joins postings `p` with their texts `w`; comes after all other joins.
macro_rules! with_words {
    () => {
        " LEFT JOIN posting_words w ON w.key = p.key "
    };
}

pub(super) use {keyed_posting_columns, with_words};

/// The posting of a request.
pub(super) const POSTING_OF_REQUEST: &str = concat!(
    "SELECT ",
    keyed_posting_columns!(),
    " FROM posting p",
    with_words!(),
    "WHERE p.request = $3 AND p.customer = $1 AND p.kind = $2"
);

/// SQLite's dialect.
#[derive(Debug)]
pub enum Sqlite {}

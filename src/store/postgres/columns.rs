//! SQL fragments that this engine's statements share, and the name of its dialect.

/// The columns of a posting `p` with its texts `w`; `$position` is an expression that may be NULL.
macro_rules! placed_posting_columns {
    ($position:literal) => {
        posting_columns!($position, "p.ledger_no")
    };
}

/// Joins postings `p` with their texts `w`.
macro_rules! with_words {
    () => {
        " LEFT JOIN posting_words w ON w.customer = p.customer AND w.sequence = p.sequence "
    };
}

/// A customer's postings `p` with their positions, where they have one.
macro_rules! postings_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            placed_posting_columns!("f.first_position + p.place"),
            " FROM posting p
              LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no",
            with_words!(),
            "WHERE ",
            $condition
        )
    };
}

pub(super) use {placed_posting_columns, postings_where, with_words};

/// PostgreSQL's dialect.
#[derive(Debug)]
pub enum PostgreSql {}
